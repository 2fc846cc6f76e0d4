# SPDX-License-Identifier: GPL-3.0-or-later
"""Uncertain regions: circles or masks, in px of the micrographs, left out of training and validation."""

import numpy as np
import pytest
from picking import training_config
from synthetic import blob_project, write_mrc, write_star

from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.labels import leave_out_unlabelled_edge, load_labels, match_labels
from cryodl.micrographs.pickers.uncertain import Uncertain, certain_area, read_uncertain

NOWHERE = np.zeros((0, 2))


def config(folder, **values):
    return training_config(folder, **{"uncertain": str(folder / "uncertain"), **values})


def load(folder, **values):
    """{name: LabelledImage} of a project."""
    chosen = config(folder, **values)
    return {im.name: im for im in load_labels(match_labels(chosen), picker_method("unet"), chosen)[1]}


@pytest.fixture
def marked(tmp_path):
    """Two labelled micrographs of 256 x 320 px and an empty folder `uncertain`."""
    ground_truth = dict(blob_project(tmp_path))
    (tmp_path / "uncertain").mkdir()
    return tmp_path, ground_truth


def test_circles_are_one_diameter_wide_at_the_networks_scale():
    certain = certain_area(Uncertain(np.array([[49.5, 79.5]])), (200, 320), (100, 160), 20.0)
    assert not certain[24, 39] and not certain[24, 48] and certain[24, 51] and certain[36, 39]
    assert int((~certain).sum()) == pytest.approx(np.pi * 100, rel=0.05)


def test_every_working_pixel_that_a_mask_touches_is_uncertain(tmp_path):
    mask = np.zeros((200, 320), np.int8)
    mask[101, 7] = 1
    mask[:, 300:] = -3
    certain = certain_area(Uncertain(NOWHERE, str(write_mrc(tmp_path / "a.mrc", mask))), (200, 320), (100, 160), 20.0)
    assert not certain[50, 3] and certain[49, 3] and certain[50, 4]
    assert not certain[:, 150:].any() and int((~certain).sum()) == 1 + 10 * 100


def test_uncertain_places_reach_the_labels(marked):
    folder, ground_truth = marked
    write_star(folder / "uncertain/mic0.star", ground_truth["mic0"][:1])
    mask = np.zeros((256, 320), np.float32)
    mask[:128] = 1
    write_mrc(folder / "uncertain/mic1.mrc", mask)
    images = load(folder)
    first, second = images["mic0"], images["mic1"]
    y, x = np.rint(first.positives[0]).astype(int)
    assert not first.usable[y, x] and first.usable.float().mean() > 0.9
    middle = second.image.shape[0] // 2
    assert second.usable[: middle - 1].sum() == 0 and second.usable[middle + 1 :].all()


def test_labels_there_are_kept_only_where_the_rest_is_background(marked):
    """A particle that is half inside must not be taught as background on its other half."""
    folder, ground_truth = marked
    write_star(folder / "uncertain/mic0.star", ground_truth["mic0"][:3])
    assert len(load(folder)["mic0"].positives) == len(ground_truth["mic0"])
    for kind in ("boxes", "sparse"):
        assert len(load(folder, labels=kind)["mic0"].positives) == len(ground_truth["mic0"]) - 3


def test_the_unlabelled_edge_and_uncertain_places_are_both_left_out(marked):
    folder, ground_truth = marked
    for name in ground_truth:
        write_star(
            folder / f"coordinates/{name}.star", [c for c in ground_truth[name] if 20 < c[0] < 230 and 20 < c[1] < 290]
        )
    write_star(folder / "uncertain/mic0.star", [[128.0, 160.0]])
    images = load(folder)
    image = leave_out_unlabelled_edge(list(images.values()), 32.0)[0]
    middle = tuple(n // 2 for n in image.image.shape)
    assert not image.usable[middle] and not image.usable[0].any() and image.usable[middle[0] // 2, middle[1] // 2]


def test_a_mask_of_another_size_is_named_with_both_sizes(marked):
    folder, _ = marked
    write_mrc(folder / "uncertain/mic1.mrc", np.zeros((128, 160), np.int8))
    with pytest.raises(ValueError) as error:
        match_labels(config(folder))
    for word in ("uncertain/mic1.mrc", "160 x 128 px", "mics/mic1.mrc", "320 x 256 px", "--uncertain"):
        assert word in str(error.value)


def test_circles_outside_of_the_micrograph_are_named(marked):
    folder, _ = marked
    write_star(folder / "uncertain/mic1.star", [[10.0, 900.0]])
    with pytest.raises(ValueError, match="1 coordinate of mic1 outside"):
        match_labels(config(folder))


def test_uncertain_places_of_other_micrographs_are_an_error(marked):
    folder, _ = marked
    write_mrc(folder / "uncertain/other.mrc", np.zeros((256, 320), np.int8))
    with pytest.raises(ValueError, match="belong to these micrographs.*other.*mic0, mic1"):
        match_labels(config(folder))


def test_a_folder_with_neither_and_a_missing_one_are_named(marked):
    folder, _ = marked
    (folder / "uncertain/notes.pdf").write_text("nothing")
    with pytest.raises(ValueError, match="neither coordinates .* nor masks"):
        read_uncertain(folder / "uncertain")
    with pytest.raises(FileNotFoundError, match="gone do not exist"):
        read_uncertain(folder / "gone")


def test_one_file_is_enough(marked):
    folder, _ = marked
    path = write_mrc(folder / "uncertain/mic0.mrc", np.zeros((256, 320), np.int8))
    assert read_uncertain(path)["mic0"].mask == str(path)
    path = write_star(folder / "uncertain/mic1.star", [[5, 6]])
    assert read_uncertain(path)["mic1"].circles.tolist() == [[5, 6]] and read_uncertain(path)["mic1"].mask is None


def test_a_micrograph_that_is_all_uncertain_is_skipped_and_named(marked):
    folder, _ = marked
    write_mrc(folder / "uncertain/mic0.mrc", np.ones((256, 320), np.int8))
    chosen = config(folder)
    _, images, skipped = load_labels(match_labels(chosen), picker_method("unet"), chosen)
    assert [im.name for im in images] == ["mic1"] and "marked as uncertain" in skipped[0].reason
    write_mrc(folder / "uncertain/mic1.mrc", np.pad(np.zeros((4, 4), np.int8), ((0, 252), (0, 316)), constant_values=1))
    chosen = config(folder, labels="boxes")
    with pytest.raises(ValueError, match="leaves 0 particles"):
        load_labels(match_labels(chosen), picker_method("unet"), chosen)
