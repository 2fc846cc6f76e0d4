# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles of label volumes become examples: where they lie, what is known, and what is kept apart."""

import types

import numpy as np
import pytest
import torch
from segmenter_data import write_volume

from cryodl.contract import UNANNOTATED
from cryodl.io.tomograms import Tomogram
from cryodl.tomograms.annotations.label_volumes import LabelVolume
from cryodl.tomograms.segmenters import segmenter_method, sources
from cryodl.tomograms.segmenters.examples import PATCH, Depth, Example, cut_example, split_examples
from cryodl.tomograms.segmenters.sources import find_tiles
from cryodl.tomograms.segmenters.working_scale import GreyValues, grey_statistics, resampling_factor, values_statistics

MIDDLE = PATCH // 2


def label_volume(labels):
    """A LabelVolume's stand-in on an array (z, y, x)."""
    return types.SimpleNamespace(
        shape=labels.shape, labels=lambda *r: labels[tuple(slice(*one) for one in r)].astype(np.int32)
    )


def corners(positions):
    return sorted((p.z, *p.corner_yx) for p in positions)


# ----- finding tiles
def test_tiles_that_were_annotated_one_by_one_are_all_found_where_they_are():
    labels = np.full((6, 300, 300), UNANNOTATED, np.uint8)
    labels[1, 20:84, 30:94] = 0
    labels[1, 40:50, 30:94] = 1
    labels[4, 200:264, 100:164] = 0
    labels[4, 200:232, 100:164] = 3
    labels[5, 0:64, 236:300] = 0
    labels[5, 30, 270] = UNANNOTATED  # an uncertain voxel is no border
    positive, negative, seen = find_tiles(label_volume(labels), 0, 1, 64, 240, np.random.default_rng(0))
    assert corners(positive) == [(1, 20, 30)] and seen == {0, 1, 3}
    assert corners(negative) == [(4, 200, 100), (5, 0, 236)]
    assert {p.z: p.hard for p in negative} == {4: True, 5: False}


def test_tiles_side_by_side_are_cut_apart():
    labels = np.full((1, 200, 300), UNANNOTATED, np.uint8)
    labels[0, 50:114, 60:188] = 0
    _, negative, _ = find_tiles(label_volume(labels), 0, 1, 64, 240, np.random.default_rng(0))
    assert corners(negative) == [(0, 50, 60), (0, 50, 124)]


def test_a_volume_that_is_annotated_throughout_gives_tiles_of_all_of_it():
    labels = np.zeros((4, 256, 256), np.uint8)
    labels[:, :128] = 1
    positive, negative, _ = find_tiles(label_volume(labels), 2, 1, 64, 240, np.random.default_rng(0))
    assert len(positive) + len(negative) >= 4 * 9 and {p.volume for p in positive} == {2}
    assert all(labels[p.z, p.corner_yx[0] : p.corner_yx[0] + 64].any() for p in positive)
    assert all(p.corner_yx[0] >= 128 for p in negative)


# ----- cutting them
def numbered(tmp_path, shape=(12, 140, 150)):
    z, y, x = np.indices(shape)
    return Tomogram(write_volume(tmp_path / "t.mrc", (z + 0.01 * y + 0.0001 * x).astype(np.float32)))


def test_a_rare_feature_of_a_volume_that_is_labelled_throughout_is_in_tiles_wherever_it_lies():
    labels = np.zeros((12, 100, 100), np.int8)  # a grid of whole tiles of 64 would hold a third of a slice
    labels[2:8, 70:95, 72:90] = 1
    positive, negative, _ = find_tiles(label_volume(labels), 0, 1, 64, 240, np.random.default_rng(0))
    covered, slices = np.zeros(labels.shape, bool), {position.z for position in positive}
    for position in (*positive, *negative):
        (y, x) = position.corner_yx
        assert 0 <= y <= 36 and 0 <= x <= 36
        covered[position.z, y : y + 64, x : x + 64] = True
    assert covered.all() and slices == set(range(2, 8))
    assert len(set(positive)) == len(positive) > len(slices)


