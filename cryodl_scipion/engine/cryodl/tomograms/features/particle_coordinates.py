# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles' poses in files of coordinates, by the tomogram that they are in and by their species."""

import glob
import os
import re
import typing
from pathlib import Path

import numpy as np

from ...contract import counted
from ...io.coordinates3d import Coordinates3D, ParticlePoses
from ...io.files import micrograph_key
from ...io.tomogram_coordinates import read_coordinates3d
from ...io.tomograms import Tomogram

SPECIES = "particle"  # where no file says more
NUMBERS = (
    "a Dynamo table has numbers in place of names. Call each table as its tomogram (TS_1.tbl), or give the numbers as "
    "the tomograms' names (--names)."
)
SEPARATORS = "_. -"  # between a tomogram's name and what follows
MANY = 10  # positions that lie in one corner of a tomogram by chance once in 10^9
OUTSIDE = 1.0  # px beyond the border that rounding may put a particle


def read_poses(
    coordinates: typing.Sequence[str],
    tomograms: dict[str, Tomogram],
    sizes: dict[str, float],
    notes: list[str],
    species: str = "",
) -> dict[str, dict[str, ParticlePoses]]:
    """{tomogram: {species: ParticlePoses}} of files of coordinates, {} for a tomogram without. coordinates: files, or
    globs. tomograms: {name: Tomogram}; others are left out, and a sentence says so. sizes: {name: Å/px}. notes: for the
    user, added to. species: of particles whose file, its name and classes do not say it; 'particle' if empty. Raises
    ValueError if none is in one of the tomograms, or one outside of it."""
    found: dict[str, dict[str, list[ParticlePoses]]] = {name: {} for name in tomograms}
    strange: dict[str, int] = {}
    numbers, files = False, expand_files(coordinates)
    every = [read_coordinates3d(path) for path in files]
    several = len({one for positions in every for one in positions.classes}) > 1
    for path, positions in zip(files, every):
        owner = {name: _owner(name, positions, tomograms) for name in set(positions.tomograms)}
        if positions.named == "file" and len(files) == len(tomograms) == 1 and not set(owner.values()) & set(tomograms):
            owner = dict.fromkeys(owner, next(iter(tomograms)))
            notes.append(f"{path} is read as the coordinates of {next(iter(tomograms))}: both are the only ones given.")
        owners = np.array([owner[name] for name in positions.tomograms], object)
        for name in set(owners):
            rows = np.flatnonzero(owners == name)
            if name not in tomograms:
                strange[name] = strange.get(name, 0) + len(rows)
                numbers = numbers or positions.named == "numbers"
                continue
            place = tomograms[name].shape, sizes[name]
            notes += _checked_inside(positions, positions.zyx_px(rows, *place), place[0], name)
            of_file, unsaid = _species_of_file(path, name, tomograms), species or SPECIES
            classes = [f"class_{one}" if several else "" for one in positions.classes] or [""] * len(positions)
            said = np.array([positions.species[row] or of_file or classes[row] or unsaid for row in rows])
            for one in sorted(set(said.tolist())):
                found[name].setdefault(one, []).append(positions.poses(rows[said == one], *place))
    if not any(found.values()):
        raise ValueError(
            f"No coordinate (--coordinates) is in one of the tomograms ({', '.join(list(tomograms)[:5])}); the files "
            f"name {', '.join(list(strange)[:5]) or 'none'}. They are matched by name; "
            + (NUMBERS if numbers else "change the names with --names.")
        )
    if strange:
        notes.append(
            f"{counted(sum(strange.values()), 'coordinate')} of tomograms that were not given, or skipped, are not "
            f"used ({', '.join(list(strange)[:5])})." + (f" They are matched by name; {NUMBERS}" if numbers else "")
        )
    poses = {name: {one: ParticlePoses.joined(parts) for one, parts in each.items()} for name, each in found.items()}
    tables = [np.hstack([p.zyx, np.nan_to_num(p.angles)]).round(2) for each in poses.values() for p in each.values()]
    if copies := sum(len(table) - len(np.unique(table, axis=0)) for table in tables):
        notes.append(
            f"{copies} of {counted(sum(map(len, tables)), 'coordinate')} have the position and angles of another one "
            "of their tomogram and species. All are kept, and count several times: give one of each."
        )
    return poses


