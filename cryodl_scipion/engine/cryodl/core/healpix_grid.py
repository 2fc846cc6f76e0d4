# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions spread evenly over the sphere, or over the part of it that a symmetry leaves."""

import numpy as np
from scipy.spatial.transform import Rotation

from .symmetry import operations

HEALPIX_STEP = 58.63  # degrees: square root of the area of one of the 12 base pixels
# a direction that lies beyond the border by so much, in steps, is kept: the grid itself is not symmetric, and there
# must be no gap
BORDER = 0.5
# Of equivalent directions the one nearest to this is kept: beside the pole, so that for C, D and O those are kept that
# RELION keeps. Its local searches do not find others again.
INSIDE = np.array([0.0, 1e-3, 1.0])


def directions(step_deg: float, symmetry: str = "C1") -> np.ndarray:
    """Directions about so far apart: HEALPix's pixel centres, in the ring scheme. Of directions that are equivalent by
    symmetry one is kept; near the borders both may be. step_deg: degrees. symmetry: point group, see
    symmetry.operations. Returns (n, 2), rot and tilt, degrees. Source: Górski et al. (2005), HEALPix."""
    points = healpix(sides(step_deg))
    walls = INSIDE - operations(symmetry)[1:] @ INSIDE  # the planes half-way between INSIDE and its equivalents
    walls = walls / np.linalg.norm(walls, axis=1, keepdims=True)
    x, y, z = points[(points @ walls.T >= -np.sin(np.radians(BORDER * step_deg))).all(axis=1)].T
    return np.degrees(np.stack([np.arctan2(y, x), np.arccos(np.clip(z, -1, 1))], axis=1))


def into_unit(matrices: np.ndarray, symmetry: str) -> np.ndarray:
    """Of each orientation and its equivalents the one whose direction is nearest to INSIDE, (n, 3, 3). matrices:
    (n, 3, 3), from image to density. symmetry: point group, see symmetry.operations."""
    equivalents = np.einsum("sij,njk->nsik", operations(symmetry), matrices)
    best = (equivalents[..., 2] @ INSIDE).argmax(axis=1)
    return equivalents[np.arange(len(best)), best]


def sides(step_deg: float) -> int:
    """HEALPix's Nside whose pixels are about step_deg apart."""
    return max(1, round(HEALPIX_STEP / step_deg))


def in_plane_angles(step_deg: float) -> np.ndarray:
    """Evenly spaced angles psi. step_deg: degrees, about the largest distance. Returns (n,), degrees."""
    count = int(np.ceil(360 / step_deg - 0.5))
    return np.arange(count) * (360 / count) - 180


def healpix(nside: int) -> np.ndarray:
    """(12 nside², 3) unit vectors xyz of the pixels' centres, ring by ring from the north."""
    rings = np.arange(1, 4 * nside)
    cap = np.minimum(rings, 4 * nside - rings)
    polar = cap < nside
    count = np.where(polar, 4 * cap, 4 * nside)
    height = np.where(
        polar, np.sign(2 * nside - rings) * (1 - cap**2 / (3 * nside**2)), (2 * nside - rings) * 2 / (3 * nside)
    )
    offset, z = np.where(polar | ((rings - nside) % 2 == 0), 0.5, 0.0), np.repeat(height, count)
    angle = 2 * np.pi * np.concatenate([np.arange(n) + o for n, o in zip(count, offset)]) / np.repeat(count, count)
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)


def sphere_directions(count: int) -> np.ndarray:
    """(count, 3) directions, evenly spread: a spiral from pole to pole."""
    k = np.arange(count) + 0.5
    z, rotation = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(rotation), ring * np.sin(rotation), z], axis=1)


def ball_of_points(radius: float, step: float, axes: int = 3) -> np.ndarray:
    """(n, axes): the points of a grid through 0 within a radius, nearly even. radius, step: no unit, or of one."""
    axis = np.arange(-int(radius / step + 1e-6), int(radius / step + 1e-6) + 1) * step
    points = np.stack(np.meshgrid(*[axis] * axes, indexing="ij"), axis=-1).reshape(-1, axes)
    return points[(points**2).sum(axis=1) <= radius**2 + 1e-6]


def ball_of_rotations(radius_deg: float, step_deg: float) -> np.ndarray:
    """Small rotations about all axes, (n, 3, 3). radius_deg: degrees, largest angle. step_deg: between neighbours."""
    return Rotation.from_rotvec(ball_of_points(radius_deg, step_deg), degrees=True).as_matrix()
