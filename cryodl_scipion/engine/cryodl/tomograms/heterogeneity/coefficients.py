# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier coefficients of all subtomograms, in units of their noise, in files that are mapped into memory. A
subtomogram is the rotated structure wherever it was measured, plus noise. Its coefficients are weighed by what the tilt
series measured of them: the wedge of the tilts, the weights of its file (rlnCtfImage), or the sums of CTF² of RELION 4.
The noise of back-projections differs with the direction to the tilt axis: its power is a number for each shell and
range of directions. And what each one shows of the mean volume, with derivatives by orientation, shift, contrast and
damping."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...core.projections import rotation_matrices
from ...core.volumes import HalfBall
from ...io.memory import release_pages
from ...io.subtomograms import SubtomogramSet
from ...latent.cube import Cube, Seen, as_complex
from ..subtomograms.observed import particle_sphere

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
    """Orientation, shift, contrast and damping of each subtomogram; they change while they are refined. matrices : (n,
    3, 3), from subtomogram to structure. shifts_zyx : (n, 3), where the particle lies relative to the middle, px of the
    working volumes. contrast : (n,) factor of the mean volume, 1 on average. damping : (n, 2) by which the finest
    detail is weaker, fractions that grow with the second and fourth power of the frequency: differences of defocus and
    B-factor. moved : (n, 9), sum of all steps away from what the file states, in the order of ERRORS."""

    matrices: np.ndarray
    shifts_zyx: np.ndarray
    contrast: np.ndarray
    damping: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, subtomograms: SubtomogramSet, voxel: float) -> "SubtomogramViews":
        """The SubtomogramViews that a SubtomogramSet with angles states. voxel: Å of the working volumes."""
        count = len(subtomograms)
        angles = typing.cast("np.ndarray", subtomograms.angles)  # it was read with them
        shifts = subtomograms.shifts_zyx * (subtomograms.pixel_size / voxel)
        zeros = np.zeros((count, len(ERRORS)))
        return cls(rotation_matrices(angles), shifts.astype(float), np.ones(count), np.zeros((count, 2)), zeros)

    spread = FIRST_SPREAD
    shift_errors = slice(3, 6)  # those of the ERRORS that are shifts, px
    alike = (slice(0, 3), shift_errors)  # those that are equally large: of the axes of rotations and of shifts

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
    coefficients: "SubtomogramCoefficients",
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
    square = (z**2 + y**2 + x**2) / float(np.linalg.norm(coefficients.zyx[:, -1])) ** 2
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


CHUNK_VOXELS = 4e6  # of volumes in memory at a time
HELD = 2.5e8  # bytes of the files that are read before their pages are released
MARGIN = 0.75  # waves per box: coefficients nearer to the border of the missing wedge are a mixture of both sides
DIRECTIONS = 4  # ranges of directions to the tilt axis, in which the noise has a power of its own
FAINTEST = 0.02  # of the largest weight, below which a coefficient was not measured


