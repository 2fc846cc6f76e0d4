# SPDX-License-Identifier: GPL-3.0-or-later
"""train-picker with every kind of labels: what is proposed, estimated, said, and written in the card."""

import json

import numpy as np
import pytest
from picking import train_picker as train
from picking import training_config as config
from scipy.spatial import cKDTree
from synthetic import blob_micrograph, blob_project, write_mrc, write_star

from cryodl.contract import Result
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.card import BOX_THRESHOLD, calibrate_model
from cryodl.micrographs.pickers.corrected_calibration import CorrectedCandidates
from cryodl.micrographs.pickers.fill_in import estimate_particles, fill_in
from cryodl.micrographs.pickers.labels import label_kind, load_labels, match_labels
from cryodl.micrographs.pickers.train import Hits
from cryodl.running.cli import main


def filled(folder, network="unet", **values):
    """FilledIn of a project."""
    chosen, method = config(folder, network=network, **values), picker_method(network)
    return fill_in(load_labels(match_labels(chosen), method, chosen)[1], chosen, method)


def outcome(folder):
    return Result.read(folder / "result.json"), json.loads((folder / "model/card.json").read_text())


def boxes(folder, name, **groups):
    """A folder of coordinate files. groups: micrograph to (n, 2) yx."""
    (folder / name).mkdir()
    for micrograph, yx in groups.items():
        write_star(folder / name / f"{micrograph}.star", yx)
    return str(folder / name)


def sparse_project(folder, keep):
    """Two micrographs with the first `keep` particles labelled. Returns the whole truth."""
    ground_truth = dict(blob_project(folder))
    for name, centres in ground_truth.items():
        write_star(folder / f"coordinates/{name}.star", centres[:keep])
    return ground_truth


@pytest.mark.parametrize(
    "values, kind",
    [
        (dict(), "complete"),
        (dict(background="b"), "boxes"),
        (dict(contamination="c"), "boxes"),
        (dict(network="topaz"), "sparse"),
        (dict(network="topaz", background="b"), "boxes"),
        (dict(labels="sparse", background="b"), "sparse"),
        (dict(network="topaz", labels="complete"), "complete"),
    ],
)
def test_what_the_labels_mean(tmp_path, values, kind):
    assert label_kind(config(tmp_path, **values)) == kind


def test_good_boxes_alone_get_background_away_from_all_particles(tmp_path):
    ground_truth = sparse_project(tmp_path, 6)
    found = filled(tmp_path, labels="boxes")
    assert any("boxes on background and" in s for s in found.said)
    for image in found.images:
        whole = ground_truth[image.name] * image.image.shape[0] / 256
        assert image.labels == "boxes" and len(image.positives) == 6 and len(image.negatives) >= 10
        assert (cKDTree(whole).query(image.negatives)[0] > 10).mean() > 0.9


def test_given_boxes_are_never_replaced(tmp_path):
    blob_project(tmp_path)
    given = boxes(tmp_path, "bad", mic0=[[5.0, 200.0]])
    found = filled(tmp_path, background=given)
    assert sum(len(im.negatives) for im in found.images) == 1 and not any(len(im.contamination) for im in found.images)
    found = filled(tmp_path, contamination=given)
    assert sum(len(im.contamination) for im in found.images) == 1 and all(len(im.negatives) for im in found.images)


def test_two_networks_get_contamination_where_none_is_given(tmp_path):
    blob_project(tmp_path)
    found = filled(tmp_path, network="eman2").images
    assert all(1 <= len(im.contamination) <= 15 for im in found) and sum(len(im.contamination) for im in found) >= 3
    assert not any(len(im.contamination) for im in filled(tmp_path, network="unet").images)


def test_expected_particles_are_estimated_from_what_looks_alike(tmp_path):
    ground_truth = sparse_project(tmp_path, 8)
    found = filled(tmp_path, labels="sparse")
    expected, real = sum(im.expected for im in found.images), sum(map(len, ground_truth.values()))
    assert 0.6 * real < expected < 1.7 * real and not found.warnings
    assert any("are expected per micrograph, 8 of them labelled (estimated" in s for s in found.said)


def test_expected_particles_as_asked_but_never_fewer_than_labelled(tmp_path):
    sparse_project(tmp_path, 8)
    assert [im.expected for im in filled(tmp_path, labels="sparse", expected_particles=30.0).images] == [30, 30]
    assert [im.expected for im in filled(tmp_path, labels="sparse", expected_particles=2.0).images] == [8, 8]


