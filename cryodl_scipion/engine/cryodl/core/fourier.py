# SPDX-License-Identifier: GPL-3.0-or-later
"""Square images and their Fourier transforms: resampling, frequency shells, rotational averages; ring and shell
correlation, and the resolution at which a curve falls below a threshold."""

import typing

import numpy as np
import torch


def fourier_resize(images: torch.Tensor, box: int, axes: int = 2) -> torch.Tensor:
    """Images, or volumes, resampled to another number of pixels over the same field of view, by cropping or padding
    their transforms, (..., box, box), or three times box.

    Values are kept (a constant stays the same), and pixel h // 2 becomes pixel box // 2, so that a particle's centre
    stays the centre. Nothing is aliased: detail that the new pixels cannot hold is taken away.

    images: (..., h, h) or (..., h, h, h) float32. box: px of the result. axes: 2 or 3."""
    side, dims = images.shape[-1], tuple(range(-axes, 0))
    if side == box:
        return images.clone()
    # pixel side // 2 becomes the origin
    transform = torch.fft.rfftn(torch.roll(images, (-(side // 2),) * axes, dims), dim=dims)
    # the highest frequency of an even side, which has no partner, is left out
    low, below = (min(side, box) + 1) // 2, range(-((min(side, box) - 1) // 2), 0)
    kept = [np.ix_(*[[*range(low), *(n + k for k in below)]] * (axes - 1)) for n in (side, box)]
    result = transform.new_zeros((*transform.shape[:-axes], *(box,) * (axes - 1), box // 2 + 1))
    result[(..., *kept[1], slice(low))] = transform[(..., *kept[0], slice(low))]
    return torch.roll(
        torch.fft.irfftn(result, s=(box,) * axes, dim=dims) * (box / side) ** axes, (box // 2,) * axes, dims
    )


def frequencies(
    shape: typing.Sequence[int], pixel_size: float = 1.0, device: torch.device | None = None
) -> torch.Tensor:
    """|q| on the grid of rfftn of an array of that shape, (..., n // 2 + 1), in waves per unit of pixel_size."""
    square = torch.zeros((), device=device)
    for side in shape[:-1]:
        square = square[..., None] + torch.fft.fftfreq(side, pixel_size, device=device) ** 2
    return torch.sqrt(square[..., None] + torch.fft.rfftfreq(shape[-1], pixel_size, device=device) ** 2)


def curve_on_grid(
    curve: np.ndarray, shape: typing.Sequence[int], device: torch.device | None = None, highest: float = 0.5
) -> torch.Tensor:
    """Values of a (bins,) curve, from 0 to the highest frequency per px, on the grid of rfftn of a shape, straight
    between bins; what lies beyond has the value of the last."""
    values = torch.as_tensor(np.asarray(curve), dtype=torch.float32, device=device)
    position = (frequencies(shape, device=device) * (len(values) / highest) - 0.5).clamp(0, len(values) - 1)
    low = position.long().clamp(max=len(values) - 2)
    return torch.lerp(values[low], values[low + 1], position - low)


def rings(shape: typing.Sequence[int], device: torch.device | None = None) -> torch.Tensor:
    """(..., n // 2 + 1) int64 ring or shell of every coefficient of rfftn of a square or a cube of side n = shape[-1].
    Coefficients of the corners have rings above n // 2."""
    return frequencies(shape, 1 / shape[-1], device).round().long()


def shells(box: int) -> torch.Tensor:
    """(box, box // 2 + 1) int64: the nearest whole frequency, in waves per box, of each place on the grid of rfft2."""
    return rings((box, box))


def plane_weights(box: int) -> torch.Tensor:
    """How many places of the whole plane each column of the grid of rfft2 stands for. box: px. Returns (box // 2 + 1,),
    1 or 2."""
    weights = torch.full((box // 2 + 1,), 2.0)
    weights[0] = 1.0
    if box % 2 == 0:
        weights[-1] = 1.0
    return weights


def radial_mean(values: torch.Tensor, box: int) -> torch.Tensor:
    """Means over the rings of `shells`, up to the highest whole frequency; each place counts as often as it stands in
    the whole plane. values: (..., box, box // 2 + 1), on the grid of rfft2. box: px. Returns (..., box // 2 + 1)."""
    index, weights = shells(box).to(values.device), plane_weights(box).to(values.device).expand(box, -1)
    inside, rings = index <= box // 2, box // 2 + 1
    total = values.new_zeros((*values.shape[:-2], rings)).index_add(-1, index[inside], (values * weights)[..., inside])
    return total / values.new_zeros(rings).index_add(0, index[inside], weights[inside].to(values.dtype))


def on_grid(radial: torch.Tensor, box: int) -> torch.Tensor:
    """Values on the grid of rfft2 from means over rings; beyond the last ring, the last. radial: (..., r), as
    radial_mean gives them. box: px. Returns (..., box, box // 2 + 1)."""
    return radial[..., shells(box).to(radial.device).clamp(max=radial.shape[-1] - 1)]


def from_middle(box: int, dimensions: int = 2, device: torch.device | None = None) -> torch.Tensor:
    """Distance of each pixel from pixel box // 2, px: (box, box), or as many dimensions as asked for."""
    axis = (torch.arange(box, device=device) - box // 2).float()
    return torch.stack(torch.meshgrid(*[axis] * dimensions, indexing="ij")).square().sum(0).sqrt()


def circle(box: int, diameter_px: float, device: torch.device | None = None) -> torch.Tensor:
    """Which pixels lie within half a diameter of pixel box // 2, (box, box) bool. box: px. diameter_px: px."""
    axis = torch.arange(box, device=device) - box // 2
    return axis[:, None] ** 2 + axis[None] ** 2 <= (diameter_px / 2) ** 2


def resampled_side(box: int, pixel_size: float, new_pixel_size: float) -> tuple[int, float]:
    """Side that images get with pixels of about another size: a whole number of px must fit, so that the exact size
    differs by less than half a pixel over the box. box: px. pixel_size: Å/px. new_pixel_size: Å/px, that is wanted.
    Returns side: px. pixel_size: exact, Å/px."""
    side = box if abs(pixel_size / new_pixel_size - 1) < 1e-3 else max(2, round(box * pixel_size / new_pixel_size))
    return side, box * pixel_size / side


def filtered(images: torch.Tensor, factor: torch.Tensor | None) -> torch.Tensor:
    """Images times a factor of their Fourier transforms, (..., h, w). images: (..., h, w). factor: (..., h, w // 2 +
    1), on the grid of rfft2; None leaves the images."""
    if factor is None:
        return images
    return torch.fft.irfft2(torch.fft.rfft2(images) * factor.to(images.device), s=images.shape[-2:])


def low_pass(box: int, pixel_size: float, resolution: float) -> torch.Tensor:
    """A low-pass filter with an edge four rings wide against ringing. box: px. pixel_size: Å/px. resolution: Å. Returns
    (box, box // 2 + 1), on the grid of rfft2: 1 up to the resolution, 0 beyond."""
    return (0.5 + (box * pixel_size / resolution - shells(box)) / 4).clamp(0, 1)


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
