# SPDX-License-Identifier: GPL-3.0-or-later
"""Clicks that are held back tell whether, and from what, the general model should learn."""

import dataclasses
import json
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from picking import train_picker as train
from synthetic import blob_project, write_star

from cryodl.contract import Result, TrainPickerConfig
from cryodl.io.coordinates import read_coordinates
from cryodl.io.model import find_model, read_model
from cryodl.micrographs.commands.train_picker import _say_start
from cryodl.micrographs.pickers import held_back, picker_method
from cryodl.micrographs.pickers.card import training_summary
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.held_back import CLICKS, LEFT, HeldBack, hold_back
from cryodl.micrographs.pickers.predict import load_picker
from cryodl.micrographs.pickers.train import Hits, PickerTask
from cryodl.micrographs.pickers.unet import UNetPicker


def labelled(name, particles, background, seed=0):
    rng = np.random.default_rng(seed)
    image, valid = torch.zeros(1, 1).expand(2000, 2000), torch.ones(1, 1, dtype=torch.bool).expand(2000, 2000)
    return LabelledImage(
        name, image, valid, rng.uniform(0, 64, (particles, 2)), rng.uniform(0, 64, (background, 2)), "boxes"
    )


def rows(images, field):
    return sorted((im.name, *yx) for im in images for yx in getattr(im, field).tolist())


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """hold_back with networks that rank as they are told. learnt: function of what a way teaches (its particles, the
    held-back image, ranks before) and of the ranks before that gives those after. found: particles that score 0.5."""
    monkeypatch.setattr(held_back, "fit_task", lambda task, *_, **__: setattr(task, "trained", True))
    monkeypatch.setattr(held_back, "missed_particles", lambda found: found.missed)

    def run(images, given, before, learnt, missed=0.0, found=99, seen=0.0):
        """seen: score of all that the general model finds."""
        taught, held, run.scales = [], [], []

        def task_of(training):
            task = types.SimpleNamespace(
                trained=False, default_steps=250, scales=(0.8, 1.0), method=types.SimpleNamespace(working_diameter=32)
            )

            def box_ranks(out, _):
                held.append(out)
                ranks = [before(image) for image in out]
                if task.trained:
                    ranks = [learnt(training, image, rank) for image, rank in zip(out, ranks)]
                return np.concatenate(ranks), 1000

            candidates = types.SimpleNamespace(missed=missed, raw=np.full(50, seen))
            task.box_ranks, task.corrected_candidates = box_ranks, lambda images: candidates
            task.candidates = lambda out: run.scales.append(task.scales)
            task.hits = lambda out, _: Hits(np.zeros(0, bool), np.zeros(0), sum(len(im.positives) for im in out))
            task.box_hits = lambda images: Hits(*scored(images, found), 0)
            taught.append(training)
            return task

        config = TrainPickerConfig(("a.mrc",), "clicks", 2.0, 40.0, "model")
        general = dict(calibration=(1.0, 0.0), threshold=0.4)
        told, hits = hold_back(task_of, images, given, general, config, tmp_path, torch.device("cpu"), seed=3)
        return told, hits, taught[1:], held

    return run


def scored(images, found):
    """Whether each box is a particle, and its raw score: 0.5 of the first ones, 0.1 of the others."""
    particles, others = (sum(len(getattr(im, field)) for im in images) for field in ("positives", "negatives"))
    return np.repeat([True, False], [particles, others]), np.where(np.arange(particles + others) < found, 0.5, 0.1)


def constant(particle, background):
    """Ranks of an image's clicks."""
    return lambda image: np.repeat([float(particle), float(background)], [len(image.positives), len(image.negatives)])


