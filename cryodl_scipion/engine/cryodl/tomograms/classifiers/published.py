# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that the three published 3-D networks share: input, initial weights, training settings.

Che et al. 2018, "Improved deep learning-based macromolecules structure classification from electron cryo-tomograms"
(arXiv 1707.04885); layers as in the code that the authors name for it (Keras): subtomograms of 40 voxels, cross
entropy, and Keras' own batches of 32, Glorot's initial weights and biases of zero. The number of epochs is the user's
there; patience ends the training here.
The optimiser is not the published one (stochastic gradient descent, Nesterov momentum 0.9, rate 0.005): with a few
hundred subtomograms of a class it takes dsrf3d to a constant answer, from which its gradients do not lead away
(docs/bench_tomograms.md). Adam leaves it after some hundred steps, until which patience must wait.
Classification with a trained network."""

import typing

import numpy as np
import torch
from torch import nn

from ...core.devices import in_memory_format
from ...io.subtomograms import SubtomogramSet
from ...learning import networks, task
from . import rejection, train
from .method import ClassifierMethod, Prediction
from .prepare import prepared


class NetworkPredictor:
    """A network with its weights, on a device. See method.ClassifierMethod.predictor."""

    def __init__(
        self,
        method: ClassifierMethod,
        card: typing.Mapping[str, typing.Any],
        weights: typing.Mapping[str, torch.Tensor],
        device: torch.device,
    ) -> None:
        self.card = card
        network = method.build(len(card["classes"]), card["box"])
        self.known = {name: value for name, value in weights.items() if name.startswith("known.")}
        learnt = {name: value for name, value in weights.items() if name not in self.known}
        words = f"{method.name} for {len(card['classes'])} classes"
        self.network = task.with_weights(network, learnt, card["name"], words).to(device).eval()
        in_memory_format(self.network, torch.channels_last_3d)

    def predict(
        self, subtomograms: SubtomogramSet, rows: np.ndarray, contrast: str, batch_size: int = 32
    ) -> Prediction:
        """Prediction of some rows. The confidence is that of feature_statistics.typicality."""
        card, found = self.card, [(torch.zeros(0, len(self.card["classes"])), torch.zeros(0))]
        for start in range(0, len(rows), batch_size):
            volumes = subtomograms.volumes(rows[start : start + batch_size])
            logits, features = train.network_output(
                self.network, prepared(volumes, subtomograms.pixel_size, card["pixel_size"], card["box"], contrast)
            )
            found.append((logits, rejection.typicality(features, self.known)))
        logits, confidence = (torch.cat(parts) for parts in zip(*found))
        return Prediction(logits, confidence)


EPOCHS, MIN_STEPS = 60, 600
GRANULARITY = 8  # px of a box that all three can pool
MARGIN = 1.5  # width that the network sees over the particle's diameter, at least


class PublishedClassifier(ClassifierMethod):
    """Base of the three; a subclass gives name and build. smallest: px of the network's input."""

    learning_rate, batch_size = 3e-4, 32
    minimum_steps, smallest = MIN_STEPS, 16

    def grid(self, subtomograms: SubtomogramSet, diameter: float, resolution: float | None) -> tuple[float, int]:
        """The network sees `box` voxels. Larger subtomograms keep their width, if the particle needs it, and get larger
        voxels; smaller ones keep their voxels and are surrounded by zeros. Where a resolution is asked for, fewer
        voxels may hold all of it."""
        width = min(
            subtomograms.box * subtomograms.pixel_size, max(MARGIN * diameter, self.box * subtomograms.pixel_size)
        )
        pixel_size = max(subtomograms.pixel_size, resolution / 2 if resolution else 0, width / self.box)
        enough = -(-round(width / pixel_size, 3) // GRANULARITY) * GRANULARITY
        return pixel_size, int(min(self.box, max(self.smallest, enough))) if resolution else self.box

    def default_steps(self, training: int) -> int:
        return max(MIN_STEPS, EPOCHS * training // self.batch_size)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, fused=True)

    def predictor(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> NetworkPredictor:
        return NetworkPredictor(self, card, weights, device)


def initialised(network: nn.Sequential) -> nn.Sequential:
    """The network with Keras' initial weights: Glorot's uniform ones, biases of zero."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv3d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(typing.cast("torch.Tensor", layer.bias))
    return network


def convolution(inputs: int, outputs: int, side: int = 3) -> list[nn.Module]:
    """A convolution that keeps the size of volumes, and a ReLU."""
    return [nn.Conv3d(inputs, outputs, side, padding=side // 2), nn.ReLU(inplace=True)]


def head(features: int, hidden: int, dropout: float, classes: int) -> list[nn.Module]:
    """Two hidden layers with dropout, and the classes' logits. features: values that come in."""
    return [
        nn.Flatten(),
        nn.Linear(features, hidden),
        nn.ReLU(inplace=True),
        networks.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        networks.Dropout(dropout),
        nn.Linear(hidden, classes),
    ]
