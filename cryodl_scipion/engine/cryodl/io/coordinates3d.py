# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles' positions in tomograms, as any file holds them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Coordinates3D:
    """n particles' places of a file.

    path: of the file. tomograms, species: (n,) names, '' where the file does not say. xyz: (n, 3), in the unit that
    `unit` says: 'px' of the tomogram, 'Å' from the middle of its first voxel, or 'centred Å'. named: where the names of
    the tomograms are from: 'inside' the file, the 'file' name, or they are 'numbers'. shifts: (n, 3) x, y, z in Å that
    are taken away from the positions, or None. classes: (n,) numbers as text, or () without; where a file has
    several, species are their names.
    """

    path: str
    tomograms: tuple[str, ...]
    species: tuple[str, ...]
    xyz: np.ndarray
    unit: str
    named: str = "inside"
    shifts: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.xyz)

    def zyx_px(self, rows: np.ndarray, shape: tuple[int, ...], pixel_size: float) -> np.ndarray:
        """(m, 3) voxels zyx of some rows in a tomogram of a shape (z, y, x) and pixel size (Å/px)."""
        xyz = self.xyz[rows]
        if self.unit != "px":
            xyz = xyz / pixel_size
        if self.unit == "centred Å":
            xyz = xyz + np.array(shape[::-1]) / 2
        if self.shifts is not None:
            xyz = xyz - self.shifts[rows] / pixel_size
        return xyz[:, ::-1]
