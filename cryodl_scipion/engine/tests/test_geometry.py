# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions between grids, with the pixel centres of frames.py."""

import numpy as np
import torch
from synthetic import gaussian_blobs

from cryodl.core.geometry import inside, map_positions, resampled_shape
from cryodl.core.tiles import resized_image


def test_pixel_centres_of_a_binned_image_lie_between_those_of_the_image():
    assert map_positions([[0, 0], [0.5, 2.5]], (4, 8), (2, 4)).tolist() == [[-0.25, -0.25], [0.0, 1.0]]


def test_the_corners_of_the_area_stay_corners():
    corners = map_positions([[-0.5, -0.5], [9.5, 29.5]], (10, 30), (7, 11))
    assert np.allclose(corners, [[-0.5, -0.5], [6.5, 10.5]])


def test_there_and_back_is_the_same():
    yx = np.random.default_rng(0).uniform(0, 500, (50, 2))
    assert np.allclose(map_positions(map_positions(yx, (517, 731), (91, 128)), (91, 128), (517, 731)), yx)


def test_a_blob_moves_as_the_resampled_image_does():
    """The picture is resampled by torch, the position by us: they must agree to a hundredth of a pixel."""
    image = torch.from_numpy(gaussian_blobs((101, 150), [[40.3, 90.6]], 6.0))
    small = resized_image(image, (37, 55)).double()
    grids = torch.meshgrid(torch.arange(37.0), torch.arange(55.0), indexing="ij")
    centre = [float((g * small).sum() / small.sum()) for g in grids]
    assert np.allclose(centre, map_positions([[40.3, 90.6]], (101, 150), (37, 55))[0], atol=0.01)


def test_nothing_and_lists_are_taken():
    assert map_positions([], (4, 4), (2, 2)).shape == (0, 2)
    assert inside([], (4, 4)).shape == (0,)


def test_inside_counts_border_pixels_on_both_sides():
    yx = [[0, 0], [9, 19], [10, 5], [5, 20], [-0.1, 5]]
    assert inside(yx, (10, 20)).tolist() == [True, True, False, False, False]
    assert inside([[2, 2], [1.9, 5], [5, 18], [7.9, 17.9]], (10, 20), 2).tolist() == [True, False, False, True]


def test_a_resampled_shape_is_rounded_and_never_empty():
    assert resampled_shape((517, 731), 0.25) == (129, 183)
    assert resampled_shape((10, 10), 1e-6) == (1, 1)
