# SPDX-License-Identifier: GPL-3.0-or-later
"""What each subtomogram shows of the mean volume, and its derivatives by orientation, shift, contrast and damping."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.projections import rotation_matrices
from ...latent.cube import Seen, as_complex

if typing.TYPE_CHECKING:
    from ...io.subtomograms import SubtomogramSet
    from ...latent.cube import Cube
    from .coefficients import SubtomogramCoefficients

ERRORS = (
    "rotation_x",
    "rotation_y",
    "rotation_z",
    "shift_z",
    "shift_y",
    "shift_x",
    "contrast",
    "damping_2",
    "damping_4",
)
# standard deviations before they are learned: radians, px of the working volumes, fractions
FIRST_SPREAD = np.array([0.035, 0.035, 0.035, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2])
LARGEST_STEP = 0.1  # radians that an orientation may move at a time


@dataclasses.dataclass
class SubtomogramViews:
    """Orientation, shift, contrast and damping of each subtomogram; they change while they are refined.

    matrices : (n, 3, 3), from subtomogram to structure. shifts_zyx : (n, 3), where the particle lies relative to the
    middle, px of the working volumes. contrast : (n,) factor of the mean volume, 1 on average. damping : (n, 2) by
    which the finest detail is weaker, fractions that grow with the second and fourth power of the frequency:
    differences of defocus and B-factor. moved : (n, 9), sum of all steps away from what the file states, in the order
    of ERRORS.
    """

    matrices: np.ndarray
    shifts_zyx: np.ndarray
    contrast: np.ndarray
    damping: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, subtomograms: SubtomogramSet, voxel: float) -> SubtomogramViews:
        """The SubtomogramViews that a SubtomogramSet with angles states. voxel: Å of the working volumes."""
        count = len(subtomograms)
        angles = typing.cast("np.ndarray", subtomograms.angles)  # it was read with them
        shifts = subtomograms.shifts_zyx * (subtomograms.pixel_size / voxel)
        zeros = np.zeros((count, len(ERRORS)))
        return cls(rotation_matrices(angles), shifts.astype(float), np.ones(count), np.zeros((count, 2)), zeros)

    @property
    def spread(self) -> np.ndarray:
        """(9,) standard deviations of the ERRORS before they are learned."""
        return FIRST_SPREAD

    @property
    def alike(self) -> tuple[slice, ...]:
        """The ERRORS that are equally large: of the axes of rotations and of shifts."""
        return slice(0, 3), self.shift_errors

    @property
    def shift_errors(self) -> slice:
        """Which of the ERRORS are shifts, px."""
        return slice(3, 6)

    def move(self, rows: np.ndarray, step: np.ndarray) -> None:
        """Add small errors (m, 9), in the order of ERRORS, to some rows."""
        step = step.copy()
        length = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
        step[:, :3] *= np.minimum(1, LARGEST_STEP / np.maximum(length, 1e-9))
        step[:, 6] = np.clip(self.contrast[rows] + step[:, 6], 0.2, 3.0) - self.contrast[rows]
        step[:, 7:] = np.clip(self.damping[rows] + step[:, 7:], -0.5, 0.5) - self.damping[rows]
        self.matrices[rows] = self.matrices[rows] @ Rotation.from_rotvec(step[:, :3]).as_matrix()
        self.shifts_zyx[rows] += step[:, 3:6]
        self.contrast[rows] += step[:, 6]
        self.damping[rows] += step[:, 7:]
        self.moved[rows] += step

    def angles(self) -> np.ndarray:
        """(n, 3) rot, tilt, psi in degrees."""
        return Rotation.from_matrix(self.matrices).as_euler("ZYZ", degrees=True)


def look_at_subtomograms(
    coefficients: SubtomogramCoefficients,
    views: SubtomogramViews,
    rows: np.ndarray,
    cube: Cube,
    mean_table: np.ndarray,
    count: int,
) -> Seen:
    """The Seen of some rows, as latent.seen.Observations.look says."""
    z, y, x = frequencies = coefficients.zyx[:, :count].astype(np.float32)
    data, known = coefficients.read(rows, count)
    phases = (views.shifts_zyx[rows] @ frequencies) * (2 * np.pi / cube.box)
    data = data * np.exp(1j * phases).astype(np.complex64)
    square = (z**2 + y**2 + x**2) / coefficients.zyx_radius**2
    damped = np.stack([square, square**2]).astype(np.float32)
    transfer = (known * (1 - views.damping[rows].astype(np.float32) @ damped)).astype(np.float32)
    matrix = cube.interpolation(views.matrices[rows], frequencies[::-1])
    values = as_complex(matrix @ mean_table).reshape(len(rows), count, -1)
    slices = values[..., 0]
    gradient = np.einsum("mdi,mij->mdj", values[..., 1:], views.matrices[rows].astype(np.float32))
    contrast = views.contrast[rows, None].astype(np.float32)
    seen = transfer * contrast
    errors = np.empty((len(rows), count, len(ERRORS)), np.complex64)
    errors[..., 0] = seen * (y * gradient[..., 2] - z * gradient[..., 1])
    errors[..., 1] = seen * (z * gradient[..., 0] - x * gradient[..., 2])
    errors[..., 2] = seen * (x * gradient[..., 1] - y * gradient[..., 0])
    for number, axis in enumerate((z, y, x), 3):
        errors[..., number] = seen * slices * (-2j * np.pi / cube.box * axis)
    errors[..., 6] = transfer * slices
    errors[..., 7:] = -(known * contrast * slices)[..., None] * damped.T
    return Seen(data, transfer, slices, errors, matrix)
