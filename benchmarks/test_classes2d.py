# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures of the benchmark of 2-D classes, on images that are known: PYTHON -m pytest benchmarks"""

import classes2d_measures
import numpy as np
import pytest
import torch
from classes2d_data import BOX


def blobs(*positions):
    """An image of balls at (y, x) from the middle."""
    axis = torch.arange(BOX).float() - BOX // 2
    return sum(torch.exp(-((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2) / 20) for y, x in positions)


def test_a_turned_copy_is_the_same_view_and_another_shape_is_not():
    first, rotated, other = blobs((0, 10), (8, -6)), blobs((10, 0), (-6, -8)), blobs((0, 0), (0, 16), (12, 0))
    assert classes2d_measures.distinct(torch.stack([first, rotated, other])) == 2


def test_purity_counts_the_commonest_molecule_and_explained_falls_with_mixed_views(monkeypatch):
    images = torch.stack([blobs((0, 10)), blobs((0, 10)), blobs((0, -10)), blobs((10, 0))])
    images = images / images.square().sum((1, 2), keepdim=True).sqrt()
    monkeypatch.setattr(classes2d_measures, "clean_aligned", lambda ground_truth, psi, shifts: images)
    ground_truth = dict(molecule=np.array([0, 0, 0, 1]))
    found = classes2d_measures.measures(np.array([1, 1, 2, 2]), np.zeros(4), np.zeros((4, 2)), ground_truth)
    assert found["purity"] == 0.75 and found["filled"] == 2
    assert found["explained"] == pytest.approx(0.75, abs=0.02)  # 1 of like images, 0.5 of two that do not overlap
