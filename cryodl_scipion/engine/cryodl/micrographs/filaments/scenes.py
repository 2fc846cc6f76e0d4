# SPDX-License-Identifier: GPL-3.0-or-later
"""Training examples of filaments: simulated micrographs and the targets of the network's output, cell by cell."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree

from ...core.geometry import values_at
from ...simulate.filament_scenes import FilamentScene, crossings
from ..normalize import Measured, prepare_micrograph

STRIDE = 2  # px of a cell of the network's answer
SPOT_SIGMA = 0.15  # of the painted line, in diameters of the filament
CROSSING = (0.6, 1.0)  # diameters: nearer to a crossing nothing is a filament; up to the second nothing is learnt
CARBON_REACH = 0.8  # diameters: filaments on carbon or under ice teach nothing within this


@dataclasses.dataclass(frozen=True)
class FilamentItem(Measured):
    """A simulated micrograph ready for training. image: (h, w) float16 tensor, prepared. valid: (h, w) bool tensor.
    target: (3, h/2, w/2) float16 tensor: the painted centre lines, cosine and sine of twice their direction. weight:
    (h/2, w/2) float16 tensor. lines: list of (n, 2) yx px. width: px of a filament's diameter. clear: list of (n,)
    bool, where a line is neither at a crossing nor spoiled."""

    image: torch.Tensor
    valid: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    lines: list
    width: float
    clear: list


def labelled_item(scene: FilamentScene, diameter_px: float) -> FilamentItem:
    """What the network shall answer to a FilamentScene."""
    prepared = prepare_micrograph(scene.image.numpy(), 1.0, diameter_px)
    shape = tuple(n // STRIDE for n in prepared.image.shape)
    rows, columns = np.indices(shape)
    cells = np.stack([rows, columns], -1).reshape(-1, 2) * STRIDE + (STRIDE - 1) / 2
    weight = F.avg_pool2d(prepared.valid[None, None].float(), STRIDE)[0, 0]
    target = np.zeros((3, len(cells)), np.float32)
    crossed = cKDTree(crossings(scene.lines, scene.width))
    apart, _ = crossed.query(cells)  # infinite without any
    if scene.lines:
        steps = np.concatenate([np.gradient(line, axis=0) for line in scene.lines])
        angles = np.arctan2(steps[:, 0], steps[:, 1])  # from the x axis towards y
        distance, nearest = cKDTree(np.vstack(scene.lines)).query(cells)
        target[0] = np.exp(-0.5 * (distance / (SPOT_SIGMA * scene.width)) ** 2) * (apart > CROSSING[0] * scene.width)
        target[1:] = np.stack([np.cos(2 * angles), np.sin(2 * angles)])[:, nearest]
        contaminated = F.max_pool2d(scene.uncertain[None, None].float(), STRIDE)[0, 0].numpy().ravel() > 0
        doubtful = contaminated & (distance < CARBON_REACH * scene.width)
        doubtful |= (apart > CROSSING[0] * scene.width) & (apart < CROSSING[1] * scene.width)
        weight = weight * torch.from_numpy(~doubtful.reshape(shape))
    bad = scene.uncertain.numpy()
    clear = [
        (crossed.query(line)[0] > CROSSING[1] * scene.width)
        & ((line > scene.width) & (line < np.array(bad.shape) - 1 - scene.width)).all(1)
        & ~values_at(bad, line)
        for line in scene.lines
    ]
    return FilamentItem(
        prepared.image.half(),
        prepared.valid,
        torch.from_numpy(target.reshape(3, *shape)).half(),
        weight.half(),
        scene.lines,
        scene.width,
        clear,
    )
