# SPDX-License-Identifier: GPL-3.0-or-later
"""Dark or bright protein: found where it can be, said, and the same for all runs of a folder."""

import json
import os

import numpy as np
import pytest
from picking import outputs, pick
from synthetic import blob_micrograph, blob_project, write_mrc, write_untrained_model

from cryodl.contract import Result
from cryodl.core.matching import match_picks
from cryodl.io.coordinates import read_coordinates
from cryodl.io.files import read_some
from cryodl.micrographs.pickers.general_view import compare_contrasts
from cryodl.micrographs.pickers.pick_record import ASKED_OF, are_asked, earlier_notes, note_asked
from cryodl.running.cli import main


def compare(dark, bright, typical="dark"):
    """What is found of three micrographs with scores (number, score) of either sign."""
    return compare_contrasts(
        {c: np.split(np.full(*s), [2, 3]) for c, s in dict(dark=dark, bright=bright).items()}, typical
    )


@pytest.mark.parametrize(
    "dark, bright, contrast, clear",
    [
        (100, 10, "dark", True),
        (10, 100, "bright", True),
        (100, 90, "dark", False),
        (90, 100, "dark", False),
        (0, 4, "dark", False),
        (0, 0, "dark", False),
    ],
)
def test_only_a_clear_difference_decides(dark, bright, contrast, clear):
    found = compare((dark, 0.8), (bright, 0.8))
    assert (found.contrast, found.clear) == (contrast, clear)
    assert f"with bright protein {0.8 * bright:.0f} and {0.64 * bright:.0f} (3 micrographs" in found.sentence()
    assert ("not clear" in found.sentence()) != clear
    assert compare((90, 0.8), (100, 0.8), typical="bright").contrast == "bright"


def test_many_middling_scores_are_no_particles():
    """As the general model sees noise of the wrong sign on EMPIAR-10028: nearly as many are expected, none is sure."""
    assert compare((600, 0.3), (200, 0.95)).contrast == "bright"


def test_at_most_five_readable_micrographs_are_asked(tmp_path):
    blob_project(tmp_path, count=8, shape=(64, 64))
    (tmp_path / "mics/mic0.mrc").write_bytes(b"broken")
    asked = []

    def scores(contrast):
        def candidates(image):
            asked.append(contrast)
            return np.zeros((9, 2)), np.full(9, 0.9 if contrast == "bright" else 0.1)

        return [found for _, found in read_some(candidates, sorted((tmp_path / "mics").iterdir()), ASKED_OF)]

    found = compare_contrasts({contrast: scores(contrast) for contrast in ("dark", "bright")})
    assert found.contrast == "bright" and found.micrographs == 5 and len(asked) == 10


@pytest.fixture
def bright(tmp_path):
    """Three micrographs of bright blobs; a general model that finds a blob in the middle, surer where it is bright."""
    blob_project(tmp_path, count=3)
    write_untrained_model(tmp_path / "model", general=True)
    return tmp_path


def found_by(monkeypatch, dark, bright):
    """Every micrograph gets ten candidates, whose score depends on the contrast that the picker is told."""
    from cryodl.micrographs.pickers.predict import Picker

    positions = np.stack([np.full(10, 100.0), np.arange(100.0, 200.0, 10)], 1)
    scores = dict(dark=np.full(10, dark), bright=np.full(10, bright))
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: (positions, scores[self.contrast]))


def general(folder, *more, **named):
    return pick(folder, "--particle-diameter", "120", *more, **named)


def test_a_general_model_needs_a_diameter(bright, capsys):
    assert pick(bright) == 2
    error = capsys.readouterr().err
    assert "Particle diameter (--particle-diameter) is missing" in error and "general" in error


def test_a_general_model_finds_bright_protein_and_says_so(bright, monkeypatch, capsys):
    found_by(monkeypatch, 0.1, 0.9)
    assert general(bright) == 0
    assert outputs(bright)["contrast"] == json.loads((bright / "out/pick.json").read_text())["contrast"] == "bright"
    assert any("Protein is bright" in w for w in Result.read(bright / "result.json").warnings)
    assert (
        "Protein is bright: with dark protein 3 particles are expected, 0 of them with confidence"
        in capsys.readouterr().out
    )
    assert outputs(bright)["picks"] == 30


