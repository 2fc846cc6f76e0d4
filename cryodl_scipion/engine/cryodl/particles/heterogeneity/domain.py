# SPDX-License-Identifier: GPL-3.0-or-later
"""How a domain lies in maps along a motion, and the orientations and shifts of the particles' domains from that."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

MASKED = 0.5  # of the mask, from which a voxel belongs to the domain
MOST_VOXELS = 4000  # of the domain that are compared
BLUR = 1.0  # px, of the maps when they are compared
FEWEST_VOXELS = 30


@dataclasses.dataclass(frozen=True)
class DomainMotion:
    """Where a domain lies in maps, relative to one of them: x becomes rotation (x - centre) + centre + shift.

    turns : (k, 3) rotation vectors, radians, xyz. shifts : (k, 3) px, xyz. centre : (3,) px from the middle of the box,
    xyz. alike : (k,) correlation of the domain with itself after that.
    """

    turns: np.ndarray
    shifts: np.ndarray
    centre: np.ndarray
    alike: np.ndarray


def follow_domain(maps: list[np.ndarray], mask: np.ndarray) -> DomainMotion:
    """Fit the domain of the middle map, as a rigid body, to each of the maps, from the middle outwards.

    Parameters
    ----------
    maps : list of ndarray, (box, box, box)
        In their order along the motion.
    mask : ndarray, (box, box, box)
        Where the domain is in the middle map.

    Returns
    -------
    DomainMotion

    Raises
    ------
    ValueError
        The mask holds hardly any voxels.
    """
    places = np.argwhere(mask > MASKED)
    if len(places) < FEWEST_VOXELS:
        raise ValueError(
            f"The mask of the domain has {len(places)} voxels above {MASKED:g}; at least {FEWEST_VOXELS} are needed. "
            "Give a mask that is 1 in the domain."
        )
    places = places[:: -(-len(places) // MOST_VOXELS)]
    xyz = (places - mask.shape[0] // 2)[:, ::-1].astype(float)
    smooth, centre, middle = [gaussian_filter(m, BLUR) for m in maps], xyz.mean(0), len(maps) // 2
    radius = max(1.0, float(np.sqrt(((xyz - centre) ** 2).sum(1).mean())))
    wanted = smooth[middle][tuple(places.T)]
    found = np.zeros((len(maps), 6))
    alike = np.ones(len(maps))
    for way in (range(middle + 1, len(maps)), range(middle - 1, -1, -1)):
        last = np.zeros(6)
        for number in way:
            last, alike[number] = _fit(smooth[number], xyz - centre, centre, wanted, radius, last)
            found[number] = last
    return DomainMotion(found[:, :3] / radius, found[:, 3:], centre, alike)


def _fit(
    volume: np.ndarray, offsets: np.ndarray, centre: np.ndarray, wanted: np.ndarray, radius: float, start: np.ndarray
) -> tuple[np.ndarray, float]:
    """Rotation vector times radius and shift, (6,) px, at which a volume is most like the wanted values."""

    def unlike(values: np.ndarray) -> float:
        xyz = offsets @ Rotation.from_rotvec(values[:3] / radius).as_matrix().T + centre + values[3:]
        seen = map_coordinates(volume, (xyz[:, ::-1] + volume.shape[0] // 2).T, order=1)
        return -float(np.corrcoef(seen, wanted)[0, 1]) if np.ptp(seen) > 0 else 1.0

    best = minimize(unlike, start, method="Powell", options=dict(xtol=0.01, ftol=1e-5, maxiter=20))
    return best.x, -float(best.fun)


def domain_poses(
    motion: DomainMotion, weights: np.ndarray, matrices: np.ndarray, shifts_yx: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Orientations and shifts at which the particles' images show the domain as it lies in the middle map.

    Parameters
    ----------
    motion : DomainMotion
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
    # a map shows the mean of its particles, which lies nearer to the middle than its own place
    maps = np.maximum.accumulate(weights.T @ along / np.maximum(weights.sum(0), 1e-30))
    values = np.concatenate([motion.turns, motion.shifts], axis=1)
    each = np.stack([np.interp(along, maps, column) for column in values.T], axis=1)
    turn = Rotation.from_rotvec(each[:, :3]).as_matrix()
    moved = motion.centre + each[:, 3:] - turn @ motion.centre
    offset = np.einsum("nji,nj->ni", matrices, moved)  # in the frame of the image
    turned = Rotation.from_matrix(np.einsum("nji,njk->nik", turn, matrices))
    return turned.as_euler("ZYZ", degrees=True), shifts_yx + offset[:, [1, 0]]
