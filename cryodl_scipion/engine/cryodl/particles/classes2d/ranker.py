# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranker: the fraction of a class's particles that is expected to be good, from the class average."""

import dataclasses
import math

import numpy as np
import torch
from torch import nn

from ...io.model import find_model, read_model

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
        """(n,) logits of (n, 1, 40, 40) images and (n, 2) numbers, see below."""
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
        """(k,) scores of (k, 1, 40, 40) images and (k, 2) numbers as those below make them."""
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


# ----- Class averages as the ranker sees them: small, of one scale, within the particle's circle; and two numbers.
SIDE = 40  # px of the small image
FILLED = 1.1  # of the mask's diameter: what of the box the small image shows
CONTRAST = 6.0  # values beyond are clipped


def small_images(images: torch.Tensor, mask_px: float) -> torch.Tensor:
    """(k, 1, SIDE, SIDE) averages cut to the mask, made small, with mean 0 and deviation 1 within the circle.

    images: (k, box, box), protein bright. mask_px: radius of the particle, px.
    """
    box = images.shape[-1]
    width = 2 * mask_px * FILLED
    axis = torch.linspace(-0.5, 0.5, SIDE) * width * 2 / box
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")[::-1], -1).expand(len(images), -1, -1, -1)
    factor = width / SIDE  # smoothed first where pixels are left out
    smooth = _smoothed(images[:, None].float(), 0.5 * factor if factor > 1 else 0.0)
    small = torch.nn.functional.grid_sample(smooth, grid, mode="bilinear", align_corners=False)
    inside = _inside()
    values = small[..., inside]
    scale = values.std(-1, keepdim=True)[..., None].clamp(min=1e-6)
    small = (small - values.mean(-1, keepdim=True)[..., None]) / scale
    return (small * inside).clamp(-CONTRAST, CONTRAST)


def curve_numbers(curves: torch.Tensor) -> torch.Tensor:
    """(k, 2): mean of each FRC up to half of Nyquist, and where it falls below 0.5, as a fraction of Nyquist."""
    last = curves.shape[-1] - 1
    low = curves[:, 1 : max(2, last // 2 + 1)].mean(1)
    below = (curves[:, 1:] < 0.5).float()
    first = torch.where(below.any(1), below.argmax(1), torch.full_like(below[:, 0], last).long())
    return torch.stack([low, first / last], 1).float()


def _inside() -> torch.Tensor:
    axis = torch.linspace(-1, 1, SIDE) * FILLED
    return axis[:, None] ** 2 + axis[None] ** 2 <= 1


def _smoothed(images: torch.Tensor, sigma: float) -> torch.Tensor:
    if not sigma:
        return images
    reach = math.ceil(3 * sigma)
    axis = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    padded = torch.nn.functional.pad(images, (reach,) * 4, mode="replicate")
    return torch.nn.functional.conv2d(torch.nn.functional.conv2d(padded, kernel), kernel.transpose(2, 3))
