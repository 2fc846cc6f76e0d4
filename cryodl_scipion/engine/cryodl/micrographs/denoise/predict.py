# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising one micrograph with a trained network: the file's image in, an image of the same shape and grey values
out."""

from __future__ import annotations

import typing

import torch

from ...core.tiles import apply_tiled
from ...learning.inference import for_inference
from .network import MicrographUNet
from .scaling import denoising_pixel_size, restored, working_images
from .views import SEED, joined_views, make_views, pair

if typing.TYPE_CHECKING:
    import numpy as np

TILE = 1024  # working px; about 0.4 GB


class MicrographDenoiser:
    """card, weights: of a model of kind 'micrograph_denoiser'. device: torch.device. tile: largest side at a time,
    working px."""

    def __init__(
        self,
        card: typing.Mapping[str, typing.Any],
        weights: typing.Mapping[str, torch.Tensor],
        device: torch.device,
        tile: int = TILE,
    ) -> None:
        network = MicrographUNet()
        network.load_state_dict(weights)
        self.multiple = network.multiple
        self.overlap = -(-network.receptive_radius // network.multiple) * network.multiple
        self.card, self.device, self.tile = card, device, tile
        # float32 everywhere: the answer is an image, and 8 bits would show as steps in flat areas
        self.network = for_inference(network, device, torch.float32)

    @torch.inference_mode()
    def denoise(self, images: typing.Sequence[np.ndarray], pixel_size: float) -> np.ndarray:
        """(h, w) float32 array: grey values, background and contrast of the input, without what the network takes for
        noise.

        images: list of one (h, w) float32 array, or of the averages of even and odd frames. pixel_size: Å/px.
        Raises ValueError for images that cannot be denoised.
        """
        working = working_images(images, pixel_size / denoising_pixel_size(pixel_size, self.card["resolution"]))
        views = make_views(working)
        answers = [self._answer(seen) for seen in pair(views, torch.Generator().manual_seed(SEED))]
        return restored(joined_views(torch.stack(answers), views), working[0])

    def _answer(self, seen: torch.Tensor) -> torch.Tensor:
        """(h, w) answer to a (2, h, w) input."""
        return apply_tiled(self._run, seen, 1, self.multiple, self.tile, self.overlap)[0]

    def _run(self, tile: torch.Tensor) -> torch.Tensor:
        return self.network(tile.to(self.device, memory_format=torch.channels_last))
