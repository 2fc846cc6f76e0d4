# SPDX-License-Identifier: GPL-3.0-or-later
"""Classifying subtomograms with a trained model."""

import dataclasses
import os
import typing

import numpy as np
import torch

from ...io import files, messages
from ...io.subtomograms import SubtomogramSet
from ...learning.task import method_of

OTHER_TILTS = 5  # degrees by which the ends of a tilt series may differ from those of the training


@dataclasses.dataclass(frozen=True)
class Classified:
    """What is said of n subtomograms. probabilities: (n, k), calibrated. confidence: (n,), the higher the surer that it
    is of a known class. angles (n, 3) degrees, shifts_zyx (n, 3) px, or None if the method finds none."""

    probabilities: np.ndarray
    confidence: np.ndarray
    angles: np.ndarray | None
    shifts_zyx: np.ndarray | None


def write_part(path: str | os.PathLike[str], part: Classified) -> None:
    """Keep a Classified in a file of numpy's, whole or not at all."""
    found = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    with files.whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: value for name, value in found.items() if value is not None})


def read_part(path: str | os.PathLike[str]) -> Classified:
    """The Classified of such a file."""
    kept = files.read_kept(path)
    return Classified(**{f.name: kept.get(f.name) for f in dataclasses.fields(Classified)})


def joined_parts(parts: typing.Sequence[Classified]) -> Classified:
    """One Classified of several, in their order."""
    values = {f.name: [getattr(part, f.name) for part in parts] for f in dataclasses.fields(Classified)}
    joined: dict[str, typing.Any] = {k: None if v[0] is None else np.concatenate(v) for k, v in values.items()}
    return Classified(**joined)


class Classifier:
    """A trained model, ready on a device. weights: {name: tensor}. Raises ValueError if they do not fit."""

    def __init__(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        self.card = card
        self.method = method_of("classifier", card["network"])
        self.predictor = self.method.predictor(card, weights, device)

    def classify(
        self, subtomograms: SubtomogramSet, indices: np.ndarray, contrast: str = "bright", batch_size: int = 32
    ) -> Classified:
        """Classified rows of a SubtomogramSet, of any box and pixel size. contrast: of protein in its volumes."""
        rows = np.arange(len(subtomograms))[indices].reshape(-1)
        found = self.predictor.predict(subtomograms, rows, contrast, batch_size)
        probabilities = torch.softmax(found.logits.double() / self.card["temperature"], 1)
        return Classified(probabilities.numpy(), found.confidence.double().numpy(), found.angles, found.shifts_zyx)

    def differences(self, subtomograms: SubtomogramSet) -> typing.Iterator[str]:
        """Warnings about a SubtomogramSet that differs from what was learnt from. Raises ValueError for volumes that do
        not hold the model's particle."""
        card, learnt = self.card, self.card["training"]
        width = subtomograms.box * subtomograms.pixel_size
        if width < 0.98 * card["particle_diameter"]:
            raise ValueError(
                f"The model {card['name']} is of particles {card['particle_diameter']:.0f} Å wide, but "
                f"the subtomograms of {subtomograms.path} are only {width:.0f} Å wide. Extract them with "
                f"a box of {1.25 * card['particle_diameter'] / subtomograms.pixel_size:.0f} px or more."
            )
        if abs(subtomograms.pixel_size / learnt["pixel_size"] - 1) > 0.01:
            yield messages.Line(
                f"The model {card['name']} was trained on subtomograms of {learnt['pixel_size']:g} Å/px, "
                f"these have {subtomograms.pixel_size:g} Å/px: they are resampled."
            )
        if width < 0.98 * card["box"] * card["pixel_size"] <= learnt["box"] * learnt["pixel_size"]:
            yield (
                f"These subtomograms are {width:.0f} Å wide, but the model's box is "
                f"{card['box'] * card['pixel_size']:.0f} Å wide: they are padded with zeros."
            )
        if subtomograms.wedged and np.abs(subtomograms.tilts - learnt["tilts"]).max() > OTHER_TILTS:
            yield (
                "The model was trained on tilts from {:g} to {:g}°; those of some of these subtomograms differ by more "
                "than {}°.".format(*learnt["tilts"], OTHER_TILTS)
            )
