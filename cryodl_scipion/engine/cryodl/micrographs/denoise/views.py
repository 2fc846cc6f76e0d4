# SPDX-License-Identifier: GPL-3.0-or-later
"""Two views of a micrograph with one signal and independent noise: what its denoiser learns from and works on.

Averages of even and odd frames are such views (noise2noise, Lehtinen et al. 2018; for micrographs Bepler et al. 2020).
Of a micrograph without them, y = signal + noise, y + z and y - z are: where z is Gaussian noise of the same spectrum
and strength as the micrograph's, their noises do not correlate (recorrupted-to-recorrupted, Pang et al. 2021). Unlike a
blind spot, this gives up no pixel, and needs no noise that is independent from pixel to pixel, only a noise whose
spectrum is known.

Both kinds have the noise of half of the dose, so a network that learnt from one kind works on the other.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import filtered
from .spectra import cross_power, plane_mean, spectrum_on_grid

if typing.TYPE_CHECKING:
    from .scaling import WorkingImage

WEAKEST = 1e-3  # of `strength`, for micrographs in which nothing is found
SEED = 1  # of the noise that is added to see a micrograph; any will do, one makes results repeat


@dataclasses.dataclass(frozen=True)
class WienerViews:
    """images: (1 or 2, h, w), noise 1: a micrograph, or its even and odd halves. wiener: the same after the Wiener
    filter of one view, the best radial filter there is, and in units of its own strength. gain: that filter, (BINS,).
    strength: of the filtered views, in units of their noise. mask: (h, w), WorkingImage's."""

    images: torch.Tensor
    wiener: torch.Tensor
    gain: np.ndarray
    strength: float
    mask: torch.Tensor


def make_views(working: typing.Sequence[WorkingImage]) -> WienerViews:
    """Views of the WorkingImages of one micrograph: one, or even and odd."""
    images, mask = torch.stack([w.image for w in working]), working[0].mask
    if len(images) == 2:
        signal = cross_power(images[0], images[1], mask)
    else:
        # of a view, with all of the noise's power and half of the signal's
        signal = (cross_power(images[0], images[0], mask) - 1) / 2
    signal = np.maximum(signal, 0)
    gain = signal / (signal + 1)
    strength = max(WEAKEST, plane_mean(signal * gain) ** 0.5)
    if len(images) == 1:
        images = images / 2**0.5
    return WienerViews(
        images, filtered(images, spectrum_on_grid(gain, images.shape[1:])) / strength, gain, strength, mask
    )


def whole_view(working: WorkingImage) -> WienerViews:
    """A micrograph with all of its dose as the only view, for a network that learnt from images without noise."""
    signal = np.maximum(cross_power(working.image, working.image, working.mask) - 1, 0)
    gain = signal / (signal + 1)
    strength = max(WEAKEST, plane_mean(signal * gain) ** 0.5)
    images = working.image[None]
    smooth = filtered(images, spectrum_on_grid(gain, images.shape[1:])) / strength
    return WienerViews(images, smooth, gain, strength, working.mask)


def cut_views(views: WienerViews, rows: slice, columns: slice) -> WienerViews:
    """The WienerViews of a part. rows, columns: slices."""
    return dataclasses.replace(
        views,
        images=views.images[:, rows, columns],
        wiener=views.wiener[:, rows, columns],
        mask=views.mask[rows, columns],
    )


def pair(views: WienerViews, generator: torch.Generator | None) -> torch.Tensor:
    """Two inputs of the network, (2, 2, h, w): each view as it is, and after the filter. generator: torch's, for
    noise."""
    images, wiener = views.images, views.wiener
    if len(images) == 1:
        # only where the micrograph has noise of its own: elsewhere the views would be each other's opposite
        noise = torch.randn(images.shape[1:], generator=generator) * views.mask / 2**0.5
        smooth = filtered(noise, spectrum_on_grid(views.gain, noise.shape)) / views.strength
        images, wiener = torch.cat([images + noise, images - noise]), torch.cat([wiener + smooth, wiener - smooth])
    return torch.stack([images, wiener], 1)


def joined_views(answers: torch.Tensor, views: WienerViews) -> torch.Tensor:
    """(h, w) signal of the micrograph, in units of its WorkingImage's noise, of the network's answers to pair()'s
    inputs.

    answers: (2, h, w) in units of the strength.
    """
    return answers.mean(0) * views.strength * (2**0.5 if len(views.images) == 1 else 1)
