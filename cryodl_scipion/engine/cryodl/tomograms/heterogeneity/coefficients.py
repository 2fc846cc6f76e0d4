# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier coefficients of all subtomograms, in units of their noise, in files that are mapped into memory. A
subtomogram is the rotated structure wherever it was measured, plus noise. Its coefficients are weighed by what the tilt
series measured of them: the wedge of the tilts, the weights of its file (rlnCtfImage), or the sums of CTF² of RELION 4.
The noise of back-projections differs with the direction to the tilt axis: its power is a number for each shell and
range of directions."""

import typing
from pathlib import Path

import numpy as np
import torch

from ...core.volumes import HalfBall
from ...io.subtomograms import SubtomogramSet
from ...latent.cube import Observations, Views
from ..subtomograms.observed import particle_sphere

# Standard deviations of the errors before they are learned: rotations about x, y and z, radians; shifts along z, y and
# x, px of the working volumes; contrast; damping by the second and fourth power of the frequency, fractions.
FIRST_SPREAD = np.array([0.035, 0.035, 0.035, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2])


def subtomogram_views(subtomograms: SubtomogramSet, voxel: float) -> Views:
    """The Views that a SubtomogramSet with angles states. voxel: Å of the working volumes. The further unknowns are by
    how much the finest detail is weaker, see FIRST_SPREAD: differences of defocus and B-factor."""
    angles = typing.cast("np.ndarray", subtomograms.angles)  # it was read with them
    return Views.of(angles, subtomograms.shifts_zyx * (subtomograms.pixel_size / voxel), FIRST_SPREAD, (), 0.5)


CHUNK_VOXELS = 4e6  # of volumes in memory at a time
MARGIN = 0.75  # waves per box: coefficients nearer to the border of the missing wedge are a mixture of both sides
DIRECTIONS = 4  # ranges of directions to the tilt axis, in which the noise has a power of its own
FAINTEST = 0.02  # of the largest weight, below which a coefficient was not measured


class SubtomogramCoefficients(Observations):
    """Those of subtomograms, on a half ball. Their files are the data, and the root of the weight, 0 where nothing was
    measured. A ring is a shell and range of directions to the tilt axis."""

    def transfer(self, further: np.ndarray, rows: np.ndarray, *known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As in Observations, by damping."""
        square = (self.frequencies[:, : known[0].shape[1]] ** 2).sum(0) / (self.frequencies[:, -1] ** 2).sum()
        damped = np.stack([square, square**2]).astype(np.float32)
        return known[0] * (1 - further.astype(np.float32) @ damped), -known[0][..., None] * damped.T


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
    return SubtomogramCoefficients(box, zyx, ring, tuple(files.values()), scale)


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
