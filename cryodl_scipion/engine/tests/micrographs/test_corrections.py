# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks corrected by hand as labels of train-picker and auto-pick."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from synthetic import blob_project, write_mrc

from cryodl.contract import AutoPickConfig, PickConfig, TrainPickerConfig, read_card
from cryodl.io.coordinates import write_coordinates
from cryodl.learning.recipe import _schedule
from cryodl.micrographs.byhand.questions import ANSWERS
from cryodl.micrographs.byhand.session import HandSession
from cryodl.micrographs.byhand.store import (
    FROM_CLASSES,
    HandPicks,
    Pick,
    is_corrected,
    notes_of_labels,
    read_corrections,
)
from cryodl.micrographs.commands import train_picker
from cryodl.micrographs.commands.auto_pick import auto_pick
from cryodl.micrographs.commands.pick import pick
from cryodl.micrographs.pickers import fill_in as fill_in_module
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.labels import load_labels, match_labels, with_corrections
from cryodl.micrographs.pickers.train import PickerTask

MACHINE = np.array([[50.0, 60.0], [120.0, 200.0], [30.0, 200.0]])
ADDED = [(150.0, 30.0 + 40 * i) for i in range(5)]


@pytest.fixture
def project(tmp_path):
    """Micrographs a, b, c with a machine's picks; on a five were added, one was removed and an area is ignored."""
    (tmp_path / "machine").mkdir()
    for number, name in enumerate("abc"):
        image = np.random.default_rng(number).normal(0, 1, (200, 300)).astype(np.float32)
        write_mrc(tmp_path / f"{name}.mrc", image, 2.0)
        write_coordinates(tmp_path / f"machine/{name}.star", MACHINE, [0.9, 0.4, 0.6])
    named = [(name, str(tmp_path / f"{name}.mrc")) for name in "abc"]
    session = HandSession(named, HandPicks(str(tmp_path / "hand"), list("abc"), str(tmp_path / "machine")), 2.0, 40.0)
    for position in ADDED:
        session.press(*position)
        session.release()
    session.remove(50, 60)
    session.toggle_painting()
    session.press(100, 280)
    session.release()
    return tmp_path


def config_of(folder, **values):
    micrographs = tuple(str(folder / f"{name}.mrc") for name in "abc")
    return TrainPickerConfig(micrographs, str(folder / "hand"), 2.0, 40.0, str(folder / "model"), **values)


def rows(yx):
    return sorted(tuple(p) for p in yx.tolist())


def test_certain_picks_teach_and_some_unconfirmed_ones_beside_them(project):
    config, said = with_corrections(config_of(project))
    (item,) = match_labels(config)
    assert rows(item.positives) == sorted([*ADDED, *map(tuple, MACHINE[1:].tolist())])
    assert rows(item.negatives) == [(50, 60)], "what was removed teaches as background"
    assert item.uncertain.mask.endswith("a.mrc")
    assert config.labels == "boxes" and "5 confirmed picks are used" in said[0] and "2 unconfirmed" in said[0]
    assert "1 removed picks as background" in said[0]
    (image,) = load_labels([item], picker_method("unet"), config)[1]
    assert len(image.certain) == 5 and len(image.machine) == 2 and len(image.positives) == 7


def test_labels_of_other_images_with_the_same_names_are_named(project):
    (project / "copies").mkdir()
    moved = tuple(shutil.copy(project / f"{name}.mrc", project / "copies") for name in "abc")  # of another time
    assert not notes_of_labels(project / "hand", zip("abc", moved))
    write_mrc(project / "copies/a.mrc", np.random.default_rng(9).normal(0, 1, (200, 300)).astype(np.float32), 2.0)
    config = dataclasses.replace(config_of(project, steps=1), micrographs=moved)
    (said,) = (one for one in train_picker.train_picker(config).warnings if "made on other images" in one)
    assert "than the given ones of the same names: a." in said


def test_answers_to_all_questions_are_no_complete_labels(project):
    """Nobody looked for missed particles, even where every pick was asked about."""
    HandPicks(str(project / "answers"), ["a"]).write("a", [Pick(*position) for position in ADDED], [])
    (project / "answers" / ANSWERS).write_text("{}")
    asked = dataclasses.replace(config_of(project), coordinates=str(project / "answers"))
    config, said = with_corrections(asked)
    assert config.labels == "boxes" and "has answers to questions: 5 confirmed picks" in said[0]
    assert rows(match_labels(config)[0].positives) == sorted(ADDED)


def test_no_more_unconfirmed_picks_teach_than_two_for_each_correction(project):
    rng = np.random.default_rng(0)
    write_coordinates(project / "machine/a.star", rng.uniform(20, 130, (90, 2)), np.full(90, 0.9))
    named, store = [("a", str(project / "a.mrc"))], HandPicks(str(project / "new"), ["a"], str(project / "machine"))
    session = HandSession(named, store, 2.0, 40.0)
    for column in (60, 120, 180):
        session.press(170, column)
        session.release()
    config, _ = with_corrections(dataclasses.replace(config_of(project), coordinates=str(project / "new")))
    (item,) = match_labels(config)
    assert len(item.machine) == 90 and len(item.positives) == 3 + 6
    assert rows(match_labels(config)[0].positives) == rows(item.positives), "a continued run draws the same ones"


