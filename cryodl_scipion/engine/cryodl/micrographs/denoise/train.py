# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of a micrograph denoiser without ground truth: one noisy view of a micrograph is predicted from another.

The best guess of a view whose noise one cannot see is the signal (Lehtinen et al. 2018). That holds after any filter as
well; so answers and views are compared after one that leaves out where there is next to no signal, which is most of
Fourier space, and whose noise would drown what there is to learn.
"""

from __future__ import annotations

import typing

import numpy as np
import torch

from ...core.fourier import filtered
from ...learning.networks.wiener_unet import WienerUNet
from ...learning.task import NetworkTask
from .spectra import plane_mean, spectrum_on_grid
from .views import cut_views, pair

if typing.TYPE_CHECKING:
    from .views import WienerViews

CROP = 128  # working px
BATCH = 8
RATE = 0.002
VALIDATION_BATCHES = 4


class MicrographTask(NetworkTask):
    """A network on WienerViews of micrographs. training, validation: lists of Views.

    The metric is the correlation of the network's answers with the views that it did not see.
    """

    def __init__(
        self, training: typing.Sequence[WienerViews], validation: typing.Sequence[WienerViews], device: torch.device
    ) -> None:
        self.training, self.validation, self.device = training, validation, device
        network = WienerUNet()
        optimizer = lambda net: torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
        self.learn("denoiser", network, optimizer, torch.channels_last)
        self.sides = [
            min(CROP, *(n // network.multiple * network.multiple for v in part for n in v.images.shape[1:]))
            for part in (training, validation)
        ]

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        return self._draw(self.training, self.sides[0], rng)

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Mean squared difference from the other view, where there is signal."""
        _, hidden, weight = batch
        return filtered(output - hidden, weight).square().mean()

    def validate(self) -> dict[str, float]:
        rng, drawn = np.random.default_rng(12345), []
        for _ in range(VALIDATION_BATCHES):
            seen, hidden, weight = self._draw(self.validation, self.sides[1], rng)
            answer = self.networks["denoiser"](seen.to(self.device)).float().cpu()
            drawn.append([filtered(image, weight) for image in (answer, seen[:, 1:], hidden)])
        answer, wiener, hidden = (torch.cat(x) for x in zip(*drawn))
        figure = _correlation(answer, hidden)
        return {
            "metric": figure,
            "loss": float((answer - hidden).square().mean()),
            "correlation": figure,
            "wiener_correlation": _correlation(wiener, hidden),
        }

    def _draw(self, parts: typing.Sequence[WienerViews], side: int, rng: np.random.Generator) -> list[torch.Tensor]:
        """A batch of random crops: what is seen (b, 2, s, s), what is hidden (b, 1, s, s), both in units of the Wiener
        filter's strength, and the filter to compare them by (b, 1, s, s // 2 + 1), which makes the noise of all crops
        1."""
        areas = np.array([v.images[0].numel() for v in parts], float)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = []
        for i in rng.choice(len(parts), BATCH, p=areas / areas.sum()):
            views, (top, left) = parts[i], (int(rng.integers(n - side + 1)) for n in parts[i].images.shape[1:])
            both = pair(cut_views(views, slice(top, top + side), slice(left, left + side)), generator)
            both = torch.rot90(both, int(rng.integers(4)), (2, 3))
            both = both.flip(3) if rng.random() < 0.5 else both
            seen = int(rng.integers(2))
            weight = np.sqrt(views.gain / max(plane_mean(views.gain), 1e-12)) * views.strength
            batch.append(
                (both[seen], both[1 - seen, :1] / views.strength, spectrum_on_grid(weight, (side, side))[None])
            )
        return [torch.stack(x) for x in zip(*batch)]


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    product = lambda a, b: float((a * b).mean())
    return product(first, second) / max(1e-12, (product(first, first) * product(second, second)) ** 0.5)
