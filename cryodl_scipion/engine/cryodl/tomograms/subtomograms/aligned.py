# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms rotated into one frame: their coefficients there, and what was measured of each."""

from __future__ import annotations

import typing

import numpy as np
import torch

from ...core.volumes import HalfBall
from .observed import ObservedSubtomograms, particle_sphere, weights_on, working_volumes
from .rotated import Rotated
from .search import matrices_of

if typing.TYPE_CHECKING:
    from ...io.subtomograms import SubtomogramSet
    from .observed import Frame

CHUNK_VOXELS = 4e6  # of volumes in memory at a time
MEASURED = 0.5  # weight from which a rotated coefficient counts as measured


def aligned(
    subtomograms: SubtomogramSet,
    rows: np.ndarray | slice,
    frame: Frame,
    angles: np.ndarray,
    shifts_zyx: np.ndarray,
    contrast: str = "bright",
    device: torch.device | None = None,
) -> ObservedSubtomograms:
    """Observed subtomograms in the structure's frame, cut to the particle's sphere.

    angles: (m, 3) degrees and shifts_zyx: (m, 3) px of the files, of these rows.
    """
    rows, ball = np.arange(len(subtomograms))[rows].reshape(-1), frame.ball(device)
    ratio = subtomograms.box * subtomograms.pixel_size / frame.width
    back = matrices_of(np.asarray(angles, float).reshape(-1, 3), device).transpose(1, 2)
    shifts = torch.as_tensor(np.asarray(shifts_zyx, float), dtype=torch.float32, device=device)
    shifts = shifts.reshape(-1, 3) * (subtomograms.pixel_size / frame.pixel_size)
    mask = particle_sphere(frame.box, min(frame.diameter / frame.pixel_size, frame.box - 2), device)
    values = torch.zeros((len(rows), len(ball)), dtype=torch.complex64, device=device)
    weights = torch.zeros((len(rows), len(ball)), device=device)
    step = max(1, int(CHUNK_VOXELS / max(subtomograms.box, frame.box) ** 3))
    full = HalfBall(frame.box, (frame.box - 1) // 2, device)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        volumes = working_volumes(subtomograms.volumes(rows[part]).to(ball.x.device), subtomograms.pixel_size, frame)
        moved = full.to_volumes(full.of_volumes(volumes) * full.ramp(-shifts[part])) * mask
        measured = subtomograms.weights(rows[part]).to(ball.x.device)
        for position, (volume, matrix) in enumerate(zip(moved, back[part]), start):
            values[position] = Rotated(volume, ball).at(matrix[None])[0]
            weights[position] = rotated_weights(measured[position - start], ball, matrix, ratio)
    sign = -1.0 if contrast == "dark" else 1.0
    return ObservedSubtomograms(sign * values * (weights > MEASURED), weights * (weights > MEASURED), ball)


def rotated_weights(weights: torch.Tensor, ball: HalfBall, matrix: torch.Tensor, ratio: float = 1.0) -> torch.Tensor:
    """(d,) weights (b, b, b // 2 + 1) on the grid of rfftn, at the coefficients of a HalfBall rotated by a (3, 3)
    matrix.

    ratio: as of observed.weights_on.
    """
    x, y, z = matrix @ torch.stack([ball.x, ball.y, ball.z]).float()
    sign = torch.where(x < 0, -1.0, 1.0)  # of the half that is not kept the conjugates are
    rotated = HalfBall.__new__(HalfBall)
    rotated.z, rotated.y, rotated.x = z * sign, y * sign, x * sign
    return weights_on(rotated, weights[None], ratio)[0]
