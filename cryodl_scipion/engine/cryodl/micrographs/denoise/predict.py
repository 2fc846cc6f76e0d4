# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising one micrograph with a trained network: the file's image in, an image of the same shape and grey values
out."""

from __future__ import annotations

import typing

import numpy as np
import torch

from ...contract import denoises_blindly
from ...learning.image_denoiser import ImageDenoiser
from .scaling import denoising_pixel_size, restored, working_images
from .views import SEED, joined_views, make_views, pair, whole_view

TILE = 1024  # working px; about 0.4 GB


class MicrographDenoiser:
    """card, weights: of a model of kind 'micrograph_denoiser'. device: torch.device. resolution: Å, of a general model,
    which leaves the choice; None for the card's. tile: largest side at a time, working px."""

    def __init__(
        self,
        card: typing.Mapping[str, typing.Any],
        weights: typing.Mapping[str, torch.Tensor],
        device: torch.device,
        resolution: float | None = None,
        tile: int = TILE,
    ) -> None:
        self.card, self.tile = card, tile
        self.resolution: float = resolution or card["resolution"]
        self.network = ImageDenoiser(weights, device)

    @torch.inference_mode()
    def denoise(self, images: typing.Sequence[np.ndarray], pixel_size: float) -> np.ndarray:
        """(h, w) float32 array: grey values, background and contrast of the input, without what the network takes for
        noise.

        images: list of one (h, w) float32 array, or of the averages of even and odd frames. pixel_size: Å/px.
        Raises ValueError for images that cannot be denoised.
        """
        general = denoises_blindly(self.card)
        if general and len(images) > 1:
            images = [np.asarray(np.mean(images, axis=0, dtype=np.float32))]
        working = working_images(images, pixel_size / denoising_pixel_size(pixel_size, self.resolution))
        if general:
            whole = whole_view(working[0])
            return restored(self._answer(torch.cat([whole.images, whole.wiener])) * whole.strength, working[0])
        views = make_views(working)
        answers = [self._answer(seen) for seen in pair(views, torch.Generator().manual_seed(SEED))]
        return restored(joined_views(torch.stack(answers), views), working[0])

    def _answer(self, seen: torch.Tensor) -> torch.Tensor:
        """(h, w) answer to a (2, h, w) input."""
        return self.network.tiled(seen, self.tile)
