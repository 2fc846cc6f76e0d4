# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the particles of a STAR file lie on their micrographs. Their images are not read and need not be there."""

import dataclasses
import os
import typing

import numpy as np

from ..contract import counted
from ..contract.reading import reader
from ..core.peaks import separate
from . import coordinates, cryosparc, files, star
from .messages import Line, warn
from .relion_tables import known_columns, number_columns, old_pixel_sizes, optics_rows

_POSITION = ("rlnCoordinateY", "rlnCoordinateX")
_ORIGINS = ("rlnOriginYAngst", "rlnOriginXAngst")
_OLD_ORIGINS = ("rlnOriginY", "rlnOriginX")
_SIZE = "rlnImagePixelSize"
SAME = 0.25  # particle diameters within which two positions are the same particle: half of its radius


@dataclasses.dataclass(frozen=True)
class ParticlePositions:
    """Particles of one micrograph. yx: (n, 2) px of the micrograph from which they were extracted. origins: (n, 2) yx
    Å, RELION's shift that centres the particle; the particle lies at yx minus it. 0 where the file has none."""

    yx: np.ndarray
    origins: np.ndarray

    def __len__(self) -> int:
        return len(self.yx)


@reader
def read_particle_positions(
    path: str | os.PathLike[str], flip_y: bool = False, alone: bool = False
) -> dict[str, ParticlePositions]:
    """Positions of the particles of a STAR file of RELION, of any version, or of a .cs file, by micrograph. flip_y:
    count the rows of cryoSPARC's .cs files from their other end. alone: whether the file may have no rows, or name no
    micrograph, as one list of picks: its own name is the micrograph's. Returns {key of the micrograph:
    ParticlePositions}. Raises FileNotFoundError, or ValueError that names the file and the columns that it lacks, or
    values that are no numbers."""
    tables = cryosparc.cryosparc_tables(path, flip_y) if cryosparc.is_cryosparc(path) else star.read_tables(path)
    columns: dict[str, typing.Any] = next((dict(t) for t in tables.values() if _POSITION[0] in t), {})
    if alone and columns:
        columns.setdefault("rlnMicrographName", [str(path)] * len(columns[_POSITION[0]]))
    lacking = [name for name in (*reversed(_POSITION), "rlnMicrographName") if name not in columns]
    found = columns or max((dict(t) for name, t in tables.items() if name != "optics"), key=len, default={})
    if alone and not any(map(len, found.values())):
        return {}
    if found and not any(map(len, found.values())):
        raise ValueError(f"{path} has no particles: its table of particles has no rows. Give a file with particles.")
    if lacking:
        raise ValueError(
            f"{path} has particles without positions: the {'columns' if len(lacking) > 1 else 'column'} "
            f"{', '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} missing. Found: "
            f"{', '.join(list(found)[:8]) or 'no table of particles'}. Give a STAR file that has kept the columns of "
            "the extraction; of cryoSPARC the .cs file with its passthrough file beside it."
        )
    if _OLD_ORIGINS[0] in columns and _ORIGINS[0] not in columns:
        columns.update(_in_angstroms(path, tables, columns))
    yx, origins = known_columns(path, columns, _POSITION), number_columns(path, columns, _ORIGINS)
    if origins is None:
        origins = np.zeros_like(yx)
    rows = files.lists_by_key((k, n) for n, k in enumerate(coordinates.keys_of(list(columns["rlnMicrographName"]))))
    return {key: ParticlePositions(yx[own], origins[own]) for key, own in rows.items()}


def _in_angstroms(
    path: str | os.PathLike[str],
    tables: typing.Mapping[str, typing.Mapping[str, typing.Sequence[str]]],
    columns: typing.Mapping[str, typing.Sequence[str]],
) -> dict[str, typing.Any]:
    """The origins in px of the images, as columns in Å."""
    pixels = number_columns(path, columns, _OLD_ORIGINS)
    if pixels is None or not pixels.any():
        return {}
    optics = next((t for t in tables.values() if "rlnOpticsGroup" in t and _POSITION[0] not in t), None)
    sizes = number_columns(path, {_SIZE: old_pixel_sizes(columns, path)} if optics is None else optics, (_SIZE,), "row")
    if sizes is None or not (sizes > 0).all():
        raise ValueError(
            f"{path} has shifts in pixels ({' and '.join(reversed(_OLD_ORIGINS))}), but no positive {_SIZE}, which "
            "gives them in Å. Add that column, or remove the shifts to use the positions alone."
        )
    return dict(zip(_ORIGINS, (pixels * (sizes if optics is None else sizes[optics_rows(optics, columns, path)])).T))


def read_centred(
    path: str | os.PathLike[str], pixel_size: float, diameter: float, flip_y: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As coordinates.read_coordinates, but particles of STAR or .cs files with shifts lie where their alignment centres
    them, without those that then lie at the same place as a better one; a line says so. pixel_size: Å/px of the
    micrographs. diameter: Å, of the particle. Returns {key: (yx (n, 2) px, scores (n,))}."""
    lists, reach = coordinates.read_coordinates(path, flip_y), SAME * diameter
    for file in map(str, coordinates.coordinate_files(path)):
        text = files.read_text(file) if file.lower().endswith(".star") else ""
        if not cryosparc.is_cryosparc(file) and "_rlnOriginX" not in text:
            continue
        positions, gone = read_particle_positions(file, flip_y, alone=True), 0
        if not any(one.origins.any() for one in positions.values()):
            continue
        if "_rlnHelicalTubeID" in text:  # they overlap, and their order and distance count
            warn(Line(f"{file} has segments of filaments: their shifts are not applied."))
            continue
        for key, one in positions.items():
            order = np.argsort(-lists[key][1], kind="stable")
            yx = (one.yx - one.origins / pixel_size)[order]
            single = separate(yx, reach / pixel_size)
            lists[key], gone = (yx[single], lists[key][1][order][single]), gone + len(yx) - len(single)
        left_out = f" {counted(gone, 'particle')} within {reach:.3g} Å of another left out." if gone else ""
        warn(Line(f"{file} has shifts: its particles are taken where their alignment centres them.{left_out}"))
    return lists
