# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparation of particle images (normalisation, resampling), and measurement of contrast and noise."""

import numpy as np
import torch

from ..core.fourier import circle, fourier_resize, radial_mean, resampled_side
from ..core.projections import centre_crop

SAMPLE = 256  # particles that contrast and noise are measured on
EDGE_PX = 4  # width of the soft edge of the noise's area
WIDEST = 0.98  # of the box: a circle that leaves background in the corners


def prepare(images: torch.Tensor, diameter_px: float, contrast: str = "bright") -> torch.Tensor:
    """Images with bright protein, their background with mean 0 and standard deviation 1, as RELION's normalisation.

    Parameters
    ----------
    images : Tensor, (n, box, box) float32
    diameter_px : float, px
        Of the circle around pixel box // 2 that holds the particle; the background is what lies outside.
    contrast : str
        'bright' or 'dark', of the protein in `images`.

    Returns
    -------
    Tensor, (n, box, box)
        An image without any variation becomes zero.
    """
    outside = ~circle(images.shape[-1], min(diameter_px, WIDEST * images.shape[-1]), images.device)
    background = images[:, outside]
    deviation = background.std(dim=1)
    gain = torch.where(deviation > 1e-12, 1 / deviation.clamp(min=1e-12), torch.zeros_like(deviation))
    prepared = (images - background.mean(dim=1)[:, None, None]) * gain[:, None, None]
    return -prepared if contrast == "dark" else prepared


def resample(images: torch.Tensor, pixel_size: float, new_pixel_size: float, box: int) -> tuple[torch.Tensor, float]:
    """Images with other pixels, cut or surrounded by zeros around their middle.

    Parameters
    ----------
    images : Tensor, (n, h, h)
    pixel_size : float, Å/px
    new_pixel_size : float, Å/px
        Equal sizes change nothing.
    box : int
        px of the result.

    Returns
    -------
    images : Tensor, (n, box, box)
    pixel_size : float
        Exact, Å/px: it differs from what was asked for by less than half a pixel over the image.
    """
    side, exact = resampled_side(images.shape[-1], pixel_size, new_pixel_size)
    return centre_crop(fourier_resize(images, side), box), exact


def noise_spectrum(images: torch.Tensor, diameter_px: float) -> torch.Tensor:
    """Power of the noise in images, measured outside of the particles' circle.

    Fine structure of the spectrum is smeared over the few rings that the width of the background can tell apart; ring 0
    has the value of ring 1.

    Parameters
    ----------
    images : Tensor, (n, box, box)
    diameter_px : float, px

    Returns
    -------
    Tensor, (box // 2 + 1,)
        At the rings of fourier.shells; white noise of variance 1 has the power 1.
    """
    return noise_spectra(images, diameter_px).mean(0)


def noise_spectra(images: torch.Tensor, diameter_px: float) -> torch.Tensor:
    """The noise_spectrum of each image by itself.

    Parameters
    ----------
    images : Tensor, (n, box, box)
    diameter_px : float, px
        Of the circle that holds the particle.

    Returns
    -------
    Tensor, (n, box // 2 + 1)
    """
    box = images.shape[-1]
    axis = torch.arange(box, device=images.device) - box // 2
    distance = (axis[:, None] ** 2 + axis[None] ** 2).float().sqrt() - min(diameter_px, WIDEST * box) / 2
    weight = 0.5 - 0.5 * torch.cos(torch.pi * (distance / min(EDGE_PX, box / 16)).clamp(0, 1))
    mean = (images * weight).sum((1, 2), keepdim=True) / weight.sum()
    power = torch.fft.rfft2((images - mean) * weight).abs().square() / weight.square().sum()
    radial = radial_mean(power, box)
    radial[:, 0] = radial[:, 1]
    return radial


def sample_rows(count: int, maximum: int = SAMPLE) -> np.ndarray:
    """Rows that are evenly spread.

    Parameters
    ----------
    count : int
        All rows.
    maximum : int
        Rows that are wanted.

    Returns
    -------
    ndarray, (m,) int
    """
    return np.unique(np.linspace(0, count - 1, min(count, maximum)).round().astype(int))


def check_not_empty(images: torch.Tensor, path: str) -> None:
    """Whether images show anything; if not, an error.

    Parameters
    ----------
    images : Tensor, (n, box, box)
    path : str
        Of the particles, for the message.

    Raises
    ------
    ValueError
        If each of the images has one value all over.
    """
    if not (images != images[:, :1, :1]).any():
        raise ValueError(f"{path}: the images are empty (all pixels the same). Extract them again.")
