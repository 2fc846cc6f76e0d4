# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of maps of a latent space and of its discrete classes, each with half-maps."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...contract import FitHeterogeneityConfig
from ...core.frc import resolution_at
from ...io.mrc import write_halves
from .classes import find_classes
from .paths import weighted_maps

if typing.TYPE_CHECKING:
    from ...latent.record import MapWriter, Outcome
    from .inputs import Inputs

CLASS = "rlnClassNumber"
PROBABILITY = "cryodlClassProbability"


def write_classes(
    config: FitHeterogeneityConfig, inputs: Inputs, outcome: Outcome, folder: Path
) -> tuple[dict[str, np.ndarray], list[str], dict[str, typing.Any]]:
    """Write the maps of the discrete classes, if they are asked for.

    Returns
    -------
    columns : dict of ndarray, (n,) each
        Of the particles' table.
    names : list of str
        Of the maps, class 1 first.
    record : dict
        What heterogeneity.json says of them.

    Raises
    ------
    ValueError
        A class has no particles in one of the half sets.
    """
    if config.classes is None:
        return {}, [], {}
    labels, probabilities, criteria = find_classes(outcome.fit.latent, config.classes, inputs.seed)
    weights = (labels[:, None] == np.arange(1, labels.max() + 1)).astype(np.float32)
    halves = np.stack([weights[outcome.setting.halves == half].sum(0) for half in (1, 2)])
    small = np.nonzero(halves.min(0) == 0)[0]
    if len(small):
        raise ValueError(
            f"Class {small[0] + 1} of {weights.shape[1]} has {int(weights[:, small[0]].sum())} particles, none of them "
            "in one of the half sets, so that it has no half-map. Ask for fewer classes (--classes)."
        )
    names = [f"class_{number:02d}.mrc" for number in range(1, weights.shape[1] + 1)]
    record = map_writer(inputs, outcome, folder)(names, weights, "maps of the classes")
    outcome.setting.say(f"{len(names)} classes of {', '.join(str(int(n)) for n in weights.sum(0))} particles")
    return {CLASS: labels, PROBABILITY: probabilities}, names, dict(classes=record, class_criteria=criteria)


def map_writer(inputs: Inputs, outcome: Outcome, folder: Path) -> MapWriter:
    """A function that writes a map and half-maps for each column of weights."""
    particles, setting = inputs.particles, outcome.setting
    diameter_px = min(1.1 * inputs.diameter / particles.pixel_size, 0.9 * particles.box)

    def write(names: typing.Sequence[str], weights: np.ndarray, words: str) -> list[dict[str, typing.Any]]:
        record = []
        with tqdm(unit="particle", mininterval=1.0, desc=words) as bar:
            found = weighted_maps(
                particles, setting.views, setting.halves, weights, diameter_px, outcome.contrast, bar.update
            )
            for number, (maps, curve) in enumerate(found):
                write_halves(folder / names[number], maps, particles.pixel_size)
                resolution = resolution_at(curve, 0.143, particles.pixel_size, particles.box)
                record.append(dict(map=names[number], particles=float(weights[:, number].sum()), resolution=resolution))
        return record

    return write
