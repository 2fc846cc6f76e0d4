# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of maps of a latent space and of its discrete classes, each with half-maps."""

import typing
from pathlib import Path

import numpy as np

from ...contract import FitHeterogeneityConfig
from ...io import mrc, progress
from ...latent.record import MapWriter, Outcome
from ...reconstruction.halves import resolved
from .inputs import Inputs
from .paths import weighted_maps

if typing.TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


MAXIMUM = 24  # classes that are tried where their number is to be found
MINIMUM = 20  # particles of each class, on average, that are tried
STARTS = 3  # of each mixture


def find_classes(latent: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Classes of particles by their latent coordinates.

    latent: (n, q). count: number of classes; 0 for that of the smallest Bayesian information criterion (Schwarz 1978),
    the search ending where three numbers in a row are no better. Returns labels: (n,), from 1, the largest class first.
    probabilities: (n,), of the class that a particle is in, by the mixture. criteria: of 1, 2 ... classes where their
    number was found, else of the one that was asked for."""
    if not np.ptp(latent) > 0:  # noise: all at one place
        return np.ones(len(latent), int), np.ones(len(latent)), []
    positions = latent / latent.std(axis=0).max()
    numbers = [count] if count else range(1, min(MAXIMUM, max(1, len(positions) // MINIMUM)) + 1)
    best, criteria = _mixture(positions, numbers[0], seed), list[float]()
    for number in numbers:
        tried = best if number == numbers[0] else _mixture(positions, number, seed)
        criteria.append(float(tried.bic(positions)))
        if criteria[-1] <= min(criteria):
            best = tried
        if len(criteria) > 3 and min(criteria[-3:]) > min(criteria):
            break
    found = best.predict_proba(positions)
    labels = found.argmax(1)
    order = np.argsort(-np.bincount(labels, minlength=found.shape[1]), kind="stable")
    return np.argsort(order)[labels] + 1, found.max(1), criteria


def _mixture(positions: np.ndarray, number: int, seed: int) -> "GaussianMixture":
    from sklearn.mixture import GaussianMixture

    # one shape for all: posterior coordinates of all particles have about the same noise
    return GaussianMixture(number, covariance_type="tied", n_init=STARTS, random_state=seed).fit(positions)


CLASS = "rlnClassNumber"
PROBABILITY = "cryodlClassProbability"


def write_classes(
    config: FitHeterogeneityConfig, inputs: Inputs, outcome: Outcome, folder: Path
) -> tuple[dict[str, np.ndarray], list[str], dict[str, typing.Any]]:
    """Write the maps of the discrete classes, if they are asked for. Returns columns: (n,) each, of the particles'
    table. names: of the maps, class 1 first. record: what heterogeneity.json says of them. Raises ValueError: a class
    has no particles in one of the half sets."""
    if config.classes is None:
        return {}, [], {}
    labels, probabilities, criteria = find_classes(outcome.fit.latent, config.classes, inputs.seed)
    weights = (labels[:, None] == np.arange(1, labels.max() + 1)).astype(np.float32)
    small = np.nonzero(np.stack([weights[outcome.setting.halves == half].sum(0) for half in (1, 2)]).min(0) == 0)[0]
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
        with progress.ProgressBar(unit="particle", mininterval=1.0, desc=words) as bar:
            found = weighted_maps(
                particles, setting.views, setting.halves, weights, diameter_px, outcome.contrast, bar.update
            )
            for number, (maps, curve) in enumerate(found):
                mrc.write_halves(folder / names[number], maps, particles.pixel_size)
                resolution = resolved(curve, diameter_px, particles.pixel_size, particles.box)
                record.append(dict(map=names[number], particles=float(weights[:, number].sum()), resolution=resolution))
        return record

    return write