def test_an_example_has_the_voxels_around_the_tiles_place(tmp_path):
    tomogram, labels = numbered(tmp_path), np.zeros((12, 140, 150), np.uint8)
    labels[5, 70:80, 60:70] = 1
    depth = Depth.of(segmenter_method("unet"))
    example = cut_example(
        tomogram, label_volume(labels).labels, 1, "t", (5, 70, 60), 64, GreyValues(0.0, 1.0), 1.0, depth
    )
    assert example.image.shape == (11, PATCH, PATCH) and example.target.shape == (7, PATCH, PATCH)
    assert float(example.image[5, MIDDLE, MIDDLE]) == pytest.approx(5.706, abs=0.005)
    assert float(example.image[2, MIDDLE, MIDDLE]) == pytest.approx(2.706, abs=0.005)
    assert example.positive and float(example.target[3, MIDDLE + 5, MIDDLE + 5]) == 1.0
    assert float(example.target[3, MIDDLE, MIDDLE + 5]) == pytest.approx(2 / 3, abs=0.01)  # an edge is soft
    assert float(example.target[2].max()) == 0 and bool(example.labelled[2, MIDDLE, MIDDLE])


def test_an_example_of_a_tomogram_with_a_ramp_or_a_bend_is_that_of_the_flat_one(tmp_path):
    flat, labels = np.random.default_rng(0).normal(size=(40, 140, 150)).astype(np.float32), np.ones((40, 140, 150), int)
    z, y, x = (np.linspace(-8, 8, n, dtype=np.float32) for n in flat.shape)
    images = []
    ramp, bend = z[:, None, None] - y[:, None] + x, (x**2 - y[:, None] ** 2 - z[:, None, None] ** 2) / 8 + x
    for name, data in (("flat", flat), ("ramp", flat + ramp), ("bend", flat + bend)):
        tomogram = Tomogram(write_volume(tmp_path / f"{name}.mrc", data))
        grey, depth = grey_statistics(tomogram, flat=True), Depth.of(segmenter_method("unet"))
        place = (label_volume(labels).labels, 1, "t", (1, 20, 130), 64)  # a part is mirrored
        images.append(cut_example(tomogram, *place, grey, 1.0, depth).image.float())
    assert max(float((other - images[0]).square().mean().sqrt()) for other in images[1:]) < 0.3
    edge, layers = flat.copy(), flat.copy()
    edge[:, :, 100:] += 2.0  # ice beside carbon is no ramp, and layers are no bend
    layers[[*range(8), *range(32, 40)]] += 2.0
    for name, data in (("edge", edge), ("layers", layers)):
        grey = grey_statistics(Tomogram(write_volume(tmp_path / f"{name}.mrc", data)), flat=True)
        assert not grey.background.any()


def test_a_tile_has_the_feature_only_if_its_own_slice_has(tmp_path):
    tomogram, labels = numbered(tmp_path), np.zeros((12, 140, 150), np.uint8)
    labels[6, 70:80, 60:70] = 1
    depth = Depth.of(segmenter_method("unet"))
    beside, own = (
        cut_example(tomogram, label_volume(labels).labels, 1, "t", (z, 70, 60), 64, GreyValues(0.0, 1.0), 1.0, depth)
        for z in (5, 6)
    )
    assert own.positive and not beside.positive
    assert float(beside.target[4, MIDDLE + 5, MIDDLE + 5]) == 1.0  # its neighbour is learnt all the same


def test_tiles_on_the_border_see_reflected_voxels_of_which_nothing_is_known(tmp_path):
    tomogram, labels = numbered(tmp_path), np.zeros((12, 140, 150), np.uint8)
    depth = Depth.of(segmenter_method("unet"))
    example = cut_example(
        tomogram, label_volume(labels).labels, 1, "t", (0, 0, 149), 64, GreyValues(0.0, 1.0), 1.0, depth
    )
    assert float(example.image[4, MIDDLE, MIDDLE]) == pytest.approx(float(example.image[6, MIDDLE, MIDDLE]))
    assert not example.labelled[0].any() and not example.labelled[3, :MIDDLE].any()
    assert not example.labelled[3, :, MIDDLE + 1 :].any()
    assert example.labelled[3, MIDDLE : MIDDLE + 32, MIDDLE - 32 : MIDDLE + 1].all() and not example.positive


