# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles' positions in tomograms, read from the files of several programs and written as RELION 5 has them. RELION 5
counts in Å from the middle of the tomogram (size / 2), the older programs in px; frames.py says from where."""

import os
import typing
from pathlib import Path

import numpy as np

from ..contract.reading import reader
from . import coordinate_files, coordinates3d, messages
from .files import micrograph_key
from .relion_tables import known_columns, number_columns, optics_rows
from .star import read_tables, write_tables

SERIES = "rlnTomoTiltSeriesPixelSize"
CENTRED = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
PIXELS = tuple(f"rlnCoordinate{axis}" for axis in "XYZ")
ORIGINS = tuple(f"rlnOrigin{axis}Angst" for axis in "XYZ")
PIXEL_ORIGINS = tuple(f"rlnOrigin{axis}" for axis in "XYZ")
ANGLES = tuple(f"rlnAngle{angle}" for angle in ("Rot", "Tilt", "Psi"))
SUBTOMOGRAM = tuple(f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi"))
SPECIES = ("cryodlSpecies", "cryodlStructure")
GROUP, PIXEL_SIZE = "rlnOpticsGroup", "cryodlPixelSize"


@reader
def read_coordinates3d(path: str | os.PathLike[str]) -> coordinates3d.Coordinates3D:
    """Coordinates3D of a file: STAR, and what coordinate_files.py knows. Raises FileNotFoundError, or ValueError that
    names the file and what is wrong with it."""
    suffix = Path(path).suffix.lower()
    if not os.path.isfile(path):
        wrong = f"are a folder; give its files, for example '{path}/*.star'" if os.path.isdir(path) else "do not exist"
        raise FileNotFoundError(f"The coordinates {path} {wrong}.")
    if not os.path.getsize(path):
        raise ValueError(f"{path} is empty. Write it again with the program that made it.")
    if suffix in coordinate_files.READERS:
        found = coordinate_files.READERS[suffix](path)
        if not np.isfinite(found.xyz).all():
            row = int(np.flatnonzero(~np.isfinite(found.xyz).all(axis=1))[0]) + 1
            raise ValueError(f"{path}: the position of particle {row} is no three finite numbers.")
        return found
    tables = read_tables(path)
    table = next((t for t in tables.values() if CENTRED[0] in t or PIXELS[0] in t), None)
    if table is None:
        raise ValueError(
            f"{path} has neither {', '.join(CENTRED)} nor {', '.join(PIXELS)}. Give particles of tomograms."
        )
    columns = CENTRED if CENTRED[0] in table else PIXELS
    xyz, optics = known_columns(path, table, columns), tables.get("optics", {})
    series = columns is PIXELS and SERIES in optics and "rlnOpticsGroup" in optics  # RELION 4 counts in their px
    if series and len(xyz):
        sizes = known_columns(path, optics, (SERIES,), "optics group")
        if sizes.min() <= 0:
            raise ValueError(f"{path}: {SERIES} is {sizes.min():g}; it must be above 0. Correct the optics table.")
        xyz = xyz * sizes[optics_rows(optics, table, path)]
    names = next((table[name] for name in ("rlnTomoName", "rlnMicrographName") if name in table), [""] * len(xyz))
    sides = None
    if columns is CENTRED and PIXELS[0] in table and PIXEL_SIZE in table and len(xyz):
        pixels, sizes = known_columns(path, table, PIXELS), known_columns(path, table, (PIXEL_SIZE,))
        sides = 2 * (pixels * sizes - xyz)
    scored = {**dict.fromkeys(coordinates3d.SCORES, ["nan"] * len(xyz)), **table}
    return coordinates3d.Coordinates3D(
        str(path),
        tuple(micrograph_key(name) if name else "" for name in names),
        _species(table, len(xyz)),
        xyz,
        "centred Å" if columns is CENTRED else "Å" if series else "px",
        shifts=_shifts(table, path, len(xyz)),
        classes=() if any(name in table for name in SPECIES) else tuple(table.get("rlnClassNumber", ())),
        angles=_angles(table, path, len(xyz)),
        scores=np.stack([np.array(scored[name], float) for name in coordinates3d.SCORES], axis=1),
        sides=sides,
    )


def _angles(
    table: typing.Mapping[str, typing.Sequence[str]], path: str | os.PathLike[str], count: int
) -> np.ndarray | None:
    """(n, 3) rot, tilt, psi in the tomogram, degrees; None without them."""
    stated = (number_columns(path, table, columns) for columns in (ANGLES, SUBTOMOGRAM))
    found = [np.zeros((count, 3)) if values is None else values for values in stated]
    return coordinates3d.after(*found) if found[1].any() else found[0]


def _shifts(
    table: typing.Mapping[str, typing.Sequence[str]], path: str | os.PathLike[str], count: int
) -> np.ndarray | None:
    """(n, 3) Å that a refinement found and RELION takes away from the coordinates; None without them. They count in the
    axes of the subtomogram, which may have been extracted in an orientation of its own (ParticleSet::getPosition of
    RELION 5)."""
    none = ["0"] * count
    given = lambda names: known_columns(path, {name: table.get(name, none) for name in names}, names)
    if not any(name in table for name in ORIGINS):
        if given(PIXEL_ORIGINS).any():
            messages.warn(
                f"{path}: shifts in px ({', '.join(PIXEL_ORIGINS)}, RELION 3.0) are not applied, as their pixel size "
                "is not known. Convert the file with a later RELION."
            )
        return None
    shifts = given(ORIGINS)
    if any(name in table for name in SUBTOMOGRAM):
        shifts = np.einsum("nij,nj->ni", coordinates3d.to_tomogram(given(SUBTOMOGRAM)), shifts)
    return shifts


def _species(table: typing.Mapping[str, typing.Sequence[str]], count: int) -> tuple[str, ...]:
    """(n,) names: a column's, or of several classes; else ''."""
    named = next((table[name] for name in SPECIES if name in table), None)
    if named is not None:
        return tuple(named)
    classes = table.get("rlnClassNumber", [])
    return tuple(f"class_{number}" for number in classes) if len(set(classes)) > 1 else ("",) * count


