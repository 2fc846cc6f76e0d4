# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-segmentation`: metrics counted by hand, by scikit-learn and scipy, and what it refuses."""

import json

import mrcfile
import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from sklearn.metrics import average_precision_score
from synthetic import write_mrc

from cryodl.contract import Failure, Result
from cryodl.core.calibration import expected_calibration_error
from cryodl.running.cli import main
from cryodl.tomograms.evaluation import measure
from cryodl.tomograms.evaluation.pairs import LabelledPair, same_names


def evaluate(folder, *more, output="out"):
    """Exit code of the command."""
    return main(
        [
            "evaluate-segmentation",
            "--segmentations",
            str(folder / "found/*.mrc"),
            "--labels",
            str(folder / "labels/*.mrc"),
            "--output",
            str(folder / output),
            "--result",
            str(folder / "result.json"),
            *map(str, more),
        ]
    )


def write(folder, found, ground_truth, name="a", pixel_size=8.0, ending=""):
    """found/<name>.mrc and labels/<name>.mrc."""
    for part, volume, end in (("found", found, ending), ("labels", ground_truth, "")):
        (folder / part).mkdir(exist_ok=True)
        write_mrc(folder / part / f"{name}{end}.mrc", volume, pixel_size)


def features(folder):
    return Result.read(folder / "result.json").outputs["features"]


def warnings(folder):
    return Result.read(folder / "result.json").warnings


def message(folder):
    return Failure.read(folder / "failure.json").message


def test_boundaries_at_several_pixel_sizes_are_averaged_in_angstrom(tmp_path):
    for name, size, away in (("fine", 5.0, 1), ("coarse", 20.0, 3)):
        ground_truth, found = np.zeros((2, 12, 30, 30), np.int8)
        ground_truth[4], found[4 + away] = 1, 1
        write(tmp_path, found, ground_truth, name, size)
    assert evaluate(tmp_path) == 0
    one = features(tmp_path)["1"]
    assert one["boundary_error"] == pytest.approx((1 * 5 + 3 * 20) / 2) and one["boundary_error_95"] == 60


def test_metrics_are_those_counted_by_hand(tmp_path):
    ground_truth, found = np.zeros((2, 6, 10, 12), np.int8)
    ground_truth[1:3, 2:5, 3:7] = 1  # 24 voxels
    found[1:3, 3:6, 3:7] = 1  # 24, of which 16 are right
    ground_truth[4, 0:2, 0:2] = 2  # 4, not found
    found[4, 7:9, 9:12] = 3  # 6, not there
    write(tmp_path, found, ground_truth)
    assert evaluate(tmp_path) == 0
    one, two, three = (features(tmp_path)[k] for k in "123")
    assert one["dice"] == pytest.approx(2 * 16 / 48) and one["iou"] == pytest.approx(16 / 32)
    assert one["precision"] == one["recall"] == pytest.approx(2 / 3)
    assert (one["components_true"], one["components_detected"], one["components_found"], one["components_right"]) == (
        1,
        1,
        1,
        1,
    )
    assert (
        two["dice"] == 0 and two["precision"] is None and two["boundary_error"] is None and two["component_recall"] == 0
    )
    assert three["dice"] == 0 and three["recall"] is None and three["component_precision"] == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert record["tomograms"]["a"]["features"]["1"]["dice"] == one["dice"] and record["threshold"] is None
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"evaluation.json", "metrics.png", "a.png"}


def test_labels_whose_header_says_another_place_are_named(tmp_path):
    write(tmp_path, *np.indices((2, 4, 8, 8))[1].clip(0, 1).astype(np.int8))
    for part, place in (("found", (50, 100, 100)), ("labels", (480, 100, 100))):
        with mrcfile.open(tmp_path / part / "a.mrc", "r+") as mrc:
            mrc.header.origin = place
    assert evaluate(tmp_path) == 0
    (said,) = Result.read(tmp_path / "result.json").warnings
    assert "labels/a.mrc begins at (480.0, 100.0, 100.0) Å" in said and "found/a.mrc at (50.0, 100.0, 100.0)" in said


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_a_plane_that_is_shifted_has_its_shift_as_boundary_error(tmp_path, axis, shift, monkeypatch):
    monkeypatch.setattr(measure, "SIDE", 9)
    ground_truth = np.zeros((20, 24, 28), bool)
    ground_truth[tuple(slice(8, 10) if a == axis else slice(None) for a in range(3))] = True
    found = np.roll(ground_truth, shift, axis)
    write(tmp_path, found.astype(np.int8), ground_truth.astype(np.int8))
    pair = LabelledPair("a", tmp_path / "found/a.mrc", tmp_path / "labels/a.mrc", None, 0.5)
    metrics = measure.measure_labelled_pair(pair)[0][1].metrics(8.0)
    # of two layers 5 px on, the nearest pairs are 4 and 5 px apart
    assert metrics["boundary_error"] == pytest.approx(8 * {0: 0, 1: 0.5, 5: 4.5}[shift])
    assert metrics["boundary_error_95"] == pytest.approx(8 * shift) and metrics["boundary_alone"] == 0


