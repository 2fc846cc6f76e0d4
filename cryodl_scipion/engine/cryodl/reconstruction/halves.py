# SPDX-License-Identifier: GPL-3.0-or-later
"""A map and two half-maps of oriented particles, and their Fourier shell correlation."""

import dataclasses
import typing

import numpy as np
import torch

from ..contract import ReconstructConfig
from ..core.backproject import Slices, solve
from ..core.boxes import cooled
from ..core.fourier import from_middle, fsc, resolution_at
from ..core.symmetry import operations
from ..io import particle_sets, subtomograms

EDGE, MASK = 0.05, 0.9  # of the box: width of the mask's soft edge, and its diameter if none is given
SMALLEST = 0.2  # of the box: the least diameter; a search compares detail in proportion to it, and takes hours
CHANCE = 3.0  # standard deviations of the sum over coarse shells that noise has, above which halves agree
MINIMUM = 1e-3  # smallest FSC that a shell is taken to have; the Wiener constant of the whole map comes from it
LEAST = 0.1  # of an image's deviation, taken for its noise: images without noise around are not raised further
LARGEST_PLACE = 0.5  # of the images, at one place: more have coordinates that say nothing


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """whole, half1, half2: (d, d, d) float32 tensors. fsc: (d // 2 + 1,) of the halves in the mask. resolution: Å at
    0.143, or None. mask: (d, d, d)."""

    whole: torch.Tensor
    half1: torch.Tensor
    half2: torch.Tensor
    fsc: torch.Tensor
    resolution: float | None
    mask: torch.Tensor


