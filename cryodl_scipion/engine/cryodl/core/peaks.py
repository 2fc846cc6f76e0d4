# SPDX-License-Identifier: GPL-3.0-or-later
"""Local maxima of score maps and score volumes, with positions between the pixels.

Locally normalised cross-correlation of an image with templates, by Fourier transforms.
At each place the correlation coefficient within a disc: mean and variance are those of the pixels that the disc covers
there (Roseman 2003, Ultramicroscopy 94:225); at the image's edge only the pixels that exist count."""

import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from scipy.spatial import cKDTree


class LocalCorrelation:
    """An image that is compared with many templates under one disc. image: (h, w) tensor. disc: (k, k) bool tensor, k
    odd. quiet: positions whose variance is less than this part of the image's median are compared as if they had that
    much, so that empty positions are not blown up."""

    def __init__(self, image: torch.Tensor, disc: torch.Tensor, quiet: float = 1e-6) -> None:
        self.shape, self.half = tuple(image.shape), disc.shape[0] // 2
        self.padded = tuple(next_fast_len(n + disc.shape[0], real=True) for n in self.shape)
        image = image.double()
        self.transform = torch.fft.rfft2(image, s=self.padded)
        of_disc = self._of(disc.double())
        covered = self._correlated(torch.fft.rfft2(torch.ones_like(image), s=self.padded), of_disc).clamp(min=1.0)
        mean = self._correlated(self.transform, of_disc) / covered
        variance = self._correlated(torch.fft.rfft2(image.square(), s=self.padded), of_disc) / covered - mean.square()
        minimum = max(quiet * float(variance.clamp(min=0).median()), 1e-12)
        self.inverse = (1 / (covered * variance.clamp(min=minimum)).sqrt()).float()
        self.transform = self.transform.to(torch.complex64)  # enough for the scores, not for the variance

    def scores(self, templates: torch.Tensor) -> torch.Tensor:
        """(n, h, w) correlation coefficients with (n, k, k) templates of mean 0 and norm 1 in the disc, 0 outside."""
        return self._correlated(self.transform, self._of(templates.float())) * self.inverse

    def _of(self, small: torch.Tensor) -> torch.Tensor:
        transform: torch.Tensor = torch.fft.rfft2(small, s=self.padded)
        return transform.conj()

    def _correlated(self, transform: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Sums under the small image centred at each position."""
        found: torch.Tensor = torch.fft.irfft2(transform * other, s=self.padded)
        return found.roll((self.half, self.half), (-2, -1))[..., : self.shape[0], : self.shape[1]]


def disc_normalised(templates: torch.Tensor, disc: torch.Tensor) -> torch.Tensor:
    """Images with mean 0 and norm 1 in a disc. templates: (n, k, k). disc: (k, k), bool. Returns (n, k, k), 0 outside
    of the disc."""
    weight = disc.to(templates.dtype)
    inner = (templates - (templates * weight).sum((1, 2), keepdim=True) / weight.sum()) * weight
    return inner / inner.square().sum((1, 2), keepdim=True).sqrt().clamp(min=1e-12)


def disc_of(radius: float) -> torch.Tensor:
    """The pixels within a radius of the middle one. radius: px. Returns (k, k), bool, k odd."""
    reach = int(radius) + 1
    axis = torch.arange(-reach, reach + 1.0)
    return axis[:, None] ** 2 + axis**2 <= radius**2


def find_peaks(
    score_map: torch.Tensor, distance: float, threshold: float, valid: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima of a score map, best first.

    score_map: (h, w). distance: px of the score map, of two peaks nearer than this the better stays. threshold: score,
    peaks with a lower score are dropped. valid: (h, w) bool, peaks elsewhere are dropped. Returns yx: (n, 2) float64,
    sub-pixel. scores: (n,) float64. Raises ValueError if distance < 1."""
    if distance < 1:
        raise ValueError(f"Peak distance is {distance:g} px of the score map; it must be at least 1.")
    highest = F.pad(score_map, (1, 1, 1, 1), value=-torch.inf)
    for axis, n in enumerate(score_map.shape):  # a maximum over 3 x 3, thirty times as quick as torch's of one channel
        highest = torch.maximum(
            torch.maximum(highest.narrow(axis, 0, n), highest.narrow(axis, 1, n)), highest.narrow(axis, 2, n)
        )
    peak = (score_map == highest) & (score_map >= threshold)
    if valid is not None:
        peak &= valid
    heights = score_map[peak]
    order = torch.argsort(heights, descending=True, stable=True)
    positions, scores = refined_peaks(score_map, peak.nonzero()[order]).numpy(), heights[order].double().numpy()
    keep = separate(positions, distance)
    return positions[keep], scores[keep]


def refined_peaks(scores: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
    """(n, k) float64: peaks moved to the top of a parabola through each and its neighbours along each axis, by half a
    place at most. scores: of k axes, as many as peaks (n, k) int have."""
    centre, shifts = scores[tuple(peaks.T)].double(), []
    for axis, side in enumerate(scores.shape):
        before, after = peaks.clone(), peaks.clone()
        before[:, axis] -= 1
        after[:, axis] += 1
        # reflected, so that a peak on a face has equal neighbours across it and is not moved out
        before[:, axis], after[:, axis] = (
            torch.where(before[:, axis] < 0, after[:, axis].clamp(max=side - 1), before[:, axis]),
            torch.where(after[:, axis] >= side, before[:, axis].clamp(min=0), after[:, axis]),
        )
        low, high = scores[tuple(before.T)].double(), scores[tuple(after.T)].double()
        curvature = low + high - 2 * centre
        shifts.append(torch.where(curvature < 0, 0.5 * (low - high) / curvature.clamp(max=-1e-12), 0.0 * centre))
    return peaks.double() + torch.stack(shifts, 1).clamp(-0.5, 0.5)


def find_peaks_3d(
    scores: torch.Tensor, threshold: float, keep: typing.Sequence[tuple[int, int]] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local maxima of a score volume among their 26 neighbours, best first; see separate for a least distance.

    scores: (z, y, x). threshold: score, peaks scoring below it are dropped. keep: three (start, stop), only peaks on
    voxels within are returned: the rest of the volume is context. Returns zyx: (n, 3) float64, voxels, as refined_peaks
    moves them. scores: (n,) float64. voxels: (n, 3) int64, the voxel of each peak."""
    pooled = F.max_pool3d(scores[None, None], 3, stride=1, padding=1)[0, 0]
    voxels = ((scores == pooled) & (scores >= threshold)).nonzero()
    for axis, (start, stop) in enumerate(keep or ()):
        voxels = voxels[(voxels[:, axis] >= start) & (voxels[:, axis] < stop)]
    voxels = voxels[torch.argsort(scores[tuple(voxels.T)], descending=True, stable=True)]
    heights = scores[tuple(voxels.T)].double()
    return refined_peaks(scores, voxels).cpu().numpy(), heights.cpu().numpy(), voxels.cpu().numpy()


def separate(positions: np.ndarray, distance: float) -> np.ndarray:
    """Non-maximum suppression: positions at least a distance from every better one that is kept. positions: (n, k),
    best first. distance: in the unit of the positions. Returns (m,) int, indices of the kept ones."""
    neighbours = cKDTree(positions).query_ball_point(positions, distance * (1 - 1e-9)) if len(positions) else []
    alive = np.ones(len(positions), bool)
    for i, near in enumerate(neighbours):
        if alive[i]:
            later = np.asarray(near)
            alive[later[later > i]] = False
    return np.flatnonzero(alive)
