# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of a tomogram denoiser on regions of half tomograms, and its metrics on regions that it does not see."""

from __future__ import annotations

import typing

import numpy as np
import torch

from ...core.devices import fast_dtype
from ...learning.task import NetworkTask
from .examples import Region, SubvolumeExample, Tilts, answered, draw, inputs_of, weighted_volumes
from .spectra import HalfScale

VALIDATION_BATCHES = 8
FILLED_FROM = 0.3  # part of the steps from which the wedge of an input is filled by the network itself


class TomogramTask(NetworkTask):
    """method: unet.DenoisingUNet3D or its like. training, validation: lists of Region. tilts: to fill the wedge, else
    None."""

    example_name = "cubes"

    def __init__(
        self,
        method: typing.Any,
        network: torch.nn.Module,
        training: list[Region],
        validation: list[Region],
        device: torch.device,
        tilts: Tilts | None = None,
    ) -> None:
        self.method, self.training, self.validation = method, training, validation
        self.device, self.tilts, self.batch_size = device, tilts, method.batch_size
        self.learn("denoiser", network, method.optimizer, torch.channels_last_3d)
        self.sides = [side_of(part, method) for part in (training, validation)]

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        fill = self._fill if self.tilts and self.progress >= FILLED_FROM else None
        return _stacked(self._draw(self.training, self.sides[0], rng, fill))

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Mean squared difference from the other half, where it was measured. output: correction of what is seen."""
        seen, hidden, weight = batch[:3]
        return weighted_volumes(seen[:, 1:] + output - hidden, weight).square().mean()

    def validate(self) -> dict[str, float]:
        rng, drawn = np.random.default_rng(12345), []
        fill = self._fill if self.tilts else None
        for _ in range(VALIDATION_BATCHES):
            seen, target, weight, unseen, raw = _stacked(self._draw(self.validation, self.sides[1], rng, fill))
            found = self._answers(seen)
            pairs = [(x, weight) for x in (found, seen[:, 1:], target)]
            pairs += [(x, weight * unseen) for x in (found, raw, target)] if self.tilts else []
            drawn.append([weighted_volumes(x, w) for x, w in pairs])
        answer, wiener, hidden, *apart = (torch.cat(x) for x in zip(*drawn))
        figure = correlation(answer, hidden)
        metrics = dict(
            metric=figure,
            loss=float((answer - hidden).square().mean()),
            correlation=figure,
            wiener_correlation=correlation(wiener, hidden),
        )
        if apart:  # where the network was given nothing, and what the other half would have told there
            metrics["wedge_correlation"] = correlation(apart[0], apart[2])
            metrics["wedge_measured_correlation"] = correlation(apart[1], apart[2])
        return metrics

    def _draw(
        self, parts: list[Region], side: int, rng: np.random.Generator, fill: typing.Any
    ) -> list[SubvolumeExample]:
        sizes = np.array([region.halves.numel() for region in parts], float)
        chosen = rng.choice(len(parts), self.batch_size, p=sizes / sizes.sum())
        return [draw(parts[n], side, rng, self.tilts, fill) for n in chosen]

    def _fill(self, half: torch.Tensor, scale: HalfScale) -> torch.Tensor:
        return self._answers(inputs_of(half, scale)[None])[0, 0] * scale.strength

    @torch.no_grad()
    def _answers(self, seen: torch.Tensor) -> torch.Tensor:
        network, dtype = self.networks["denoiser"], fast_dtype(self.device)
        network.eval()
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            return answered(network, seen.to(self.device)).cpu()


def side_of(regions: list[Region], method: typing.Any) -> int:
    """px of the cubes that fit into all regions."""
    smallest = min(n for region in regions for n in region.halves.shape[1:])
    return int(min(method.crop, smallest // method.granularity * method.granularity))


def _stacked(examples: list[SubvolumeExample]) -> list[torch.Tensor]:
    return [torch.stack(x) for x in zip(*((e.seen, e.hidden, e.weight, e.unseen, e.raw) for e in examples))]


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Of two sets of volumes of mean 0."""
    product = lambda a, b: float((a * b).mean())
    return product(first, second) / max(1e-12, (product(first, first) * product(second, second)) ** 0.5)
