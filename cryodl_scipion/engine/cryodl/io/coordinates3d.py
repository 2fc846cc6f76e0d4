# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles' positions and orientations in tomograms, as any file holds them, and as they are used."""

import dataclasses
import typing

import numpy as np


@dataclasses.dataclass(frozen=True)
class ParticlePoses:
    """n particles' places in a tomogram.

    zyx: (n, 3) px. angles: (n, 3) rot, tilt, psi in degrees; NaN where nobody knows them.
    """

    zyx: np.ndarray
    angles: np.ndarray

    @classmethod
    def joined(cls, several: typing.Sequence["ParticlePoses"]) -> "ParticlePoses":
        """All of them, one after the other."""
        none = [np.zeros((0, 3))]
        return cls(
            np.concatenate(none + [one.zyx for one in several]), np.concatenate(none + [one.angles for one in several])
        )

    def __len__(self) -> int:
        return len(self.zyx)

    @property
    def oriented(self) -> np.ndarray:
        """(n,) whether the orientation is known."""
        known: np.ndarray = np.isfinite(self.angles).all(axis=1)
        return known


@dataclasses.dataclass(frozen=True)
class Coordinates3D:
    """n particles' places of a file.

    path: of the file. tomograms, species: (n,) names, '' where the file does not say. xyz: (n, 3), in the unit that
    `unit` says: 'px' of the tomogram, 'Å' from the middle of its first voxel, or 'centred Å'. named: where the names of
    the tomograms are from: 'inside' the file, the 'file' name, or they are 'numbers'. shifts: (n, 3) x, y, z in Å that
    are taken away from the positions, or None. classes: (n,) numbers as text, or () without; where a file has
    several, species are their names. angles: (n, 3) rot, tilt, psi in degrees, or None; a file whose angles are all 0
    knows none.
    """

    path: str
    tomograms: tuple[str, ...]
    species: tuple[str, ...]
    xyz: np.ndarray
    unit: str
    named: str = "inside"
    shifts: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    angles: np.ndarray | None = None

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

    def poses(self, rows: np.ndarray, shape: tuple[int, ...], pixel_size: float) -> ParticlePoses:
        """ParticlePoses of some rows in a tomogram of a shape (z, y, x) and pixel size (Å/px)."""
        unknown = self.angles is None or not self.angles.any()
        angles = np.full((len(rows), 3), np.nan) if unknown else typing.cast("np.ndarray", self.angles)[rows]
        return ParticlePoses(self.zyx_px(rows, shape, pixel_size), angles)
