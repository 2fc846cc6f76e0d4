# SPDX-License-Identifier: GPL-3.0-or-later
"""Local maxima of score maps and score volumes, with positions between the pixels."""

import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree


def find_peaks(
    score_map: torch.Tensor, distance: float, threshold: float, valid: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima of a score map, best first.

    Parameters
    ----------
    score_map : Tensor, (h, w)
    distance : float, px of the score map
        Of two peaks nearer than this the better stays.
    threshold : float, score
        Peaks with a lower score are dropped.
    valid : Tensor, (h, w) bool, optional
        Peaks elsewhere are dropped.

    Returns
    -------
    yx : ndarray, (n, 2) float64
        Sub-pixel.
    scores : ndarray, (n,) float64

    Raises
    ------
    ValueError
        If distance < 1.
    """
    if distance < 1:
        raise ValueError(f"Peak distance is {distance:g} px of the score map; it must be at least 1.")
    pooled = F.max_pool2d(score_map[None, None], 3, stride=1, padding=1)[0, 0]
    peak = (score_map == pooled) & (score_map >= threshold)
    if valid is not None:
        peak &= valid
    heights = score_map[peak]
    order = torch.argsort(heights, descending=True, stable=True)
    positions, scores = _refine(score_map, peak.nonzero()[order]), heights[order].double().numpy()
    keep = separate(positions, distance)
    return positions[keep], scores[keep]


def _refine(score_map: torch.Tensor, yx: torch.Tensor) -> np.ndarray:
    """Positions moved to the top of a parabola through each peak and its neighbours, by half a pixel at most."""
    # reflected, so that a peak on the edge has equal neighbours across it and is not moved out of the map
    padded = F.pad(score_map[None, None].double(), (1, 1, 1, 1), mode="reflect")[0, 0]
    y, x = yx[:, 0] + 1, yx[:, 1] + 1
    centre = padded[y, x]
    shifts = []
    for before, after in ((padded[y - 1, x], padded[y + 1, x]), (padded[y, x - 1], padded[y, x + 1])):
        curvature = before + after - 2 * centre
        shifts.append(
            torch.where(
                curvature < 0, 0.5 * (before - after) / curvature.clamp(max=-1e-12), torch.zeros_like(centre)
            ).clamp(-0.5, 0.5)
        )
    return (yx.double() + torch.stack(shifts, 1)).numpy()


def find_peaks_3d(
    scores: torch.Tensor, threshold: float, keep: typing.Sequence[tuple[int, int]] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local maxima of a score volume among their 26 neighbours, best first; see separate for a least distance.

    Parameters
    ----------
    scores : Tensor, (z, y, x)
    threshold : float, score
        Peaks scoring below it are dropped.
    keep : three (start, stop), optional
        Only peaks on voxels within are returned: the rest of the volume is context.

    Returns
    -------
    zyx : ndarray, (n, 3) float64
        Voxels, moved to the top of a parabola along each axis by half a voxel at most.
    scores : ndarray, (n,) float64
    voxels : ndarray, (n, 3) int64
        The voxel of each peak.
    """
    pooled = F.max_pool3d(scores[None, None], 3, stride=1, padding=1)[0, 0]
    voxels = ((scores == pooled) & (scores >= threshold)).nonzero()
    for axis, (start, stop) in enumerate(keep or ()):
        voxels = voxels[(voxels[:, axis] >= start) & (voxels[:, axis] < stop)]
    heights = scores[tuple(voxels.T)]
    order = torch.argsort(heights, descending=True, stable=True)
    voxels, heights = voxels[order], heights[order].double()
    shifts = []
    for axis, side in enumerate(scores.shape):
        before, after = voxels.clone(), voxels.clone()
        before[:, axis] -= 1
        after[:, axis] += 1
        # reflected at the volume's faces: no shift out of it
        before[:, axis], after[:, axis] = (
            torch.where(before[:, axis] < 0, after[:, axis].clamp(max=side - 1), before[:, axis]),
            torch.where(after[:, axis] >= side, before[:, axis].clamp(min=0), after[:, axis]),
        )
        low, high = scores[tuple(before.T)].double(), scores[tuple(after.T)].double()
        curvature = low + high - 2 * heights
        shifts.append(torch.where(curvature < 0, 0.5 * (low - high) / curvature.clamp(max=-1e-12), 0.0 * heights))
    moved = voxels.double() + torch.stack(shifts, 1).clamp(-0.5, 0.5)
    return moved.cpu().numpy(), heights.cpu().numpy(), voxels.cpu().numpy()


def separate(positions: np.ndarray, distance: float) -> np.ndarray:
    """Non-maximum suppression: positions at least a distance from every better one that is kept.

    Parameters
    ----------
    positions : ndarray, (n, k)
        Best first.
    distance : float, in the unit of the positions

    Returns
    -------
    ndarray, (m,) int
        Indices of the kept ones.
    """
    neighbours = cKDTree(positions).query_ball_point(positions, distance * (1 - 1e-9)) if len(positions) else []
    alive = np.ones(len(positions), bool)
    for i, near in enumerate(neighbours):
        if alive[i]:
            later = np.asarray(near)
            alive[later[later > i]] = False
    return np.flatnonzero(alive)
