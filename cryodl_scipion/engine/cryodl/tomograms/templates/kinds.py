# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the detections of a template are all of one kind. A molecule like it, or a second state, differs from it in
the same way wherever it is: what the template leaves of the detections is then alike in some of them."""

import typing

import numpy as np
import torch

from ...core import healpix_grid, projections
from ...simulate.rotations import rotated
from .finder import NEAR, TemplateSearch

FEWEST, MOST = 15, 100  # detections: of fewer nothing is said, and of so many all is seen
STEP, REACH = 1 / 8, 1 / 4  # of the search's angular step: turns of the template that may be left, and the largest
SHUFFLES = 20  # times that the detections' orientations are exchanged, to see what is alike by chance


def left_by_template(search: TemplateSearch, zyx: np.ndarray, angles: np.ndarray) -> torch.Tensor:
    """(n, b, b, b) of the tomogram at n detections what its template, also moved by a voxel or turned a little, does
    not explain. zyx: (n, 3) px of the tomogram. angles: (n, 3) rot, tilt, psi in degrees."""
    kernels, result = search.kernels[0], []
    mask, step = kernels.mask, kernels.template.step
    turns = healpix_grid.ball_of_rotations(REACH * step, STEP * step)
    for place, matrix in zip(zyx, projections.rotation_matrices(angles)):
        seen = search.around(place)[1].seen[(slice(NEAR, -NEAR),) * 3]
        seen = (seen - (seen * mask).sum() / mask.sum()) * mask
        turned = kernels.at(projections.euler_angles(matrix @ turns))
        moved = [torch.roll(turned[len(turned) // 2], by, axis) for axis in range(3) for by in (-1, 1)]
        known = torch.cat([turned, torch.stack(moved)]).flatten(1).T
        explained = known @ (torch.linalg.pinv(known) @ seen.flatten())
        result.append(seen - explained.reshape(seen.shape))
    return torch.stack(result)


def beyond_chance(left: torch.Tensor, angles: np.ndarray, mask: torch.Tensor) -> float:
    """By how many standard deviations the remains of some detections are more alike than by chance, in the template's
    frame.

    Alike is the strongest eigenvalue of the remains' correlations, less what they all share; by chance: where each is
    turned as another should be. left: of left_by_template. angles: (n, 3) of the detections. mask: (b, b, b)."""
    rng, back = np.random.default_rng(0), projections.rotation_matrices(angles).transpose(0, 2, 1)

    def strongest(order: typing.Sequence[int] | np.ndarray) -> float:
        turned = [rotated(one, projections.euler_angles(back[[n]]))[0] for one, n in zip(left, order)]
        rows = torch.stack(turned)[:, mask > 0].double()
        rows = torch.nn.functional.normalize(rows - rows.mean(0))
        return float(torch.linalg.eigvalsh(rows @ rows.T)[-1])

    by_chance = [strongest(rng.permutation(len(left))) for _ in range(SHUFFLES)]
    return float((strongest(range(len(left))) - np.mean(by_chance)) / np.std(by_chance))
