# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of networks on labelled subtomograms, validated by the probability of the true class."""

import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...core.devices import autocast
from ...learning.task import NetworkTask
from .examples import Examples
from .method import ClassifierMethod
from .prepare import ROTATIONS, prepared, rotated_by
from .rejection import fit_feature_statistics

MAX_KNOWN = 2000  # subtomograms whose features are kept in mind: enough for their mean and main directions
FEW = 20  # validation subtomograms below which they do not choose the weights


class ClassifierTask(NetworkTask):
    """A network that learns classes. method: a ClassifierMethod that learns by steps. batch_size: subtomograms per
    step, None for the method's own."""

    example_name, patience, gradient_limit = "subtomograms", 6, None

    def __init__(self, method: ClassifierMethod, examples: Examples, batch_size: int | None = None) -> None:
        self.method, self.examples, self.batch_size = method, examples, batch_size or method.batch_size
        network = method.build(len(examples.names), examples.box)
        self.learn("classifier", network, method.optimizer, torch.channels_last_3d)
        self.validates_poorly = len(examples.validation) < FEW
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
