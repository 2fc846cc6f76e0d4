# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of particles by a trained network."""

import math
import typing

import numpy as np
import torch

from ...contract import network_words
from ...core.names import numbers_by_name
from ...io.memory import WORKING_MEMORY
from ...io.model import find_model, read_model
from ...io.progress import ProgressBar
from ...io.tomograms import Tomogram
from ..contrast import skewness, turned_contrast
from .answer import SpeciesFound
from .predict import DISTANCE, MIN_SCORE, Detector, TomogramBlocks, detect, detect_in_noise

DIFFERENT, TOO_DIFFERENT = 2.0, 4.0  # times the pixel size that a model learned at: warned of; refused


class NetworkFinder:
    """What detect-particles does with a model. config: DetectParticlesConfig. named: (name, path) of the tomograms."""

    angular_step = orientations = None

    def __init__(self, config: typing.Any, named: typing.Sequence[tuple[str, str]], device: torch.device) -> None:
        card, weights = read_model(find_model(config.model, "detector"), "detector")
        self.config, self.detector, self.card = config, Detector(card, weights, device), card
        self.species = self.detector.species
        self.typical_pixel_size = card["trained_pixel_size"]
        given = numbers_by_name(config.threshold, self.species, "Thresholds (--threshold)", 0, 1)
        self.thresholds = [given.get(name, usual) for name, usual in zip(self.species, card["thresholds"])]
        self.identity = {"weights of the model": card["weights_sha256"]}
        self.notes: list[str] = []
        self.in_words = f"by the model {card['name']} ({network_words('detector', card['network'])})"

    def search(self, name: str, tomogram: Tomogram, pixel_size: float) -> tuple[list[SpeciesFound], list[str]]:
        """SpeciesFound of each species in a tomogram, and sentences for the user. Raises ValueError if it cannot
        serve."""
        notes = list(self._differences(tomogram, pixel_size))
        blocks = TomogramBlocks(tomogram, pixel_size, self.detector, WORKING_MEMORY)
        notes += self._contrast(tomogram, blocks)
        with ProgressBar(total=len(blocks), unit="block", desc=name, mininterval=1.0) as bar:
            found = detect(self.detector, blocks, bar.update)
        noise, part = None, 0.0
        if self.config.control:
            rng = np.random.default_rng([self.config.seed, *name.encode()])
            noise, part = detect_in_noise(self.detector, blocks, self.config.control, rng)
        result = []
        for number, (species, diameter) in enumerate(zip(self.species, self.card["diameters"])):
            distance = max(1.0, (self.config.minimum_distance or DISTANCE * diameter) / pixel_size)
            threshold = max(self.thresholds[number], MIN_SCORE)
            kept = found[number].best(distance, threshold)
            chance = None if noise is None else len(noise[number].best(distance, threshold).scores) / part
            result.append(SpeciesFound(species, kept.zyx, kept.scores, None, threshold, chance, float(diameter)))
        return result, notes

    def _differences(self, tomogram: Tomogram, pixel_size: float) -> typing.Iterator[str]:
        trained = self.card["trained_pixel_size"]
        times = math.exp(abs(math.log(pixel_size / trained)))
        if times > TOO_DIFFERENT:
            raise ValueError(
                f"{tomogram.path} has {pixel_size:g} Å/px; the model {self.card['name']} was trained at {trained:g} "
                "Å/px. The difference is too large. Check the pixel size (--pixel-size), or bin the tomogram."
            )
        if times > DIFFERENT:
            yield (
                f"The model {self.card['name']} was trained on tomograms of {trained:g} Å/px, but some have "
                f"{pixel_size:g} Å/px, and it may not find particles at that resolution."
            )

    def _contrast(self, tomogram: Tomogram, blocks: TomogramBlocks) -> typing.Iterator[str]:
        """A sentence if the grey values are skewed the other way than those that the model learned from."""
        _, _, voxels = next(iter(blocks))
        learnt = float(self.card.get("skew", 0.0))
        yield from turned_contrast(str(tomogram.path), self.card["name"], skewness(voxels), learnt)