def test_a_single_layer_is_as_far_as_it_was_moved(tmp_path):
    ground_truth = np.zeros((12, 16, 16), np.int8)
    ground_truth[3] = 1
    write(tmp_path, np.roll(ground_truth, 4, 0), ground_truth, pixel_size=7.5)
    assert evaluate(tmp_path) == 0
    assert features(tmp_path)["1"]["boundary_error"] == features(tmp_path)["1"]["boundary_error_95"] == 4 * 7.5
    write_mrc(tmp_path / "labels/a.mrc", ground_truth, 5.0)
    assert evaluate(tmp_path, output="again") == 0
    assert "labels/a.mrc says 5 Å/px; 7.5 Å/px was used instead." in " ".join(warnings(tmp_path))
    assert features(tmp_path)["1"]["boundary_error"] == 4 * 7.5


def test_distances_are_those_of_distance_transforms_however_the_volume_is_cut(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    ground_truth, found = (distance_transform_edt(rng.random((24, 30, 34)) < p) < 1.5 for p in (0.98, 0.975))
    write(tmp_path, found.astype(np.int8), ground_truth.astype(np.int8))
    edges = [m & ~binary_erosion(m, border_value=1) for m in (found, ground_truth)]
    wanted = np.concatenate([distance_transform_edt(~edges[1])[edges[0]], distance_transform_edt(~edges[0])[edges[1]]])
    pair = LabelledPair("a", tmp_path / "found/a.mrc", tmp_path / "labels/a.mrc", None, 0.5)
    for side in (64, 10):
        monkeypatch.setattr(measure, "SIDE", side)
        metrics = measure.measure_labelled_pair(pair)[0][1].metrics(1.0)
        assert metrics["boundary_error"] == pytest.approx(wanted.mean())
        assert metrics["voxels_true"] == ground_truth.sum() and metrics["voxels_found"] == found.sum()


def test_what_has_nothing_near_counts_with_the_largest_distance(tmp_path):
    ground_truth = np.zeros((4, 4, 120), np.int8)
    ground_truth[..., 10] = 1
    found = ground_truth.copy()
    found[..., 110] = 1
    write(tmp_path, found, ground_truth, pixel_size=2.0)
    assert evaluate(tmp_path) == 0
    assert features(tmp_path)["1"]["boundary_error"] == pytest.approx(2 * 48 / 3)
    assert features(tmp_path)["1"]["boundary_alone"] == pytest.approx(1 / 3)


def test_what_nobody_annotated_does_not_count(tmp_path):
    ground_truth, found = np.zeros((2, 8, 12, 20), np.uint16)
    ground_truth[2:5, 2:5, 2:5] = found[2:5, 2:5, 2:5] = 1
    ground_truth[:, :, 12:] = 255
    found[2:6, 3:9, 13:18] = 1  # wrong, if anybody knew
    write(tmp_path, found, ground_truth)
    assert evaluate(tmp_path) == 0
    one = features(tmp_path)["1"]
    assert (
        one["dice"] == 1
        and one["boundary_error"] == 0
        and one["components_found"] == 1
        and one["component_precision"] == 1
    )
    write(tmp_path, found.astype(np.int8), ground_truth.astype(np.uint8).view(np.int8))  # 255 as a signed byte
    assert evaluate(tmp_path, output="bytes") == 0 and features(tmp_path)["1"]["dice"] == 1


@pytest.mark.parametrize("kind", [np.float16, np.int8])
def test_score_volumes_are_judged_at_every_threshold(tmp_path, kind):
    rng = np.random.default_rng(1)
    ground_truth = rng.random((8, 20, 24)) < 0.2
    scores = np.round(np.clip(rng.normal(0.3 + 0.3 * ground_truth, 0.2), 0, 1), 2)
    stored = (100 * scores).round().astype(kind) if kind is np.int8 else scores.astype(kind)
    write(tmp_path, stored, 3 * ground_truth.astype(np.int8), ending="__blob")
    assert evaluate(tmp_path, "--label", 3, "--threshold", 0.465) == 0
    metrics = features(tmp_path)["blob"]
    above = scores >= 0.465
    assert metrics["dice"] == pytest.approx(2 * (above & ground_truth).sum() / (above.sum() + ground_truth.sum()))
    flat = ground_truth.ravel(), scores.ravel()
    assert metrics["average_precision"] == pytest.approx(average_precision_score(*flat), abs=2e-3)
    assert metrics["calibration_error"] == pytest.approx(expected_calibration_error(*flat), abs=0.02)
    dice = [
        2 * (ground_truth & (scores >= t - 1e-6)).sum() / ((scores >= t - 1e-6).sum() + ground_truth.sum())
        for t in np.arange(0, 1.001, 0.01)
    ]
    assert metrics["best_dice"] == pytest.approx(max(dice), abs=5e-3)
    assert metrics["best_threshold"] == pytest.approx(np.argmax(dice) / 100, abs=0.011)
    pictures = Result.read(tmp_path / "result.json").outputs["pictures"]
    assert set(pictures) == {"metrics", "curve", "a__blob"} and (tmp_path / "out/curve.png").exists()


def test_several_tomograms_are_pooled_and_paired_by_their_names(tmp_path):
    ground_truth, found = np.zeros((2, 4, 8, 8), np.int8)
    ground_truth[1, 2:6, 2:6] = 1
    for name, share in (("a", 16), ("b", 4)):
        found = np.zeros_like(ground_truth)
        found[1, 2:6, 2:6].flat[:0] = 0
        part = np.zeros(16, np.int8)
        part[:share] = 1
        found[1, 2:6, 2:6] = part.reshape(4, 4)
        write(tmp_path, found, ground_truth, name)
    (tmp_path / "found/features.json").write_text('{"features": [{"label": 1, "name": "wall"}]}')
    files = [str(tmp_path / f"labels/{n}.mrc") for n in "ba"]
    assert evaluate(tmp_path, "--labels", *files) == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert record["tomograms"]["a"]["features"]["wall"]["dice"] == 1
    assert record["features"]["wall"]["recall"] == pytest.approx(20 / 32)
    assert record["features"]["wall"]["components_detected"] == 1 and record["features"]["wall"]["components_true"] == 2


def test_names_that_match_only_partly_or_not_at_all_are_refused(tmp_path):
    ground_truth = np.zeros((4, 8, 8), np.int8)
    ground_truth[1, 2:6, 2:6] = 1
    write(tmp_path, ground_truth, ground_truth, "tomo_1")
    write(tmp_path, ground_truth * 2, ground_truth * 2, "tomo_2")
    (tmp_path / "found/tomo_2.mrc").rename(tmp_path / "found/tomo_3.mrc")
    assert evaluate(tmp_path) == 2 and "Left over: tomo_3 of the segmentations, tomo_2 of the" in message(tmp_path)
    assert not (tmp_path / "out").exists()
    for old, new in (("tomo_1", "x"), ("tomo_2", "w")):
        (tmp_path / f"labels/{old}.mrc").rename(tmp_path / f"labels/{new}.mrc")
    # sorted, the second label volume comes first: the Dice would be 0
    assert evaluate(tmp_path) == 2 and "No names of the segmentations" in message(tmp_path)


def test_labels_without_any_background_are_warned_of(tmp_path):
    """One of them had recall and precision beside it, without a word."""
    ball = (np.indices((20, 20, 20)) - 10 < 4).all(axis=0).astype(np.int8)
    for number, labels in enumerate((np.ones_like(ball), ball)):
        write(tmp_path, ball, labels)
        evaluate(tmp_path, output=f"out{number}")
        said = " ".join(warnings(tmp_path))
        assert ("have the value 1, and none is background: they tell of recall alone" in said) == (number == 0)


def test_what_does_not_fit_is_refused_in_words(tmp_path):
    ground_truth = np.zeros((4, 8, 8), np.int8)
    ground_truth[1, 2:6, 2:6] = 1
    write(tmp_path, np.zeros((4, 8, 9), np.int8), ground_truth)
    assert evaluate(tmp_path) == 2 and "9 x 8 x 4" in message(tmp_path) and "8 x 8 x 4" in message(tmp_path)
    write(tmp_path, ground_truth * 0, ground_truth * 0)
    assert evaluate(tmp_path) == 2 and "contain a feature" in message(tmp_path)
    write(tmp_path, ground_truth.astype(np.float32), ground_truth)
    assert evaluate(tmp_path, "--label", 7) == 2 and "the value 7 (--label)" in message(tmp_path)
    write(tmp_path, ground_truth.astype(np.float32) * 0.7, ground_truth)
    assert evaluate(tmp_path) == 2 and "such as 0.7" in message(tmp_path) and "(--label)" in message(tmp_path)
    write(tmp_path, ground_truth.astype(np.float32) * 5, ground_truth)
    assert evaluate(tmp_path, "--label", 1) == 2 and "from 0 to 5; scores must be 0 to 1" in message(tmp_path)
    write(tmp_path, ground_truth, ground_truth, pixel_size=0)
    assert evaluate(tmp_path) == 2 and "has no pixel size" in message(tmp_path)
    write(tmp_path, ground_truth, ground_truth, "b")
    (tmp_path / "labels/b.mrc").unlink()
    assert evaluate(tmp_path) == 2 and "2 segmentations" in message(tmp_path)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def name_features(folder, **names):
    entries = [dict(label=k, name=name) for name, k in names.items()]
    (folder / "features.json").write_text(json.dumps(dict(features=entries)))


def test_features_with_other_values_are_compared_by_their_names(tmp_path, capsys):
    ground_truth, found = np.zeros((2, 4, 8, 8), np.int8)
    ground_truth[0], ground_truth[1, :4], ground_truth[2, :2] = 1, 2, 3
    found[1, :4], found[2, :4], found[3] = 1, 2, 3
    write(tmp_path, found, ground_truth)
    name_features(tmp_path / "found", ribo=1, membrane=2, actin=3)
    name_features(tmp_path / "labels", proteasome=1, ribo=2, membrane=3)
    assert evaluate(tmp_path) == 0
    metrics = features(tmp_path)
    assert list(metrics) == ["proteasome", "ribo", "membrane"]
    assert [f["dice"] for f in metrics.values()] == [0, 1, pytest.approx(2 * 16 / 48)]
    assert [f["label"] for f in metrics.values()] == [1, 2, 3]
    said = capsys.readouterr()
    assert "by their names (features.json): ribo 1 with 2, membrane 2 with 3 of the labels" in said.out
    first, second = Result.read(tmp_path / "result.json").warnings
    assert "labels have no actin" in first and "segmentations have no proteasome" in second
    assert (said.out + said.err).count(first) == 1


def test_a_feature_that_is_named_otherwise_is_compared_by_its_value(tmp_path):
    ground_truth = np.zeros((4, 8, 8), np.int8)
    ground_truth[1, 2:6, 2:6], ground_truth[2] = 1, 2
    write(tmp_path, ground_truth, ground_truth)
    name_features(tmp_path / "found", particle=1, membrane=2, actin=3)
    name_features(tmp_path / "labels", ribosome=1, membrane=2)
    assert evaluate(tmp_path) == 0
    assert {name: f["dice"] for name, f in features(tmp_path).items()} == {"ribosome": 1, "membrane": 1}
    first, second = Result.read(tmp_path / "result.json").warnings
    assert "called particle" in first and "ribosome in the labels" in first and "labels have no actin" in second


def test_equal_values_are_compared_where_names_cannot_and_none_is_lost(tmp_path):
    ground_truth = np.zeros((4, 8, 8), np.int8)
    ground_truth[0], ground_truth[1] = 1, 2
    write(tmp_path, ground_truth, ground_truth)
    name_features(tmp_path / "found", ribosome=1)
    name_features(tmp_path / "labels", rna=1)
    assert evaluate(tmp_path) == 0 and set(features(tmp_path)) == {"ribosome", "2"}
    assert "whatever their names" in Result.read(tmp_path / "result.json").warnings[0]
    (tmp_path / "labels/features.json").write_text(
        json.dumps(dict(features=[dict(label=1, name="ribosome"), dict(label=2, name="ribosome")]))
    )
    assert evaluate(tmp_path, output="twice") == 0
    assert set(features(tmp_path)) == {"ribosome (1)", "ribosome (2)"}


@pytest.mark.parametrize("scores", [False, True])
def test_labels_of_other_numbers_are_a_warning_with_the_dice_that_they_give(tmp_path, scores):
    ground_truth = np.zeros((12, 30, 30), np.int16)
    ground_truth[2:6], ground_truth[8:10] = 4, 1
    found = (ground_truth == 4).astype(np.float32 if scores else np.int16)
    write(tmp_path, found, ground_truth)
    assert evaluate(tmp_path, *(["--label", 1] if scores else [])) == 0
    (said,) = [sentence for sentence in warnings(tmp_path) if "agrees best" in sentence]
    assert "with the value 4 of the labels: Dice 1.00, and 0.00 with the value 1" in said
    ground_truth[ground_truth == 4] = 2
    write(tmp_path, np.where(ground_truth == 1, 0, ground_truth), ground_truth)
    assert evaluate(tmp_path, output="right") == 0 and not warnings(tmp_path)


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda labels: labels, ""),
        (lambda labels: 1 - labels, "The labels of a look inverted"),
        (lambda labels: labels[::-1], "would be 1.00 where x, y, z of the segmentation {} are x, y, -z of the labels"),
        (lambda labels: labels.transpose(2, 1, 0), "would be 1.00 where x, y, z of the segmentation {} are z, y, x"),
        (lambda labels: np.roll(labels, -2, 0), "would be 1.00 if they were moved by 0, 0, 2 px along x, y, z"),
    ],
)
def test_labels_that_are_inverted_mirrored_moved_or_of_other_axes_are_told(tmp_path, change, said, scores):
    found = np.zeros((20, 20, 20), np.int8)
    found[2:5, 4:12, 10:19], found[3, 10:19, 2:12] = 1, 1
    write(tmp_path, found.astype(np.float32 if scores else np.int8), np.ascontiguousarray(change(found)))
    assert evaluate(tmp_path, *(["--label", 1] if scores else [])) == 0
    assert [said.format(tmp_path / "found/a.mrc") in one for one in warnings(tmp_path)] == [True] * bool(said)


