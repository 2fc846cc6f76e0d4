# SPDX-License-Identifier: GPL-3.0-or-later
"""What each image shows of the mean volume, and its derivatives by orientation, shift, contrast and CTF."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
from scipy.spatial.transform import Rotation

from ...latent.cube import Seen, as_complex

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet
    from ...latent.cube import Cube
    from .coefficients import Coefficients

ERRORS = (
    "rotation_x",
    "rotation_y",
    "rotation_z",
    "shift_y",
    "shift_x",
    "contrast",
    "defocus",
    "astigmatism_0",
    "astigmatism_45",
)
# standard deviations before they are learned: radians, px, fraction, 1000 Å
FIRST_SPREAD = np.array([0.035, 0.035, 0.035, 0.5, 0.5, 0.2, 0.3, 0.15, 0.15])
KILO = 1000.0  # Å; the unit of errors of the defocus
LARGEST_STEP = 0.1  # radians that an orientation may move at a time


@dataclasses.dataclass
class ParticleViews:
    """Orientation, shift, contrast and correction of the defocus of each particle; they change while they are refined.

    Parameters
    ----------
    matrices : ndarray, (n, 3, 3)
        From image to density.
    shifts_yx : ndarray, (n, 2)
        Where the particle lies relative to the middle of its image, px.
    contrast : ndarray, (n,)
        Factor of the mean volume, 1 on average.
    defocus : ndarray, (n, 3)
        Correction of the mean defocus, and of the astigmatism at 0° and at 45°; 1000 Å.
    moved : ndarray, (n, 9)
        Sum of all steps away from what the file states, in the order of ERRORS.
    """

    matrices: np.ndarray
    shifts_yx: np.ndarray
    contrast: np.ndarray
    defocus: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, particles: ParticleSet) -> ParticleViews:
        """The ParticleViews that a ParticleSet states."""
        from ...core.projections import rotation_matrices

        count = len(particles)
        angles, shifts = particles.poses(np.arange(count))
        return cls(
            rotation_matrices(angles),
            shifts.astype(float).copy(),
            np.ones(count),
            np.zeros((count, 3)),
            np.zeros((count, len(ERRORS))),
        )

    @property
    def spread(self) -> np.ndarray:
        """(9,) standard deviations of the ERRORS before they are learned."""
        return FIRST_SPREAD

    @property
    def alike(self) -> tuple[slice, ...]:
        """The ERRORS that are equally large: of the axes of rotations, of shifts, of the astigmatism."""
        return slice(0, 3), self.shift_errors, slice(7, 9)

    @property
    def shift_errors(self) -> slice:
        """Which of the ERRORS are shifts, px."""
        return slice(3, 5)

    def move(self, rows: np.ndarray, step: np.ndarray) -> None:
        """Add small errors (m, 9), in the order of ERRORS, to some rows."""
        step = step.copy()
        length = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
        step[:, :3] *= np.minimum(1, LARGEST_STEP / np.maximum(length, 1e-9))
        step[:, 5] = np.clip(self.contrast[rows] + step[:, 5], 0.2, 3.0) - self.contrast[rows]
        self.matrices[rows] = self.matrices[rows] @ Rotation.from_rotvec(step[:, :3]).as_matrix()
        self.shifts_yx[rows] += step[:, 3:5]
        self.contrast[rows] += step[:, 5]
        self.moved[rows] += step
        self.defocus[rows] += step[:, 6:]

    def angles(self) -> np.ndarray:
        """(n, 3) rot, tilt, psi in degrees."""
        return Rotation.from_matrix(self.matrices).as_euler("ZYZ", degrees=True)


def look(
    coefficients: Coefficients, views: ParticleViews, rows: np.ndarray, cube: Cube, mean_table: np.ndarray, count: int
) -> Seen:
    """The Seen of some rows.

    Parameters
    ----------
    mean_table : ndarray, (side³, 8)
        Table and gradient_tables of the mean volume, side by side.
    count : int
        Positions of the half disc that are used.
    """
    disc, box = coefficients.disc, coefficients.disc.box
    y, x = disc.y.numpy()[:count].astype(np.float32), disc.x.numpy()[:count].astype(np.float32)
    data, sine, cosine = coefficients.read(rows, count)
    phases = (views.shifts_yx[rows] @ np.stack([y, x])) * (2 * np.pi / box)
    data = data * np.exp(1j * phases).astype(np.complex64)
    wave, azimuth = coefficients.wave[:count] * KILO, coefficients.azimuth[:count]
    along = wave * np.stack([np.ones(count), np.cos(2 * azimuth), np.sin(2 * azimuth)])  # 3, d
    wavelength = coefficients.wavelength[rows]
    phase = wavelength[:, None] * (views.defocus[rows] @ along)
    transfer = (sine * np.cos(phase) + cosine * np.sin(phase)).astype(np.float32)
    slope = (cosine * np.cos(phase) - sine * np.sin(phase)).astype(np.float32)
    matrix = cube.interpolation(views.matrices[rows], np.stack([x, y]))
    values = as_complex(matrix @ mean_table).reshape(len(rows), count, -1)
    slices = values[..., 0]
    gradient = np.einsum("mdi,mij->mdj", values[..., 1:], views.matrices[rows].astype(np.float32))
    seen = transfer * views.contrast[rows, None].astype(np.float32)
    errors = np.empty((len(rows), count, len(ERRORS)), np.complex64)
    errors[..., 0] = seen * (y * gradient[..., 2])
    errors[..., 1] = seen * (-x * gradient[..., 2])
    errors[..., 2] = seen * (x * gradient[..., 1] - y * gradient[..., 0])
    errors[..., 3] = seen * slices * (-2j * np.pi / box * y)
    errors[..., 4] = seen * slices * (-2j * np.pi / box * x)
    errors[..., 5] = transfer * slices
    shown = slope * (wavelength * views.contrast[rows])[:, None].astype(np.float32) * slices
    errors[..., 6:] = shown[..., None] * along.T.astype(np.float32)
    return Seen(data, transfer, slices, errors, matrix)
