# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of networks on labelled subtomograms, validated by the probability of the true class; model card, with
warnings about the training."""

import hashlib
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import TrainClassifierConfig
from ...core.calibration import expected_calibration_error
from ...core.devices import autocast
from ...learning.recipe import TrainingRun
from ...learning.task import NetworkTask
from .examples import FEW, Examples
from .method import ClassifierMethod, Prediction
from .prepare import ROTATIONS, prepared, rotated_by
from .rejection import fit_feature_statistics, fit_temperature, kept_confidences

MAX_KNOWN = 2000  # subtomograms whose features are kept in mind: enough for their mean and main directions
FEW_VALIDATED = 20  # validation subtomograms below which they do not choose the weights
Z = 1.96  # standard deviations on either side of the middle that hold 95 %


class ClassifierTask(NetworkTask):
    """A network that learns classes. method: a ClassifierMethod that learns by steps. batch_size: subtomograms per
    step, None for the method's own."""

    example_name, patience, gradient_limit = "subtomograms", 6, None

    def __init__(self, method: ClassifierMethod, examples: Examples, batch_size: int | None = None) -> None:
        self.method, self.examples, self.batch_size = method, examples, batch_size or method.batch_size
        network = method.build(len(examples.names), examples.box)
        self.learn("classifier", network, method.optimizer, torch.channels_last_3d)
        self.validates_poorly = len(examples.validation) < FEW_VALIDATED
        self.minimum_steps, self.default_steps = method.minimum_steps, method.default_steps(len(examples.training))
        self.labels = torch.from_numpy(examples.labels)

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Subtomograms (b, 1, box, box, box) and labels (b,): drawn at random, rotated in ways that keep the wedge."""
        rows = rng.choice(self.examples.training, self.batch_size)
        volumes, rotations = self._volumes(rows), rng.integers(len(ROTATIONS), size=len(rows))
        return torch.stack([*map(rotated_by, volumes, rotations)]), self.labels[rows]

    def _volumes(self, rows: np.ndarray) -> torch.Tensor:
        examples = self.examples
        return prepared(
            examples.subtomograms.volumes(rows),
            examples.subtomograms.pixel_size,
            examples.pixel_size,
            examples.box,
            examples.contrast,
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """{name: tensor} of the trained network, and what it makes of the subtomograms that it learnt from, up to
        MAX_KNOWN of them (rejection.py)."""
        self.networks["classifier"].eval()
        rows = self.examples.training
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_KNOWN)).astype(int))]
        features = torch.cat([features for _, features in self._answers(rows)])
        return {**self.networks["classifier"].state_dict(), **fit_feature_statistics(features, self.labels[rows])}

    def _answers(self, rows: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
        network, starts = self.networks["classifier"], range(0, len(rows), self.batch_size)
        return [network_output(network, self._volumes(rows[start : start + self.batch_size])) for start in starts]

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(output, batch[1])

    def validate(self) -> dict[str, float]:
        """Cross entropy, accuracy, and the mean probability of the true class, which is smoother than the accuracy and
        chooses the weights."""
        rows = self.examples.validation
        logits, labels = torch.cat([logits for logits, _ in self._answers(rows)]), self.labels[rows]
        probability = torch.softmax(logits, 1)[torch.arange(len(rows)), labels]
        return {
            "metric": float(probability.mean()),
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).float().mean()),
            "probability": float(probability.mean()),
        }


def network_output(network: typing.Any, volumes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, k) logits, and (n, d) features that its last layer makes them of, float32 on the CPU, of prepared volumes (n,
    1, box, box, box). It computes in the device's fastest type."""
    device = next(network.parameters()).device
    with torch.inference_mode(), autocast(device):
        features = network[:-1](volumes.to(device).contiguous(memory_format=torch.channels_last_3d))
        return network[-1](features).float().cpu(), features.float().cpu()


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


def validated(prediction: Prediction, labels: torch.Tensor) -> tuple[float, dict[str, typing.Any]]:
    """Temperature and validation metrics of a Prediction of validation subtomograms. labels: (n,) int. confusion: rows
    are the true classes, columns those that were found; numbers of subtomograms. balanced_accuracy: mean of the
    classes' own, which a large class does not decide."""
    classes = prediction.logits.shape[1]
    temperature = fit_temperature(prediction.logits, labels)
    probabilities = torch.softmax(prediction.logits.double() / temperature, 1).numpy()
    found, confusion = probabilities.argmax(1), np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, found), 1)
    accuracy, number = float((found == labels).mean()), len(labels)
    return temperature, dict(
        accuracy=round(accuracy, 4),
        balanced_accuracy=round(float((confusion.diagonal() / confusion.sum(1).clip(min=1)).mean()), 4),
        interval=[round(end, 4) for end in interval(accuracy, number)],
        number=number,
        confusion=confusion.tolist(),
        calibration_error=round(expected_calibration_error(found == labels, probabilities.max(1)), 4),
        unknown_confidence=kept_confidences(prediction.confidence),
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
