# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs as their denoiser sees them, and back again: binned to the wanted resolution, flat, with white unit
noise.

Full-size micrographs are nearly all noise, and that noise is not white: motion correction, interpolation and the
detector shape it, and solvent passes through the CTF. A network that compares pixels would learn the noise's own
pattern. So the file is cropped in Fourier space, its slow background taken off, and its Fourier terms divided by the
noise's amplitude, measured on the quietest places. All this is undone afterwards: shape, grey values and background are
those of the file.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...core.fourier import filtered
from ...core.geometry import resampled_shape
from ...simulate.noise import bin_frequencies, measure_spectrum
from ..normalize import rescale_micrograph, smooth_background
from .spectra import cross_power, spectrum_on_grid

DEFAULT_RESOLUTION = 8.0  # Å
BACKGROUND = 100.0  # working px (400 Å at 8 Å) over which background is smooth: wider than particles
QUIET_PATCH = 42.0  # working px: "particle diameter" of measure_spectrum, which makes its smallest patches (64 px)
# In crowded micrographs the quietest places still hold parts of particles: so much of the power that is measured there,
# at the particles' frequencies (cycles per working px), is not taken for noise. Without this what is weak is lost: the
# Wiener filter of simulated crowded micrographs correlates with the truth by 0.31 instead of 0.375, as even and odd
# halves give.
LEFTOVER, COARSE = 0.1, (0.12, 0.2)
_SIGNAL_FREE = slice(8, 90)  # bins of a spectrum, up to Nyquist, most of which hold next to no signal
BORDER = 8  # working px: half of what is lost at the edge, where no particle is whole
SMALLEST_SIDE = 128  # working px: fewer have too few patches to tell noise from particles


@dataclasses.dataclass(frozen=True)
class WorkingImage:
    """A micrograph ready for the network, and what is needed to come back.

    image: (h, w) float32 tensor, white noise of standard deviation 1. mask: (h, w), 1 where there is an image; it falls
    softly to 0 towards filled margins and the edge, since a step there would ring far into the image.
    amplitude: (h, w // 2 + 1) of the noise, which the image was divided by in Fourier space. scale: grey values per
    unit.
    background: (h, w), grey values. shape: (h, w) of the file.
    """

    image: torch.Tensor
    mask: torch.Tensor
    amplitude: torch.Tensor
    scale: float
    background: torch.Tensor
    shape: tuple[int, ...]


def denoising_pixel_size(pixel_size: float, resolution: float) -> float:
    """Å/px that holds the resolution (Å); never finer than the file's."""
    return max(pixel_size, resolution / 2)


def working_images(images: typing.Sequence[np.ndarray], factor: float) -> list[WorkingImage]:
    """WorkingImages of one micrograph, or of its even and odd averages, which share spectrum, scale and background.

    images: list of (h, w) float32 arrays of one shape. factor: working px per px of the file, at most 1.
    Raises ValueError for an image without contrast, mostly not-a-number, or too small.
    """
    mean = images[0] if len(images) == 1 else typing.cast("np.ndarray", sum(images)) / np.float32(len(images))
    shape = resampled_shape(mean.shape, factor)
    if min(shape) < SMALLEST_SIDE:
        raise ValueError(
            f"it has {shape[1]} x {shape[0]} px at this resolution; at least {SMALLEST_SIDE} are needed to "
            "distinguish particles from noise. Choose a finer --resolution."
        )
    small, valid = rescale_micrograph(mean, factor)
    offset = _median(mean)  # rescale_micrograph takes it off
    background, mask = smooth_background(small, valid, BACKGROUND), _soft(valid)
    flats = [_cropped(image - offset, background, mask, shape) for image in images]
    flat = flats[0] if len(flats) == 1 else typing.cast("torch.Tensor", sum(flats)) / len(flats)
    amplitude = _noise_amplitude(flat, mask)
    whites = [filtered(f, 1 / amplitude) for f in flats]
    scale = float(np.mean([_noise_sigma(white, mask) for white in whites]))
    return [
        WorkingImage(white / scale, mask, amplitude, scale, background + offset, tuple(mean.shape)) for white in whites
    ]


