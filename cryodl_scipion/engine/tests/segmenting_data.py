# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenters of which the answer is known, models of random weights, and small tomograms."""

import types
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F


class Average:
    """A stand-in for a Segmenter: its score is the mean of the neighbourhood (2 * context + 1 slices, 2 * radius + 1 px
    in y and x), of sums that float32 holds exactly if grey values are whole numbers; beyond the border they are 0."""

    def __init__(self, pixel_size=10.0, context=1, radius=3, slices_out=4, granularity=4, overlap=4, scale=1.0, **card):
        self.card = dict(
            dict(pixel_size=pixel_size, feature="blob", annotator="me", threshold=0.5, name="average"), **card
        )
        self.context, self.radius, self.slices_out, self.scale = context, radius, slices_out, scale
        self.granularity, self.overlap, self.bytes_per_voxel = granularity, overlap, 8
        self.method = types.SimpleNamespace(slices_in=slices_out + 2 * context)
        self.shapes = []  # of the slabs that came

    def scores(self, slab):
        self.shapes.append(tuple(slab.shape))
        sizes = 2 * self.context + 1, 2 * self.radius + 1, 2 * self.radius + 1
        padded = F.pad(slab[None, None], (self.radius,) * 4)
        return F.conv3d(padded, torch.ones((1, 1, *sizes)) / 2**12 / self.scale)[0, 0]


def write_segmenter(folder, network="unet", seed=0, **card):
    """A model folder with random weights."""
    from cryodl.io.model import write_model
    from cryodl.tomograms.segmenters import segmenter_method

    torch.manual_seed(seed)
    weights = segmenter_method(network).build().state_dict()
    last = [k for k in weights if k.endswith("bias")][-1]
    weights[last] = torch.zeros_like(weights[last])  # scores about 0.5
    Path(folder).mkdir(parents=True)
    write_model(
        folder,
        dict(
            dict(
                kind="segmenter",
                name=Path(folder).name,
                network=network,
                feature="blob",
                annotator="me",
                pixel_size=10.0,
                trained_pixel_size=10.0,
                threshold=0.5,
                validation={},
                calibration=[4.0, 0.0],
                raw_scale=1.0,
            ),
            **card,
        ),
        weights,
    )
    return Path(folder)


def noise(shape, seed=0):
    """(z, y, x) float32 noise."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