@pytest.mark.parametrize("annotated", ["everywhere", "a small area"])
def test_labels_that_merely_disagree_are_neither_inverted_nor_mirrored_nor_moved(tmp_path, annotated):
    """By chance the background fits them better, and a small area is fitted well by one of 48 ways to turn it."""
    rng = np.random.default_rng(0)
    found, labels = (gaussian_filter(rng.normal(size=(36, 36, 36)), 3, mode="wrap") for _ in range(2))
    found, labels = ((one > np.quantile(one, 0.7)).astype(np.int8) for one in (found, labels))
    if annotated != "everywhere":
        kept = labels[10:18, 3:15, 20:32].copy()
        labels[:], labels[10:18, 3:15, 20:32], found[10:18, 3:15, 20:32] = -1, kept, 0
        found[13, 8, 25:28] = 1
    write(tmp_path, found, labels)
    assert evaluate(tmp_path) == 0 and not warnings(tmp_path)


def test_a_label_for_label_volumes_is_refused(tmp_path):
    ground_truth = np.zeros((4, 8, 8), np.int8)
    ground_truth[1], ground_truth[2] = 1, 2
    write(tmp_path, ground_truth, ground_truth)
    name_features(tmp_path / "found", ribo=1, membrane=2)
    assert evaluate(tmp_path, "--label", 1) == 2 and "label volumes; leave out --label" in message(tmp_path)
    (tmp_path / "found/features.json").rename(tmp_path / "features.json")  # one folder above, as of simulated ones
    assert evaluate(tmp_path, "--label", 1) == 2 and "label volumes; leave out --label" in message(tmp_path)
    (tmp_path / "features.json").unlink()
    assert evaluate(tmp_path, "--label", 1) == 0
    assert any("If it is a label volume" in warning for warning in Result.read(tmp_path / "result.json").warnings)
    write(tmp_path, ground_truth * 30, ground_truth)  # per cent: scores
    assert evaluate(tmp_path, "--label", 1, output="scores") == 0
    assert not any("label volume" in warning for warning in warnings(tmp_path))


def test_scores_of_another_feature_than_the_label_are_warned_of(tmp_path):
    ground_truth = np.zeros((4, 8, 8), np.int8)
    ground_truth[1] = 1
    write(tmp_path, ground_truth * 80, ground_truth, ending="__membrane")
    name_features(tmp_path / "labels", ribosome=1)
    assert evaluate(tmp_path, "--label", 1) == 0
    assert any("are of membrane" in warning for warning in Result.read(tmp_path / "result.json").warnings)


@pytest.mark.parametrize("number, same", [(1, {1: 1, 2: 2}), (3, {1: 3, 2: 0, 3: 0})])
def test_features_of_other_names_are_one_only_where_the_numbers_agree(number, same):
    """One says ribosome and the other 70S; where membranes have other numbers, these say nothing of the rest."""
    assert same_names({1: "membrane", 2: "ribosome"}, {number: "membrane", 2: "70S"}) == same
