# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape of a membrane around points on its middle surface: curvature, thickness, distance to the next membrane."""

from __future__ import annotations

import typing

import numpy as np

WIDE = 2.5  # thicknesses: radius of the voxels that bending is fitted to
MINIMUM, NEAR = 30, 2048  # voxels that a fit needs, and takes at most
BLOCK = 256  # points at a time
FINE = 0.25  # voxels, steps along the normal


def bending(
    tree: typing.Any, positions: np.ndarray, normals: np.ndarray, thickness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Principal curvatures of the middle surface at some points.

    A paraboloid is fitted to the heights of the voxels around each point over its tangent plane, with weights that
    fall with the distance; the curvatures are those of its shape operator at the point.

    Parameters
    ----------
    tree : scipy.spatial.cKDTree
        The voxels (zyx) of one membrane.
    positions, normals : arrays (n, 3)
        zyx, voxels; unit normals.
    thickness : float
        Of the membrane, voxels.

    Returns
    -------
    arrays (n,)
        The larger and the smaller curvature, 1/voxel; positive where the membrane bulges towards its normal, as a
        sphere does whose normals point outwards. NaN where there are too few voxels for a fit.
    """
    found = np.full((2, len(positions)), np.nan)
    for start in range(0, len(positions), BLOCK):
        part = slice(start, start + BLOCK)
        found[:, part] = _bending(tree, positions[part], normals[part], max(WIDE * thickness, 4.0))
    return found[0], found[1]


def _bending(tree: typing.Any, positions: np.ndarray, normals: np.ndarray, radius: float) -> np.ndarray:
    near = min(NEAR, tree.n)
    distance, index = tree.query(positions, near, distance_upper_bound=radius)
    distance, index = distance.reshape(len(positions), near), index.reshape(len(positions), near)
    there = np.isfinite(distance)
    weight = np.where(there, np.exp(-2 * (np.where(there, distance, 0) / radius) ** 2), 0)
    offset = np.where(there[..., None], tree.data[np.where(there, index, 0)] - positions[:, None], 0)
    first, second = tangents(normals)
    a, b, height = ((offset * axis[:, None]).sum(axis=2) for axis in (first, second, normals))
    terms = np.stack([np.ones_like(a), a, b, a * a / 2, a * b, b * b / 2], axis=2)
    weighted = (weight[..., None] * terms).transpose(0, 2, 1)
    solution = np.linalg.solve(weighted @ terms + 1e-6 * np.eye(6), weighted @ height[..., None])[..., 0]
    _, fa, fb, faa, fab, fbb = solution.T
    slope = 1 + fa**2 + fb**2
    mean = ((1 + fb**2) * faa - 2 * fa * fb * fab + (1 + fa**2) * fbb) / (2 * slope**1.5)
    gaussian = (faa * fbb - fab**2) / slope**2
    spread = np.sqrt(np.maximum(mean**2 - gaussian, 0))
    curvatures = np.stack([-mean + spread, -mean - spread])
    return np.where(there.sum(axis=1) >= MINIMUM, curvatures, np.nan)


def tangents(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors (n, 3) each, at right angles to unit normals (n, 3) and to each other."""
    axis = np.eye(3)[np.abs(normals).argmin(axis=1)]
    first = np.cross(normals, axis)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(normals, first)


def local_thickness(
    inside: typing.Callable[[np.ndarray], np.ndarray], positions: np.ndarray, normals: np.ndarray, thickness: float
) -> np.ndarray:
    """How far the mask reaches from points along their normals, both ways together.

    Parameters
    ----------
    inside : callable
        Gives for positions (m, 3) zyx how much they lie in the mask, from 0 to 1, interpolated between voxels.
    positions, normals : arrays (n, 3)
        zyx, voxels; unit normals.
    thickness : float
        Mean of the membrane, voxels; three times as much is the most that is looked at each way.

    Returns
    -------
    array (n,)
        Voxels; NaN where a point is not in the mask, or the mask does not end.
    """
    steps = np.arange(0, max(3 * thickness, 6) + FINE, FINE)
    ways = []
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
    """The distance of points to the nearest other membrane.

    Parameters
    ----------
    positions : array (n, 3)
        zyx.
    component_of : array (n,) int
        The membrane that each lies on.
    surfaces : dict
        {membrane: array (m, 3) of its middle surface's vertices}, close to each other.

    Returns
    -------
    array (n,), array (n,) int
        Distance in the units of the positions, infinite if there is no other; number of the other membrane, or 0.
    """
    from scipy.spatial import cKDTree

    distance, other = np.full(len(positions), np.inf), np.zeros(len(positions), int)
    for number, vertices in surfaces.items():
        away = np.flatnonzero(component_of != number)
        if not len(vertices) or not len(away):
            continue
        found, _ = cKDTree(vertices).query(positions[away], distance_upper_bound=float(distance[away].max()))
        nearer = found < distance[away]
        distance[away[nearer]], other[away[nearer]] = found[nearer], number
    return distance, other