def expand_files(patterns: typing.Sequence[str]) -> list[str]:
    """Files of globs; a STAR file stands for itself, not for a list. Raises FileNotFoundError for what is not there."""
    found = []
    for pattern in patterns:
        matches = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern))
        if not matches:
            raise FileNotFoundError(f"No file matches {pattern!r}. Give a glob in quotes, or file names.")
        found += matches
    return found


def _owner(name: str, positions: Coordinates3D, tomograms: typing.Collection[str]) -> str:
    """The tomogram that a name in a file means, else the name; where the file names none, the only one or that which
    the file's name begins with."""
    found = _matching(name, tomograms)
    if not found and not name and len(tomograms) == 1:
        found = next(iter(tomograms))
    one_number = positions.named == "numbers" and len(set(positions.tomograms)) == 1
    if not found and (not name or positions.named == "file" or one_number):
        stem = micrograph_key(Path(positions.path).stem)
        found = _matching(stem, tomograms) or _beginning(stem, tomograms)
    return found or name or "no tomogram"


def _beginning(stem: str, tomograms: typing.Collection[str]) -> str:
    """The longest name of a tomogram that a file's name begins with, before a separator: TS_01 of TS_01_ribosome. A
    number after it is another tomogram (Position_1_2 is not of Position_1). '' if there is none."""
    for end in range(len(stem) - 1, 0, -1):
        number = re.split(f"[{SEPARATORS}]", stem[end:].lstrip(SEPARATORS))[0].isdigit()
        if stem[end] in SEPARATORS and not number and _matching(stem[:end], tomograms):
            return _matching(stem[:end], tomograms)
    return ""


def _matching(name: str, tomograms: typing.Collection[str]) -> str:
    """The tomogram of this name, or the only one that has it before '__', as EMAN2's TS_01__bin4, or before its pixel
    size, as Warp's TS_01_10.00Apx; else ''."""
    if name in tomograms:
        return name
    before = lambda one: (one.partition("__")[0], one.rpartition("__")[0], re.sub(r"_[0-9.]+Apx$", "", one))
    fitting = [one for one in tomograms if name and name in before(one)]
    return fitting[0] if len(fitting) == 1 else ""


def _species_of_file(path: str, tomogram: str, tomograms: typing.Collection[str]) -> str:
    """The species that a file's name gives, without the tomogram's name before it; '' if nothing else is left."""
    stem = micrograph_key(Path(path).stem)
    if _matching(stem, tomograms) or _matching(stem.removesuffix("_info"), tomograms):
        return ""
    for name in (tomogram, tomogram.rpartition("__")[0], tomogram.partition("__")[0]):
        rest = stem.removeprefix(name)
        if rest != stem and rest[:1] in SEPARATORS:  # also if nothing is left
            return rest.lstrip(SEPARATORS)
    return stem


def _checked_inside(positions: Coordinates3D, zyx: np.ndarray, shape: tuple[int, ...], name: str) -> list[str]:
    out = ((zyx < -0.5 - OUTSIDE) | (zyx > np.array(shape) - 0.5 + OUTSIDE)).any(axis=1)
    if out.any():
        z, y, x = zyx[out][0]
        raise ValueError(
            f"{positions.path}: {out.sum()} of {len(zyx)} particles of {name} lie outside the tomogram ({shape[2]} x "
            f"{shape[1]} x {shape[0]} px), the first at x {x:.1f}, y {y:.1f}, z {z:.1f} px. Coordinates must be in "
            "px of these tomograms, or centred coordinates in Å as in RELION 5; check whether they belong to "
            "another binning."
        )
    unsaid = positions.unit == "px" and not positions.stated and len(zyx) >= MANY
    return (
        [f"{positions.path}: all {len(zyx)} particles lie in one corner of {name}. Are they of another binning?"]
        if unsaid and (2 * zyx.max(0) < shape).all()
        else []
    )