@pytest.mark.parametrize("helps, learns", [(1.0, True), (-1.0, False)])
def test_each_box_is_held_back_once_and_never_learnt_meanwhile(compare, tmp_path, helps, learns):
    """Of the background, those that the user gave; the proposed ones that follow are no evidence."""
    images = [labelled("a", 7, 5), labelled("b", 4, 3, 1), labelled("c", 1, 0, 2)]
    sign = lambda image: np.repeat([1, -1], [len(image.positives), len(image.negatives)])
    shifted = lambda training, image, ranks: ranks * np.exp(-helps * sign(image))
    found, hits, taught, held = compare(images, {"a": 2, "b": 0, "c": 0}, constant(20, 20), shifted)
    assert (found.gain, found.error, found.way, found.learns) == (helps, 0.0, CLICKS, learns)
    assert (
        found.clicks == hits.reference + 2 == len(hits.ranks) + 2 == 14
        and len(taught) == 2
        and (tmp_path / "half_1").is_dir()
    )
    assert compare.scales == 2 * [(1.0,), (1.0,), (0.8, 1.0)], "scales judge nothing: both look at one alike"
    halves = held[::3]
    assert sorted(rows(halves[0], "positives") + rows(halves[1], "positives")) == rows(images, "positives")
    own = [("a", *yx) for yx in images[0].negatives[:2].tolist()]
    assert sorted(rows(halves[0], "negatives") + rows(halves[1], "negatives")) == sorted(own)
    for out, rest in zip(halves, taught):
        for field in ("positives", "negatives"):
            assert sorted(rows(out, field) + rows(rest, field)) == rows(images, field)
        assert len(rows(out, "positives")) == 6 and len(rows(out, "negatives")) == 1, "one half of each kind"


@pytest.mark.parametrize(
    "found, gain, learns",
    [(20, -0.1, True), (9, -0.1, True), (0, -0.1, True), (20, -0.25, False), (9, -0.25, False), (20, 0.02, True)],
)
def test_boxes_teach_unless_half_of_them_clearly_harm(compare, found, gain, learns):
    """It is clear by two standard errors of 0.1. found: boxes of 20 that the general model finds."""
    ranks = lambda _, image, before: before * np.exp(-gain + 0.44 * (-1) ** np.arange(len(image.positives)))
    told, *_ = compare([labelled("a", 20, 0)], {"a": 0}, constant(500, 1), ranks, found=found)
    assert (told.gain, told.error) == (gain, pytest.approx(0.1, abs=0.002))
    assert told.learns == learns
    assert ("even so" in told.sentence()) == (learns and gain < 0) and ("clearly worse" in told.sentence()) != learns


@pytest.mark.parametrize("found, teach", [(1, False), (10, True)])
def test_boxes_that_rank_as_places_drawn_at_random_do_not_teach(compare, found, teach):
    """The thousand candidates cover 5 % of the micrograph, and so many of ten boxes. The general model finds none."""
    rank = lambda _, image, before: np.where(np.arange(len(before)) < found, 500.0, np.inf)
    told, *_ = compare([labelled("a", 20, 0)], {"a": 0}, constant(np.inf, 1), rank, found=0, seen=0.5)
    assert told.learns == teach != told.unchanged
    assert teach or ("at random" in told.elsewhere[0] and "not to be on particles" in told.sentence())


@pytest.mark.parametrize("found, number", [(20, 25 * 21 / 20.5), (10, 25 * 21 / 10.5), (0, 25 * 21 / 0.5)])
def test_boxes_that_the_general_model_misses_tell_how_many_particles_there_are(compare, found, number):
    """It has fifty candidates of score 0.5, and finds so many of twenty boxes. The first count is its own picks."""
    _, hits, *_ = compare(
        [labelled("a", 20, 0)], {"a": 0}, constant(9, 1), lambda *args: args[2], found=found, seen=0.5
    )
    assert hits.counts == (50, pytest.approx(number))


def test_background_alone_says_nothing_of_what_the_general_model_misses(compare):
    image = dataclasses.replace(labelled("a", 20, 20), positives=np.zeros((0, 2)))
    told, *_ = compare([image], {"a": 20}, constant(1, 300), lambda _, image, ranks: ranks * 0.99)
    assert told.gain < 0 and not told.learns


def corrected(added, left, removed):
    """An image on which the user added particles and removed picks, and left others, twice as many as are drawn."""
    image = labelled("a", added + left, removed)
    more = np.random.default_rng(9).uniform(70, 90, (left, 2))
    return dataclasses.replace(image, machine=np.concatenate([image.positives[added:], more]))


