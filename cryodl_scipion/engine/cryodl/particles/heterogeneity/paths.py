# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps along an axis of a latent space: reconstructions of the particles, weighted by how near they are.

Points along the dense regions of a latent space, and the particles near to them."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ...core.frc import fsc
from ...io.particle_sets import ParticleSet
from ...latent.components import FLOOR
from ...latent.cube import Cube, Views, as_complex, hermitian, symmetric
from ...latent.expectation import batches
from ...likelihood import half_disc, observed
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
    way = positions[_shortest(positions, *_ends(positions))]
    fine = np.stack([np.interp(np.linspace(0, 1, 200), np.linspace(0, 1, len(way)), column) for column in way.T], 1)
    fine = gaussian_filter1d(fine, 10, axis=0, mode="nearest")
    nearest = np.sort(cKDTree(fine).query(positions)[1])
    return fine[nearest[((np.arange(count) + 0.5) / count * len(nearest)).astype(int)]] * scale


def _ends(positions: np.ndarray) -> list[int]:
    """Indices of the particles where the way begins and ends: in the middle of those at either end."""
    low, high = np.quantile(positions[:, 0], ENDS)
    ends = positions[positions[:, 0] <= low], positions[positions[:, 0] >= high]
    return [int(((positions - np.median(end, axis=0)) ** 2).sum(1).argmin()) for end in ends]


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


TABLE_BYTES = 4e8  # of the sums of the maps that are made at a time


@dataclasses.dataclass
class ShownPart:
    """A part of the molecule that images show. volume : (box, box, box). views : of all particles."""

    volume: np.ndarray
    views: Views
    _table: np.ndarray | None = dataclasses.field(default=None, init=False)

    def slices(self, cube: Cube, rows: np.ndarray, plane: np.ndarray) -> np.ndarray:
        """(m, d) coefficients of some particles' images without their CTF. plane: (2, d), x and y, waves per box."""
        if self._table is None:
            self._table = cube.table(self.volume)
        matrix = cube.interpolation(self.views.matrices[rows], plane)
        phases = (self.views.shifts[rows] @ plane[::-1]) * (2 * np.pi / cube.box)
        return as_complex(matrix @ self._table).reshape(len(rows), -1) * np.exp(-1j * phases)


def weighted_maps(
    particles: ParticleSet,
    views: Views,
    halves: np.ndarray,
    weights: np.ndarray,
    diameter_px: float,
    contrast: str,
    progress: typing.Callable[[int], typing.Any] | None = None,
    without: tuple[ShownPart, ShownPart] | None = None,
) -> typing.Any:
    """Maps and half-maps of weighted particles at the size of their images.

    views: orientations and shifts. halves: (n,), 1 or 2. weights: (n, k), of each particle in each map. diameter_px:
    outside of it images are normalised, and within it FSC is measured, px. contrast: 'bright' or 'dark'. progress:
    called with the number of particles of each batch. without: pair of ShownPart, what is subtracted from the images of
    half 1, and of half 2. Yields (map, half1, half2): (box, box, box) arrays, and fsc (box // 2 + 1,) of the halves."""
    cube = Cube(particles.box, particles.box / 2 - 1)
    at_once = max(1, int(TABLE_BYTES / (2 * 12 * cube.side**3)))
    for start in range(0, weights.shape[1], at_once):
        part = weights[:, start : start + at_once]
        sums = [
            _sums(particles, views, np.nonzero(halves == half)[0], part, cube, diameter_px, contrast, progress, less)
            for half, less in zip((1, 2), without or (None, None))
        ]
        for number in range(part.shape[1]):
            yield _maps([(match[:, number], weight[:, number]) for match, weight in sums], cube, diameter_px)


def _sums(
    particles: ParticleSet,
    views: Views,
    rows: np.ndarray,
    weights: np.ndarray,
    cube: Cube,
    diameter_px: float,
    contrast: str,
    progress: typing.Callable[[int], typing.Any] | None,
    without: ShownPart | None,
) -> tuple[np.ndarray, np.ndarray]:
    """match (side³, k, 2) and weight (side³, k) of some rows."""
    disc = half_disc.HalfDisc(particles.box, particles.box / 2 - 1)
    y, x, maps = disc.y.numpy(), disc.x.numpy(), weights.shape[1]
    match = np.zeros((cube.side**3, 2 * maps), np.float32)
    weight = np.zeros((cube.side**3, maps), np.float32)
    for part in batches(rows, len(disc)):
        phases = (views.shifts[part] @ np.stack([y, x])) * (2 * np.pi / particles.box)
        transfer = disc.on_grid(particles.ctf(part)).numpy()
        # images that were multiplied by their CTF hold it already
        factor = np.ones_like(transfer) if particles.ctf_state == "multiplied" else transfer
        data = disc.of_images(observed.prepare(particles.images(part), diameter_px, contrast)).numpy()
        if without is not None:
            data = data - transfer * without.slices(cube, part, np.stack([x, y]).astype(np.float32))
        data = data * np.exp(1j * phases) * factor
        matrix = cube.interpolation(views.matrices[part], np.stack([x, y]).astype(np.float32))
        share = weights[part][:, None, :]
        match += matrix.T @ (data[..., None] * share).astype(np.complex64).reshape(-1, maps).view(np.float32)
        weight += matrix.T @ ((transfer * factor)[..., None] * share).astype(np.float32).reshape(-1, maps)
        if progress:
            progress(len(part))
    return hermitian(match, cube.side).reshape(len(match), maps, 2), symmetric(weight, cube.side)


def _maps(
    halves: typing.Sequence[tuple[np.ndarray, np.ndarray]], cube: Cube, diameter_px: float
) -> tuple[tuple[np.ndarray, ...], torch.Tensor]:
    """((map, half1, half2), fsc) of the sums (match, weight) of two halves."""
    found = [_solved(match, weight, cube, None) for match, weight in halves]
    mask = soft_sphere(cube.box, diameter_px).numpy()
    curve = fsc(*(torch.from_numpy(half * mask) for half in found))
    both = (halves[0][0] + halves[1][0], halves[0][1] + halves[1][1])
    return (_solved(*both, cube, wiener_constants(curve).numpy()), *found), curve


def _solved(match: np.ndarray, weight: np.ndarray, cube: Cube, wiener: np.ndarray | None) -> np.ndarray:
    """(box, box, box) of sums; wiener: (rings,) constants in parts of the shell's mean weight, or None."""
    mean = cube.shell_means(weight)
    part = np.full(len(mean), FLOOR)
    if wiener is not None:
        part = np.maximum(wiener[np.minimum(np.arange(len(mean)), len(wiener) - 1)], FLOOR)
    return cube.gridded(match / np.maximum(weight + (mean * part)[cube.ring], 1e-20)[:, None])