def test_labels_on_noise_give_a_guess_and_say_so(tmp_path):
    (tmp_path / "mics").mkdir(), (tmp_path / "coordinates").mkdir()
    rng = np.random.default_rng(0)
    write_mrc(tmp_path / "mics/a.mrc", rng.standard_normal((256, 320)).astype(np.float32))
    write_star(tmp_path / "coordinates/a.star", rng.uniform(30, 220, (40, 2)))
    found = filled(tmp_path, labels="sparse")
    counts, clear = estimate_particles(found.images, 32.0)
    assert not clear and counts == [80.0] and any("--expected-particles" in w for w in found.warnings)


def test_contamination_of_other_micrographs_is_an_error(tmp_path, capsys):
    blob_project(tmp_path)
    given = boxes(tmp_path, "ice", other1=[[5.0, 20.0]])
    assert train(tmp_path, "--contamination", given) == 2
    message = capsys.readouterr().err
    for word in (given, "other1", "mic0, mic1", "without folder and extension"):
        assert word in message


def test_boxes_outside_of_the_micrograph_are_named(tmp_path, capsys):
    blob_project(tmp_path)
    assert train(tmp_path, "--contamination", boxes(tmp_path, "ice", mic1=[[5.0, 2000.0]])) == 2
    assert "1 coordinate of mic1 outside" in capsys.readouterr().err


def test_boxes_on_micrographs_without_a_list_of_particles_are_said_where_labels_are_complete(tmp_path):
    blob_project(tmp_path, count=3)
    (tmp_path / "coordinates/mic2.star").unlink()
    given = boxes(tmp_path, "ice", mic2=[[50.0, 50.0]])
    said = []
    items = match_labels(config(tmp_path, labels="complete", contamination=given), said.append)
    assert (
        [i.name for i in items] == ["mic0", "mic1"] and "without a list of particles" in said[0] and "mic2" in said[0]
    )
    assert [i.name for i in match_labels(config(tmp_path, contamination=given))] == ["mic0", "mic1", "mic2"]


def test_the_card_of_a_training_with_few_boxes(tmp_path):
    sparse_project(tmp_path, 8)
    assert train(tmp_path, "--labels", "boxes") == 0
    result, card = outcome(tmp_path)
    for made in (card, result.outputs):
        assert (made["labels"], made["contrast"]) == ("boxes", "dark")
    assert card["training"]["background_boxes"] >= 20 and "contamination_boxes" in card["training"]
    assert 0 <= card["threshold_uncertainty"] == result.outputs["threshold_uncertainty"] < 1


def test_few_boxes_promise_no_figures(tmp_path):
    """Figures of the boxes that were learnt said F1 0.68 to 0.93 where 0.48 to 0.63 was true."""
    sparse_project(tmp_path, 8)
    assert train(tmp_path, "--labels", "boxes") == 0
    said = " ".join(outcome(tmp_path)[0].summary + outcome(tmp_path)[0].methods)
    assert "F1" not in said and "too few to tell precision or recall" in said
    mics = ["--micrographs", str(tmp_path / "mics/*.mrc"), "--pixel-size", "4", "--threshold", "0.1"]
    paths = dict(model=tmp_path / "model", output=tmp_path / "out", result=tmp_path / "picked.json")
    assert main(["pick", *mics, *(word for name, path in paths.items() for word in (f"--{name}", str(path)))]) == 0
    made = Result.read(paths["result"])
    assert made.outputs["picks"] and made.outputs["expected"] is None and made.outputs["state"] is None
    assert any("Precision and recall of the picks are not stated" in line for line in made.summary)


def test_the_card_of_a_training_with_sparse_labels(tmp_path):
    sparse_project(tmp_path, 25)
    assert train(tmp_path, "--labels", "sparse", "--expected-particles", "30", "--pu-criterion", "nnpu") == 0
    result, card = outcome(tmp_path)
    assert card["labels"] == "sparse" and card["training"]["expected_particles"] == 30
    assert any("count unlabelled particles as false picks" in w for w in result.warnings)


