# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps along an axis of a latent space: reconstructions of the particles, weighted by how near they are."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ...core import fourier, projections
from ...core.backproject import Transforms, map_of_sums, shell_means, slices_at
from ...core.half_transforms import HalfDisc
from ...io.memory import require_memory
from ...io.particle_sets import ParticleSet
from ...latent import components, expectation
from ...latent.cube import PADDING, Views
from ...likelihood import observed
from ...reconstruction.halves import soft_sphere, wiener_constants

NEIGHBOURS = 12  # of each particle in the graph that a trajectory follows
POWER = 4  # of the distances: many short steps, through dense regions, cost less than a long one through an empty one
SHOWN = 5000  # particles of the graph at most
ENDS = (0.02, 0.98)  # quantiles of the first axis where a trajectory begins and ends


def trajectory(latent: np.ndarray, count: int) -> np.ndarray:
    """`count` points along the densest way from one end of the first axis to the other, (count, k). The way is the
    shortest in the graph of neighbouring particles, lengths being distances to a power, and smoothed; the points lie on
    it at equal distances in the number of particles that are nearest to them. latent: (n, k)."""
    scale = np.maximum(latent.std(axis=0), 1e-12)
    positions = (latent / scale)[np.unique(np.linspace(0, len(latent) - 1, SHOWN).round().astype(int))]
    low, high = np.quantile(positions[:, 0], ENDS)
    ends = positions[positions[:, 0] <= low], positions[positions[:, 0] >= high]
    way = positions[_shortest(positions, *(((positions - np.median(end, 0)) ** 2).sum(1).argmin() for end in ends))]
    fine = np.stack([np.interp(np.linspace(0, 1, 200), np.linspace(0, 1, len(way)), column) for column in way.T], 1)
    fine = gaussian_filter1d(fine, 10, axis=0, mode="nearest")
    nearest = np.sort(cKDTree(fine).query(positions)[1])
    return fine[nearest[((np.arange(count) + 0.5) / count * len(nearest)).astype(int)]] * scale


def _shortest(positions: np.ndarray, start: int, end: int) -> np.ndarray:
    """Indices of the particles on the shortest way from one to another."""
    neighbours = min(NEIGHBOURS, len(positions) - 1)
    distance, index = cKDTree(positions).query(positions, neighbours + 1)
    rows = np.repeat(np.arange(len(positions)), neighbours)
    weight = np.maximum(distance[:, 1:].ravel(), 1e-6) ** POWER
    graph = csr_matrix((weight, (rows, index[:, 1:].ravel())), (len(positions), len(positions)))
    length, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    if not np.isfinite(length[end]):  # parts of the space that no neighbours connect: straight across
        return np.array([start, end])
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return np.array(way[::-1])


def near_points(latent: np.ndarray, points: np.ndarray, per_map: int) -> np.ndarray:
    """Weights of the particles in a map at each point. latent: (n, k). points: (m, k). per_map: particles within one
    standard deviation of a map's Gaussian weights: where the space is dense, they are narrower. Returns (n, m), between
    0 and 1; distances are measured in standard deviations of the coordinates."""
    scale = np.maximum(latent.std(axis=0), 1e-12)
    distance = cdist(latent / scale, points / scale)
    nearest = min(per_map, len(latent)) - 1
    reach = np.partition(distance, nearest, axis=0)[nearest]
    return np.exp(-0.5 * (distance / np.maximum(reach, 1e-12)) ** 2).astype(np.float32)


SUMS_BYTES = 1e9  # of the sums of the maps that are made at a time
NEGLIGIBLE = 1e-8  # of the largest weight in a map, below the rounding of the sums


@dataclasses.dataclass
class ShownPart:
    """A part of the molecule that images show. shown : padded to PADDING times the box. views : of all particles."""

    shown: projections.Projector
    views: Views

    def slices(self, rows: np.ndarray, plane: np.ndarray) -> np.ndarray:
        """(m, d) coefficients of some particles' images without their CTF. plane: (2, d), x and y, waves per box."""
        phases = (self.views.shifts[rows] @ plane[::-1]) * (2 * np.pi / self.shown.side)
        values = slices_at(self.shown.transform, positions(self.views.matrices[rows], plane)).numpy()
        return values.reshape(len(rows), -1) * np.exp(-1j * phases)


def maps_at_once(box: int, wanted: int) -> int:
    """How many of the wanted maps of `box` px are made at a time."""
    return max(1, min(wanted, int(SUMS_BYTES / (12 * (PADDING * box) ** 3))))


def with_room(particles: ParticleSet, wanted: int, domain: bool = False) -> ParticleSet:
    """The particles. Raises TooLittleMemory if there is too little for their maps, with those of a domain or without"""
    each = max(12 * maps_at_once(particles.box, wanted) + 7, (36 + wanted) * domain)  # bytes, at 128, 256 and 400 px
    require_memory(each * (PADDING * particles.box) ** 3, f"A map of {particles.box} px", "Extract with larger pixels.")
    return particles