def restored(signal: torch.Tensor, working: WorkingImage) -> np.ndarray:
    """(h, w) float32 array of the file's shape and grey values. signal: (h, w) of the working size, in units of its
    noise."""
    signal = filtered(signal, working.amplitude * working.scale) * working.mask
    return (fourier_reshape(signal, working.shape) + _enlarged(working.background, working.shape, "bilinear")).numpy()


def fourier_reshape(image: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """An (h, w) image on a grid of another shape over the same area, by cropping or padding its Fourier transform.

    Its values are kept; the first pixels of both grids coincide.
    """
    if tuple(shape) == tuple(image.shape):
        return image
    # highest frequencies that both grids hold with their negative: a Nyquist row has no partner on the other grid
    rows, columns = ((min(pair) - 1) // 2 for pair in zip(image.shape, shape))
    transform = torch.fft.rfft2(image)
    result = torch.zeros((shape[0], shape[1] // 2 + 1), dtype=transform.dtype)
    result[: rows + 1, : columns + 1] = transform[: rows + 1, : columns + 1]
    result[-rows:, : columns + 1] = transform[-rows:, : columns + 1]
    return torch.fft.irfft2(result, s=tuple(shape)) * (shape[0] * shape[1] / image.numel())


def _cropped(image: np.ndarray, background: torch.Tensor, mask: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The file less its background at the working size; filled areas 0, hot pixels clipped."""
    flat = torch.from_numpy(np.require(image, np.float32, ["C", "W"])) - _enlarged(background, image.shape, "bilinear")
    flat = torch.where(torch.isfinite(flat), flat, torch.zeros(())) * _enlarged(mask, image.shape, "bilinear")
    limit = 8 * _robust_sigma(flat[::7, ::7])
    return fourier_reshape(flat.clamp(-limit, limit), shape)


def _soft(valid: torch.Tensor) -> torch.Tensor:
    """(h, w) float: 1 inside of the (h, w) bool area, 0 from its border on, softly over 2 * BORDER px between."""
    outside = F.pad(1 - valid.float()[None, None], (BORDER,) * 4, value=1.0)
    soft = 1 - F.max_pool2d(outside, 2 * BORDER + 1, stride=1)
    for _ in range(2):
        soft = F.avg_pool2d(F.pad(soft, (BORDER // 2,) * 4, mode="replicate"), BORDER + 1, stride=1)
    return soft[0, 0]


def _enlarged(image: torch.Tensor, shape: tuple[int, ...], mode: str) -> torch.Tensor:
    """An (h, w) image on a finer grid over the same area."""
    return F.interpolate(image[None, None], tuple(shape), mode=mode)[0, 0]


def _noise_amplitude(flat: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(h, w // 2 + 1) amplitude of the noise in the quietest positions, about 1 on average."""
    power = measure_spectrum(flat, QUIET_PATCH, mask > 0.99)
    power = power * np.interp(bin_frequencies(), COARSE, (1 - LEFTOVER, 1))
    # straight between bins in the logarithm: filtered files fall steeply, files of 8 bits by six orders of magnitude
    return (0.5 * spectrum_on_grid(np.log(np.maximum(power, 1e-9 * power.max())), flat.shape)).exp()


def _noise_sigma(white: torch.Tensor, mask: torch.Tensor) -> float:
    """Standard deviation of white noise in an image, by most frequencies: those of the signal are few."""
    return float(np.median(cross_power(white, white, mask)[_SIGNAL_FREE])) ** 0.5


def _median(image: np.ndarray) -> float:
    sample = image[::7, ::7]
    return float(np.median(sample[np.isfinite(sample)])) if np.isfinite(sample).any() else 0.0


def _robust_sigma(values: torch.Tensor) -> float:
    return float(1.4826 * (values - values.median()).abs().median()) or float(values.std())