@pytest.mark.parametrize("missed, learns", [(40.0, False), (4000.0, True)])
def test_picks_that_were_left_speak_for_the_model_that_made_them(compare, missed, learns):
    """20 added particles rise from rank 300 to 150, 20 removed picks fall, 20 of 40 left ones fall to rank 200: that is
    worth it only where the model has missed many. By the corrections alone it always would be."""
    image = corrected(20, 20, 20)
    is_left = lambda image: ~image.is_certain
    before = lambda image: np.r_[np.where(is_left(image), 10.0, 300.0), np.full(len(image.negatives), 20.0)]
    after = lambda training, image, ranks: np.r_[
        np.where(is_left(image), 200.0, 150.0), np.full(len(image.negatives), 60.0)
    ]
    found, _, taught, _ = compare([image], {"a": 20}, before, after, missed, seen=0.95)
    assert found.clicks == 60 and found.learns == learns and found.way == LEFT
    # ranks above the 40 picks that were left count as 40
    mean = (missed * np.log(300 / 150) - 40 * np.log(200 / 40) + 20 * np.log(60 / 40)) / (missed + 60)
    assert found.gain == pytest.approx(mean, abs=1e-3)
    assert [len(rows(training, "positives")) for training in taught] == [20, 20], "with those left"


def test_corrections_of_picks_that_the_model_is_unsure_of_are_as_the_same_boxes(compare):
    """Half of the picks that were left may be wrong."""
    image, before = corrected(20, 20, 20), constant(300, 45)
    gains = lambda _, image, ranks: ranks * np.exp(-0.1 * np.sign(100 - ranks))
    found, hits, taught, _ = compare([image], {"a": 20}, before, gains, 1e6, seen=0.7)
    boxes = dataclasses.replace(image, positives=image.positives[:20], machine=image.machine[:0])
    alike, same, also, _ = compare([boxes], {"a": 20}, before, gains, 1e6, seen=0.7)
    assert found == alike and found.way == CLICKS and found.clicks == 40 and len(hits.ranks) == 20
    assert [rows(part, "positives") for part in taught] == [rows(part, "positives") for part in also]
    assert len(taught[0][0].positives) < 20 and (hits.ranks == same.ranks).all(), "left picks do not teach"


def test_what_is_said_to_teach_parts_particles_from_unconfirmed_picks(capsys):
    _say_start(TrainPickerConfig((), "labels", 1.0, 100.0, "model"), [corrected(25, 300, 5)], "CPU")
    assert ": 25 particles, 300 unconfirmed picks, 5 background boxes, 1 micrographs" in capsys.readouterr().out


def test_a_threshold_of_unknown_uncertainty_is_not_said_to_be_exact():
    learnt = dict(particles=25, micrographs=["a"], validation_micrographs=[], steps=9, stop_reason="done")
    card = dict(name="mine", network="unet", particle_diameter=100.0, labels="boxes", contrast="dark")
    said = training_summary(dict(card, threshold=0.42, threshold_uncertainty=0.0, training=learnt, validation={}))
    assert "Default threshold 0.42. " in said[-1]


def test_a_network_that_finds_nothing_is_no_better_for_ranking_removed_picks_low(compare):
    nothing = lambda _, image, ranks: np.full(len(ranks), np.inf)
    found, *_ = compare([corrected(20, 20, 20)], {"a": 20}, constant(300, 5), nothing, found=0, seen=0.7)
    assert found.way == CLICKS and found.gain < -1 and not found.learns and not found.unchanged


def test_few_added_particles_are_not_taught_alone(compare):
    found, *_ = compare([corrected(9, 20, 20)], {"a": 20}, constant(300, 45), lambda _, image, ranks: ranks, 100.0)
    assert (found.way, found.gain) == (LEFT, 0) and not found.learns, "what gains nothing leaves the model as it is"


