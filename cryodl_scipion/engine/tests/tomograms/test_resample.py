# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes on other grids: the rule of frames.py, and parts that are what they are in the whole."""

import pytest
import torch
import torch.nn.functional as F

from cryodl.core.geometry import resampled_shape
from cryodl.tomograms.segmenters.working_scale import needed_range, resample_part, resample_whole


def test_finer_grids_are_interpolated_linearly():
    volume = torch.randn(6, 7, 9, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(volume[None, None], size=(9, 14, 20), mode="trilinear")[0, 0]
    assert torch.allclose(resample_whole(volume, (9, 14, 20)), wanted, atol=1e-6)


def test_coarser_grids_are_averaged_as_images_are():
    volume = torch.randn(3, 37, 53, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(volume[None], size=(15, 20), mode="bilinear", antialias=True)[0]
    assert torch.allclose(resample_whole(volume, (3, 15, 20)), wanted, atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 20, 15), (40, 30, 61), (24, 80, 30)])
def test_a_part_is_exactly_what_it_is_in_the_whole(shape):
    volume = torch.randn(24, 40, 30, generator=torch.Generator().manual_seed(1))
    whole = resample_whole(volume, shape)
    ranges = [(n // 4, 3 * n // 4) for n in shape]
    needed = [needed_range(*r, n, m) for r, n, m in zip(ranges, volume.shape, shape)]
    part = volume[tuple(slice(*r) for r in needed)]
    found = resample_part(part, [r[0] for r in needed], tuple(volume.shape), shape, ranges)
    assert torch.equal(found, whole[tuple(slice(*r) for r in ranges)])


def test_each_axis_keeps_its_place():
    volume = torch.zeros(8, 16, 32)
    volume[2, 4, 20] = 1
    coarse = resample_whole(volume, resampled_shape(volume.shape, 0.5))
    assert coarse.shape == (4, 8, 16) and [int(i) for i in (coarse == coarse.max()).nonzero()[0]] == [1, 2, 10]


def test_nothing_shrinks_to_nothing():
    assert resampled_shape((1, 3, 100), 0.25) == (1, 1, 25)
    assert torch.allclose(resample_whole(torch.ones(1, 3, 8), (1, 1, 2)), torch.ones(1, 1, 2))
