# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs made alike for networks: rescaled, protein bright, flat background, unit noise, bad areas marked. The
measures are robust on purpose: real micrographs have hot pixels, gradients of ice, carbon, and margins that were filled
by shifting frames. None of them may move the scale of the rest."""

import dataclasses
import functools
import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ..core import geometry, tiles

# A border strip is a filled margin if it changes across its edge less than this part of what the image's inside does.
_MARGIN_CONTRAST = 0.25
# A margin made by shift correction is a few per cent of the side; wider strips are not taken for one.
_WIDEST_MARGIN = 0.15
# Normal noise passes 5 sigma once in 1.7 million pixels: beyond lie hot pixels and crystals of gold.
_CLIP_SIGMA = 5.0
_GAP = 4.0  # px, of a network's 16 to 40 across a particle: gaps that fill less than half of so many are filled
# Up to this many values along a side, bicubic interpolation by matrices is quicker than torch's (up to ten times).
_MATRICES = 256
# feature_strength of noise alone is about 0.1 at the networks' scale.
_NOISE_STRENGTH = 0.12


class Measured:
    """What has an image and its valid pixels, and measures it once: crops of it are drawn a thousand times."""

    image: torch.Tensor
    valid: torch.Tensor

    @property
    def clean(self) -> torch.Tensor:
        """(h, w) bool: the valid pixels that decide how strong particles are."""
        return self.valid

    @functools.cached_property
    def _strengths(self) -> dict[typing.Any, typing.Any]:
        return {}

    def strength(self, diameter_px: float) -> float:
        """feature_strength of the image for particles of this diameter (working px)."""
        if diameter_px not in self._strengths:
            self._strengths[diameter_px] = feature_strength(self.bands(diameter_px), self.clean)
        return self._strengths[diameter_px]

    def bands(self, diameter_px: float) -> torch.Tensor:
        """particle_bands of the image for particles of this diameter (working px)."""
        return particle_bands(self.image.float(), self.valid, diameter_px)


@dataclasses.dataclass(frozen=True)
class Prepared(Measured):
    """A micrograph ready for a network. image: (h, w) float32 tensor at the working size; protein bright, background 0,
    noise 1; 0 where not valid. valid: (h, w) bool tensor; False in padding, filled margins and not-a-number areas.
    shape: (h, w) of the file, for positions (core.geometry.map_positions). dirt: (h, w) bool tensor of known dirt."""

    image: torch.Tensor
    valid: torch.Tensor
    shape: tuple[int, ...]
    dirt: torch.Tensor | None = None

    @property
    def clean(self) -> torch.Tensor:
        return _without(self.dirt, self.valid)

    @functools.cached_property
    def _bands(self) -> dict[float, torch.Tensor]:
        return {}

    def bands(self, diameter_px: float) -> torch.Tensor:
        if diameter_px not in self._bands:
            self._bands[diameter_px] = super().bands(diameter_px)
        return self._bands[diameter_px]

    def inverted(self) -> "Prepared":
        """The same with the other sign of protein."""
        other = dataclasses.replace(self, image=-self.image)
        other._bands.update({diameter_px: -bands for diameter_px, bands in self._bands.items()})
        return other


_CLEAN = 0.05  # part of the valid pixels; where less is clean, all are measured


def _without(dirt: torch.Tensor | None, valid: torch.Tensor) -> torch.Tensor:
    clean = valid if dirt is None else valid & ~dirt
    return clean if clean.sum() >= _CLEAN * valid.sum() else valid


def prepare_micrograph(
    image: np.ndarray, factor: float, diameter_px: float, dark_protein: bool = True, dirt: np.ndarray | None = None
) -> Prepared:
    """Rescale and normalise a micrograph. image: (h, w) float32 array as read. factor: working size over file size.
    diameter_px: particle diameter in working pixels; the background is smooth over several of it. dark_protein: True
    for micrographs as the microscope gives them; the sign is inverted. dirt: (h, w) bool, coarser than the image, of
    ice and dirt, which then decide neither background nor noise. Returns Prepared. Raises ValueError for an image
    without contrast (all zeros, say) or mostly not-a-number."""
    small, valid = rescale_micrograph(image, factor)
    return prepare_rescaled(small, valid, image.shape, diameter_px, dark_protein, dirt)


def prepare_rescaled(
    small: torch.Tensor,
    valid: torch.Tensor,
    shape: tuple[int, ...],
    diameter_px: float,
    dark_protein: bool = True,
    dirt: np.ndarray | None = None,
) -> Prepared:
    """Normalise a micrograph that rescale_micrograph has made small. small, valid: of rescale_micrograph. shape: (h, w)
    of the micrograph file. diameter_px, dark_protein, dirt: as for prepare_micrograph. Returns Prepared."""
    there = None if dirt is None else tiles.resized_image(torch.from_numpy(dirt).float(), small.shape) > 0
    flat = _flatten(small, _without(there, valid), diameter_px)
    flat = -flat if dark_protein else flat
    return Prepared((flat.clamp(-_CLIP_SIGMA, _CLIP_SIGMA) * valid).contiguous(), valid, tuple(shape), there)


def rescale_micrograph(image: np.ndarray, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A micrograph at the working size, its median 0 and its outliers clipped, and what of it is really there. image,
    factor: as for prepare_micrograph. Returns a (h, w) float32 and a (h, w) bool tensor, False in padding, filled
    margins and not-a-number areas. Raises as prepare_micrograph does."""
    pixels = torch.from_numpy(np.require(image, np.float32, ["C", "W"]))  # torch wants to be allowed to write
    small, there = _rescale(pixels, _finite_pixels(pixels), geometry.resampled_shape(pixels.shape, factor))
    valid = _unfilled(small) & there
    if valid.float().mean() < 0.02:
        raise ValueError(
            "the image is constant (its detail is nowhere larger than rounding errors), as in an empty or failed "
            "exposure."
        )
    return small, valid


