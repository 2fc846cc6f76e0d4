# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses of a domain in the maps along a motion, and the resulting orientations and shifts of the particles' domains."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

MASKED = 0.5  # of the mask, from which a voxel belongs to the domain
EDGE = 0.1  # of the mask, where its surroundings begin
REACH = 0.4  # of the domain's radius: how far around the mask maps are compared
MAX_VOXELS = 4000  # that are compared
MAX_STEPS = 10  # of the fit of one map in each round
ROUNDS, PARTS = 6, 3  # of positions, and of rest and domain within each
OWN = 0.1  # of the density within the mask that is taken from the rest to the domain in each part of a round
BLUR = 1.0  # px, of the maps when they are compared
MIN_VOXELS = 30


@dataclasses.dataclass(frozen=True)
class DomainMotion:
    """Where a domain lies in maps, relative to one of them: x becomes rotation (x - centre) + centre + shift.

    rotations : (k, 3) rotation vectors, radians, xyz. shifts : (k, 3) px, xyz. centre : (3,) px from the middle of the
    box, xyz. alike : (k,) correlation of the domain with itself after that.
    """

    rotations: np.ndarray
    shifts: np.ndarray
    centre: np.ndarray
    alike: np.ndarray


def follow_domain(maps: list[np.ndarray], mask: np.ndarray) -> DomainMotion:
    """Fit the domain of the middle map, as a rigid body, to each of the maps, beside a rest that stays.

    Each map is a rest that all maps share plus the domain, which lies within the mask in the middle map. In turn the
    domain's position in each map, and rest and domain by least squares, are found: density beside the domain that stays
    comes into the rest, although it lies within the mask.

    Parameters
    ----------
    maps : list of ndarray, (box, box, box)
        In their order along the motion.
    mask : ndarray, (box, box, box)
        Where the domain is in the middle map.

    Raises
    ------
    ValueError
        The mask holds hardly any voxels.
    """
    positions = np.argwhere(mask > MASKED)
    if len(positions) < MIN_VOXELS:
        raise ValueError(
            f"The mask of the domain has {len(positions)} voxels above {MASKED:g}; at least {MIN_VOXELS} are "
            "needed. Give a mask that is 1 in the domain."
        )
    xyz = (positions - mask.shape[0] // 2)[:, ::-1].astype(float)
    centre = xyz.mean(0)
    radius = max(1.0, float(np.sqrt(((xyz - centre) ** 2).sum(1).mean())))
    smooth, middle = np.stack([gaussian_filter(m.astype(float), BLUR) for m in maps]), len(maps) // 2
    rest = smooth.mean(0) * (1 - mask) + np.maximum(smooth.min(0), 0) * mask
    body = _Body(mask * (smooth[middle] - rest), centre, radius, mask)
    found, alike = np.zeros((len(maps), 6)), np.ones(len(maps))
    for _ in range(ROUNDS):
        for way in (range(middle + 1, len(maps)), range(middle - 1, -1, -1)):
            last = np.zeros(6)
            for number in way:
                start = found[number] if found[number].any() else last
                last, alike[number] = body.fit(smooth[number] - rest, start)
                found[number] = last
        rest = _separate(smooth, rest, body, found)
    return DomainMotion(found[:, :3] / radius, found[:, 3:], centre, alike)


class _Body:
    """The domain's density, and where it may come to lie.

    density : (box, box, box), within the mask. centre : (3,) px, xyz. radius : px. positions: of voxels, (v, 3).
    """

    def __init__(self, density: np.ndarray, centre: np.ndarray, radius: float, mask: np.ndarray) -> None:
        self.density, self.centre, self.radius, self.mask = density, centre, radius, mask
        near = binary_dilation(mask > EDGE, iterations=max(2, round(REACH * radius)))
        self.positions = np.argwhere(near)
        self.xyz = (self.positions - mask.shape[0] // 2)[:, ::-1].astype(float)
        self.step = -(-len(self.positions) // MAX_VOXELS)

    def shown(self, values: np.ndarray, step: int = 1) -> np.ndarray:
        """(v,) the density at the places, once it was moved. values : (6,) rotation vector times radius, and shift."""
        rotation = Rotation.from_rotvec(values[:3] / self.radius).as_matrix()
        return _sampled(self.density, (self.xyz[::step] - self.centre - values[3:]) @ rotation + self.centre)

    def brought_back(self, volume: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(v,) a volume at the positions, moved the other way."""
        rotation = Rotation.from_rotvec(values[:3] / self.radius).as_matrix()
        return _sampled(volume, (self.xyz - self.centre) @ rotation.T + self.centre + values[3:])

    def fit(self, volume: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Rotation vector times radius and shift, (6,) px, at which the density is most like a volume; correlation."""
        wanted = volume[tuple(self.positions[:: self.step].T)]
        found = least_squares(
            lambda values: wanted - self.shown(values, self.step), start, diff_step=0.02, max_nfev=MAX_STEPS
        )
        seen = self.shown(found.x, self.step)
        alike = np.corrcoef(seen, wanted)[0, 1] if np.ptp(seen) > 0 and np.ptp(wanted) > 0 else 0.0
        return found.x, float(alike)


def _sampled(volume: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """(v,) values of a volume at (v, 3) px from its middle."""
    return map_coordinates(volume, (xyz[:, ::-1] + volume.shape[0] // 2).T, order=1)


def _separate(maps: np.ndarray, rest: np.ndarray, body: _Body, found: np.ndarray) -> np.ndarray:
    """The rest (box, box, box), once it and the body's density were fitted in turn to the maps."""
    index, rest = tuple(body.positions.T), rest.copy()
    for _ in range(PARTS):
        rest[index] = np.mean([m[index] - body.shown(values) for m, values in zip(maps, found)], axis=0)
        rest *= 1 - OWN * body.mask
        density = np.zeros_like(rest)
        density[index] = np.mean([body.brought_back(m - rest, values) for m, values in zip(maps, found)], axis=0)
        body.density = density * body.mask
    return rest


def domain_poses(
    motion: DomainMotion, weights: np.ndarray, matrices: np.ndarray, shifts_yx: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Orientations and shifts at which the particles' images show the domain as it lies in the middle map.

    Parameters
    ----------
    weights : ndarray, (n, k)
        Of each particle in each map.
    matrices : ndarray, (n, 3, 3)
        From image to density.
    shifts_yx : ndarray, (n, 2)
        px.

    Returns
    -------
    angles : ndarray, (n, 3)
        Rot, tilt, psi in degrees.
    shifts_yx : ndarray, (n, 2)
        px.
    """
    total = np.maximum(weights.sum(1), 1e-30)
    along = weights @ np.arange(weights.shape[1]) / total
    # a map shows the mean of its particles, which lies nearer to the middle than its own position
    maps = np.maximum.accumulate(weights.T @ along / np.maximum(weights.sum(0), 1e-30))
    values = np.concatenate([motion.rotations, motion.shifts], axis=1)
    each = np.stack([np.interp(along, maps, column) for column in values.T], axis=1)
    rotation = Rotation.from_rotvec(each[:, :3]).as_matrix()
    moved = motion.centre + each[:, 3:] - rotation @ motion.centre
    offset = np.einsum("nji,nj->ni", matrices, moved)  # in the frame of the image
    rotated = Rotation.from_matrix(np.einsum("nji,njk->nik", rotation, matrices))
    return rotated.as_euler("ZYZ", degrees=True), shifts_yx + offset[:, [1, 0]]
