# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle images as the likelihood sees them: Fourier coefficients with their CTF and the noise's power.

An image X shows the projection P of the structure with transfer T (its CTF) and noise of power N in each coefficient:
log p(X | P) = - sum |X - T P|² / N. Up to what does not depend on P this is 2 Re sum conj(P) (T X / N) - sum |P|² T² /
N: the images enter by `match` = 2 T X / N and `weight` = T² / N alone.
Preparation of particle images (normalisation, resampling), and measurement of contrast and noise."""

import dataclasses
import typing

import numpy as np
import torch

from ..contract import say_if
from ..core.boxes import STEEP, cooled, normalised
from ..core.fourier import circle, fourier_resize, from_middle, radial_mean, resampled_side
from ..core.half_transforms import HalfTransform
from ..core.projections import centre_crop
from ..io.particle_sets import ParticleSet
from ..io.stacks import read_as_stored

SAMPLE = 256  # particles that contrast and noise are measured on
EDGE_PX = 4  # width of the soft edge of the noise's area
WIDEST = 0.98  # of the box: a circle that leaves background in the corners


def prepare(images: torch.Tensor, diameter_px: float, contrast: str = "bright") -> torch.Tensor:
    """Images with bright protein, without hot pixels and steep planes, their background with mean 0 and standard
    deviation 1, as RELION's normalisation.

    images: (n, box, box) float32. diameter_px: px, of the circle around pixel box // 2 that holds the particle; the
    background is what lies outside. contrast: 'bright' or 'dark', of the protein in `images`. Returns (n, box, box), an
    image without any variation becomes zero."""
    radius = min(diameter_px, WIDEST * images.shape[-1]) / 2
    prepared, sound = normalised(cooled(images), radius, contrast == "dark", slope=STEEP)
    return prepared * sound[:, None, None]


def resample(images: torch.Tensor, pixel_size: float, new_pixel_size: float, box: int) -> tuple[torch.Tensor, float]:
    """Images with other pixels, cut or surrounded by zeros around their middle. images: (n, h, h). pixel_size: Å/px.
    new_pixel_size: Å/px, equal sizes change nothing. box: px of the result. Returns images: (n, box, box). pixel_size:
    exact, Å/px: it differs from what was asked for by less than half a pixel over the image."""
    side, exact = resampled_side(images.shape[-1], pixel_size, new_pixel_size)
    return centre_crop(fourier_resize(images, side), box), exact


def noise_spectra(images: torch.Tensor, diameter_px: float) -> torch.Tensor:
    """Power of the noise in each image, measured outside of the particles' circle, (n, box // 2 + 1), at the rings of
    fourier.shells; white noise of variance 1 has the power 1.

    Fine structure of the spectrum is smeared over the few rings that the width of the background can tell apart; ring 0
    has the value of ring 1. images: (n, box, box). diameter_px: px, of the circle that holds the particle."""
    box = images.shape[-1]
    distance = from_middle(box, 2, images.device) - min(diameter_px, WIDEST * box) / 2
    weight = 0.5 - 0.5 * torch.cos(torch.pi * (distance / min(EDGE_PX, box / 16)).clamp(0, 1))
    mean = (images * weight).sum((1, 2), keepdim=True) / weight.sum()
    radial = radial_mean(torch.fft.rfft2((images - mean) * weight).abs().square() / weight.square().sum(), box)
    radial[:, 0] = radial[:, 1]
    return radial


def ring_powers(images: torch.Tensor) -> torch.Tensor:
    """(n, box // 2 + 1) power of each image (n, box, box) at fourier.shells; of white noise of variance 1 it is 1."""
    return radial_mean(torch.fft.rfft2(images).abs().square() / images[0].numel(), images.shape[-1])


def sample_rows(count: int, maximum: int = SAMPLE) -> np.ndarray:
    """Rows that are evenly spread, (m,) int. count: all rows. maximum: rows that are wanted."""
    return np.unique(np.linspace(0, count - 1, min(count, maximum)).round().astype(int))


def sample_images(particles: ParticleSet, maximum: int = SAMPLE) -> np.ndarray:
    """(m,) int as sample_rows, but copies of one image, as symmetry expansion makes, count once: they tell no more."""
    single = np.unique(particles.same_images(), return_index=True)[1]
    return single[sample_rows(len(single), maximum)]


def sample_groups(particles: ParticleSet, maximum: int) -> np.ndarray:
    """(m,) int as sample_rows, of small optics groups more than their part: each must tell of its images' treatment."""
    _, group, sizes = np.unique(particles.columns["rlnOpticsGroup"], return_inverse=True, return_counts=True)
    most = next((most for most in range(maximum, 1, -1) if np.minimum(sizes, most).sum() <= maximum), 1)
    parts = np.split(np.argsort(group, kind="stable"), sizes.cumsum()[:-1])
    rows = np.sort(np.concatenate([part[sample_rows(len(part), most)] for part in parts]))
    return rows[sample_rows(len(rows), maximum)]


SMOOTH = 3e-7  # of the mean power, in fine detail: real raw images had 0.06 to 0.8, and 6e-6 where they came as JPEG


def smoothed_notes(particles: ParticleSet) -> list[str]:
    """Sentences if images that are not marked as denoised lack even noise: in fine detail, around the particles, or of
    their own, as sums of a few components do."""
    rows = sample_images(particles, SAMPLE // 4)
    images = torch.from_numpy(read_as_stored(particles.files[rows], particles.numbers[rows]))
    window, corners = torch.hann_window(particles.box), ~circle(particles.box, WIDEST * particles.box)
    # the median: images with values that are no numbers tell nothing
    power = ring_powers((images - images.mean((1, 2), keepdim=True)) * window[:, None] * window).nanmedian(0).values
    fine, around = power[3 * particles.box // 8 : -1].median(), images[:, corners].var(1).nanmedian()
    pixels = images[:, corners].double()
    pixels = pixels[pixels.var(1) > 0].unique(dim=0)  # joined sets may hold copies in other files
    pixels = pixels[: pixels.shape[1] // 4]  # of noise, so few are no sums of each other
    parts = torch.linalg.eigvalsh(torch.corrcoef(pixels)) if len(pixels) > 1 else torch.ones(1)  # 1 on average
    own = parts[len(parts) // 8] * power.mean()  # an eighth may be nearly alike
    smooth = "in their fine detail: they look denoised, low-pass filtered or enlarged"
    alike = "of their own: they look like sums of a few components, as principal component analysis gives them"
    return [
        f"The images of {particles.path} have no noise {where}. Scores, resolutions and probabilities hold for raw "
        "images only: give those."
        for where, noise in ((smooth, fine), ("around the particles: they look masked", around), (alike, own))
        if noise < SMOOTH * power.mean() and not particles.denoiser
    ][:1] or multiplied_notes(particles)


# slope of the noise's power over what the square of the CTF leaves of it, in detail finer than COARSE of Nyquist: real
# raw images had at most 0.25 (EMPIAR-10028: carbon's Thon rings; 0.8 in coarse detail), multiplied ones at least 0.95
MULTIPLIED, COARSE = 0.6, 0.4
CERTAIN, FEWEST = 3.0, 10  # standard errors; images, whose scatter tells them


def multiplied_notes(particles: ParticleSet) -> list[str]:
    """[sentence] if the noise shows that images were multiplied by their CTF, and the file does not say so."""
    rows, box = sample_images(particles, SAMPLE // 4), particles.box
    known = particles.optics is None or particles.ctf_state in ("multiplied", "divided")
    if known or particles.denoiser or len(rows) < FEWEST:
        return []
    images = torch.from_numpy(read_as_stored(particles.files[rows], particles.numbers[rows]))
    seen, fine = noise_spectra(prepare(images, 0.8 * box), 0.8 * box), slice(int(COARSE * box / 2), box // 2)
    # twice as fine: images that were multiplied in a larger box, and cut, have finer fringes
    shape, window = (2 * box, 2 * box), 1.0 - circle(box, 0.8 * box).float()
    lags = torch.fft.irfft2(torch.fft.rfft2(window, s=shape).abs().square(), s=shape) / window.square().sum()
    left = (torch.fft.irfft2(particles.ctf([row], 2 * box).square(), s=shape) * lags for row in rows)
    expected = torch.cat([radial_mean(torch.fft.rfft2(one).real, 2 * box)[:, ::2] for one in left])
    more, fewer = (power[:, fine] / power[:, fine].mean(0).clamp(min=1e-9) - 1 for power in (seen, expected))
    match, power = (more * fewer).sum(1), fewer.square().sum(1)
    total = power.sum().clamp(min=1e-3)  # images of one CTF tell nothing
    slope = match.sum() / total
    error = (match - slope * power).norm() / total
    return say_if(
        slope - CERTAIN * error > MULTIPLIED,
        f"The noise in the images of {particles.path} is weak where their CTF is, as in images that were multiplied by "
        "it, although the file does not state it. If they were, set rlnCtfDataAreCtfPremultiplied to 1 in its optics "
        "table: their CTF is taken for that of raw images.",
    )


CHUNK = 512  # images that are transformed at a time


@dataclasses.dataclass(frozen=True)
class Observed:
    """match: (n, d) complex64. weight: (n, d) float32. disc: the HalfTransform of both."""

    match: torch.Tensor
    weight: torch.Tensor
    disc: HalfTransform

    def __len__(self) -> int:
        return len(self.match)

    def __getitem__(self, rows: typing.Any) -> "Observed":
        return Observed(self.match[rows], self.weight[rows], self.disc)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where observed images come from, and how they are to be read.

    particles: ParticleSet. diameter_px: of the particle. contrast: 'bright' or 'dark'. ctf_state: as ParticleSet's, or
    'denoised' (no CTF is left). noise: (box // 2 + 1,) power in the images' rings (white noise of variance 1: 1),
    tensor. denoise: called with prepared images and their CTF (None without), gives denoised images; None: raw images
    are compared."""

    particles: ParticleSet
    diameter_px: float
    contrast: str
    ctf_state: str
    noise: torch.Tensor | None = None
    denoise: typing.Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None

    @property
    def power(self) -> torch.Tensor:
        """The noise of a source that measured() gave."""
        return typing.cast("torch.Tensor", self.noise)

    def images(self, rows: typing.Any, device: torch.device | None = None) -> torch.Tensor:
        """(m, box, box) images, normalised, protein bright; denoised if asked for."""
        images = prepare(self.particles.images(rows), self.diameter_px, self.contrast).to(device or "cpu")
        if self.denoise is None:
            return images
        ctf = None if self.particles.optics is None else self.particles.ctf(rows)
        return self.denoise(images, ctf).to(images.device)

    def measured(self) -> "Source":
        """The same source with the noise measured outside of the particles. Of denoised images, which have none: a
        quarter of the images' own power, to begin with (assign.Search.learn measures what remains)."""
        images = self.images(sample_rows(len(self.particles)))
        if self.denoise is None and self.ctf_state != "denoised":
            return dataclasses.replace(self, noise=noise_spectra(images, self.diameter_px).mean(0))
        power = ring_powers(images).mean(0)
        power[0] = power[1]
        return dataclasses.replace(self, noise=0.25 * power)

    def observed(self, rows: typing.Any, disc: HalfTransform) -> Observed:
        """Observed of some rows (array of int), on the disc's device."""
        parts = [self._observed(rows[start : start + CHUNK], disc) for start in range(0, len(rows), CHUNK)]
        return Observed(torch.cat([p.match for p in parts]), torch.cat([p.weight for p in parts]), disc)

    def _observed(self, rows: typing.Any, disc: HalfTransform) -> Observed:
        noise, images = self.power.to(disc.device), self.images(rows, disc.device)
        noise = noise.clamp(min=1e-6 * float(noise.max())) * images.shape[-1] ** 2
        values, inverse = disc.coefficients(images), (1 / noise)[disc.ring]
        if self.denoise is not None or self.ctf_state == "denoised" or self.particles.optics is None:
            return Observed(2 * values * inverse, inverse.expand(len(values), -1).contiguous(), disc)
        transfer = self.particles.ctf(rows, device=disc.device)
        transfer = disc.on_grid(transfer.abs() if self.ctf_state == "flipped" else transfer)
        if self.ctf_state == "multiplied":  # so was the noise: its power is N T, where T is the square of the CTF
            # ring by ring the mean square of the CTF over the images, which the measured noise holds
            mean = self.particles.ctf(sample_rows(len(self.particles), 64), device=disc.device).mean(0)
            inverse = inverse * radial_mean(mean, self.particles.box)[disc.ring]
            return Observed(2 * values * inverse, transfer * inverse, disc)
        return Observed(2 * values * transfer * inverse, transfer.square() * inverse, disc)


AROUND, LEAST = 0.8, 0.05  # of the circle: what lies beyond that and the structure is noise, if it is so large a part


@dataclasses.dataclass(frozen=True)
class AverageSource(Source):
    """2-D class averages, all of the same power: one of ice or of few particles must not outweigh the others. A quarter
    of it is taken for noise. mask_px: diameter of the circle beyond which they do not differ, at most the box: its
    corners are in few of the particles, which were turned."""

    mask_px: float = 0.0

    def images(self, rows: typing.Any, device: torch.device | None = None) -> torch.Tensor:
        return (self.whole(rows) * self.within(self.diameter_px)).to(device or "cpu")

    def whole(self, rows: typing.Any) -> torch.Tensor:
        """The averages before their circle, with the scale that they have within it."""
        images, inside = self.particles.images(rows), self.within(self.diameter_px)
        images = images - images[:, (inside > 0) & (inside < 1)].mean(1)[:, None, None]
        scale = (images * inside).std((1, 2), keepdim=True).clamp(min=1e-30)
        return images / (-scale if self.contrast == "dark" else scale)

    def within(self, diameter_px: float) -> torch.Tensor:
        """(box, box) soft circle; hard edges would let coarse detail into the noise's finer rings."""
        return (0.5 + (diameter_px / 2 - from_middle(self.particles.box)) / 6).clamp(0, 1)

    def around(self, diameter_px: float) -> torch.Tensor:
        """(box // 2 + 1,) the noise beyond a structure, over the averages' power, in rings; 0 if hardly any is seen."""
        widest, inside = max(diameter_px, AROUND * self.diameter_px), self.within(self.diameter_px)
        beyond = self.within(self.mask_px) * (1 - self.within(widest))
        noise, power = (ring_powers(self.whole(slice(None)) * part).mean(0) for part in (beyond, inside))
        part = beyond.square().sum() / inside.square().sum()
        return noise / (part * power).clamp(min=1e-30) * bool(part > LEAST)
