# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a classifier, with warnings about the training."""

import hashlib
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainClassifierConfig
from ...core.calibration import expected_calibration_error
from ...learning.recipe import TrainingRun
from . import method, rejection
from .examples import FEW, Examples

Z = 1.96  # standard deviations on either side of the middle that hold 95 %


def first_card(config: TrainClassifierConfig, examples: Examples) -> dict[str, typing.Any]:
    """The part of the card that is known before training, and that predictors need."""
    return dict(
        kind="classifier",
        name=Path(config.output).name,
        network=config.network,
        classes=list(examples.names),
        class_numbers=list(examples.numbers),
        pixel_size=examples.pixel_size,
        box=examples.box,
        particle_diameter=round(examples.diameter, 1),
    )


def validated(prediction: method.Prediction, labels: torch.Tensor) -> tuple[float, dict[str, typing.Any]]:
    """Temperature and validation metrics of a Prediction of validation subtomograms. labels: (n,) int. confusion: rows
    are the true classes, columns those that were found; numbers of subtomograms."""
    classes = prediction.logits.shape[1]
    temperature = rejection.fit_temperature(prediction.logits, labels)
    probabilities = torch.softmax(prediction.logits.double() / temperature, 1).numpy()
    found, confusion = probabilities.argmax(1), np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, found), 1)
    accuracy, number = float((found == labels).mean()), len(labels)
    return temperature, dict(
        accuracy=round(accuracy, 4),
        interval=[round(end, 4) for end in interval(accuracy, number)],
        number=number,
        confusion=confusion.tolist(),
        calibration_error=round(expected_calibration_error(found == labels, probabilities.max(1)), 4),
        unknown_confidence=rejection.kept_confidences(prediction.confidence),
    )


def interval(part: float, number: int) -> tuple[float, float]:
    """Wilson's interval (1927) of 95 % for a part of a number: it has a width if the part is 0 or 1, too."""
    weight = Z**2 / number
    middle, half = part + weight / 2, Z * (part * (1 - part) / number + weight / (4 * number)) ** 0.5
    return (middle - half) / (1 + weight), (middle + half) / (1 + weight)


def whole_card(
    card: typing.Mapping[str, typing.Any],
    examples: Examples,
    temperature: float,
    validation: typing.Mapping[str, typing.Any],
    run: TrainingRun,
) -> dict[str, typing.Any]:
    """The model card: card of first_card, metrics of validated, run: after training."""
    one = examples.subtomograms
    training = dict(
        subtomograms=str(one.path),
        number=len(examples.training),
        per_class=np.bincount(examples.labels[examples.training]).tolist(),
        split=examples.split,
        sha256=hashlib.sha256("\n".join(one.names[row] for row in sorted(examples.training)).encode()).hexdigest(),
        pixel_size=one.pixel_size,
        box=one.box,
        contrast=examples.contrast,
        tilts=[float(one.tilts[:, 0].min()), float(one.tilts[:, 1].max())],
        weight_files=not one.wedged,
        **run.record(),
    )
    return dict(card, temperature=temperature, training=training, validation=validation)


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    metrics, classes = card["validation"], card["classes"]
    per_class = [sum(row) for row in metrics["confusion"]]
    few = [f"{name} has only {number}" for name, number in zip(classes, per_class) if number < FEW]
    if few:
        yield f"{', '.join(few)} subtomograms to validate with: metrics and rejection threshold are uncertain."
    chance = max(per_class) / metrics["number"]
    if metrics["interval"][0] <= chance:
        yield (
            f"The accuracy on the validation data is {metrics['accuracy']:.2f}; assigning all to "
            f"{classes[per_class.index(max(per_class))]} would give {chance:.2f}: the network has hardly learnt "
            "anything. Check the classes, the contrast and the tilt range, or give more subtomograms."
        )
