# SPDX-License-Identifier: GPL-3.0-or-later
"""Class averages of whole images, with all of their detail, and the resolution of each.

Class averages in parts, so that no particle is compared with an average that it is in. A particle's own noise makes it
resemble every average that holds it: with a few tens of members a class would never let one go. So the sums of each
class are kept in FOLDS parts, and a part's particles are compared with averages of the others."""

import dataclasses
import math
import typing

import numpy as np
import torch

from ...core import fourier, projections
from ...core.boxes import STEEP, cooled, normalised
from ...core.fourier import frc, resolution_at
from ...reconstruction.halves import factors
from . import polar, records

FOLDS = 10
FEW_SIGNAL = 1e-6  # of the noise: an average without signal is next to 0, not a division by 0
FEW_NOISE = 1e-5  # of a ring's: orders that not even noise has within the mask


class ClassBank:
    """Sums of aligned particles of every class. sums: (FOLDS, k, rings, orders) complex; of samples times CTF over the
    noise. weights: (FOLDS, k, rings); of squared CTF. counts: (FOLDS, k). mirrored: whether the second half of the
    classes are the mirror images of the first, as opposite views of a molecule are; then both share their sums."""

    def __init__(self, grid: polar.PolarGrid, classes: int, device: torch.device) -> None:
        self.grid = grid
        self.sums = torch.zeros((FOLDS, classes, grid.rings, grid.orders), dtype=torch.complex64, device=device)
        self.weights = torch.zeros((FOLDS, classes, grid.rings), device=device)
        self.counts = torch.zeros((FOLDS, classes), device=device)
        self.mirrored = False
        self.first: torch.Tensor | None = None  # signal_to_noise of classes that have no parts yet

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.sums.shape[1]

    def clear(self, fold: int) -> None:
        """Forget a part's sums."""
        self.sums[fold], self.weights[fold], self.counts[fold] = 0, 0, 0

    def add(self, fold: int, labels: torch.Tensor, aligned: torch.Tensor, squared: torch.Tensor) -> None:
        """Add particles to a part. labels: LongTensor, (n,), classes, from 0. aligned: complex Tensor,
        (n, rings, orders). squared: (n, rings), squared CTF."""
        self.sums[fold].index_add_(0, labels, aligned)
        self.weights[fold].index_add_(0, labels, squared)
        self.counts[fold].index_add_(0, labels, torch.ones_like(squared[:, 0]))

    def averages(self, without: int | None = None) -> torch.Tensor:
        """(k, rings, orders) Wiener-filtered averages, whitened; without the particles of a part, if one is named."""
        sums, weights = self.sums.sum(0), self.weights.sum(0)
        if without is not None:
            sums, weights = sums - self.sums[without], weights - self.weights[without]
        if self.mirrored:
            sums, weights = self._shared(sums, weights)
        ratio = self.signal_to_noise()
        return sums * (ratio / (1 + ratio * weights[..., None]))

    def _shared(self, sums: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of mirrored pairs, of (..., k, rings, orders) and (..., k, rings). A mirror image's order m is the
        image's order -m: (-1)^m times the conjugate of m."""
        sign = 1.0 - 2.0 * (torch.arange(sums.shape[-1], device=sums.device) % 2)
        (one, other), parts = sums.chunk(2, -3), weights.chunk(2, -2)
        both = one + sign * other.conj()
        return torch.cat([both, sign * both.conj()], -3), torch.cat([parts[0] + parts[1]] * 2, -2)

    def part_mirrors(self) -> None:
        """Let mirrored classes go their own ways, from the sums that they share now."""
        if self.mirrored:
            self.sums, self.weights = self._shared(self.sums, self.weights)
            self.mirrored = False

    def of(self, classes: np.ndarray) -> "ClassBank":
        """The bank of some of the classes, in this order."""
        bank = ClassBank(self.grid, len(classes), self.sums.device)
        bank.sums, bank.weights, bank.counts = (x[:, classes] for x in (self.sums, self.weights, self.counts))
        return bank

    def signal_to_noise(self) -> torch.Tensor:
        """(rings, orders) power of the signal over that of the noise, from the products of the classes' even and odd
        parts. Orders that a particle of this size cannot have hold noise alone, and so do fine rings."""
        if self.first is not None:
            return self.first
        first, second = (self.sums[part::2].sum(0) for part in (0, 1))
        weights = (self.weights[0::2].sum(0) * self.weights[1::2].sum(0)).sum(0).clamp(min=1e-12)
        return self.over_noise((first.conj() * second).real.sum(0) / weights[:, None])

    def over_noise(self, signal: torch.Tensor) -> torch.Tensor:
        """(rings, orders) power over that of the noise, both as means of neighbouring rings."""
        both = torch.stack([signal, self.grid.noise_share.to(signal.device)])[:, None]
        signal, noise = torch.nn.functional.avg_pool2d(both, (3, 1), 1, (1, 0), count_include_pad=False)[:, 0]
        return (signal / noise.clamp(min=FEW_NOISE)).clamp(min=FEW_SIGNAL)

    def move(self, shifts_yx: torch.Tensor) -> None:
        """Shift the sums of each class by (k, 2) px."""
        phases = self.grid.shift_phases(shifts_yx)
        for part in self.sums:  # a part at a time: the samples of all would take twice the memory
            part.copy_(self.grid.harmonics(self.grid.samples_of(part) * phases))


BATCH = 256  # images at a time
THRESHOLD = 0.5  # of the FRC: the halves of a class share their alignment, which 0.143 would reward
SMALLEST = 0.01  # of the largest weight of a ring: zeros of the CTF are not amplified beyond


@dataclasses.dataclass(frozen=True)
class Averages:
    """Averages of all classes.

    images: (k, box, box) float32, protein bright. resolutions: (k,) Å, nan where nothing is resolved. curves:
    (k, box // 2 + 1) FRC of each class's halves. sums: what they were made of, where it is to be added to."""

    images: torch.Tensor
    resolutions: np.ndarray
    curves: torch.Tensor
    sums: "ImageSums | None" = None


@dataclasses.dataclass(frozen=True)
class ImageSums:
    """Sums of the aligned images of all classes, in two halves. images: (k, 2, box, box), of images times CTF. weights:
    (k, 2, box // 2 + 1), of ring means of the squared CTF."""

    images: torch.Tensor
    weights: torch.Tensor


def average_classes(
    settings: records.ClassSettings,
    rows: np.ndarray,
    labels: np.ndarray,
    image: np.ndarray,
    shifts_yx: np.ndarray,
    phi: np.ndarray,
    classes: int,
    device: torch.device,
    tick: typing.Callable[[int], None],
    before: ImageSums | None = None,
) -> Averages:
    """Average the images of each class, brought onto each other, with their CTF.

    rows: (n,) int, particles, each with a class of `labels` (n,), from 0. image: (n,) int, number of each one's image
    among all, those before as well; copies have the same. shifts_yx: (n, 2) float, px of the particles' images. phi :
    (n,) float, radians; see matching.BestPoses. before: of other particles, to which these are added."""
    particles, box, mask_px = settings.particles, settings.particles.box, settings.mask_px
    before = before or ImageSums(torch.zeros((classes, 2, box, box)), torch.zeros((classes, 2, box // 2 + 1)))
    sums, weights = (part.flatten(0, 1).clone().to(device) for part in (before.images, before.weights))
    # alternate images of a class make its halves: neighbours in the file share a micrograph
    half = (np.unique(np.stack([labels, image], 1), axis=0, return_inverse=True)[1].ravel() + image[:1].sum()) % 2
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        images = normalised(cooled(particles.images(rows[part])), mask_px, dark_protein=False, slope=STEEP)[0]
        transform = torch.fft.rfft2(images.to(device)) * projections.phase_ramp((box, box), -shifts_yx[part], device)
        # times CTF, and the squared CTF
        factor, weight = (x if x is None else x.to(device) for x in factors(particles, rows[part], box, True))
        images = torch.fft.irfft2(transform if factor is None else transform * factor, s=(box, box))
        squared = fourier.radial_mean(torch.ones_like(transform.real) if weight is None else weight, box)
        number = torch.from_numpy(2 * labels[part] + half[part]).to(device)
        rotated = rotated_averages(images, torch.from_numpy(np.asarray(phi[part], np.float32)).to(device))
        sums.index_add_(0, number, settings.scale.sign * rotated)
        weights.index_add_(0, number, squared)
        tick(len(images))
    made = ImageSums(sums.view(classes, 2, box, box), weights.view(classes, 2, -1))
    return dataclasses.replace(wiener_averages(made.images, made.weights, mask_px, particles.pixel_size), sums=made)


def rotated_averages(images: torch.Tensor, phi: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """(n, box, box) images rotated about pixel box // 2 by (n,) radians, from the y axis towards the x axis (which
    undoes a rotation by phi from x towards y); zeros from outside. mode: of grid_sample."""
    box = images.shape[-1]
    axis = torch.arange(box, device=images.device, dtype=torch.float32) - box // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cosine, sine = phi.cos()[:, None, None], phi.sin()[:, None, None]
    grid = 2 * (torch.stack([x * cosine - y * sine, x * sine + y * cosine], -1) + box // 2) / (box - 1) - 1
    return torch.nn.functional.grid_sample(images[:, None], grid, mode=mode, align_corners=True)[:, 0]


def wiener_averages(sums: torch.Tensor, weights: torch.Tensor, mask_px: float, pixel_size: float) -> Averages:
    """Wiener-filtered averages: each ring divided by its weight and times the FRC of the whole class. sums:
    (k, 2, box, box), of aligned images times CTF, of the two halves of each class. weights: (k, 2, box // 2 + 1), sums
    of ring means of the squared CTF. mask_px: radius of the particle, px. pixel_size: Å/px."""
    box = sums.shape[-1]
    soft = (0.5 + (mask_px - fourier.from_middle(box, 2, sums.device)) / 4).clamp(0, 1)
    curves = frc(_divided(sums[:, 0], weights[:, 0]) * soft, _divided(sums[:, 1], weights[:, 1]) * soft)
    smooth = torch.nn.functional.avg_pool1d(curves[:, None], 3, 1, 1, count_include_pad=False)[:, 0].clamp(0, 1)
    # of all members, from that of the halves
    images = _divided(sums.sum(1), weights.sum(1), torch.cummin(2 * smooth / (1 + smooth), dim=1).values)
    found = [resolution_at(curve, THRESHOLD, pixel_size, box) for curve in curves]
    return Averages(images.cpu(), np.array([math.nan if value is None else value for value in found]), curves.cpu())


def _divided(sums: torch.Tensor, weights: torch.Tensor, factor: torch.Tensor | None = None) -> torch.Tensor:
    ratio = 1 / weights.clamp(min=1e-6).maximum(SMALLEST * weights.amax(1, keepdim=True))
    ratio = ratio if factor is None else ratio * factor
    box = sums.shape[-1]
    return torch.fft.irfft2(torch.fft.rfft2(sums) * fourier.on_grid(ratio, box), s=(box, box))
