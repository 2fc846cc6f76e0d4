# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether detections of a template are of one kind: what it does not explain of another is the same in each of them."""

import typing

import numpy as np
import torch

from ...core import healpix_grid, projections
from ...simulate.rotations import rotated
from .finder import NEAR, TemplateSearch

FEWEST, MOST = 15, 100  # detections: of fewer nothing is said; so many are looked at
STEP, REACH = 1 / 8, 1 / 4  # of the search's angular step: turns of the template that may be left, and the largest
SHUFFLES = 20  # times that the detections' orientations are exchanged, to see what is alike by chance


def beyond_chance(found: typing.Iterable[tuple[TemplateSearch, np.ndarray, np.ndarray]]) -> float:
    """By how many standard deviations what the template, also moved by a voxel or turned a little, leaves of the
    detections is more alike in some of them than by chance; 0 of fewer than FEWEST.

    Alike is the strongest eigenvalue of the correlations in the template's frame, less what all share; by chance: where
    each is turned as another should be. found: of tomograms of one pixel size, the search for the template alone, zyx
    (n, 3) in px of the tomogram and rot, tilt, psi (n, 3) in degrees. At most MOST are looked at."""
    left, back = list[torch.Tensor](), list[np.ndarray]()
    for search, zyx, angles in found:
        mask, step = search.kernels[0].mask, search.kernels[0].template.step
        turns = healpix_grid.ball_of_rotations(REACH * step, STEP * step)
        rows = np.linspace(0, len(zyx) - 1, min(len(zyx), MOST - len(left))).round().astype(int)  # good and bad ones
        for place, matrix in zip(zyx[rows], projections.rotation_matrices(angles[rows])):
            seen = search.around(place)[1].seen[(slice(NEAR, -NEAR),) * 3]
            seen = (seen - (seen * mask).sum() / mask.sum()) * mask
            # one by one: in larger boxes they take gigabytes at once
            turned = torch.cat([search.kernels[0].at(one) for one in projections.euler_angles(matrix @ turns)[:, None]])
            moved = [torch.roll(turned[len(turned) // 2], by, axis) for axis in range(3) for by in (-1, 1)]
            known = torch.cat([turned, torch.stack(moved)]).flatten(1).T
            left.append(seen - (known @ (torch.linalg.pinv(known) @ seen.flatten())).reshape(seen.shape))
            back.append(projections.euler_angles(matrix.T[None]))
        if len(left) == MOST:
            break
    if len(left) < FEWEST:
        return 0.0

    def strongest(order: typing.Iterable[int]) -> float:
        rows = torch.cat([rotated(one, back[n]) for one, n in zip(left, order)])[:, mask > 0].double()
        rows = torch.nn.functional.normalize(rows - rows.mean(0))
        return float(torch.linalg.eigvalsh(rows @ rows.T)[-1])

    rng = np.random.default_rng(0)
    by_chance = [strongest(rng.permutation(len(left))) for _ in range(SHUFFLES)]
    return float((strongest(range(len(left))) - np.mean(by_chance)) / np.std(by_chance))
