# SPDX-License-Identifier: GPL-3.0-or-later
"""The particles of one micrograph: boxes, resampled and normalised as RELION's extraction does."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.boxes import box_corners, boxes_inside, cut_boxes, normalised
from ...core.fourier import fourier_resize

if typing.TYPE_CHECKING:
    from ...contract import ExtractParticlesConfig
    from ...core.optics import Optics

_CHUNK = 256  # boxes that are worked on at once


@dataclasses.dataclass(frozen=True)
class Cut:
    """Particles of a micrograph.

    images: (m, box, box) float32 array. rows: (m,) int, their indices among the picks. positions_yx: (m, 2) whole px of
    the micrograph, the boxes' centres. at_edge, unusable: numbers of picks that were left out.
    """

    images: np.ndarray
    rows: np.ndarray
    positions_yx: np.ndarray
    at_edge: int
    unusable: int


def cut_micrograph(
    image: np.ndarray, centres_yx: np.ndarray, config: ExtractParticlesConfig, optics: Optics | None
) -> Cut:
    """Cut the particles out of a micrograph.

    Parameters
    ----------
    image : ndarray
        (h, w) float32; values that are no numbers are allowed.
    centres_yx : ndarray
        (n, 2) px of the picks.
    optics : Optics or None
        The micrograph's CTF, for flipping phases.
    """
    box = config.box_in_pixels()
    corners, positions = box_corners(centres_yx, box)
    height, width = image.shape
    on_it = ((positions >= 0) & (positions < (height, width))).all(axis=1)
    kept = np.asarray(on_it if config.edge == "fill" else boxes_inside(corners, box, image.shape))
    pixels = torch.from_numpy(image)
    if config.flip_phases and optics is not None:
        pixels = flip_phases(pixels, optics, config.pixel_size)
    rows = np.nonzero(kept)[0]
    parts = [_finished(pixels, corners[rows[i : i + _CHUNK]], config) for i in range(0, len(rows), _CHUNK)]
    side = config.scaled_box or box
    images = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, side, side), np.float32)
    usable = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0, bool)
    return Cut(images[usable], rows[usable], positions[rows[usable]], int(len(kept) - kept.sum()), int((~usable).sum()))


def _finished(
    pixels: torch.Tensor, corners: np.ndarray, config: ExtractParticlesConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Images of some boxes, and which of them can be used."""
    images = cut_boxes(pixels, corners, config.box_in_pixels())
    finite = torch.isfinite(images).all(dim=(1, 2))
    if config.scaled_box and config.scaled_box != images.shape[-1]:
        images = fourier_resize(images, config.scaled_box)
    side = images.shape[-1]
    # the radius of the circle: the particle's, but never the whole box
    radius = 0.5 * config.particle_diameter / config.pixel_size * side / config.box_in_pixels()
    made, usable = normalised(images, min(radius, side / 2 - 1), config.contrast == "dark", slope=True)
    if not config.normalise:
        made = -images if config.contrast == "dark" else images
    return made.numpy(), (usable & finite).numpy()


def flip_phases(image: torch.Tensor, optics: Optics, pixel_size: float) -> torch.Tensor:
    """A micrograph whose phases that the CTF flipped are flipped back; values that are no numbers stay such.

    Parameters
    ----------
    image : Tensor
        (h, w).
    pixel_size : float
        Å/px.

    Returns
    -------
    Tensor
        (h, w).
    """
    finite = torch.isfinite(image)
    mean = image[finite].mean() if finite.any() else torch.tensor(0.0)
    height, width = int(image.shape[0]), int(image.shape[1])
    transform = torch.fft.rfft2(torch.where(finite, image - mean, torch.zeros(())))
    signs = torch.sign(optics.transfer((height, width), pixel_size))
    signs[signs == 0] = 1
    flipped = torch.fft.irfft2(transform * signs, s=(height, width)) + mean
    return torch.where(finite, flipped, image)