@pytest.mark.parametrize("sign", [1, -1])
def test_dirt_is_as_dark_or_bright_as_protein_where_micrographs_are_asked_too(tmp_path, monkeypatch, sign):
    """The first of two equal micrographs is asked for the scores, the second is picked alone later."""
    monkeypatch.setattr("cryodl.micrographs.pickers.pick_record.ASKED_OF", 1)
    (tmp_path / "mics").mkdir()
    image, _ = blob_micrograph((600, 600), contrast=1.0)
    y, x = np.mgrid[:600, :600]
    for centre in ((150, 200), (400, 350), (300, 480)):
        image -= 12 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 30**2)
    found = []
    for name in ("first", "second"):
        write_mrc(tmp_path / f"mics/{name}.mrc", np.float32(sign) * image)
        more = ["--model", "general", "--keep-diameter", "--contrast", "dark" if sign > 0 else "bright"]
        assert general(tmp_path, *more) == 0
        found.append(read_coordinates(tmp_path / f"out/candidates/{name}.star")[name])
    assert len(found[0][0]) and all(np.array_equal(*both) for both in zip(*found))


def test_later_batches_take_the_first_ones_contrast_and_may_not_have_another(bright, monkeypatch, capsys):
    found_by(monkeypatch, 0.1, 0.9)
    general(bright, micrographs=[str(bright / "mics/mic0.mrc")])
    found_by(monkeypatch, 0.9, 0.1)  # the later micrographs alone would say dark
    assert general(bright) == 0 and outputs(bright)["contrast"] == "bright"
    assert general(bright, "--contrast", "dark") == 2 and "contrast bright (now dark)" in capsys.readouterr().err
    assert general(bright, "--contrast", "dark", "--overwrite") == 0 and outputs(bright)["contrast"] == "dark"


def test_files_that_were_all_replaced_are_asked_anew(bright, monkeypatch):
    """By their negatives, say: what the old files showed does not hold."""
    found_by(monkeypatch, 0.1, 0.9)
    assert general(bright) == 0 and outputs(bright)["contrast"] == "bright"
    for path in (bright / "mics").iterdir():
        os.utime(path, (1e9, 1e9))
    found_by(monkeypatch, 0.9, 0.1)
    assert general(bright) == 0 and outputs(bright)["contrast"] == "dark" and outputs(bright)["picks"] == 30
    said = Result.read(bright / "result.json").warnings
    assert not any("Protein is bright" in w for w in said), "sentences about the old files are not repeated"


def test_one_replaced_file_is_picked_as_the_others_were_and_that_is_said(bright, monkeypatch):
    found_by(monkeypatch, 0.1, 0.9)
    general(bright)
    os.utime(bright / "mics/mic1.mrc", (1e9, 1e9))
    assert general(bright) == 0 and outputs(bright)["contrast"] == "bright"
    said = Result.read(bright / "result.json").warnings
    assert any("1 micrograph is picked again with" in w and "that were estimated before" in w for w in said)


def test_what_was_said_of_a_file_holds_until_it_changes(tmp_path):
    named = [(name, str(tmp_path / f"{name}.mrc")) for name in "ab"]
    for _, path in named:
        open(path, "w").close()
    note_asked(tmp_path, named, ["unclear"])
    assert are_asked(tmp_path, named) and earlier_notes(tmp_path, named[:1]) == ["unclear"]
    os.utime(named[0][1], (1e9, 1e9))
    assert not are_asked(tmp_path, named) and are_asked(tmp_path, named[1:])
    assert earlier_notes(tmp_path, named[:1]) == [] and earlier_notes(tmp_path, named) == ["unclear"]
    (tmp_path / "asked.json").write_text('[{"micrographs": ["a"], "notes": ["of an older version"]}]')
    assert are_asked(tmp_path, named[:1]) and earlier_notes(tmp_path, named) == ["of an older version"]