def test_a_coarser_working_grid_keeps_places_and_slices(tmp_path):
    shape = (40, 300, 300)
    z, y, x = np.indices(shape)
    inside = (np.abs(y - 150) < 20) & (np.abs(x - 150) < 40) & (np.abs(z - 20) < 7)
    tomogram = Tomogram(write_volume(tmp_path / "t.mrc", -inside.astype(np.float32), 5.0))
    labels = inside.astype(np.uint8)
    example = cut_example(
        tomogram,
        label_volume(labels).labels,
        1,
        "t",
        (20, 150, 150),
        128,
        GreyValues(0.0, 1.0),
        0.5,
        Depth.of(segmenter_method("unet")),
    )
    assert example.image.shape == (11, PATCH, PATCH)
    drawn = example.target[3] > 0.5
    assert abs(int(drawn.any(1).sum()) - 20) <= 1 and abs(int(drawn.any(0).sum()) - 40) <= 1
    both = (drawn & (example.image[5] < -0.5)).sum() / (drawn | (example.image[5] < -0.5)).sum()
    assert both > 0.9
    assert [bool((example.target[k] > 0.5).any()) for k in range(7)] == [True] * 7 and resampling_factor(
        5.0, 10.0
    ) == 0.5


def test_grey_values_are_those_of_the_whole_tomogram_without_filled_corners(tmp_path):
    data = np.random.default_rng(0).normal(7.0, 2.0, (40, 200, 200)).astype(np.float32)
    data[:, :, :80] = 0
    middle, width, *_ = grey_statistics(Tomogram(write_volume(tmp_path / "t.mrc", data)))
    assert middle == pytest.approx(7.0, abs=0.1) and width == pytest.approx(2.0, abs=0.1)
    finer = grey_statistics(Tomogram(write_volume(tmp_path / "t.mrc", data)), 0.5)
    assert finer[1] < 0.6 * width  # noise that the coarser grid cannot hold is gone


@pytest.mark.parametrize("filling", [0, -4])
def test_measured_voxels_of_the_value_of_the_filling_stay_as_they_are(tmp_path, filling):
    cell = np.round(np.random.default_rng(0).normal(0, 4, (40, 100, 100))).astype(np.int8)
    field = np.full((40, 200, 200), filling, np.int8)
    field[:, 50:150, 50:150] = cell
    of_cell, of_field = (
        [grey_statistics(Tomogram(write_volume(tmp_path / "t.mrc", data)), factor) for factor in (1.0, 0.5)]
        for data in (cell, field)
    )
    for mine, whole in zip(of_field, of_cell):
        assert mine.filling == filling
        assert mine.middle == pytest.approx(whole.middle, abs=0.05) and mine.width == pytest.approx(whole.width, 0.05)
    unfilled = of_field[0]._replace(middle=1.5).unfilled(field.astype(np.float32)).numpy()
    assert np.mean(unfilled[:, 50:150, 50:150] == cell) > 0.999
    unfilled[:, 50:150, 50:150] = 1.5
    assert np.all(unfilled == 1.5)


def test_a_tomogram_that_is_thin_along_y_is_told(tmp_path, capsys):
    data = np.random.default_rng(0).normal(0, 1, (64, 24, 60)).astype(np.float32)
    for name, axes in (("thin", (1, 0, 2)), ("turned", (0, 1, 2))):
        grey_statistics(Tomogram(write_volume(tmp_path / f"{name}.mrc", data.transpose(axes))))
    said = capsys.readouterr().out
    assert "turned.mrc (60 x 24 x 64 px) is thin along y" in said and "thin.mrc" not in said