def weighted_maps(
    particles: ParticleSet,
    views: Views,
    halves: np.ndarray,
    weights: np.ndarray,
    diameter_px: float,
    contrast: str,
    progress: typing.Callable[[int], typing.Any] = lambda count: None,
    without: tuple[ShownPart, ShownPart] | None = None,
) -> typing.Any:
    """Maps and half-maps of weighted particles at the size of their images.

    views: orientations and shifts. halves: (n,), 1 or 2. weights: (n, k), of each particle in each map. diameter_px:
    outside of it images are normalised, and within it FSC is measured, px. contrast: 'bright' or 'dark'. progress:
    called with the number of particles of each batch. without: pair of ShownPart, what is subtracted from the images of
    half 1, and of half 2. Yields (map, half1, half2): (box, box, box) arrays, and fsc (box // 2 + 1,) of the halves."""
    at_once = maps_at_once(particles.box, weights.shape[1])
    for start in range(0, weights.shape[1], at_once):
        part = weights[:, start : start + at_once]
        sums = [
            _sums(particles, views, np.nonzero(halves == half)[0], part, diameter_px, contrast, progress, less)
            for half, less in zip((1, 2), without or (None, None))
        ]
        for number in range(part.shape[1]):
            yield _maps([half.sums(number) for half in sums], particles.box, diameter_px)
        del sums  # before the next ones are made


def _sums(
    particles: ParticleSet,
    views: Views,
    rows: np.ndarray,
    weights: np.ndarray,
    diameter_px: float,
    contrast: str,
    progress: typing.Callable[[int], typing.Any],
    without: ShownPart | None,
) -> Transforms:
    """Sums of some rows' slices, and of their squared transfer, in each map."""
    disc = HalfDisc(particles.box, particles.box / 2 - 1)
    sums, plane = Transforms(PADDING * particles.box, weights.shape[1]), disc.waves.flip(0).numpy()
    rows = rows[(weights[rows] > NEGLIGIBLE * weights[rows].max(axis=0)).any(axis=1)]
    for part in expectation.batches(rows, len(disc)):
        phases = (views.shifts[part] @ plane[::-1]) * (2 * np.pi / particles.box)
        transfer = disc.on_grid(particles.ctf(part)).numpy()
        # images that were multiplied by their CTF hold it already
        factor = np.ones_like(transfer) if particles.ctf_state == "multiplied" else transfer
        data = disc.coefficients(observed.prepare(particles.images(part), diameter_px, contrast)).numpy()
        if without is not None:
            data = data - transfer * without.slices(part, plane)
        data = data * np.exp(1j * phases) * factor
        each = lambda values, kind, share=weights[part].T: (
            (share[..., None] * values).astype(kind).reshape(len(share), -1)
        )
        flat = each(data, np.complex64), each(transfer * factor, np.float32)
        sums.insert(positions(views.matrices[part], plane), *map(torch.from_numpy, flat))
        progress(len(part))
    return sums


def positions(matrices: np.ndarray, plane: np.ndarray) -> torch.Tensor:
    """(3, m d) xyz, in points of a transform of PADDING times the box, of d coefficients of m images. matrices: (m, 3,
    3), from image to density. plane: (2, d), x and y, waves per box."""
    return torch.from_numpy(np.einsum("mij,jd->imd", matrices[:, :, :2], plane * float(PADDING)).reshape(3, -1))


def _maps(
    halves: list[tuple[torch.Tensor, torch.Tensor]], box: int, diameter_px: float
) -> tuple[tuple[np.ndarray, ...], torch.Tensor]:
    """((map, half1, half2), fsc) of the sums (match, weight) of two halves, the first of which become those of both."""
    found = [_solved(match, weight, box, None) for match, weight in halves]
    mask = soft_sphere(box, diameter_px)
    curve = fourier.fsc(*(half * mask for half in found))
    match, weight = (one.add_(other) for one, other in zip(*halves))
    found = [_solved(match, weight, box, wiener_constants(curve)), *found]
    return tuple(volume.numpy() for volume in found), curve


def _solved(match: torch.Tensor, weight: torch.Tensor, box: int, wiener: torch.Tensor | None) -> torch.Tensor:
    """(box, box, box) of sums; wiener: (rings,) constants in parts of the shell's mean weight, or None."""
    mean = shell_means(weight, fourier.plane_weights(len(weight)), PADDING)[: box // 2 + 1]
    part = torch.zeros_like(mean) if wiener is None else wiener
    return map_of_sums(match, weight, box, mean * part.clamp(min=components.FLOOR), PADDING * (box / 2 - 1), PADDING)
