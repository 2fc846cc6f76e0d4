# SPDX-License-Identifier: GPL-3.0-or-later
"""Points on the middle surface of membranes, with their normals. Shape of a membrane around points on its middle
surface: curvature, thickness, distance to the next membrane."""

import typing

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from .components import Components, Segmentation
from .points import Points, together

WIDE = 2.5  # thicknesses: radius of the voxels that bending is fitted to
SHAPE_MINIMUM, SHAPE_NEAR = 30, 2048  # voxels that a fit needs, and takes at most
BLOCK = 64  # points at a time
FINE = 0.25  # voxels, steps along the normal
FEW = 64  # vertices of a surface that one stands for, where only the far ones are told


def bending(tree: typing.Any, positions: np.ndarray, normals: np.ndarray, thickness: float) -> np.ndarray:
    """Principal curvatures of the middle surface at some points. A paraboloid is fitted to the heights of the voxels
    around each point over its tangent plane, with weights that fall with the distance; the curvatures are those of its
    shape operator at the point. tree: The voxels (zyx) of one membrane. positions, normals: (n, 3), zyx, voxels; unit
    normals. thickness: Of the membrane, voxels. Returns (2, n): the larger and the smaller curvature, 1/voxel;
    positive where the membrane bulges towards its normal, as a sphere does whose normals point outwards. NaN where
    there are too few voxels for a fit."""
    blocks = (np.array_split(rows, len(positions) // BLOCK + 1) for rows in (positions, normals))
    return np.concatenate([_bending(tree, where, up, max(WIDE * thickness, 4.0)) for where, up in zip(*blocks)], axis=1)


def _around(tree: typing.Any, positions: np.ndarray, radius: float, near: int) -> tuple[np.ndarray, ...]:
    """Of at most `near` voxels of a cKDTree around each position: which are there, (n, near); weights that fall with
    the distance, (n, near); and how far away they lie, (n, near, 3). Zero of those that are not there."""
    distance, index = tree.query(positions, near, distance_upper_bound=radius)
    distance, index = distance.reshape(len(positions), near), index.reshape(len(positions), near)
    there = np.isfinite(distance)
    weight = np.where(there, np.exp(-2 * (np.where(there, distance, 0) / radius) ** 2), 0)
    return there, weight, np.where(there[..., None], tree.data[np.where(there, index, 0)] - positions[:, None], 0)


def _bending(tree: typing.Any, positions: np.ndarray, normals: np.ndarray, radius: float) -> np.ndarray:
    there, weight, offset = _around(tree, positions, radius, min(SHAPE_NEAR, tree.n))
    first = np.cross(normals, np.eye(3)[np.abs(normals).argmin(axis=1)])  # tangents
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    a, b, height = ((offset * axis[:, None]).sum(axis=2) for axis in (first, np.cross(normals, first), normals))
    terms = np.stack([np.ones_like(a), a, b, a * a / 2, a * b, b * b / 2], axis=2)
    weighted = (weight[..., None] * terms).transpose(0, 2, 1)
    solution = np.linalg.solve(weighted @ terms + 1e-6 * np.eye(6), weighted @ height[..., None])[..., 0]
    _, fa, fb, faa, fab, fbb = solution.T
    slope = 1 + fa**2 + fb**2
    mean = ((1 + fb**2) * faa - 2 * fa * fb * fab + (1 + fa**2) * fbb) / (2 * slope**1.5)
    spread = np.sqrt(np.maximum(mean**2 - (faa * fbb - fab**2) / slope**2, 0))
    return np.where(there.sum(axis=1) >= SHAPE_MINIMUM, np.stack([-mean + spread, -mean - spread]), np.nan)


def local_thickness(
    inside: typing.Callable[[np.ndarray], np.ndarray], positions: np.ndarray, normals: np.ndarray, thickness: float
) -> np.ndarray:
    """How far the mask reaches from points along their normals, both ways together. inside: Gives for positions (m, 3)
    zyx how much they lie in the mask, from 0 to 1, interpolated between voxels. positions, normals: (n, 3), zyx,
    voxels; unit normals. thickness: Mean of the membrane, voxels; three times as much is the most that is looked at
    each way. Returns array (n,): voxels; NaN where a point is not in the mask, or the mask does not end."""
    steps, ways = np.arange(0, max(3 * thickness, 6) + FINE, FINE), []
    for sign in (1, -1):
        lines = positions[:, None] + sign * steps[:, None] * normals[:, None]
        values = inside(lines.reshape(-1, 3)).reshape(len(positions), len(steps))
        beyond = values < 0.5
        end = beyond.argmax(axis=1)
        before = np.take_along_axis(values, np.maximum(end - 1, 0)[:, None], 1)[:, 0]
        after = np.take_along_axis(values, end[:, None], 1)[:, 0]
        reach = (end - 1 + (before - 0.5) / np.maximum(before - after, 1e-6)) * FINE
        ways.append(np.where(beyond.any(axis=1) & (end > 0), reach, np.nan))
    return ways[0] + ways[1]


def nearest_others(
    positions: np.ndarray, component_of: np.ndarray, surfaces: typing.Mapping[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The distance of points to the nearest other membrane. positions: (n, 3), zyx. component_of: (n,) int, the
    membrane that each lies on. surfaces: {membrane: array (m, 3) of its middle surface's vertices}, close to each
    other. Returns array (n,), array (n,) int: distance in the units of the positions, infinite if there is no other;
    number of the other membrane, or 0."""
    distance, other = np.full(len(positions), np.inf), np.zeros(len(positions), int)
    for every in (FEW, 1):  # from some vertices first: who is near enough for all of them
        for number, few in ((n, vertices[::every]) for n, vertices in surfaces.items()):
            beside = np.clip(positions, few.min(axis=0, initial=np.inf), few.max(axis=0, initial=-np.inf)) - positions
            away = np.flatnonzero((component_of != number) & (np.linalg.norm(beside, axis=1) * (1 - 1e-9) <= distance))
            found, _ = cKDTree(few).query(positions[away], distance_upper_bound=distance[away].max(initial=0))
            nearer = found < distance[away]
            distance[away[nearer]], other[away[nearer]] = found[nearer], number
    return distance, other


NEAR = 512  # voxels that the surface around a point is fitted to; of denser masks only a part of the voxels is taken
ROUGHLY = 80  # ... for positions that are only tried
MINIMUM = 12  # voxels that a fit needs: it has 6 numbers
MAX_VOXELS = 6_000_000  # of one volume, kept in memory
CANDIDATES = 12  # positions tried per point: fewer leave holes
LINKS = 8  # neighbours that normals are compared with


def on_membranes(
    voxels: np.ndarray, component_of: np.ndarray, thickness: float, spacing: float, seed: int
) -> tuple[np.ndarray, ...]:
    """(zyx, normals, index of the component) of points on the middle surfaces of components, no two of one component
    nearer than the spacing (by some per cent), and few positions farther from all of them than it. voxels: (n, 3) zyx
    of masks, or of an even part of their voxels. component_of: (n,) whole numbers. thickness, spacing: voxels."""
    rng, found = np.random.default_rng(seed), [(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, int))]
    order = np.argsort(component_of, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(component_of[order], prepend=-1))[1:]) if len(order) else []:
        positions, normals = _component(voxels[members].astype(np.float64), thickness, spacing, rng)
        found.append((positions, normals, np.full(len(positions), component_of[members[0]])))
    return tuple(np.concatenate(column) for column in zip(*found))


def _component(
    voxels: np.ndarray, thickness: float, spacing: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    radius, tree = max(1.5 * thickness, 2.5), cKDTree(voxels)
    # the part of the voxels that is enough to begin with
    rough = min(1.0, ROUGHLY / (np.pi * radius**2 * max(thickness, 1)))
    few = cKDTree(voxels[rng.random(len(voxels)) < rough]) if rough * len(voxels) > 10 * ROUGHLY else tree
    count = int(np.clip(CANDIDATES * len(voxels) / max(thickness, 1) / spacing**2, min(len(voxels), 64), len(voxels)))
    positions, _ = fitted(few, voxels[rng.choice(len(voxels), count, replace=False)], radius, 2 * ROUGHLY)
    # again, more exactly and from where they came to lie
    positions, normals = fitted(tree, positions[_apart(positions, spacing, rng)], radius)
    return positions, oriented(positions, normals)


def fitted(tree: typing.Any, positions: np.ndarray, radius: float, near: int = NEAR) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates3D (n, 3) moved along the normal onto the middle of the voxels around them, and unit normals (n, 3). A
    paraboloid is fitted to the voxels nearer than the radius in the frame of their principal axes, with weights that
    fall with the distance, so that curvature biases neither place nor normal. Coordinates3D with too few voxels stay as
    they are, with the normal of the principal axes. tree: cKDTree of the voxels."""
    blocks = np.array_split(positions, len(positions) // 1024 + 1)
    moved, normals = zip(*(_fit(tree, block, radius, min(near, tree.n)) for block in blocks))
    return np.concatenate(moved), np.concatenate(normals)


def _fit(tree: typing.Any, positions: np.ndarray, radius: float, near: int) -> tuple[np.ndarray, np.ndarray]:
    there, weight, offset = _around(tree, positions, radius, near)
    mean = (weight[..., None] * offset).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)[:, None]
    centred = np.where(there[..., None], offset - mean[:, None], 0)
    frame = np.linalg.eigh(_products(weight, centred, centred))[1]  # the first column: the normal
    height, a, b = np.moveaxis(offset @ frame, 2, 0)
    terms = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=2)
    matrix = _products(weight, terms, terms) + 1e-6 * np.eye(6)
    solution = np.linalg.solve(matrix, _products(weight, terms, height[..., None]))[..., 0]
    solution = np.where((there.sum(axis=1) >= MINIMUM)[:, None], solution, 0)
    up = frame[:, :, 0] - solution[:, 1, None] * frame[:, :, 1] - solution[:, 2, None] * frame[:, :, 2]
    return positions + solution[:, 0, None] * frame[:, :, 0], up / np.linalg.norm(up, axis=1, keepdims=True)


def _products(weight: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n, i, j) weighted sums over k of left (n, k, i) times right (n, k, j)."""
    return (weight[..., None] * left).transpose(0, 2, 1) @ right


def _apart(positions: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Indices of positions in random order, without those nearer than the spacing to one before."""
    tree, free, keep = cKDTree(positions), np.ones(len(positions), bool), []
    for index in rng.permutation(len(positions)):
        if free[index]:
            keep.append(index)
            free[tree.query_ball_point(positions[index], spacing)] = False
    return np.array(keep, int)


def oriented(positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The normals of one component, oriented to one side of it (along a minimum spanning tree; Hoppe et al. 1992), the
    outer one of a closed or bent membrane."""
    if len(positions) < 2:
        return normals
    links = min(LINKS, len(positions) - 1)
    distance, other = cKDTree(positions).query(positions, links + 1)
    here = np.repeat(np.arange(len(positions)), links)
    other, distance = other[:, 1:].reshape(-1), distance[:, 1:].reshape(-1)
    rotation = 1 - np.abs((normals[here] * normals[other]).sum(axis=1))
    cost = rotation + 1e-3 * distance / max(distance.max(), 1e-9) + 1e-6  # above 0: a link
    graph = minimum_spanning_tree(coo_array((cost, (here, other)), shape=(len(positions),) * 2).tocsr())
    parts, part = connected_components(graph, directed=False)
    rotated = normals.copy()
    for number in range(parts):
        members = np.flatnonzero(part == number)
        order, before = breadth_first_order(graph, members[0], directed=False)
        for index in order[1:]:
            if rotated[index] @ rotated[before[index]] < 0:
                rotated[index] = -rotated[index]
        if ((positions[members] - positions[members].mean(axis=0)) * rotated[members]).sum() < 0:
            rotated[members] = -rotated[members]
    return rotated


def membrane_points(
    segmentation: Segmentation,
    components: Components,
    numbers: np.ndarray,
    voxels: np.ndarray,
    component_of: np.ndarray,
    thickness: float,
    spacing: float,
    seed: int,
) -> Points:
    """Points on the membranes of some components. voxels, component_of: as of on_membranes, component_of from 0."""
    wanted = np.isin(component_of, numbers)
    zyx, normals, component = on_membranes(voxels[wanted], component_of[wanted], thickness, spacing, seed)
    volumes = components.voxels[component] * (segmentation.pixel_size / 10) ** 3
    return together([Points(zyx, component + 1, volumes, components.scores[component], normals)], directions=True)