def test_a_constant_tomogram_is_refused(tmp_path):
    flat = Tomogram(write_volume(tmp_path / "flat.mrc", np.zeros((8, 32, 32), np.float32)))
    with pytest.raises(ValueError, match="flat.mrc has the same value nearly everywhere"):
        grey_statistics(flat)
    parts = np.zeros((40, 100, 100), np.int8)
    parts[10:30, 20:80, 30:70] = 1
    with pytest.raises(ValueError, match="mask.mrc has the same value nearly everywhere"):
        grey_statistics(Tomogram(write_volume(tmp_path / "mask.mrc", parts)))
    with pytest.raises(ValueError, match="same value nearly everywhere"):
        values_statistics(np.ones(10))


# ----- keeping some apart
def example(centre, positive=True, tomogram="t", located=True):
    empty = torch.zeros(1, 1, 1)
    return Example(tomogram, centre, 64, positive, empty, empty, empty.bool(), located)


def kinds(part):
    return sum(e.positive for e in part), sum(not e.positive for e in part)


def test_few_scattered_tiles_are_parted_one_by_one():
    examples = [example((20 * k, 100, 100), k < 10) for k in range(60)]
    training, validation, how = split_examples(examples, 0.2, np.random.default_rng(0))
    assert kinds(training) == (8, 40) and kinds(validation) == (2, 10) and how == "single tiles"


def test_tiles_that_show_the_same_place_are_never_on_both_sides():
    examples = [example((z, 64 * y, 64 * x), (x + y) % 2 == 0) for z in range(8) for y in range(4) for x in range(8)]
    training, validation, how = split_examples(examples, 0.2, np.random.default_rng(0))
    assert how == "one side of each tomogram"
    for one in training:
        for other in validation:
            if one.positive or other.positive:
                distance = [abs(a - b) for a, b in zip(one.centre_zyx, other.centre_zyx)]
                assert distance[0] >= 8 or max(distance[1:]) >= 64
    assert kinds(validation)[0] >= 0.1 * 128 and kinds(training)[0] > 0.5 * 128


def test_whole_tomograms_are_kept_where_there_are_enough():
    examples = [example((0, 64 * k, 0), k % 2 == 0, f"t{t}") for t in range(5) for k in range(8)]
    training, validation, how = split_examples(examples, 0.2, np.random.default_rng(0))
    assert how == "whole tomograms" and len({e.tomogram for e in validation}) == 1
    assert {e.tomogram for e in training}.isdisjoint(e.tomogram for e in validation)
    two = [e for e in examples if e.tomogram in ("t0", "t1")]
    assert split_examples(two, 0.2, np.random.default_rng(0))[2] == "single tiles"  # half of all is too much to keep


def test_tiles_of_which_nobody_knows_the_place_do_not_overlap():
    examples = [example((0, 32, 32), k < 10, located=False) for k in range(30)]
    training, validation, _ = split_examples(examples, 0.2, np.random.default_rng(0))
    assert len(training) + len(validation) == 30


def test_a_single_tile_with_the_feature_serves_for_both():
    examples = [example((0, 64 * k, 0), k == 0) for k in range(5)]
    training, validation, how = split_examples(examples, 0.2, np.random.default_rng(0))
    assert len(training) == 5 and validation == [examples[0]] and "only tile" in how


def test_label_volumes_of_the_original_file_are_read_as_bytes(tmp_path):
    labels = np.zeros((4, 64, 64), np.uint8)
    labels[0] = UNANNOTATED
    tomogram = Tomogram(write_volume(tmp_path / "t.mrc", np.zeros((4, 64, 64), np.float32)))
    volume = LabelVolume(write_volume(tmp_path / "l.mrc", labels.view(np.int8)), tomogram)
    _, negative, seen = find_tiles(volume, 0, 1, 64, 240, np.random.default_rng(0))
    assert seen == {0} and sorted(p.z for p in negative) == [1, 2, 3]


def test_an_annotated_area_has_no_rows_of_another_one_beside_it():
    labelled = np.zeros((48, 48), bool)
    labelled[:36, :8], labelled[:8, :44], labelled[38:46, 24:30] = True, True, True
    rows = [tuple((part.start, part.stop) for part in area) for area in sources._areas(labelled, 8)]
    assert sorted(rows) == [((0, 36), (0, 44)), ((38, 46), (24, 30))]