def split_halves(
    particles: particle_sets.ParticleSet | subtomograms.SubtomogramSet, seed: int, least: float = 0.0
) -> np.ndarray:
    """Halves of particles: rlnRandomSubset, at random without it. Copies of one image, as an expansion by symmetry
    makes them, come into the same half, and so do images of one place where halves are made at random. Returns (n,), 1
    or 2. Raises ValueError if one half is empty or has a smaller part than `least` of all, or if copies are in both."""
    image, halves = particles.same_images(), particles.halves
    if halves is None:
        place = image
        if isinstance(particles, particle_sets.ParticleSet):
            known = particle_sets.same_places(particles)[image]
            # a place of most images is none: the same coordinates stand at all of them
            place = known if np.bincount(known).max() <= LARGEST_PLACE * len(known) else image
        halves = (np.random.default_rng(seed).permutation(int(place.max()) + 1) % 2 + 1)[place]
    counts = [int((halves == half).sum()) for half in (1, 2)]
    needed = max(1, int(np.ceil(least * len(halves))))
    if min(counts) < needed or sum(counts) < len(halves):
        raise ValueError(
            f"{particles.path} has {counts[0]} particles of half 1 and {counts[1]} of half 2 (rlnRandomSubset), of "
            f"{len(halves)}; each half needs at least {needed}, and every particle must belong to one. Give both "
            "halves of a refinement. Without the column, particles are split at random."
        )
    for twice in np.nonzero(np.bincount(np.unique(3 * image + halves) // 3) > 1)[0][:1]:
        raise ValueError(
            f"{particles.path}: {particles.names[int(np.argmax(image == twice))]} occurs several times, in both halves "
            "(rlnRandomSubset). Copies must be in the same half: remove the column, or use that before the expansion."
        )
    return np.asarray(halves)


def half_reconstructions(
    particles: particle_sets.ParticleSet,
    halves: np.ndarray,
    config: ReconstructConfig,
    device: torch.device,
    progress: typing.Callable[[int], typing.Any] = lambda count: None,
) -> Reconstruction:
    """The Reconstruction of particles with angles. Offsets and scales of images, by what lies outside of the circle in
    the box, do not count. halves: (n,), 1 or 2. progress: called with each chunk's size."""
    sums, outside = [], from_middle(particles.box) > particles.box / 2
    for half in (1, 2):
        slices, rows = Slices(particles.box, device), np.nonzero(halves == half)[0]
        for part in np.split(rows, range(slices.chunk(), len(rows), slices.chunk())):
            images = cooled(particles.images(part))
            spread, middle = torch.std_mean(images[:, outside], 1)
            spread = spread.clamp(min=LEAST * images.std((1, 2)).clamp(min=1e-30))[:, None, None]
            images = (images - middle[:, None, None]) / spread
            slices.add(images, *particles.poses(part), *factors(particles, part, slices.padded, config.correct_ctf))
            progress(len(part))
        sums.append(slices.finished(config.symmetry))
        del slices
    box, diameter_px = particles.box, mask_diameter_px(particles, config.mask_diameter)
    maps, mask = [solve(value, weight, box) for value, weight in sums], soft_sphere(box, diameter_px, device)
    curve = fsc(maps[0] * mask, maps[1] * mask).cpu()
    value, weight = (one.add_(other) for one, other in zip(*sums))
    whole = solve(value, weight, box, wiener_constants(curve))
    resolution = resolved(curve, diameter_px, particles.pixel_size, box, config.symmetry)
    return Reconstruction(whole.cpu(), maps[0].cpu(), maps[1].cpu(), curve, resolution, mask.cpu())


def mask_diameter_px(particles: particle_sets.ParticleSet, diameter: float | None) -> float:
    """Diameter of the mask in px. diameter: Å, as asked for. Raises ValueError for one that no particle in such images
    has: wider than they are, or far smaller."""
    width = particles.box * particles.pixel_size
    if diameter is not None and not SMALLEST * width <= diameter <= width:
        raise ValueError(
            f"Mask diameter (--mask-diameter) is {diameter:g} Å, but the images of {particles.path} are "
            f"{width:.0f} Å wide ({particles.box} px x {particles.pixel_size:g} Å). Choose {SMALLEST * width:.0f} to "
            f"{width:.0f} Å, the diameter of the particle, or leave it out to use 0.9 of the box size."
        )
    return MASK * particles.box if diameter is None else diameter / particles.pixel_size


def resolved(curve: torch.Tensor, diameter: float, pixel_size: float, box: int, symmetry: str = "C1") -> float | None:
    """Å at which half-maps' FSC falls below 0.143; None unless they agree by more than chance in all shells up to any
    one: a shell of few Fourier coefficients often reaches 0.143, and of those that a symmetry makes equal one is
    independent. curve: (box // 2 + 1,). diameter: px, of a sphere like the mask. pixel_size: Å/px."""
    shells = torch.arange(len(curve))
    independent = 2 * torch.pi * shells.square() * (torch.pi / 6) * (diameter / box) ** 3 / len(operations(symmetry))
    agree = ((independent * curve).cumsum(0) > CHANCE * independent.cumsum(0).sqrt()).any()
    return resolution_at(curve, 0.143, pixel_size, box) if agree else None


def factors(
    particles: particle_sets.ParticleSet, rows: np.ndarray, side: int, correct_ctf: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Factors and weights of slices; None where there is no CTF to correct.

    The transfer T of an image (see ParticleSet.ctf) is divided out at the end by least squares: T of the slice, T² of
    the weight. Images multiplied by their CTF, T being its square, have noise of power T, too: theirs are 1 and T.

    rows: (m,) int. side: of the slices, px. Returns factors, weights: (m, side, side // 2 + 1), or None."""
    if not correct_ctf or particles.optics is None or particles.denoiser:
        return None, None
    transfer = particles.ctf(rows, box=side)
    return (None, transfer) if particles.ctf_state == "multiplied" else (transfer, transfer.square())


def wiener_constants(curve: torch.Tensor) -> torch.Tensor:
    """One over the signal-to-noise ratio of the whole map, from the FSC F of its halves: FSC of the whole is 2 F / (1 +
    F). Beyond the first shell without any correlation nothing is trusted. curve: (d // 2 + 1,). Returns (d // 2 + 1,).
    Source: Rosenthal and Henderson (2003), Optimal determination of particle orientation, absolute hand, and contrast
    loss in single-particle electron cryomicroscopy."""
    curve = curve.clamp(MINIMUM, 1 - 1e-4)
    gone = torch.cumsum((curve <= MINIMUM).long(), 0) > 0
    whole = torch.where(gone, torch.full_like(curve, MINIMUM), 2 * curve / (1 + curve))
    return (1 - whole) / whole


def soft_sphere(box: int, diameter_px: float, device: torch.device | None = None) -> torch.Tensor:
    """(box, box, box) mask: 1 within the diameter (diameter_px: px), falling to 0 by a cosine over EDGE of the box."""
    return 0.5 + 0.5 * torch.cos(
        torch.pi * ((from_middle(box, 3, device) - diameter_px / 2) / (EDGE * box)).clamp(0, 1)
    )


def looks_inverted(density: torch.Tensor) -> bool:
    """Whether protein is negative in a map (d, d, d): within half the box's radius its values are skewed so."""
    smooth = torch.nn.functional.avg_pool3d(density[None, None], 3, 1)[0, 0]
    inside = smooth[soft_sphere(len(smooth), len(smooth) / 2) > 0.5].double()
    inside = (inside - smooth.double().mean()) / smooth.double().std().clamp(min=1e-30)
    return bool(inside.mean() < -0.3 and (inside**3).mean() < -0.5)
