# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoys of a structure: others of equal mass, size and power spectrum, which noise alone would match as well.

What beats noise is a particle, but not yet this one: any compact density of the right size matches to some extent. The
decoys say to what extent. A mirrored target is none for single particles: its projections are those of the target. In
tomograms it is too much like the target at the resolution of a search, and spheres and shells are too little."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import gammaln, lpmv

from ..core.fourier import from_middle
from ..core.healpix_grid import healpix
from ..core.symmetry import operations

ENVELOPE = 2.0  # voxels: width of the blur whose support is a structure's envelope
GRAIN = 1.0  # voxels: width of the blur of the scrambled density
DEGREES = 12  # of the spherical harmonics that are scrambled: finer than the diameter over ten
RINGS = 16  # HEALPix's Nside of the directions in which a density is sampled for them
TAIL = 50  # places whose scores tell how far apart scores lie without a target


def decoys(target: torch.Tensor, others: list[torch.Tensor], count: int, seed: int = 0) -> list[torch.Tensor]:
    """Densities with the target's mass, radius of gyration and radial power spectrum, in its cube.

    Up to two thirds are other structures: all of them may be relatives of the target. The rest is the target's envelope
    filled with random density, which no molecule has.

    target: (d, d, d), density, its solvent 0. others: (e, e, e), densities of other molecules with the same voxels, the
    hardest to tell from the target first. count: number of decoys. seed: of the random densities."""
    rng = np.random.default_rng(seed)
    size, used = radius_of_gyration(target), others[: 2 * count // 3]
    made = [_resized(other, size / radius_of_gyration(other), len(target)) for other in used]
    made += [_scrambled(target, rng) for _ in range(count - len(made))]
    return [_with_spectrum(volume, target) for volume in made]


def radius_of_gyration(density: torch.Tensor) -> float:
    """Voxels, from the middle of the cube."""
    mass = density.double().clamp(min=0)
    return math.sqrt(float((mass * from_middle(len(density), 3).square()).sum() / mass.sum()))


def _resized(density: torch.Tensor, factor: float, side: int) -> torch.Tensor:
    """The density enlarged about its middle, in a cube of another side."""
    old = len(density)
    axis = (old // 2 + (torch.arange(side) - side // 2) / factor) * (2 / (old - 1)) - 1
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1)
    return F.grid_sample(density[None, None].float(), grid[None].float(), align_corners=True)[0, 0]


def _scrambled(target: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    blurred = gaussian_filter(target.numpy(), ENVELOPE)
    envelope = gaussian_filter((blurred > 0.1 * blurred.max()).astype(np.float32), GRAIN)
    grains = gaussian_filter(rng.standard_normal(target.shape, dtype=np.float32), GRAIN)
    return torch.from_numpy(envelope * np.clip(1 + grains / grains.std(), 0, None))


def _with_spectrum(volume: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The volume with the target's mean amplitude in each shell; the first one is the mass."""
    shell = torch.fft.ifftshift(from_middle(len(target), 3)).round().long()
    mine, wanted = torch.fft.fftn(volume), torch.fft.fftn(target.float())
    power = [torch.bincount(shell.flatten(), one.abs().square().flatten()) for one in (mine, wanted)]
    return torch.fft.ifftn(mine * (power[1] / power[0].clamp(min=1e-30)).sqrt()[shell]).real


def scrambled_harmonics(target: torch.Tensor, count: int, seed: int = 0, symmetry: str = "C1") -> list[torch.Tensor]:
    """Decoys that noise or another particle matches as well as the target in its best orientation, (d, d, d).

    The spherical harmonics of each degree are mixed by a random rotation, the same at all radii. Mass, radial profile,
    power spectrum and the power of each degree stay, and these decide how high a score chance reaches over all
    orientations; the shape is lost.

    target: (d, d, d), density, its solvent 0, around voxel d // 2. count: number of decoys. seed: of the rotations.
    symmetry: point group that decoys have too, see symmetry.operations: that of the search."""
    rng, middle, group = np.random.default_rng(seed), len(target) // 2, operations(symmetry)
    points, reach = healpix(RINGS), middle - 1
    zyx = np.indices(target.shape).reshape(3, -1).T - middle
    radius = np.linalg.norm(zyx, axis=1)
    inside = np.nonzero(radius <= reach)[0]
    radius, zyx = radius[inside], zyx[inside]
    outwards = zyx[:, ::-1] / np.maximum(radius, 1e-9)[:, None]
    along = middle + np.arange(reach + 1)[:, None, None] * points[:, ::-1]
    sampled = map_coordinates(target.cpu().numpy().astype(float), np.moveaxis(along, -1, 0), order=1)
    below = np.minimum(radius.astype(int), reach - 1)
    part, made = radius - below, np.zeros((count, target.numel()))
    for degree in range(DEGREES + 1):
        there, alike = _harmonics(outwards, degree).T, [_harmonics(points @ g, degree) for g in group]
        basis = alike[0].T * (4 * np.pi / len(points))
        profile, symmetric = sampled @ basis, np.mean(alike, 0) @ basis
        for one in made:
            turn, triangle = np.linalg.qr(rng.normal(size=(2 * degree + 1,) * 2))  # a uniform orthogonal matrix
            mixed = profile @ (turn * np.sign(np.diag(triangle)) if degree else np.ones((1, 1))) @ symmetric
            mixed *= np.linalg.norm(profile) / max(float(np.linalg.norm(mixed)), 1e-12)
            ends = [np.einsum("nk,nk->n", mixed[shell], there) for shell in (below, below + 1)]
            one[inside] += ends[0] * (1 - part) + ends[1] * part
    return [_with_spectrum(torch.from_numpy(one).reshape(target.shape).float(), target.cpu()) for one in made]


def _harmonics(xyz: np.ndarray, degree: int) -> np.ndarray:
    """(2 degree + 1, n) real spherical harmonics at unit vectors (n, 3)."""
    orders = np.arange(degree + 1)[:, None]
    norms = (2 - (orders == 0)) * np.exp(gammaln(degree - orders + 1) - gammaln(degree + orders + 1))
    waves = np.exp(1j * orders * np.arctan2(xyz[:, 1], xyz[:, 0])) * lpmv(orders, degree, xyz[:, 2])
    waves *= np.sqrt((2 * degree + 1) / (4 * math.pi) * norms)
    return np.concatenate([waves[:0:-1].imag, waves.real])


def q_values(targets: np.ndarray, rivals: np.ndarray, count: int) -> np.ndarray:
    """The least false discovery rate at which each detection is in: how many of those as good are look-alikes.

    targets: (n,), scores of the places where the target fits best.
    rivals: (m,), scores of the places where one of its decoys does.
    count: decoys of the target: where none of them is, each would win as often as it.
    Returns (n,), at least 1 / (count n), at most 1.
    Source: Barber and Candès (2015), Annals of Statistics 43:2055, for the one that is added."""
    order = np.argsort(-targets, kind="stable")
    beaten = len(rivals) - np.searchsorted(np.sort(rivals), targets[order])
    rates = np.minimum((1 + beaten) / (count * np.arange(1, len(targets) + 1)), 1.0)
    return np.minimum.accumulate(rates[::-1])[::-1][np.argsort(order)]


def threshold_by_decoys(targets: np.ndarray, rivals: np.ndarray, count: int, rate: float) -> float | None:
    """The least score of a detection whose q-value is at most `rate`; None where there is none.

    A few detections cannot have so small a q-value. They count if they are better than all decoys and a gap of the
    scores is below them: without targets the gap below the k-th score is exponential, of a mean that falls with k, and
    the first would not be a target but once in 1 + count.

    targets: (n,), see q_values. rivals: (m,). count: decoys of the target. rate: false discovery rate."""
    good = targets[q_values(targets, rivals, count) <= rate]
    if len(good):
        return float(good.min())
    ranked = np.sort(np.concatenate([targets, rivals]))[::-1]
    clear = int((targets > rivals.max(initial=-np.inf)).sum())
    if not 0 < clear < min(1 / (count * rate), len(ranked) - 2):
        return None
    gaps = np.arange(1, len(ranked)) * -np.diff(ranked)
    first = np.nonzero(np.exp(-gaps[:clear] / gaps[clear : clear + TAIL].mean()) <= (1 + count) * rate / clear)[0]
    return float(ranked[first[-1]]) if len(first) else None


def upper_groups(scores: list[np.ndarray]) -> list[float]:
    """The threshold of each tomogram that parts two groups of detections; below all where they are but one.

    Particles of one kind score around one mean; a relative, which decoys do not stand for, around a lower one. Groups
    are two if scores vary within them less than a quarter as much (halves of evenly spread scores vary so), and e times
    less where 12 are judged: of normal scores at most one sample in a hundred is parted.
    scores: of the detections of each tomogram. As their signals differ, the means of the highest two are made equal.
    The upper group has a fifth of all at least: a few that stand out are no group."""
    levels = [float(np.sort(one)[-2:].mean()) if len(one) else 0.0 for one in scores]
    ranked = np.sort(np.concatenate([one - level for one, level in zip(scores, levels)]))[::-1]
    count = len(ranked)
    least = max(3, -(-count // 5))
    within = [k * ranked[:k].var() + (count - k) * ranked[k:].var() for k in range(least, count - 2)]
    if not within or count * ranked.var() <= 4 * np.exp(12 / count) * min(within):
        return [-np.inf] * len(scores)
    first = least + int(np.argmin(within))
    return [level + float(ranked[first - 1 : first + 1].mean()) for level in levels]