def feature_strength(bands: torch.Tensor, valid: torch.Tensor) -> float:
    """How strong the strongest particle-sized features of a prepared micrograph are, in units of its noise. The 99th
    percentile of its particle_bands over valid pixels: what a locally seeing network cannot know, namely whether a
    faint spot is a particle among its like or dirt beside much stronger particles. bands: (h, w) float, valid: (h, w)
    bool tensors. Never less than that of noise."""
    step = _sampling_step(bands)
    values = bands[::step, ::step][valid[::step, ::step]]
    # torch's quantile sorts all, ten times as slow
    return max(_NOISE_STRENGTH, float(np.quantile(values.numpy(), 0.99))) if len(values) else _NOISE_STRENGTH


def particle_bands(image: torch.Tensor, valid: torch.Tensor, diameter_px: float) -> torch.Tensor:
    """(h, w) difference of Gaussians (0.2 and 0.55 diameters): how far a spot of a particle's size stands out. image:
    (h, w) float, valid: (h, w) bool tensors of Prepared."""
    weight = valid.float()
    return _smooth_within(image, weight, 0.2 * diameter_px) - _smooth_within(image, weight, 0.55 * diameter_px)


def _finite_pixels(image: torch.Tensor) -> torch.Tensor | None:
    """None if every pixel is finite, else a bool mask. Raises ValueError if most are not."""
    if bool(torch.isfinite(image.sum())):  # a sum is finite only if all are: the quick way for good files
        return None
    finite = torch.isfinite(image)
    part = finite.float().mean().item()
    if part < 0.5:
        raise ValueError(f"{100 * (1 - part):.0f} % of the pixels are not numbers (NaN or infinite).")
    return finite