def test_picks_on_micrographs_without_corrections_were_not_seen(project):
    """A background box there does not make the machine's picks right."""
    (project / "empty").mkdir()
    write_coordinates(project / "empty/b.star", np.array([[100.0, 100.0]]), [1])
    HandPicks(str(project / "hand"), list("ab"), str(project / "machine")).write("b", *_picks_of(project, "b"))
    config, _ = with_corrections(dataclasses.replace(config_of(project), background=str(project / "empty")))
    items = {item.name: item for item in match_labels(config)}
    assert len(items["a"].machine) == 2 and not len(items["b"].machine) and not len(items["b"].positives)


def _picks_of(project, name):
    return HandPicks(str(project / "hand"), list("ab"), str(project / "machine")).read(name)


def test_the_card_counts_picks_that_nobody_confirmed(project):
    """They count as right in the metrics, which the user is told; the threshold follows from all candidates."""
    rng = np.random.default_rng(0)
    write_coordinates(project / "machine/b.star", rng.uniform(20, 180, (40, 2)), np.full(40, 0.9))
    write_coordinates(project / "machine/a.star", rng.uniform(20, 180, (40, 2)), np.full(40, 0.9))
    store = HandPicks(str(project / "new"), list("ab"), str(project / "machine"))
    for name in "ab":
        picks, _ = store.read(name)
        store.write(name, picks[8:], picks[:8])
    config = dataclasses.replace(config_of(project, steps=2), coordinates=str(project / "new"))
    result = train_picker.train_picker(config)
    card = read_card(project / "model", "picker")
    assert card["training"]["unconfirmed_picks"] == 16 and card["training"]["background_boxes"] >= 8
    assert any("neither confirmed nor removed" in sentence for sentence in result.warnings)
    assert card["contrast"] == "dark" and 0 < card["threshold"] < 1


def test_a_trained_network_learns_boxes_gently(project):
    config = with_corrections(config_of(project))[0]
    method = picker_method("unet")
    (image,) = load_labels(match_labels(config), method, config)[1]
    for trained_before, steps, rate in ((False, 250, 1), (True, 100, 1 / 3)):
        task = PickerTask(
            method, method.build(), [image], [image], 2, torch.device("cpu"), trained_before=trained_before
        )
        assert (task.default_steps, task.rate) == (steps, rate)
    stated = _schedule(task, dataclasses.replace(config, steps=7, learning_rate=0.5), 0)
    assert (stated.steps, stated.learning_rate) == (7, 0.5), "what the user states holds"


def test_removed_picks_alone_are_enough(project):
    """Where a picker misses nothing a user only removes; what he leaves are the particles."""
    rng = np.random.default_rng(0)
    machine = rng.uniform(20, 180, (40, 2))
    write_coordinates(project / "machine/a.star", machine, np.full(40, 0.9))
    store = HandPicks(str(project / "new"), ["a"], str(project / "machine"))
    picks, _ = store.read("a")
    store.write("a", picks[3:], picks[:3])
    config, said = with_corrections(dataclasses.replace(config_of(project), coordinates=str(project / "new")))
    (item,) = match_labels(config)
    assert len(item.positives) == 6 and len(item.negatives) == 3 and "0 confirmed" in said[0]


def test_of_picks_that_were_not_classified_nobody_saw_anything(project):
    """Labels from 2-D classes hold weak candidates, too, which are mostly background."""
    (project / "hand" / FROM_CLASSES).touch()
    config, said = with_corrections(config_of(project))
    (item,) = match_labels(config)
    assert (
        rows(item.positives) == sorted(ADDED)
        and not len(item.machine)
        and "2 unconfirmed picks and" in said[0]
        and "2-D classes" in said[0]
    )


def test_confirmed_micrographs_are_complete_labels(project):
    named = [("a", str(project / "a.mrc"))]
    session = HandSession(named, HandPicks(str(project / "hand"), ["a"]), 2.0, 40.0)
    session.confirm()
    config, said = with_corrections(config_of(project))
    (item,) = match_labels(config)
    assert len(item.positives) == 7 and config.labels == "auto" and config.background is None
    # people confirm picks and miss particles; auto-pick, which says so as well, has no such option
    assert "All 7 picks" in said[0] and "use train-picker --labels boxes" in said[0]
    assert item.uncertain.mask, "the area to ignore stays ignored"
    assert rows(item.negatives) == [(50, 60)], "labels that are found to be incomplete later need it"


