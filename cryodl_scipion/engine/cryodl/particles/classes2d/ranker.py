# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranker: the fraction of a class's particles that is expected to be good, from the class average."""

import dataclasses

import numpy as np
import torch
from torch import nn

from ...io.model import find_model, read_model
from .features import curve_numbers, small_images

SHIPPED = "class_ranker"  # the model that comes with the program
ROTATIONS = 4  # rotations by 90 degrees, and as many mirrored ones, over which the score is averaged
WIDTHS = (16, 32, 48, 64)


class RankerNetwork(nn.Module):
    """Four convolutions of a (n, 1, 40, 40) image, the mean over it, two numbers of its FRC, and a logit."""

    def __init__(self) -> None:
        super().__init__()
        layers, width = [], 1
        for number, wider in enumerate(WIDTHS):
            layers += [
                nn.Conv2d(width, wider, 5 if number == 0 else 3, padding=2 if number == 0 else 1),
                nn.BatchNorm2d(wider),
                nn.ReLU(),
            ] + ([nn.MaxPool2d(2)] if number < 3 else [])
            width = wider
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(2 * width + 2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

    def forward(self, images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """(n,) logits of (n, 1, 40, 40) images and (n, 2) numbers, see features.py."""
        found = self.body(images)
        return self.head(torch.cat([found.mean((2, 3)), found.amax((2, 3)), numbers], 1))[:, 0]


@dataclasses.dataclass(frozen=True)
class Ranker:
    """A trained network and the temperature that makes its answers probabilities."""

    network: nn.Module
    temperature: float

    def scores(self, images: torch.Tensor, curves: torch.Tensor, mask_px: float) -> np.ndarray:
        """(k,) fractions of the particles that are expected to be good: one particle, whole and centred.

        images: (k, box, box), protein bright. curves: (k, box // 2 + 1) FRC of their halves. mask_px: radius of the
        particle, px.
        """
        return self.scores_of(small_images(images, mask_px), curve_numbers(curves))

    def scores_of(self, small: torch.Tensor, numbers: torch.Tensor) -> np.ndarray:
        """(k,) scores of (k, 1, 40, 40) images and (k, 2) numbers as features.py makes them."""
        with torch.no_grad():
            logits = sum(
                self.network(torch.rot90(view, rotation, (2, 3)), numbers)
                for view in (small, small.flip(-1))
                for rotation in range(ROTATIONS)
            ) / (2 * ROTATIONS)
        return torch.sigmoid(logits / self.temperature).double().numpy()


def load_ranker(model: str | None = None) -> Ranker:
    """The Ranker of a model folder or name; None for the one that comes with the program. Raises ValueError or
    FileNotFoundError."""
    card, weights = read_model(find_model(model or SHIPPED, "class_ranker"), "class_ranker")
    network = RankerNetwork()
    network.load_state_dict(weights)
    return Ranker(network.eval(), float(card["temperature"]))