@dataclasses.dataclass
class SubtomogramCoefficients:
    """Whitened coefficients of n subtomograms on d places of a half ball, low frequencies first. Real and imaginary
    part of the noise have variance 1. A subtomogram is data = known x rotated volume + noise. zyx: (3, d), frequencies,
    waves per box. ring: (d,) int, shell and range of directions to the tilt axis of each coefficient. data: (n, d)
    complex64. known: (n, d) float32, root of the weight, over the standard deviation of the noise; 0 where nothing was
    measured. scale: (rings,), corrections of the noise's standard deviation; data and `known` are divided by it when
    read."""

    zyx: np.ndarray
    ring: np.ndarray
    data: np.ndarray
    known: np.ndarray
    scale: np.ndarray
    _read: int = dataclasses.field(default=0, init=False)  # bytes since pages were released

    def __len__(self) -> int:
        return len(self.data)

    @property
    def rings(self) -> int:
        """Number of rings."""
        return len(self.scale)

    def count(self, radius: float) -> int:
        """Number of coefficients up to a frequency in waves per box."""
        return int(np.searchsorted(np.linalg.norm(self.zyx, axis=0), radius + 1e-6, side="right"))

    def look(self, views: typing.Any, rows: np.ndarray, cube: Cube, mean_table: np.ndarray, count: int) -> Seen:
        """The Seen of some rows, see views.look_at_subtomograms."""
        return look_at_subtomograms(self, views, rows, cube, mean_table, count)

    def shown(self, views: typing.Any, rows: np.ndarray, cube: Cube, table: np.ndarray, count: int) -> np.ndarray:
        """(m, count) what some subtomograms show of a volume's table."""
        frequencies = self.zyx[::-1, :count].astype(np.float32)
        values = as_complex(cube.interpolation(views.matrices[rows], frequencies) @ table).reshape(len(rows), count)
        return values * self.read(rows, count)[1]

    def read(self, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """data and known, (m, count) each, of some rows."""
        factor = (1 / self.scale[self.ring[:count]]).astype(np.float32)
        found = self.data[rows, :count] * factor, self.known[rows, :count] * factor
        self._read += (self.data[0].nbytes + self.known[0].nbytes) * len(rows)
        if self._read > HELD:
            release_pages(self.data)
            release_pages(self.known)
            self._read = 0
        return found


def load_subtomogram_coefficients(
    subtomograms: SubtomogramSet, radius: float, box: int, diameter: float, contrast: str, folder: Path
) -> SubtomogramCoefficients:
    """Read all subtomograms once and write their coefficients into `folder`. radius: highest frequency, waves per box.
    box: px of the working volumes, which have the width of the subtomograms. diameter: Å of the sphere outside of which
    the noise is measured. contrast: of protein in the files. Raises ValueError for a subtomogram of one value all over,
    and for values that are no finite numbers."""
    ball = HalfBall(subtomograms.box, radius)
    order = torch.argsort(ball.z**2 + ball.y**2 + ball.x**2, stable=True)
    ball.z, ball.y, ball.x, ball.shell = ball.z[order], ball.y[order], ball.x[order], ball.shell[order]
    shape, kinds = (len(subtomograms), len(ball)), dict(data=np.complex64, known=np.float32)
    files = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape) for name, kind in kinds.items()}
    zyx, ring, edges = torch.stack([ball.z, ball.y, ball.x]).numpy(), noise_rings(ball), dict[typing.Any, typing.Any]()
    power, number = np.zeros(int(ring.max()) + 1), np.zeros(int(ring.max()) + 1)
    step = max(1, int(CHUNK_VOXELS / subtomograms.box**3))
    sign = -1.0 if contrast == "dark" else 1.0
    for start in range(0, len(subtomograms), step):
        rows = np.arange(start, min(start + step, len(subtomograms)))
        values = sign * ball.of_volumes(_volumes(subtomograms, rows, diameter)).numpy() * box**1.5
        weights = ball.on_grid(subtomograms.sums(rows)).numpy()
        weights = weights * (weights > FAINTEST * weights.max(1, keepdims=True))
        if subtomograms.weight_files is None:
            for tilts in np.unique(subtomograms.tilts[rows], axis=0):
                inner = edges.setdefault(tuple(tilts), within_wedge(zyx, *tilts))
                weights[(subtomograms.tilts[rows] == tilts).all(1)] *= inner
        files["known"][rows] = np.sqrt(weights)
        files["data"][rows] = values * files["known"][rows]
        power += np.bincount(ring, (np.abs(files["data"][rows]) ** 2).sum(0), len(power)) / 2
        number += np.bincount(ring, (weights > 0).sum(0), len(power))
    scale = np.sqrt(np.maximum(power / np.maximum(number, 1), 1e-12 * power.max()))
    return SubtomogramCoefficients(zyx, ring, **files, scale=scale)


def noise_rings(ball: HalfBall) -> np.ndarray:
    """(d,) number of the shell and range of directions to the tilt axis (y) of each coefficient of a HalfBall."""
    radius = (ball.z**2 + ball.y**2 + ball.x**2).double().sqrt()
    return (ball.shell * DIRECTIONS + (ball.y.abs() / radius * DIRECTIONS).long().clamp(max=DIRECTIONS - 1)).numpy()


def within_wedge(zyx: np.ndarray, tilt_min: float, tilt_max: float) -> np.ndarray:
    """(d,) bool: coefficients, x >= 0, that are measured and MARGIN away from the missing wedge's border."""
    z, _, x = zyx.astype(float)
    if tilt_max - tilt_min > 179:
        return np.ones(len(z), bool)
    tilt, radius = np.degrees(np.arctan2(z, x)), np.hypot(z, x)
    off = np.minimum(tilt - tilt_min, tilt_max - tilt)
    return radius * np.sin(np.radians(np.clip(off, -90, 90))) >= MARGIN


def _volumes(subtomograms: SubtomogramSet, rows: np.ndarray, diameter: float) -> torch.Tensor:
    """(m, box, box, box) volumes of mean 0 and variance 1 outside of the particle; those that were divided by their
    sums of CTF² keep their variance, which the coefficients of the smallest sums dominate."""
    volumes = subtomograms.volumes(rows)
    flat = (volumes == volumes[:, :1, :1, :1]).all(3).all(2).all(1).numpy()
    if flat.any():
        row = rows[int(np.argmax(flat))]
        raise ValueError(
            f"Subtomogram {subtomograms.numbers[row] + 1} of {subtomograms.files[row]} is constant. Extract it again, "
            f"or remove it from {subtomograms.path}."
        )
    outside = particle_sphere(subtomograms.box, diameter / subtomograms.pixel_size) < 0.5
    if not outside.any():  # the box is no larger than the particle
        outside = torch.ones_like(outside)
    around = volumes[:, outside]
    volumes = volumes - around.mean(1)[:, None, None, None]
    return volumes if subtomograms.multiplied else volumes / around.std(1).clamp(min=1e-12)[:, None, None, None]