def test_bright_protein_is_trained_turned_and_the_card_says_it(tmp_path):
    """The same noise with either sign must give the same network."""
    weights = []
    for folder, sign in ((tmp_path / "dark", 1), (tmp_path / "bright", -1)):
        (folder / "mics").mkdir(parents=True), (folder / "coordinates").mkdir()
        for i in (0, 1):
            image, centres = blob_micrograph(seed=10 * i)
            write_mrc(folder / f"mics/mic{i}.mrc", sign * image)
            write_star(folder / f"coordinates/mic{i}.star", centres)
        assert train(folder) == 0
        result, card = outcome(folder)
        weights.append(card["weights_sha256"])
        assert card["contrast"] == folder.name and any("Protein is bright" in w for w in result.warnings) == (sign < 0)
    from cryodl.io.model import read_model

    a, b = (read_model(tmp_path / f / "model")[1] for f in ("dark", "bright"))
    assert max(float((a[k].float() - b[k].float()).abs().max()) for k in a) < 1e-2


def test_upside_down_labels_are_never_passed_over_silently(tmp_path, capsys):
    (tmp_path / "mics").mkdir(), (tmp_path / "coordinates").mkdir()
    for i in (0, 1):
        image, centres = blob_micrograph(seed=10 * i, contrast=5.0)
        write_mrc(tmp_path / f"mics/mic{i}.mrc", image)
        write_star(tmp_path / f"coordinates/mic{i}.star", np.stack([255 - centres[:, 0], centres[:, 1]], 1))
    assert train(tmp_path) == 0
    assert any("upside down" in w for w in outcome(tmp_path)[0].warnings)
    assert "Warning: The coordinates seem to be upside down" in capsys.readouterr().out


class _Task:
    """As much of a PickerTask as calibration asks for."""

    labels = "complete"


def hits(n, seed):
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.03, 0.97, n)
    hit = rng.random(n) < raw
    return Hits(hit, raw, int(hit.sum()) + 2)


def test_the_thresholds_uncertainty_shrinks_with_the_number_of_micrographs():
    few, many = (calibrate_model(_Task(), [hits(60, seed) for seed in range(count)]) for count in (6, 60))
    assert 0 < many[2] < 0.6 * few[2] < 0.2
    single = calibrate_model(_Task(), [hits(60, 0)])
    assert single[2] > many[2] and calibrate_model(_Task(), [hits(60, 0)]) == single  # repeatable


class _Boxes(_Task):
    """A task of twenty boxes, and of what is found beside them."""

    labels, training, validation = "boxes", [], []

    def __init__(self, candidates):
        self.found = CorrectedCandidates(np.linspace(0.01, 0.99, candidates), *np.zeros((3, candidates), bool))

    corrected_candidates = lambda self, items: self.found
    box_hits = lambda self, items: Hits(np.arange(40) < 20, np.where(np.arange(40) < 20, 0.9, 0.1), 20)


@pytest.mark.parametrize(
    "candidates, missed, tells", [(500, 4, True), (500, 20, False), (500, 12, False), (0, 4, False)]
)
def test_held_back_boxes_tell_no_threshold_where_networks_miss_most_of_them(candidates, missed, tells):
    ranks = [*range(5, 5 + 20 - missed), *[np.inf] * missed]
    _, threshold, _ = calibrate_model(_Boxes(candidates), [Hits(np.ones(20, bool), np.full(20, 0.9), 20, ranks=ranks)])
    assert (threshold != BOX_THRESHOLD) == tells


@pytest.mark.parametrize("boxes, tells", [(6, True), (4, False)])
def test_six_boxes_tell_a_threshold_by_their_ranks(boxes, tells):
    hits = Hits(np.ones(boxes, bool), np.full(boxes, 0.9), boxes, ranks=[*range(5, 5 + boxes)])
    assert (calibrate_model(_Boxes(500), [hits])[1] != BOX_THRESHOLD) == tells


def test_the_threshold_of_boxes_lies_in_the_middle_of_a_gap_not_at_its_upper_end():
    """Particles of other micrographs may be fainter than the faintest of the one that was labelled."""
    odds = np.r_[np.linspace(1.5, 4, 26), np.linspace(-6, -1.5, 12)]
    task = _Boxes(0)
    task.found = CorrectedCandidates(1 / (1 + np.exp(-odds)), *np.zeros((3, 38), bool))
    held = Hits(np.ones(20, bool), np.full(20, 0.9), 20, ranks=range(1, 27), counts=(26, 26))
    (slope, offset), threshold, _ = calibrate_model(task, [held])
    assert abs((np.log(threshold / (1 - threshold)) - offset) / slope) < 0.1


def test_no_candidate_at_all_has_a_threshold_all_the_same():
    calibration, threshold, uncertainty = calibrate_model(_Task(), [Hits(np.zeros(0, bool), np.zeros(0), 5)])
    assert calibration == (1.0, 0.0) and threshold == 0.5 and uncertainty == 0
