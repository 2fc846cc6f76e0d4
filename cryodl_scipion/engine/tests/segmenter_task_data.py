# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles with a drawn square, which a segmenter learns from."""

import numpy as np
import torch

from cryodl.tomograms.segmenters.examples import PATCH, Depth, Example


def square_example(method, number=0, positive=True, noise=0.3):
    """A dark square in noise, drawn in the middle slice alone; in the other slices of the image it is moved."""
    depth, rng = Depth.of(method), np.random.default_rng(number)
    image = noise * rng.standard_normal((depth.image, PATCH, PATCH))
    target, labelled = np.zeros((depth.drawing, PATCH, PATCH)), np.zeros((depth.drawing, PATCH, PATCH), bool)
    middle = depth.drawing // 2
    border = PATCH // 2 - 32
    labelled[middle, border:-border, border:-border] = True
    if positive:
        y, x = rng.integers(border, PATCH - border - 12, 2)
        image[:, y : y + 12, x : x + 12] -= 2
        target[middle, y : y + 12, x : x + 12] = 1
    return Example(
        "t",
        (0, 0, 0),
        64,
        positive,
        torch.from_numpy(image).half(),
        torch.from_numpy(target).half(),
        torch.from_numpy(labelled),
        False,
    )


def examples(method, count=6):
    return [square_example(method, n, n % 2 == 0) for n in range(count)]
