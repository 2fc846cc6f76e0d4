# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising tomograms of any size with a trained network, block by block, so that memory is bounded."""

from __future__ import annotations

import itertools
import math
import typing

import numpy as np
import torch

from ...core.devices import fast_dtype
from ...core.tiles import tile_spans
from ...io.tomograms import Tomogram
from ...learning.inference import for_inference
from ...learning.task import method_of
from ..segmenters.predict import mirrored
from .examples import MARGIN, answered, inputs_of
from .spectra import HalfScale

SIDES = (640, 512, 448, 384, 320, 256, 208, 160, 128, 96, 80, 64, 48)  # px that a tile may have along an axis


class TomogramDenoiser:
    """A model of kind 'tomogram_denoiser', ready on a device.

    card, weights: of the model. device: torch.device.
    """

    def __init__(self, card: dict, weights: dict, device: torch.device) -> None:
        self.card, self.device, self.dtype = card, device, fast_dtype(device)
        self.method = method_of("tomogram_denoiser", card["network"])
        network = self.method.build()
        try:
            network.load_state_dict(weights)
        except RuntimeError:
            raise ValueError(
                f"The weights of {card['name']} do not fit the network {self.method.name} in this version of cryodl. "
                "Train the model again, or use the version that its card.json names."
            ) from None
        self._network = for_inference(network, device, self.dtype)

    @torch.inference_mode()
    def answer(self, volume: torch.Tensor, scale: HalfScale) -> torch.Tensor:
        """(z, y, x) denoised volume of one whose sides are multiples of the granularity, in its own grey values."""
        inputs = inputs_of(scale.normalised(volume), scale)[None]
        return scale.restored(answered(self._correction, inputs)[0, 0])

    def _correction(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._network(inputs.to(self.device, self.dtype)).float().cpu()

    def blocks(
        self, volumes: typing.Sequence[Tomogram], scale: HalfScale, memory: float
    ) -> typing.Iterator[tuple[tuple[int, ...], list[np.ndarray]]]:
        """The denoised volumes block by block: the (z, y, x) place of a block, and a block of each volume.

        memory: GB. The tomogram is mirrored beyond its borders.
        """
        shape = volumes[0].shape
        spans = tile_plan(
            shape, memory * 1e9 / (self.method.bytes_per_voxel * (self.dtype.itemsize / 2) ** 0.5), self.method
        )
        for span in itertools.product(*spans):
            answers = [self.answer(torch.from_numpy(_mirrored_part(v, span)), scale) for v in volumes]
            starts = [max(0, low - MARGIN) for _, _, low, _ in span]
            stops = [min(n, high - MARGIN) for n, (_, _, _, high) in zip(shape, span)]
            if all(a < b for a, b in zip(starts, stops)):
                inside = tuple(slice(a + MARGIN - s[0], b + MARGIN - s[0]) for a, b, s in zip(starts, stops, span))
                yield tuple(starts), [answer[inside].numpy() for answer in answers]


def tile_plan(shape: typing.Sequence[int], voxels: float, method: typing.Any) -> list[list[tuple[int, int, int, int]]]:
    """What tile_spans gives for each axis of a tomogram with MARGIN px around it: the tiles of at most so many voxels
    that compute least twice; the smallest ones if none is small enough."""
    padded = [-(-(n + 2 * MARGIN) // method.granularity) * method.granularity for n in shape]
    minimum = 2 * method.overlap + method.granularity
    choices = [sorted({min(n, side) for side in SIDES if side >= minimum or side >= n}) for n in padded]
    cut = lambda sides: [tile_spans(n, s, method.overlap, method.granularity) for n, s in zip(padded, sides)]
    fitting = [sides for sides in itertools.product(*choices) if math.prod(sides) <= voxels]
    if not fitting:
        return cut([axis[0] for axis in choices])
    work = lambda sides: math.prod(sum(b - a for a, b, _, _ in axis) for axis in cut(sides))
    return cut(min(fitting, key=work))


def _mirrored_part(volume: Tomogram, span: typing.Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """(z, y, x) float32 part of a tomogram, mirrored beyond its borders. span: of the padded axes."""
    positions = [mirrored(s[0] - MARGIN, s[1] - MARGIN, n) for s, n in zip(span, volume.shape)]
    part = volume.part(*((int(p.min()), int(p.max()) + 1) for p in positions))
    for axis, position in enumerate(positions):
        index = position - position.min()
        if len(index) != part.shape[axis] or (np.diff(index) != 1).any():
            part = part.take(index, axis)
    return part
