# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier ring and shell correlation, and the resolution at which a curve falls below a threshold."""

import typing

import torch

from .fourier import plane_weights, rings

FAINTEST = 1e-30  # single precision ends at 1e-38
THRESHOLDS = (0.5, 0.143)  # against a known ground truth; between independent halves (Rosenthal and Henderson 2003)


def frc(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Fourier ring correlation of pairs of images.

    first, second: (..., box, box), masked by the caller where that is wanted.
    Returns (..., box // 2 + 1) float32, the correlation of ring k, of frequencies within half a step of k / box cycles
        per px; ring 0, the mean, is 1. A ring without any power in one of the images is 0.
    Raises ValueError if the shapes differ, or images are not square.
    Source: Saxton and Baumeister (1982), The correlation averaging of a regularly arranged bacterial cell envelope
        protein."""
    return _correlation(first, second, 2)


def fsc(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Fourier shell correlation of pairs of maps; as frc. first, second: (..., d, d, d). Returns (..., d // 2 + 1).
    Source: Harauz and van Heel (1986), Exact filters for general geometry three dimensional reconstruction."""
    return _correlation(first, second, 3)


def mean_frc(curve: typing.Any) -> torch.Tensor:
    """Mean of rings 1 to Nyquist, (...). curve: Tensor or ndarray, (..., box // 2 + 1)."""
    return torch.as_tensor(curve)[..., 1:].mean(-1)


def resolution_at(curve: typing.Any, threshold: float, pixel_size: float, box: int) -> float | None:
    """The period in Å at which a curve first falls below a threshold, between rings by straight lines. curve: Tensor or
    ndarray (box // 2 + 1,), ring 0 first. threshold: correlation. pixel_size: Å/px. box: px. In Å; None if ring 1
    is already below (nothing is resolved), Nyquist's period if no ring is below."""
    values = [float(v) for v in curve]
    for ring in range(1, len(values)):
        if not values[ring] >= threshold:  # NaN resolves nothing
            if ring == 1:
                return None
            return box * pixel_size / (ring - 1 + (values[ring - 1] - threshold) / (values[ring - 1] - values[ring]))
    return box * pixel_size / (len(values) - 1)


def ring_frequencies(box: int, pixel_size: float) -> list[float]:
    """Frequency of each ring. box: px. pixel_size: Å/px. Returns (box // 2 + 1,) 1/Å."""
    return [ring / (box * pixel_size) for ring in range(box // 2 + 1)]


def _correlation(first: torch.Tensor, second: torch.Tensor, axes: int) -> torch.Tensor:
    shape = tuple(first.shape[-axes:])
    if first.shape != second.shape or len(shape) != axes or len(set(shape)) > 1:
        raise ValueError(
            f"Images of shape {tuple(first.shape)} and {tuple(second.shape)} cannot be correlated; they "
            f"must have the same shape, with {axes} equal sides."
        )
    side, dims = shape[0], tuple(range(-axes, 0))
    one, two = (torch.fft.rfftn(_scaled(x.float(), dims), dim=dims) for x in (first, second))
    weight, index = plane_weights(side).to(one.device), rings(shape, one.device).flatten()
    inside = index <= side // 2

    def sums(values: torch.Tensor) -> torch.Tensor:
        flat = (values * weight).flatten(-axes)[..., inside].double()
        return flat.new_zeros(flat.shape[:-1] + (side // 2 + 1,)).index_add(-1, index[inside], flat)

    cross, powers = sums((one * two.conj()).real), (sums(one.abs().square()), sums(two.abs().square()))
    curve = cross / (powers[0] * powers[1]).sqrt().clamp(min=1e-300)
    curve[..., 0] = 1.0
    return curve.float()


def _scaled(images: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    """Images with a largest value of 1: squares of very faint ones would be zero in single precision, their products
    not. What is fainter than FAINTEST holds nothing."""
    largest = images.abs().amax(dims, keepdim=True)
    return torch.where(largest > FAINTEST, images / largest.clamp(min=FAINTEST), torch.zeros_like(images))


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Of two tensors of mean 0 over all their values. first, second: (...), of one shape."""
    return float((first * second).mean()) / max(1e-12, float(((first**2).mean() * (second**2).mean()).sqrt()))
