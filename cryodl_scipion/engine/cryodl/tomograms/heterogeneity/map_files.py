# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of subtomograms by their place in a latent space, with half-maps."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...core.frc import fsc, resolution_at
from ...io.mrc import write_halves
from ...reconstruction.halves import soft_sphere
from ..subtomograms.averages import half_averages

if typing.TYPE_CHECKING:
    from ...latent.record import MapWriter, Outcome
    from .inputs import SubtomogramInputs

NEGLIGIBLE = 1e-3  # weight below which a subtomogram is left out of an average


def average_writer(inputs: SubtomogramInputs, outcome: Outcome, folder: Path) -> MapWriter:
    """A function that writes an average and its half-maps for each column of weights."""
    found, setting = inputs.subtomograms, outcome.setting
    mask = soft_sphere(found.box, min(1.1 * inputs.diameter / found.pixel_size, 0.9 * found.box))

    def write(names: typing.Sequence[str], weights: np.ndarray, words: str) -> list[dict[str, typing.Any]]:
        return [one(name, weight) for name, weight in zip(names, weights.T)]

    def one(name: str, weight: np.ndarray) -> dict[str, typing.Any]:
        rows = np.nonzero(weight > NEGLIGIBLE)[0]
        averages = half_averages(
            found,
            rows,
            setting.views.angles()[rows],
            setting.views.shifts_zyx[rows] * (inputs.voxel / found.pixel_size),
            contrast=inputs.contrast,
            shares=weight[rows],
            halves=setting.halves[rows],
        )
        write_halves(folder / name, averages, found.pixel_size)
        curve = fsc(averages[1] * mask, averages[2] * mask)
        resolution = resolution_at(curve, 0.143, found.pixel_size, found.box)
        return dict(map=name, particles=float(weight.sum()), resolution=resolution)

    return write