def coordinate_columns(
    name: str, zyx: np.ndarray, shape: typing.Sequence[int], pixel_size: float
) -> dict[str, typing.Sequence[typing.Any]]:
    """Columns of a STAR file for positions in a tomogram: its name, px, and RELION 5's centred Å. zyx: (n, 3) px.
    shape: (z, y, x) of the tomogram. pixel_size: Å/px."""
    xyz = np.asarray(zyx, float).reshape(-1, 3)[:, ::-1]
    centred = (xyz - np.array(shape[::-1]) / 2) * pixel_size
    return dict(rlnTomoName=[name] * len(xyz), **dict(zip(PIXELS, xyz.T)), **dict(zip(CENTRED, centred.T)))


def write_coordinates3d(
    path: str | os.PathLike[str], tables: typing.Sequence[dict[str, typing.Any]], pixel_sizes: typing.Sequence[float]
) -> None:
    """Write the columns of some tomograms, one after the other, as a STAR file. tables: {column: values}, all with the
    same columns. pixel_sizes: Å/px of each tomogram, a column of its own."""
    rows = {name: [value for table in tables for value in table[name]] for name in tables[0]}
    first = next(iter(tables[0]))
    rows[PIXEL_SIZE] = [float(size) for table, size in zip(tables, pixel_sizes) for _ in table[first]]
    # no optics table: RELION 5 takes the optics from its tomograms.star; what a table lacked it would never know
    write_tables(path, {"particles": rows})


def join_coordinates3d(
    path: str | os.PathLike[str], files: typing.Sequence[str | os.PathLike[str]], pixel_sizes: typing.Sequence[float]
) -> None:
    """Write the particles of some STAR files of write_coordinates3d, one after the other, as one. pixel_sizes: Å/px."""
    tables = [read_tables(file)["particles"] for file in files]
    own = [{k: v for k, v in table.items() if k not in (GROUP, PIXEL_SIZE)} for table in tables]
    write_coordinates3d(path, own, pixel_sizes)