def test_micrographs_that_show_nothing_bind_no_later_ones(bright, monkeypatch):
    found_by(monkeypatch, 0.1, 0.1)
    general(bright, micrographs=[str(bright / "mics/mic0.mrc")])
    assert outputs(bright)["contrast"] == "dark"
    assert any("Contrast is not clear" in w for w in Result.read(bright / "result.json").warnings)
    found_by(monkeypatch, 0.1, 0.9)
    assert general(bright) == 0 and outputs(bright)["contrast"] == "bright"
    assert any("--contrast bright --overwrite" in w for w in Result.read(bright / "result.json").warnings)
    general(bright)  # nothing new: what was found stays
    assert outputs(bright)["contrast"] == "bright"


def test_of_two_runs_that_start_together_the_first_clear_one_holds(bright, monkeypatch):
    found_by(monkeypatch, 0.1, 0.9)
    from cryodl.micrographs.pickers import pick_record

    mine = []
    real = pick_record.record_settings

    def other_first(folder, settings):
        import dataclasses

        real(folder, dataclasses.replace(settings, contrast="dark"))
        mine.append(settings.contrast)
        return real(folder, settings)

    monkeypatch.setattr("cryodl.micrographs.pickers.pick_new.record_settings", other_first)
    assert general(bright) == 0
    assert mine == ["bright"] and outputs(bright)["contrast"] == "dark"
    assert sorted(p.name for p in (bright / "out").iterdir() if p.name.startswith(".")) == []


def test_a_models_own_contrast_is_not_asked_for(tmp_path, monkeypatch):
    blob_project(tmp_path, count=1)
    write_untrained_model(tmp_path / "model", contrast="bright")
    found_by(monkeypatch, 0.9, 0.6)
    assert pick(tmp_path) == 0 and outputs(tmp_path)["contrast"] == "bright"
    ((_, scores),) = read_coordinates(tmp_path / "out").values()
    assert (scores == 0.6).all()


@pytest.mark.parametrize("scores, said", [((0.9, 0.1), True), ((0.1, 0.9), False)])
@pytest.mark.parametrize("shared", [False, True], ids=["trained", "general"])
def test_a_stated_contrast_that_the_scores_contradict_is_said_and_used(tmp_path, monkeypatch, scores, said, shared):
    blob_project(tmp_path, count=3)
    write_untrained_model(tmp_path / "model", general=shared)
    found_by(monkeypatch, *scores)
    for _ in range(2):  # also when the run is repeated
        assert general(tmp_path, "--contrast", "bright") == 0 and outputs(tmp_path)["contrast"] == "bright"
        warnings = Result.read(tmp_path / "result.json").warnings
        assert sum("contradict the contrast bright (--contrast)" in w for w in warnings) == said


def test_the_sign_of_the_micrograph_is_turned(project):
    """Bright micrographs picked as bright give what their negatives give as dark."""
    from cryodl.io.micrographs import read_micrograph

    (project / "negative").mkdir()
    for path in (project / "mics").iterdir():
        write_mrc(project / "negative" / path.name, -read_micrograph(path))
    negative = dict(micrographs=[str(project / "negative/*")])
    pick(project, "--threshold", "0.5")
    assert pick(project, "--threshold", "0.5", "--contrast", "bright", output="turned", **negative) == 0
    assert outputs(project)["contrast"] == "bright"
    pick(project, "--threshold", "0.5", output="not turned", **negative)
    found = {folder: read_coordinates(project / folder) for folder in ("out", "turned", "not turned")}
    for name, (yx, _) in found["out"].items():
        same = {f: match_picks(yx, found[f][name][0], 0.5).mean() for f in ("turned", "not turned")}
        assert same["turned"] > 0.95 and same["not turned"] < 0.2  # the median of the noise differs by a rank


def test_nothing_is_said_of_contrast_and_size_where_nothing_can_be_read(tmp_path, capsys):
    (tmp_path / "a.mrc").write_text("no micrograph")
    words = f"pick --micrographs {tmp_path}/a.mrc --pixel-size 4 --particle-diameter 120 --model general --device cpu"
    assert main([*words.split(), "--output", str(tmp_path / "out")]) == 2
    said = "".join(capsys.readouterr())
    assert "Of 1 micrograph, none could be picked" in said
    assert "Contrast" not in said and "particles of any size" not in said and "None protein" not in said