def _rescale(
    image: torch.Tensor, finite: torch.Tensor | None, shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip outliers and resample by area with antialiasing; small gaps, of pixels that are not finite, are filled by
    what is around them. Returns the image, and a bool mask that leaves larger gaps out, both `shape`."""
    sample = image[::7, ::7] if finite is None else image[finite][::49]
    image, deviation = image - sample.median(), _robust_sigma(sample)
    if finite is not None:
        image = torch.where(finite, image, torch.zeros(()))
    # wide limits: carbon and thick ice are not outliers; a hot pixel of 1000 sigma is
    image = image.clamp_(-12 * deviation, 12 * deviation)
    small = tiles.resized_image(image, shape)
    if finite is None:
        return small, torch.ones(shape, dtype=torch.bool)
    fraction = tiles.resized_image(finite.float(), shape)
    near = _smooth(fraction, _GAP)
    return small + (1 - fraction) * _smooth(small, _GAP) / near.clamp(min=1e-3), near > 0.5


def _unfilled(image: torch.Tensor) -> torch.Tensor:
    """(h, w) bool: pixels with detail of their own; False in constant areas and in streaked or constant margins."""
    along_y = (image[1:] - image[:-1]).abs()
    along_x, step = (image[:, 1:] - image[:, :-1]).abs(), _sampling_step(image)
    # means, not medians: in files with few grey levels most neighbours are equal, and a median is 0 or 1 level
    typical = 0.5 * (along_y.mean() + along_x.mean())
    # gold, hot pixels, crystals
    along_y, along_x = (change.clamp(max=4 * float(typical)) for change in (along_y, along_x))
    valid = torch.ones_like(image, dtype=torch.bool)
    if not typical > 1e-6 * image.abs().max().clamp(min=1e-30):
        return ~valid
    for axis, change in ((0, along_y), (1, along_x)):
        profile = (change[:, ::step] if axis == 0 else change[::step]).mean(dim=1 - axis) / typical
        start, end = _margin(profile), _margin(profile.flip(0))
        strip = valid if axis == 0 else valid.T
        if start:
            strip[:start] = False
        if end:
            strip[len(strip) - end :] = False
    # positions where nothing changes over 5 px (masked or zero-filled)
    still = torch.maximum(F.pad(along_y, (0, 0, 0, 1)), F.pad(along_x, (0, 1))) < 1e-3 * typical
    near = F.max_pool2d((~still).float()[None, None], 5, stride=1, padding=2)[0, 0] > 0 if still.any() else ~still
    return valid & near


def _sampling_step(image: torch.Tensor) -> int:
    """Take every so many-th row and column for a median: 200,000 values tell it to 0.2 %, and sorting all is slow."""
    return max(1, int((image.numel() / 2e5) ** 0.5))


def _margin(profile: torch.Tensor) -> int:
    """Width in px of the filled strip that begins a profile of changes between neighbouring lines."""
    low = (profile[: int(len(profile) * _WIDEST_MARGIN)] < _MARGIN_CONTRAST).nonzero()
    if not len(low):
        return 0
    width = int(low[-1]) + 1
    # most of the strip must be filled, or it is just one quiet line further in
    return width + 1 if (profile[:width] < _MARGIN_CONTRAST).float().mean() > 0.6 else 0


def _flatten(image: torch.Tensor, clean: torch.Tensor, diameter_px: float) -> torch.Tensor:
    """Background 0 and noise 1, both estimated over several particle diameters and only from clean pixels."""
    weight, sigma = clean.float(), 2.0 * diameter_px
    flat = image - smooth_background(image, clean, sigma)
    step = _sampling_step(flat)
    scale = _robust_sigma(flat[::step, ::step][clean[::step, ::step]])
    # interpolation overshoots beside wide blank areas: below 0, a root would be no number
    local = _smooth_within(flat.clamp(-4 * scale, 4 * scale) ** 2, weight, sigma).clamp(min=0).sqrt()
    # half-way between one scale for all (dirt stays strong) and a local one (carbon and thick ice calm down)
    return flat / (local.clamp(min=0.3 * scale) * scale).sqrt()


def smooth_background(image: torch.Tensor, valid: torch.Tensor, sigma: float) -> torch.Tensor:
    """(h, w) background of an image: a plane, and what is smooth over `sigma` px beside it, from the valid pixels."""
    plane, weight = _plane(image, valid), valid.float()
    return plane + _smooth_within(image - plane, weight, sigma)


def _plane(image: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(h, w) least-squares plane through the valid pixels: a steep ramp of ice or beam, of which a smooth background
    alone leaves a rest along the edges."""
    step = _sampling_step(image)
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in image.shape]
    weight = valid[::step, ::step].double()
    rows, columns = (torch.stack([a[::step].square(), a[::step], torch.ones_like(a[::step])]) for a in axes)
    moments = rows @ weight @ columns.T  # sums of y², y, 1 times x², x, 1: as quick as one sum over the pixels
    terms = moments[[[0, 1, 1], [1, 2, 2], [1, 2, 2]], [[2, 1, 2], [1, 0, 1], [2, 1, 2]]]
    values = (rows @ (image[::step, ::step] * weight) @ columns.T)[[1, 2, 2], [2, 1, 2]]
    y, x, offset = torch.linalg.solve(terms + 1e-9 * torch.eye(3), values).float()
    return y * axes[0].float()[:, None] + x * axes[1].float()[None, :] + offset


def _robust_sigma(values: torch.Tensor) -> torch.Tensor:
    deviation = 1.4826 * (values - values.median()).abs().median()
    return deviation if deviation > 0 else values.std().clamp(min=1e-12)


def _smooth_within(image: torch.Tensor, weight: torch.Tensor, sigma: float) -> torch.Tensor:
    """_smooth of the pixels whose weight is 1, not 0."""
    if bool(weight.all()):
        return _smooth(image, sigma)
    return _smooth(image * weight, sigma) / _smooth(weight, sigma).clamp(min=1e-3)


def _smooth(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian-like low-pass with nearest borders, computed on a grid `sigma`/2 wide, so that it costs the same."""
    step = max(1, int(sigma / 2))
    coarse = F.interpolate(image[None, None], size=tuple(max(4, side // step) for side in image.shape), mode="area")
    coarse = torch.from_numpy(gaussian_filter(coarse.numpy(), 2, mode="nearest", radius=6, axes=(2, 3)))
    if max(coarse.shape) > _MATRICES:
        return F.interpolate(coarse, size=image.shape, mode="bicubic", align_corners=False)[0, 0]
    rows, columns = (_bicubic(n, few) for n, few in zip(image.shape, coarse.shape[2:]))
    return rows @ coarse[0, 0] @ columns.T


@functools.lru_cache(maxsize=32)
def _bicubic(size: int, few: int) -> torch.Tensor:
    """(size, few) weights by which bicubic interpolation makes `size` values of few ones."""
    return F.interpolate(torch.eye(few)[None, None], size=(size, few), mode="bicubic", align_corners=False)[0, 0]
