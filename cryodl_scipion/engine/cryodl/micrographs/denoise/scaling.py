# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs as their denoiser sees them, and back again: binned to the wanted resolution, flat, with white unit
noise.

Full-size micrographs are nearly all noise, and that noise is not white: motion correction, interpolation and the
detector shape it, and solvent passes through the CTF. A network that compares pixels would learn the noise's own
pattern. So the file is cropped in Fourier space, its slow background taken off, and its Fourier terms divided by the
noise's amplitude, measured on the quietest places. All this is undone afterwards: shape, grey values and background are
those of the file.
Radial spectra of micrographs: measured on one grid, used as filters on any other.
Two views of a micrograph with one signal and independent noise: what its denoiser learns from and works on.
Averages of even and odd frames are such views (noise2noise, Lehtinen et al. 2018; for micrographs Bepler et al. 2020).
Of a micrograph without them, y = signal + noise, y + z and y - z are: where z is Gaussian noise of the same spectrum
and strength as the micrograph's, their noises do not correlate (recorrupted-to-recorrupted, Pang et al. 2021). Unlike a
blind spot, this gives up no pixel, and needs no noise that is independent from pixel to pixel, only a noise whose
spectrum is known.
Both kinds have the noise of half of the dose, so a network that learnt from one kind works on the other."""

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve1d

from ...core import fourier, geometry
from ...io.micrographs import finite_median
from ...simulate.noise import BINS, CORNER, bin_frequencies, measure_spectrum, plane_mean, spectrum_on_grid
from ..normalize import rescale_micrograph, smooth_background


@dataclasses.dataclass(frozen=True)
class WorkingImage:
    """A micrograph ready for the network, and what is needed to come back. image: (h, w) float32 tensor, white noise of
    standard deviation 1. mask: (h, w), 1 where there is an image; it falls softly to 0 towards filled margins and the
    edge, since a step there would ring far into the image. amplitude: (h, w // 2 + 1) of the noise, which the image was
    divided by in Fourier space. scale: grey values per unit. background: (h, w), grey values. shape: of the file."""

    image: torch.Tensor
    mask: torch.Tensor
    amplitude: torch.Tensor
    scale: float
    background: torch.Tensor
    shape: tuple[int, ...]


def cross_power(first: torch.Tensor, second: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """(BINS,) radial mean of the product of two (h, w) images' transforms; 1 for white noise of variance 1 with itself.
    mask: (h, w) in [0, 1], by which both were multiplied. Smoothed over neighbouring bins."""
    product = (torch.fft.rfft2(first) * torch.fft.rfft2(second).conj()).real.double() / mask.square().sum()
    weight = fourier.plane_weights(first.shape[1]).double().expand_as(product)
    index = (fourier.frequencies(first.shape) * (BINS / CORNER)).long().clamp(max=BINS - 1)
    sums = torch.stack([torch.bincount(index.flatten(), v.flatten(), BINS) for v in (product * weight, weight)])
    power, number = convolve1d(sums.numpy(), (1, 2, 3, 2, 1), mode="nearest")
    return np.asarray(power / np.maximum(number, 1e-12))


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
        return _with_filter(images, cross_power(images[0], images[1], mask), mask)
    # of a view, with all of the noise's power and half of the signal's
    return _with_filter(images / 2**0.5, (cross_power(images[0], images[0], mask) - 1) / 2, mask)


def whole_view(working: WorkingImage) -> WienerViews:
    """A micrograph with all of its dose as the only view, for a network that learnt from images without noise."""
    return _with_filter(working.image[None], cross_power(working.image, working.image, working.mask) - 1, working.mask)


def _with_filter(images: torch.Tensor, signal: np.ndarray, mask: torch.Tensor) -> WienerViews:
    """WienerViews of images (n, h, w). signal: (BINS,) its power over that of the noise."""
    signal = np.maximum(signal, 0)
    gain = signal / (signal + 1)
    strength = max(WEAKEST, plane_mean(signal * gain) ** 0.5)
    smooth = fourier.filtered(images, spectrum_on_grid(gain, images.shape[1:])) / strength
    return WienerViews(images, smooth, gain, strength, mask)


def cut_views(views: WienerViews, rows: slice, columns: slice) -> WienerViews:
    """The WienerViews of a part. rows, columns: slices."""
    return dataclasses.replace(
        views,
        images=views.images[:, rows, columns],
        wiener=views.wiener[:, rows, columns],
        mask=views.mask[rows, columns],
    )


def pair(views: WienerViews, generator: torch.Generator | None) -> torch.Tensor:
    """Two inputs of the network, (2, 2, h, w): each view as it is, and filtered. generator: torch's, for noise."""
    images, wiener = views.images, views.wiener
    if len(images) == 1:
        # only where the micrograph has noise of its own: elsewhere the views would be each other's opposite
        noise = torch.randn(images.shape[1:], generator=generator) * views.mask / 2**0.5
        smooth = fourier.filtered(noise, spectrum_on_grid(views.gain, noise.shape)) / views.strength
        images, wiener = torch.cat([images + noise, images - noise]), torch.cat([wiener + smooth, wiener - smooth])
    return torch.stack([images, wiener], 1)


def joined_views(answers: torch.Tensor, views: WienerViews) -> torch.Tensor:
    """(h, w) signal of the micrograph, in units of its WorkingImage's noise, of the network's answers to pair()'s
    inputs. answers: (2, h, w) in units of the strength."""
    return answers.mean(0) * views.strength * (2**0.5 if len(views.images) == 1 else 1)


DEFAULT_RESOLUTION = 8.0  # Å
BACKGROUND = 100.0  # working px (400 Å at 8 Å) over which background is smooth: wider than particles
QUIET_PATCH = 42.0  # working px: "particle diameter" of measure_spectrum, which makes its smallest patches (64 px)
# In crowded micrographs the quietest places still hold parts of particles: so much of the power that is measured there,
# at the particles' frequencies (cycles per working px), is not taken for noise. Without this what is weak is lost: the
# Wiener filter of simulated crowded micrographs correlates with the truth by 0.31, even and odd halves' by 0.375.
LEFTOVER, COARSE = 0.1, (0.12, 0.2)
_SIGNAL_FREE = slice(8, 90)  # bins of a spectrum, up to Nyquist, most of which hold next to no signal
BORDER = 8  # working px: half of what is lost at the edge, where no particle is whole
SMALLEST_SIDE = 128  # working px: fewer have too few patches to tell noise from particles


def denoising_pixel_size(pixel_size: float, resolution: float) -> float:
    """Å/px that holds the resolution (Å); never finer than the file's."""
    return max(pixel_size, resolution / 2)


def working_images(images: typing.Sequence[np.ndarray], factor: float) -> list[WorkingImage]:
    """WorkingImages of one micrograph, or of its even and odd averages, which share spectrum, scale and background.
    images: list of (h, w) float32 arrays of one shape. factor: working px per px of the file, at most 1. Raises
    ValueError for an image without contrast, mostly not-a-number, or too small."""
    mean = images[0] if len(images) == 1 else typing.cast("np.ndarray", sum(images)) / np.float32(len(images))
    shape = geometry.resampled_shape(mean.shape, factor)
    if min(shape) < SMALLEST_SIDE:
        raise ValueError(
            f"it has {shape[1]} x {shape[0]} px at this resolution; at least {SMALLEST_SIDE} are needed to "
            "distinguish particles from noise. Choose a finer --resolution."
        )
    small, valid = rescale_micrograph(mean, factor)
    offset = finite_median(mean[::7, ::7])  # rescale_micrograph takes it off
    background, mask = smooth_background(small, valid, BACKGROUND), _soft(valid)
    flats = [_cropped(image - offset, background, mask, shape) for image in images]
    flat = flats[0] if len(flats) == 1 else typing.cast("torch.Tensor", sum(flats)) / len(flats)
    # of the noise in the quietest positions, about 1 on average
    power = measure_spectrum(flat, QUIET_PATCH, mask > 0.99) * np.interp(bin_frequencies(), COARSE, (1 - LEFTOVER, 1))
    # straight between bins in the logarithm: filtered files fall steeply, files of 8 bits by six orders of magnitude
    amplitude = (0.5 * spectrum_on_grid(np.log(np.maximum(power, 1e-9 * power.max())), flat.shape)).exp()
    whites = [fourier.filtered(f, 1 / amplitude) for f in flats]
    # standard deviation of the white noise, by most frequencies: those of the signal are few
    scale = float(np.mean(np.sqrt([np.median(cross_power(white, white, mask)[_SIGNAL_FREE]) for white in whites])))
    return [
        WorkingImage(white / scale, mask, amplitude, scale, background + offset, tuple(mean.shape)) for white in whites
    ]


def restored(signal: torch.Tensor, working: WorkingImage) -> np.ndarray:
    """(h, w) float32 array of the file's shape and grey values. signal: of the working size, in its noise's units."""
    signal = fourier.filtered(signal, working.amplitude * working.scale) * working.mask
    return (fourier_reshape(signal, working.shape) + _enlarged(working.background, working.shape, "bilinear")).numpy()


def fourier_reshape(image: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """An (h, w) image on a grid of another shape over the same area, by cropping or padding its Fourier transform. Its
    values are kept; the first pixels of both grids coincide."""
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
    sample = flat[::7, ::7]
    limit = 8 * (float(1.4826 * (sample - sample.median()).abs().median()) or float(sample.std()))
    return fourier_reshape(flat.clamp(-limit, limit), shape)


def _soft(valid: torch.Tensor) -> torch.Tensor:
    """(h, w) float: 1 inside of the (h, w) bool area, 0 from its border on, softly over 2 * BORDER px between."""
    soft = 1 - F.max_pool2d(F.pad(1 - valid.float()[None, None], (BORDER,) * 4, value=1.0), 2 * BORDER + 1, stride=1)
    for _ in range(2):
        soft = F.avg_pool2d(F.pad(soft, (BORDER // 2,) * 4, mode="replicate"), BORDER + 1, stride=1)
    return soft[0, 0]


def _enlarged(image: torch.Tensor, shape: tuple[int, ...], mode: str) -> torch.Tensor:
    return F.interpolate(image[None, None], tuple(shape), mode=mode)[0, 0]
