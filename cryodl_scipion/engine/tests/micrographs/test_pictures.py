# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of picks beside the STAR files."""

import numpy as np
from matplotlib import image as images
from picking import outputs, pick

from cryodl.core.thumbnails import block_means, grey_limits
from cryodl.micrographs.pickers.pictures import draw_picks


def test_the_first_micrographs_get_pictures(project):
    assert pick(project, "--threshold", "0.5", "--pictures", "1") == 0
    assert list(outputs(project).pictures) == ["mic0"]
    assert [p.name for p in (project / "out/pictures").iterdir()] == ["mic0.png"]
    assert pick(project, "--threshold", "0.6", "--pictures", "5") == 0, "micrographs that were picked before, too"
    assert sorted(outputs(project).pictures) == ["mic0", "mic1"]
    assert pick(project, "--threshold", "0.7", "--pictures", "1") == 0, "no picture of earlier picks stays"
    assert [p.name for p in (project / "out/pictures").iterdir()] == ["mic0.png"]


def test_a_micrograph_that_is_gone_since_it_was_picked_has_no_picture(project):
    files = ["--micrographs", str(project / "list.txt"), "--pictures", "5"]
    (project / "list.txt").write_text("".join(f"{project}/mics/mic{number}.mrc\n" for number in (0, 1)))
    assert pick(project, *files) == 0 and sorted(outputs(project).pictures) == ["mic0", "mic1"]
    (project / "mics/mic0.mrc").unlink()
    assert pick(project, *files) == 0
    assert list(outputs(project).pictures) == ["mic1"] and sorted(outputs(project).counts) == ["mic0", "mic1"]


def test_no_pictures_leave_no_folder(project):
    assert pick(project, "--pictures", "0") == 0
    assert not (project / "out/pictures").exists() and outputs(project).pictures == {}


def test_circles_lie_where_the_picks_are(tmp_path):
    """Coloured pixels of a picture with one pick near the upper left corner, of one near the lower right, of none."""
    grey = np.random.default_rng(0).normal(0, 1, (300, 400)).astype(np.float32)
    middles = []
    for yx in ([[60, 80]], [[240, 320]], np.zeros((0, 2))):
        yx = np.array(yx, float)
        draw_picks(grey, yx, np.full(len(yx), 0.9), 2.0, 80.0, str(tmp_path / "a.png"))
        rgb = images.imread(tmp_path / "a.png")[..., :3]
        left = rgb[:, : int(0.82 * rgb.shape[1])]  # without the bar of colours
        coloured = np.argwhere(left.max(axis=2) - left.min(axis=2) > 0.3)
        middles.append(coloured.mean(axis=0) / left.shape[:2] if len(coloured) else None)
    assert middles[2] is None and (middles[0] < 0.35).all() and (middles[1] > 0.65).all()


def test_circles_have_the_colour_of_their_score(tmp_path):
    """Of the bar beside them: a low score is blue, a high one yellow."""
    grey = np.random.default_rng(0).normal(0, 1, (300, 400)).astype(np.float32)
    draw_picks(grey, np.array([[150.0, 80], [150, 320]]), np.array([0.5, 1.0]), 2.0, 80.0, str(tmp_path / "a.png"))
    rgb = images.imread(tmp_path / "a.png")[..., :3]
    width = int(0.8 * rgb.shape[1])
    for part, warm in ((rgb[:, : width // 2], False), (rgb[:, width // 2 : width], True)):
        circle = part[part.max(axis=2) - part.min(axis=2) > 0.3]
        red, _, blue = circle.mean(axis=0)
        assert (red > blue + 0.2) if warm else (blue > red + 0.2)


def test_blocks_keep_means_and_one_bad_pixel_does_not_decide_the_contrast():
    image = np.arange(6 * 9, dtype=np.float32).reshape(6, 9)
    small, binning = block_means(image, 3)
    assert binning == 3 and np.allclose(small, image.reshape(2, 3, 3, 3).mean(axis=(1, 3)))
    noise = np.random.default_rng(0).normal(0, 1, (100, 100))
    noise[0, 0], noise[1, 1] = 1e9, np.nan
    low, high = grey_limits(noise)
    assert -4 < low < -1 and 1 < high < 4 and grey_limits(np.zeros((3, 3))) == (0.0, 1.0)
