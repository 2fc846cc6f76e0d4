# SPDX-License-Identifier: GPL-3.0-or-later
"""Radial spectra of micrographs: measured on one grid, used as filters on any other."""

import numpy as np
import torch
import torch.nn.functional as F

from ...simulate.noise import BINS, CORNER


def image_frequencies(shape: tuple[int, ...]) -> torch.Tensor:
    """(h, w // 2 + 1) frequencies of rfft2 of an (h, w) image, cycles per px."""
    return (torch.fft.fftfreq(shape[0])[:, None].square() + torch.fft.rfftfreq(shape[1]).square()).sqrt()


def spectrum_on_grid(spectrum: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """(h, w // 2 + 1) values of a (BINS,) spectrum on the grid of rfft2 of an (h, w) image, straight between bins."""
    values = torch.as_tensor(spectrum, dtype=torch.float32)
    position = (image_frequencies(shape) * (BINS / CORNER) - 0.5).clamp(0, BINS - 1)
    low = position.long().clamp(max=BINS - 2)
    return torch.lerp(values[low], values[low + 1], position - low)


def cross_power(first: torch.Tensor, second: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """(BINS,) radial mean of the product of two (h, w) images' transforms; 1 for white noise of variance 1 with itself.

    mask: (h, w) in [0, 1], by which both were multiplied. Smoothed over neighbouring bins.
    """
    product = (torch.fft.rfft2(first) * torch.fft.rfft2(second).conj()).real.double() / mask.square().sum()
    weight = torch.full_like(product, 2.0)  # columns of rfft2 stand for two, but for the first and an even side's last
    weight[:, 0] = 1.0
    if first.shape[1] % 2 == 0:
        weight[:, -1] = 1.0
    index = (image_frequencies(first.shape) * (BINS / CORNER)).long().clamp(max=BINS - 1)
    sums = torch.stack(
        [torch.bincount(index.flatten(), values.flatten(), BINS) for values in (product * weight, weight)]
    )
    kernel = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    sums = F.conv1d(F.pad(sums[:, None], (2, 2), mode="replicate"), kernel[None, None])[:, 0]
    return (sums[0] / sums[1].clamp(min=1e-12)).numpy()


def plane_mean(spectrum: np.ndarray) -> float:
    """Mean over the plane of Fourier space, up to the circle that a square holds, of a (BINS,) spectrum."""
    area = np.diff(np.minimum(np.linspace(0, CORNER, BINS + 1), 0.5) ** 2)
    return float(np.average(spectrum, weights=np.maximum(area, 0)))
