# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of subtomograms along the axes of a latent space, with half-maps."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...contract import FitSubtomogramHeterogeneityConfig
from ...core.frc import fsc, resolution_at
from ...io.maps import write_map
from ...latent.ranks import path_weights
from ...reconstruction.halves import soft_sphere
from ..subtomograms.averages import half_averages

if typing.TYPE_CHECKING:
    import torch

    from .fitting import SubtomogramOutcome
    from .inputs import SubtomogramInputs

NEGLIGIBLE = 1e-3  # weight below which a subtomogram is left out of an average


def write_average_paths(
    config: FitSubtomogramHeterogeneityConfig, inputs: SubtomogramInputs, outcome: SubtomogramOutcome, folder: Path
) -> tuple[list[list[str]], list[dict[str, typing.Any]]]:
    """Names of the averages along each axis, and what heterogeneity.json says of each."""
    names, record = [], []
    for axis in range(config.axes):
        positions, weights = path_weights(outcome.fit.latent[:, axis], config.maps)
        names.append([f"path_{axis + 1}_{k + 1:02d}.mrc" for k in range(config.maps)])
        for name, position, weight in zip(names[-1], positions, weights.T):
            curve = _write(folder / name, inputs, outcome, weight)
            found = inputs.subtomograms
            resolution = resolution_at(curve, 0.143, found.pixel_size, found.box)
            record.append(
                dict(
                    axis=axis + 1,
                    coordinate=float(position),
                    map=name,
                    subtomograms=float(weight.sum()),
                    resolution=resolution,
                )
            )
    return names, record


def _write(path: Path, inputs: SubtomogramInputs, outcome: SubtomogramOutcome, weight: np.ndarray) -> torch.Tensor:
    """Write an average and its half-maps, of subtomograms with a weight (n,). Returns the FSC of the halves."""
    found, views = inputs.subtomograms, outcome.views
    rows = np.nonzero(weight > NEGLIGIBLE)[0]
    shifts = views.shifts_zyx[rows] * (inputs.voxel / found.pixel_size)
    averages = half_averages(
        found,
        rows,
        views.angles()[rows],
        shifts,
        contrast=inputs.contrast,
        shares=weight[rows],
        halves=outcome.halves[rows],
    )
    for ending, volume in zip(("", "_half1", "_half2"), averages):
        write_map(path.with_name(f"{path.stem}{ending}.mrc"), volume, found.pixel_size)
    mask = soft_sphere(found.box, min(1.1 * inputs.diameter / found.pixel_size, 0.9 * found.box))
    return fsc(averages[1] * mask, averages[2] * mask)
