# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of maps of a latent space: along its axes, and of its discrete classes, each with half-maps."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...contract import FitHeterogeneityConfig
from ...core.frc import resolution_at
from ...io.maps import write_map
from ...latent.ranks import path_weights
from .classes import find_classes
from .paths import weighted_maps

if typing.TYPE_CHECKING:
    from .fitting import Outcome
    from .inputs import Inputs

CLASS = "rlnClassNumber"
PROBABILITY = "cryodlClassProbability"


def write_paths(
    config: FitHeterogeneityConfig, inputs: Inputs, outcome: Outcome, folder: Path
) -> tuple[list[list[str]], list[dict[str, typing.Any]]]:
    """Write the maps along the first axes.

    Returns
    -------
    names : list of list of str
        Of the maps of each axis.
    record : list of dict
        What heterogeneity.json says of each map.
    """
    names, record = [], []
    for axis in range(config.axes):
        positions, weights = path_weights(outcome.fit.latent[:, axis], config.maps)
        names.append([f"path_{axis + 1}_{k + 1:02d}.mrc" for k in range(config.maps)])
        found = _write(names[-1], weights, inputs, outcome, folder, f"maps along axis {axis + 1}")
        record += [dict(axis=axis + 1, coordinate=float(position), **one) for position, one in zip(positions, found)]
    return names, record


def write_classes(
    config: FitHeterogeneityConfig, inputs: Inputs, outcome: Outcome, folder: Path
) -> tuple[dict[str, np.ndarray], list[str], dict[str, typing.Any]]:
    """Write the maps of the discrete classes, if they are asked for.

    Returns
    -------
    columns : dict
        Of the particles' table.
    names : list of str
        Of the maps, class 1 first.
    record : dict
        What heterogeneity.json says of them.
    """
    if config.classes is None:
        return {}, [], {}
    labels, probabilities, criteria = find_classes(outcome.fit.latent, config.classes, config.seed)
    weights = (labels[:, None] == np.arange(1, labels.max() + 1)).astype(np.float32)
    halves = np.stack([weights[outcome.setting.halves == half].sum(0) for half in (1, 2)])
    small = np.nonzero(halves.min(0) == 0)[0]
    if len(small):
        raise ValueError(
            f"Class {small[0] + 1} of {weights.shape[1]} has {int(weights[:, small[0]].sum())} particles, none of them "
            "in one of the half sets, so that it has no half-map. Ask for fewer classes (--classes)."
        )
    names = [f"class_{number:02d}.mrc" for number in range(1, weights.shape[1] + 1)]
    record = _write(names, weights, inputs, outcome, folder, "maps of the classes")
    outcome.setting.say(f"{len(names)} classes of {', '.join(str(int(n)) for n in weights.sum(0))} particles")
    return {CLASS: labels, PROBABILITY: probabilities}, names, dict(classes=record, class_criteria=criteria)


def _write(
    names: list[str], weights: np.ndarray, inputs: Inputs, outcome: Outcome, folder: Path, words: str
) -> list[dict[str, typing.Any]]:
    """Write a map and half-maps for each column of weights (n, k). Returns what is recorded of each."""
    from tqdm import tqdm

    particles, setting, record = inputs.particles, outcome.setting, []
    diameter_px = min(1.1 * inputs.diameter / particles.pixel_size, 0.9 * particles.box)
    with tqdm(unit="particle", mininterval=1.0, desc=words) as bar:
        found = weighted_maps(
            particles, setting.views, setting.halves, weights, diameter_px, outcome.contrast, bar.update
        )
        for number, (maps, curve) in enumerate(found):
            for ending, volume in zip(("", "_half1", "_half2"), maps):
                write_map(folder / f"{names[number][:-4]}{ending}.mrc", volume, particles.pixel_size)
            record.append(
                dict(
                    map=names[number],
                    particles=float(weights[:, number].sum()),
                    resolution=resolution_at(curve, 0.143, particles.pixel_size, particles.box),
                )
            )
    return record
