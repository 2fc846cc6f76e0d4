# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of tomograms: the first row at the bottom (contract/frames.py), and the tomogram behind its features."""

import re
import types

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from synthetic import write_mrc

from cryodl.contract import Failure
from cryodl.running.cli import main
from cryodl.tomograms.evaluation.pictures import MISSED, OPACITY, RIGHT, WRONG, _overlay
from cryodl.tomograms.segmenters import train

SHAPE = (4, 40, 60)


def evaluated(folder, tomogram, *more):
    """Picture (h, w, 3) of a command's run: a feature at small y, found and true, and one at large y, not found."""
    ground_truth, found = np.zeros((2, *SHAPE), np.int8)
    ground_truth[2, 4:10, 6:20] = found[2, 4:10, 6:20] = 1
    ground_truth[2, 30:36, 40:54] = 1
    for part, volume in (("found", found), ("labels", ground_truth), ("tomograms", tomogram)):
        (folder / part).mkdir(exist_ok=True)
        write_mrc(folder / part / "a.mrc", volume, 8.0)
    code = main(
        [
            "evaluate-segmentation",
            "--segmentations",
            str(folder / "found/*.mrc"),
            "--labels",
            str(folder / "labels/*.mrc"),
            "--output",
            str(folder / "out"),
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )
    return imread(folder / "out/a.png")[..., :3] if code == 0 else code


def positions(picture, colour):
    """(n, 2) rows and columns of a colour, without the legend at the bottom."""
    near = np.abs(picture - np.array(colour)).max(axis=2) < 0.02
    return np.argwhere(near[: int(0.85 * len(picture))])


def test_the_evaluations_pictures_have_the_first_row_at_the_bottom(tmp_path):
    picture = evaluated(tmp_path, np.zeros(SHAPE, np.float32))
    right, missed = positions(picture, RIGHT).mean(axis=0), positions(picture, MISSED).mean(axis=0)
    assert right[0] > missed[0] and right[1] < missed[1]


def test_the_tomogram_is_seen_behind_the_features(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 1, SHAPE[2], dtype=np.float32), SHAPE).copy()
    picture = evaluated(tmp_path, ramp, "--tomograms", str(tmp_path / "tomograms/*.mrc"))
    colours = picture[int(0.2 * len(picture)) : int(0.85 * len(picture))].reshape(-1, 3)
    greys = colours[np.ptp(colours, axis=1) < 0.01]
    assert len(np.unique(greys[:, 0].round(2))) > 50, "the ramp of the tomogram"
    assert not len(positions(picture, RIGHT)), "colours are mixed with the grey behind them"


def test_colours_are_laid_over_the_grey_by_their_opacity():
    yes, no = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    for found, ground_truth, colour in ((yes, yes, RIGHT), (yes, no, WRONG), (no, yes, MISSED)):
        mixed = _overlay(found, ground_truth, yes, None, np.full((1, 1, 3), 0.4))
        np.testing.assert_allclose(mixed[0, 0], (1 - OPACITY) * 0.4 + OPACITY * np.array(colour))
    grey = np.full((1, 1, 3), 0.4)
    assert (_overlay(no, no, yes, np.ones((1, 1)), grey) == grey).all() and (grey == 0.4).all()


@pytest.mark.parametrize(
    "shape, count, words",
    [((4, 40, 30), 1, "a.mrc has 30 x 40 x 4 voxels"), (SHAPE, 2, "1 segmentations .* 2 tomograms")],
)
def test_tomograms_that_do_not_fit_are_named_before_the_work(tmp_path, shape, count, words):
    (tmp_path / "tomograms").mkdir()
    for name in "bc"[: count - 1]:
        write_mrc(tmp_path / f"tomograms/{name}.mrc", np.zeros(shape, np.float32), 8.0)
    assert evaluated(tmp_path, np.zeros(shape, np.float32), "--tomograms", str(tmp_path / "tomograms/*.mrc")) == 2
    assert re.search(words, Failure.read(tmp_path / "failure.json").message) and not (tmp_path / "out").exists()


def test_tiles_of_a_training_have_the_first_row_at_the_bottom(monkeypatch):
    monkeypatch.setattr(train, "middle_slice", lambda e: (e.target, e.labelled))
    image = torch.zeros(1, 8, 8)
    image[0, 1] = 1
    example = types.SimpleNamespace(
        image=image, target=(image[0] > 0).float(), labelled=torch.ones(8, 8, dtype=torch.bool)
    )
    triplet = train._triplet(example, image[0].numpy())
    for column in range(3):
        part = triplet[:, column * (8 + train.GAP) : column * (8 + train.GAP) + 8].sum(axis=(1, 2))
        assert part.argmax() == 6, ("slice", "drawing", "score")[column]
