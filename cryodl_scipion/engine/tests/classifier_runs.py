# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of classifiers run in tests, with a network that learns in seconds."""

import pytest
import torch
from torch import nn

from cryodl.contract import Result
from cryodl.running.cli import main
from cryodl.tomograms.classifiers.dsrf3d import DSRF3D

NAMES = ("bar", "ring", "ball")


def small_network(self, classes, box):
    """A network that learns in seconds: three convolutions and the mean over all positions."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv3d(8, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv3d(16, 32, 3, 1, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


def small(patch):
    patch.setattr(DSRF3D, "build", small_network)
    patch.setattr(DSRF3D, "box", 16)
    patch.setattr(DSRF3D, "ema", 0.9)
    patch.setattr(DSRF3D, "learning_rate", 1e-2)
    patch.setattr(DSRF3D, "minimum_steps", 0)


def run(folder, command, *arguments):
    """Exit status of a command in a folder; its result is written to result.json."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main([command, *map(str, arguments), "--device", "cpu", "--threads", "1", "--result", "result.json"])


def outputs(folder):
    return Result.read(folder / "result.json").outputs
