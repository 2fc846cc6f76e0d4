# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that show a tomogram with its labels and surfaces in ChimeraX."""

import os
import typing

import numpy as np

from ...io.files import whole_file

# Paul Tol's bright colours: to be told apart by the colour-blind
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def write_script(
    path: str | os.PathLike[str],
    volume: str | os.PathLike[str],
    tomogram: str | os.PathLike[str] | None,
    surfaces: typing.Sequence[tuple[str, typing.Any]],
    pixel_size: float,
    origin_xyz: typing.Sequence[float],
    middle: np.ndarray,
) -> None:
    """Write a .cxc script. Paths in it are relative to its folder, from which ChimeraX runs it.

    volume: the label volume. tomogram: its path, or None. surfaces: [(name, path)] of STL files, None without a file.
    middle: the slice that is shown first. origin_xyz: Å.
    """
    folder = os.path.dirname(os.path.abspath(path))
    beside = lambda p: '"' + os.path.relpath(p, folder) + '"'
    position = f"voxelSize {pixel_size:.6g} origin " + ",".join(f"{value:.6g}" for value in origin_xyz)
    lines, number = ["# cryodl: open it in a ChimeraX with nothing open"], 0
    if tomogram:
        number += 1
        lines += [
            f"open {beside(tomogram)}",
            f"volume #{number} {position} style image region all step 1 planes z,{middle}",
        ]
    number += 1
    lines += [f"open {beside(volume)} name labels", f"volume #{number} {position}", f"hide #{number} models"]
    for index, (name, surface) in enumerate(surfaces):
        if surface:
            number += 1
            colour = COLOURS[index % len(COLOURS)]
            lines += [f'open {beside(surface)} name "{name}"', f"color #{number} {colour}"]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines + ["lighting soft", "view"]) + "\n", encoding="utf-8")
