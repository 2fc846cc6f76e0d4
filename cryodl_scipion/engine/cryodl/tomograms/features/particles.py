# SPDX-License-Identifier: GPL-3.0-or-later
"""Splitting of touching particles where they are thin: watershed of the distance to the outside."""

from __future__ import annotations

import typing

import numpy as np

from .points import Points, together
from .segmentation import isolated

if typing.TYPE_CHECKING:
    from .components import Components
    from .segmentation import Segmentation

LARGEST_BOX = 2**24  # voxels; components in larger boxes are split block by block
HALO = 1.5  # particle diameters around a block
FARTHEST = 96  # voxels of it, at most
NO_NECK = 0.9  # of the depth of the shallower of two summits that is left between those of one particle
NEAR = 1.5  # particle diameters, within which summits may be of one particle
FULL = 0.6  # of half a particle's diameter: the depth of a summit that can tell a neck; flat components have none


def split_touching(
    segmentation: Segmentation,
    components: Components,
    numbers: np.ndarray,
    diameter: float,
    locate: typing.Callable[[np.ndarray], np.ndarray],
) -> Points:
    """Points of the particles of some components: centres of mass of the parts, which are not nearer than half a
    diameter.

    segmentation: Segmentation. components: Components. numbers: of the components wanted, from 0. diameter: voxels.
    locate: function of (n, 3) voxels that gives the numbers of their components, from 1.
    """
    sizes = np.prod(np.diff(components.boxes[numbers], axis=2)[:, :, 0], axis=1)
    found = []
    for number in numbers[sizes <= LARGEST_BOX]:
        box = components.boxes[number]
        mask = isolated(segmentation.crop(box)[0], components.firsts[number] - box[:, 0])
        centres, voxels, _ = part(mask, diameter)
        found.append(
            _points(segmentation, centres + box[:, 0], voxels, np.full(len(centres), number + 1), components.scores)
        )
    large = numbers[sizes > LARGEST_BOX]
    if len(large):
        centres, voxels, seeds = _by_blocks(segmentation, components.boxes[large], diameter)
        component = locate(seeds)
        keep = np.isin(component, large + 1)
        found.append(_points(segmentation, centres[keep], voxels[keep], component[keep], components.scores))
    return together(found)


def _points(
    segmentation: Segmentation, centres: np.ndarray, voxels: np.ndarray, component: np.ndarray, scores: np.ndarray
) -> Points:
    volumes = voxels * (segmentation.pixel_size / 10) ** 3
    return Points(centres, component, volumes, scores[component - 1])


def part(mask: np.ndarray, diameter: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of mass (n, 3) zyx, voxels (n,) and one voxel (n, 3) of the particles of a mask (z, y, x).

    diameter: of a particle, voxels.
    """
    from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    mask = np.pad(mask, 1)
    depth = distance_transform_edt(mask).astype(np.float32)
    # unevenness of the surface makes more than one summit
    depth = gaussian_filter(depth, 0.08 * diameter, truncate=3)
    seeds = peak_local_max(
        depth, min_distance=max(1, round(diameter / 2)), labels=mask.astype(np.uint8), exclude_border=False
    )
    if not len(seeds):
        return np.zeros((0, 3)), np.zeros(0, int), np.zeros((0, 3), int)
    numbers = _without_neck(depth, seeds, diameter) + 1
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(seeds.T)] = numbers
    parts = watershed(-depth, markers, mask=mask)
    found, firsts = np.unique(numbers, return_index=True)
    centres = np.array(center_of_mass(mask, parts, found))
    return centres - 1, np.bincount(parts.reshape(-1), minlength=len(found) + 1)[1:], seeds[firsts] - 1


def _without_neck(depth: np.ndarray, seeds: np.ndarray, diameter: float) -> np.ndarray:
    """(n,) numbers from 0 of the particles that seeds are of. A short rod has two summits by chance of the grid: they
    are of one particle if the depth hardly falls on the straight line between them.

    depth: (z, y, x) distance to the outside, voxels. seeds: (n, 3) its summits. diameter: of a particle, voxels. What
    is longer than NEAR of it is no single particle, and keeps its summits.
    """
    from scipy.ndimage import map_coordinates
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    distance = NEAR * diameter
    first, second = cKDTree(seeds).query_pairs(distance, output_type="ndarray").T
    least = np.full(len(first), np.inf)
    for part_way in np.linspace(0, 1, int(np.ceil(distance)) + 2)[1:-1]:
        positions = seeds[first] + part_way * (seeds[second] - seeds[first])
        np.minimum(least, map_coordinates(depth, positions.T, order=1), out=least)
    summits = depth[tuple(seeds.T)]
    shallower = np.minimum(summits[first], summits[second])
    one = (least >= NO_NECK * shallower) & (shallower >= FULL * diameter / 2)
    links = coo_array((one[one], (first[one], second[one])), (len(seeds), len(seeds)))
    count, numbers = connected_components(links, directed=False)
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, numbers, seeds)
    np.maximum.at(high, numbers, seeds)
    long = (np.linalg.norm(high - low, axis=1) > distance)[numbers]
    return np.unique(np.where(long, count + np.arange(len(seeds)), numbers), return_inverse=True)[1].reshape(-1)


def _by_blocks(
    segmentation: Segmentation, boxes: np.ndarray, diameter: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `part`, of all that lies in the boxes: each block has a halo, and keeps the particles whose centre is its
    own."""
    halo = min(int(np.ceil(HALO * diameter)), FARTHEST)
    side = max(64, int(LARGEST_BOX ** (1 / 3)) - 2 * halo)
    found = []
    low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
    starts = np.meshgrid(*(np.arange(a, b, side) for a, b in zip(low, high)), indexing="ij")
    for start in np.stack(starts, -1).reshape(-1, 3):
        stop = np.minimum(start + side, high)
        if not ((boxes[:, :, 0] < stop) & (boxes[:, :, 1] > start)).all(axis=1).any():
            continue
        wide = np.stack([np.maximum(start - halo, 0), np.minimum(stop + halo, segmentation.shape)], axis=1)
        mask = segmentation.read(*map(tuple, wide))[0]
        if not mask[tuple(slice(a, b) for a, b in zip(start - wide[:, 0], stop - wide[:, 0]))].any():
            continue
        centres, voxels, seeds = part(mask, diameter)
        centres, seeds = centres + wide[:, 0], seeds + wide[:, 0]
        mine = ((centres >= start - 0.5) & (centres < stop - 0.5)).all(axis=1)
        found.append((centres[mine], voxels[mine], seeds[mine]))
    centres, voxels, seeds = (np.concatenate(column) for column in zip(*found))
    keep = _apart(centres, voxels, diameter / 2)
    return centres[keep], voxels[keep], seeds[keep]


def _apart(centres: np.ndarray, voxels: np.ndarray, distance: float) -> np.ndarray:
    """Indices of those that have no larger one nearer than the distance: two blocks may see one particle
    differently."""
    from scipy.spatial import cKDTree

    keep = np.ones(len(centres), bool)
    order = np.argsort(-voxels, kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    pairs = cKDTree(centres).query_pairs(distance, output_type="ndarray")
    pairs = np.take_along_axis(pairs, np.argsort(rank[pairs], axis=1), axis=1)
    for better, worse in pairs[np.argsort(rank[pairs[:, 0]], kind="stable")]:
        keep[worse] &= not keep[better]
    return np.flatnonzero(keep)
