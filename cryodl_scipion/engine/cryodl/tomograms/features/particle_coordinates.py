# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles' positions in files of coordinates, by the tomogram that they are in and by their species."""

from __future__ import annotations

import glob
import os
import typing

import numpy as np

from ...contract import counted
from ...io.tomogram_coordinates import read_coordinates3d

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram

OUTSIDE = 1.0  # px beyond the border that rounding may put a particle


def read_positions(
    coordinates: typing.Sequence[str], tomograms: dict[str, Tomogram], sizes: dict[str, float], notes: list[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Positions of files of coordinates.

    Parameters
    ----------
    coordinates : sequence of str
        Files, or globs of them.
    tomograms : dict
        {name: Tomogram} that they may be in; others are left out, and a sentence says so.
    sizes : dict
        {name: Å/px}.
    notes : list of str
        Sentences for the user, added to.

    Returns
    -------
    dict
        {tomogram: {species: array (n, 3) zyx px}}; empty for a tomogram without coordinates.

    Raises
    ------
    ValueError
        If none is in one of the tomograms, or one outside of it.
    """
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in tomograms}
    strange: dict[str, int] = {}
    for path in expand_files(coordinates):
        positions = read_coordinates3d(path)
        owners = np.array([_owner(name, tomograms) for name in positions.tomograms], object)
        for name in set(owners):
            rows = np.flatnonzero(owners == name)
            if name not in tomograms:
                strange[name] = strange.get(name, 0) + len(rows)
                continue
            zyx = positions.zyx_px(rows, tomograms[name].shape, sizes[name])
            _check_inside(zyx, tomograms[name], path, name)
            for one in sorted({positions.species[row] for row in rows}):
                mine = zyx[[positions.species[row] == one for row in rows]]
                found[name][one] = np.concatenate([found[name].get(one, np.zeros((0, 3))), mine])
    if not any(found.values()):
        raise ValueError(
            f"No coordinate (--coordinates) is in one of the tomograms ({', '.join(list(tomograms)[:5])}); the files "
            f"name {', '.join(list(strange)[:5]) or 'none'}. They are matched by name; change the names with --names."
        )
    if strange:
        notes.append(
            f"{counted(sum(strange.values()), 'coordinate')} of tomograms that were not given are not used "
            f"({', '.join(list(strange)[:5])})."
        )
    return found


def expand_files(patterns: typing.Sequence[str]) -> list[str]:
    """Files of globs; a STAR file stands for itself, not for a list. Raises FileNotFoundError for what is not there."""
    found = []
    for pattern in patterns:
        matches = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern))
        if not matches:
            raise FileNotFoundError(f"No file matches {pattern!r}. Give a glob in quotes, or file names.")
        found += matches
    return found


def _owner(name: str, tomograms: dict[str, Tomogram]) -> str:
    """The tomogram that a name in a file means; the only one where the file names none."""
    return next(iter(tomograms)) if not name and len(tomograms) == 1 else name or "no tomogram"


def _check_inside(zyx: np.ndarray, tomogram: Tomogram, path: str, name: str) -> None:
    shape = np.array(tomogram.shape)
    out = ((zyx < -0.5 - OUTSIDE) | (zyx > shape - 0.5 + OUTSIDE)).any(axis=1)
    if out.any():
        z, y, x = zyx[out][0]
        raise ValueError(
            f"{path}: {out.sum()} of {len(zyx)} particles of {name} lie outside the tomogram ({shape[2]} x "
            f"{shape[1]} x {shape[0]} px), the first at x {x:.1f}, y {y:.1f}, z {z:.1f} px. Coordinates must be in "
            "px of these tomograms, or centred coordinates in Å as in RELION 5; check whether they belong to "
            "another binning."
        )