def test_ranks_count_the_candidates_that_score_higher():
    method = picker_method("unet")
    image = dataclasses.replace(
        labelled("a", 2, 1), positives=np.array([[20.0, 20], [40, 40]]), negatives=np.array([[60.0, 10]])
    )
    task = PickerTask(method, method.build(), [image], [image], 2, torch.device("cpu"))
    yx = np.array([*image.positives, [0, 0], *image.negatives])
    scores = np.array([0.9, 0.5, 0.8, 0.2])
    found = [(yx, scores, scores), (yx[:0], scores[:0], scores), (yx[1:] + 0.1, scores[1:] + 0.01, scores)]
    ranks, number = task.box_ranks([image] * 3, found)
    assert number == 7 and ranks.tolist() == [1, 5, 7, *[np.inf] * 4, 4, 6]
    allowed = torch.ones(image.usable.shape, dtype=torch.bool)
    allowed[:10, :10] = False  # the candidate at [0, 0]
    ranks, number = task.box_ranks([dataclasses.replace(image, allowed=allowed)], found)
    assert number == 3 and ranks.tolist() == [1, 2, 3], "candidates on what the user left out do not count"
    ranks, _ = task.box_ranks([image], [(yx, np.ones(4), scores)])
    assert ranks.tolist() == [4, 4, 4], "a network that tells nothing apart ranks nothing high"


@pytest.mark.parametrize("boxes, elsewhere, contrast", [("063", False, "dark"), ("064", True, "bright")])
def test_the_shipped_model_learns_nothing_from_boxes_of_another_real_micrograph(tmp_path, boxes, elsewhere, contrast):
    demo = Path(__file__).parents[4] / "data" / "demo"
    yx, _ = read_coordinates(demo / "coordinates" / f"{boxes}.star")[boxes]
    write_star(tmp_path / "063.star", yx[:20])
    told = ["--pixel-size", "5.36", "--particle-diameter", "300", "--labels", "boxes", "--start-from", "general"]
    files = dict(coordinates="063.star", micrographs=[str(demo / "micrographs" / "063.mrc")])
    assert train(tmp_path, *told, "--contrast", contrast, **files) == 0
    result = Result.read(tmp_path / "result.json")
    assert result.outputs["contrast"] == json.loads((tmp_path / "model/card.json").read_text())["contrast"] == contrast
    assert any("nothing was learnt" in said for said in result.warnings) is elsewhere
    assert ("as it is" in result.outputs["stop_reason"]) or not elsewhere


@pytest.mark.parametrize("rate, learns", [("0.1", False), ("1e-7", True)])
def test_a_training_that_ruins_the_general_model_leaves_it_as_it_is(tmp_path, rate, learns):
    ground_truth = blob_project(tmp_path)
    for name, centres in ground_truth:
        write_star(tmp_path / f"coordinates/{name}.star", centres[:6])
    more = ["--labels", "boxes", "--start-from", "general", "--learning-rate", rate]
    assert train(tmp_path, *more, steps=8) == 0
    result, card = Result.read(tmp_path / "result.json"), json.loads((tmp_path / "model/card.json").read_text())
    said = HeldBack(**card["training"]["held_back"])
    assert said.clicks == 6 * len(ground_truth) and said.learns == learns
    assert said.sentence() in result.summary and not card.get("general") and card["labels"] == "boxes"
    weights, general = (read_model(folder)[1] for folder in (tmp_path / "model", find_model("general", "picker")))
    assert ("gains" in card) is learns, "the general model knows dirty micrographs"
    assert card["picking_scales"] == (list(UNetPicker.scales) if learns else [1.0]), "as it was judged"
    picker, _ = load_picker(tmp_path / "model", torch.device("cpu"), spares_outliers=False)
    assert picker.scales == tuple(card["picking_scales"])
    if not learns:
        assert card["name"] == "model" and "as it is" in result.outputs["stop_reason"]
        assert said.gain < -said.error and all(torch.equal(weights[key], general[key]) for key in general)
        assert result.outputs["threshold"] == card["threshold"] and card["contrast"] == "dark"
        assert "threshold from the labels" in said.sentence() and card["particle_diameter"] == 120
    else:
        assert card["training"]["particles"] == 6 * len(ground_truth) == card["validation"]["reference"]
        assert not card["training"]["validation_micrographs"], "all boxes teach, and each was held back once"
    assert not list((tmp_path / "model").glob("half_*"))