def test_removed_picks_teach_with_stated_boxes_and_a_stated_background_too(project):
    HandSession([("a", str(project / "a.mrc"))], HandPicks(str(project / "hand"), ["a"]), 2.0, 40.0).confirm()
    write_coordinates(project / "own.star", MACHINE[1:2] - 20, [0])
    (project / "own.star").rename(project / "a.star")
    for background, expected in ((None, []), (str(project / "a.star"), [(100, 180)])):
        config, _ = with_corrections(config_of(project, labels="boxes", background=background))
        (item,) = match_labels(config)
        assert rows(item.negatives) == [(50, 60), *expected] and len(item.positives) == 7


def test_a_removed_pick_that_was_put_anew_is_no_background(project):
    """The user removes a pick and puts it where the particle's centre is: 2 px away."""
    session = HandSession([("a", str(project / "a.mrc"))], HandPicks(str(project / "hand"), ["a"]), 2.0, 40.0)
    session.press(52, 60)
    session.release()
    (item,) = match_labels(with_corrections(config_of(project))[0])
    assert (52, 60) in rows(item.positives) and not len(item.negatives)


def test_boxes_are_proposed_beside_removed_picks(project, monkeypatch):
    """Alone they would be all that is known of background."""
    monkeypatch.setattr(
        fill_in_module, "general_candidates", lambda images, _: [(np.zeros((0, 2)), np.zeros(0))] * len(images)
    )
    config, method = with_corrections(config_of(project))[0], picker_method("unet")
    _, images, _ = load_labels(match_labels(config), method, config)
    filled = fill_in_module.fill_in(images, config, method)
    assert "beside 1 removed pick" in filled.said[1]
    (before,), (after,) = images, filled.images
    assert len(after.negatives) > 10 and after.negatives[0].tolist() == before.negatives[0].tolist()
    many = [dataclasses.replace(images[0], negatives=images[0].certain + 50)]
    assert len(fill_in_module.fill_in(many, config, method).images[0].negatives) > 10, "as many as the particles"
    background = str(project / "hand/removed")
    stated = dataclasses.replace(config, background=background)
    assert len(fill_in_module.fill_in(images, stated, method).images[0].negatives) == 1, "what the user gives is enough"


def test_what_the_user_states_goes_before_what_the_folder_suggests(project):
    write_coordinates(project / "own.star", MACHINE[:1], [0])
    config, _ = with_corrections(config_of(project, labels="complete", background=str(project / "own.star")))
    assert config.labels == "complete" and config.background.endswith("own.star")
    unconfirmed = match_labels(dataclasses.replace(config, background=None))[0].uncertain.circles
    assert rows(unconfirmed) == [(30, 200), (120, 200)], "they are neither particles nor background"


def test_picks_of_a_machine_are_no_corrections(project):
    config = config_of(project)
    assert not is_corrected(project / "machine")
    with pytest.raises(ValueError, match="has no corrections.*pick-by-hand"):
        read_corrections(project / "machine", "abc")
    with pytest.raises(FileNotFoundError, match="gone"):
        read_corrections(project / "gone", "abc")
    assert with_corrections(config)[0] != config


def test_auto_pick_learns_corrections_once_as_train_picker_does(tmp_path):
    blob_project(tmp_path, count=3)
    images = str(tmp_path / "mics/*.mrc")
    config = AutoPickConfig((images,), 4.0, str(tmp_path / "out"), 120.0, corrections=str(tmp_path / "hand"), steps=2)
    names = [f"mic{number}" for number in range(3)]
    pick(PickConfig((images,), 4.0, str(tmp_path / "machine"), particle_diameter=120.0))
    store = HandPicks(str(tmp_path / "hand"), names, str(tmp_path / "machine"))
    picks, _ = store.read("mic1")
    store.write("mic1", picks[3:] + [Pick(20.0, 20.0), Pick(20.0, 300.0)], picks[:3])
    result = auto_pick(config)
    assert result.outputs["best_round"] == 1 and result.outputs["stop_reason"] == "corrections teach once"
    assert any("held back" in sentence for sentence in result.summary), "by held-back ones it is chosen what is learnt"
    assert "after corrections by hand" in result.methods[-1] and set(result.outputs["coordinates"]) == set(names)
    again = auto_pick(config)
    assert again.outputs["picks"] == result.outputs["picks"]
    (tmp_path / "list.txt").write_text("".join(f"mics/{name}.mrc\n" for name in [*names, "gone"]))
    listed = dataclasses.replace(config, micrographs=(str(tmp_path / "list.txt"),), output=str(tmp_path / "listed"))
    found = auto_pick(listed)
    assert [one.item for one in found.skipped] == ["gone"] and set(found.outputs["counts"]) == set(names)
    (tmp_path / "none").mkdir()
    HandPicks(str(tmp_path / "none"), ["other"], str(tmp_path / "machine")).write("other", [Pick(9.0, 9.0)], [])
    with pytest.raises(ValueError, match="has 0 confirmed or removed picks"):
        auto_pick(dataclasses.replace(config, corrections=str(tmp_path / "none"), output=str(tmp_path / "another")))
