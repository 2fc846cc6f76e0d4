# SPDX-License-Identifier: GPL-3.0-or-later
"""pick continues where it stopped, refuses other parameters, and thresholds anew for nothing."""

import numpy as np
from picking import outputs, pick, times
from synthetic import write_untrained_model

from cryodl.contract import Result
from cryodl.io.coordinates import read_coordinates


def test_finished_micrographs_are_not_picked_again(project):
    pick(project, micrographs=[str(project / "mics/mic0.mrc")])
    before = times(project)
    assert pick(project) == 0
    after = times(project)
    assert after["mic0.star"] == before["mic0.star"] and set(after) == {"mic0.star", "mic1.star"}
    assert set(outputs(project)["counts"]) == {"mic0", "mic1"}


def test_another_threshold_runs_no_network(project, monkeypatch):
    pick(project, "--threshold", "0")
    before, picks = times(project), outputs(project)["picks"]
    every = np.concatenate([scores for _, scores in read_coordinates(project / "out" / "candidates").values()])

    def network_ran(*arguments):
        raise AssertionError("the network ran")

    monkeypatch.setattr("cryodl.micrographs.commands.pick.pick_new", network_ran)
    assert pick(project, "--threshold", f"{np.median(every):.6f}") == 0
    assert times(project) == before and 0 < outputs(project)["picks"] < picks
    assert Result.read(project / "result.json").device == "none"


def test_picks_of_others_that_an_earlier_run_left_with_another_threshold_are_told(project):
    """They stayed beside the new ones, and went with them into RELION, without a word."""
    pick(project, "--threshold", "0.3")
    warned = lambda: [
        w
        for w in Result.read(project / "result.json").warnings
        if "Picks of mic1 in " in w and "another threshold" in w
    ]
    one = [str(project / "mics/mic0.mrc")]
    pick(project, "--threshold", "0.3", micrographs=one)
    assert not warned()
    pick(project, "--threshold", "0.6", micrographs=one)
    assert len(warned()) == 1
    pick(project, "--threshold", "0.6")
    assert not warned()


def test_other_parameters_in_the_same_folder_are_refused_and_named(project, capsys):
    pick(project)
    assert pick(project, "--particle-diameter", "150") == 2
    error = capsys.readouterr().err
    for word in ("out has picks made with other parameters", "particle diameter 120.0 (now 150.0)", "--overwrite"):
        assert word in error
    assert pick(project, "--border", "40") == 2 and "border 0.0 (now 40.0)" in capsys.readouterr().err


def test_a_run_that_picked_nothing_can_be_repeated_with_other_parameters(project):
    assert pick(project, "--particle-diameter", "900") == 2  # larger than the micrographs
    assert pick(project) == 0 and set(outputs(project)["counts"]) == {"mic0", "mic1"}


def test_another_model_in_the_same_folder_is_refused(project, capsys):
    pick(project)
    for path in (project / "model").iterdir():
        path.unlink()
    (project / "model").rmdir()
    import torch

    from cryodl.io.model import read_model, write_model

    write_untrained_model(project / "model")
    card, weights = read_model(project / "model")
    card = {k: v for k, v in card.items() if k not in ("format_version", "weights_sha256")}
    write_model(project / "model", card, {k: v + 0.01 if v.dtype == torch.float32 else v for k, v in weights.items()})
    assert pick(project) == 2 and "another model" in capsys.readouterr().err


def test_overwrite_picks_again(project):
    pick(project)
    before = times(project)
    assert pick(project, "--overwrite", "--minimum-distance", "100") == 0
    assert all(after > before[name] for name, after in times(project).items())


def test_an_interrupted_overwrite_does_not_mix_old_and_new_picks(project, monkeypatch):
    pick(project, "--threshold", "0")
    from cryodl.micrographs.pickers.predict import Picker

    real, calls = Picker.candidates, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(Picker, "candidates", stopped)
    assert pick(project, "--overwrite", "--border", "80") == 130
    monkeypatch.undo()
    assert pick(project, "--border", "80", "--threshold", "0") == 0
    assert all((yx >= 20).all() for yx, _ in read_coordinates(project / "out").values())


def test_two_processes_may_share_a_folder(project):
    """As Scipion's batches do: each writes its own micrographs, and neither removes the other's."""
    pick(project, micrographs=[str(project / "mics/mic0.mrc")])
    first = (project / "out/mic0.star").read_text()
    pick(project, micrographs=[str(project / "mics/mic1.mrc")])
    assert set(outputs(project)["counts"]) == {"mic1"} and (project / "out/mic0.star").read_text() == first


def test_a_repaired_micrograph_is_picked_by_the_same_command(project):
    whole = (project / "mics/mic1.mrc").read_bytes()
    (project / "mics/mic1.mrc").write_bytes(whole[:5000])
    pick(project)
    assert [s.item for s in Result.read(project / "result.json").skipped] == ["mic1"]
    before = times(project)
    (project / "mics/mic1.mrc").write_bytes(whole)
    assert pick(project) == 0
    assert Result.read(project / "result.json").skipped == () and set(outputs(project)["counts"]) == {"mic0", "mic1"}
    assert times(project)["mic0.star"] == before["mic0.star"]


def test_a_micrograph_without_candidates_has_an_empty_file(project, monkeypatch):
    monkeypatch.setattr(
        "cryodl.micrographs.pickers.predict.Picker.candidates", lambda *a: (np.zeros((0, 2)), np.zeros(0))
    )
    assert pick(project) == 0
    assert outputs(project)["counts"] == {"mic0": 0, "mic1": 0}
    assert all(len(yx) == 0 for yx, _ in read_coordinates(project / "out").values())
    monkeypatch.undo()
    assert pick(project) == 0 and outputs(project)["picks"] == 0  # finished, though nothing was found


def test_nothing_of_a_micrograph_that_became_unreadable_stays(project):
    assert pick(project, "--avoid", "contamination", "--pictures", "2", "--feature-maps", "2") == 0
    of_it = lambda: sorted(str(path.relative_to(project / "out")) for path in (project / "out").rglob("mic1.*"))
    assert of_it() == [
        "avoided/mic1.json",
        "candidates/mic1.star",
        "feature_maps/mic1.png",
        "mic1.star",
        "pictures/mic1.png",
    ]
    (project / "mics/mic1.mrc").write_bytes((project / "mics/mic1.mrc").read_bytes()[:3000])
    assert pick(project, "--avoid", "contamination") == 0
    assert of_it() == [] and set(read_coordinates(project / "out/candidates")) == {"mic0"}


def _closest(path):
    """Smallest distance of two candidates of a file, px."""
    ((yx, _),) = read_coordinates(path).values()
    return np.linalg.norm(yx[:, None] - yx[None], axis=2)[~np.eye(len(yx), dtype=bool)].min()


def test_what_an_overwrite_of_some_left_of_other_parameters_is_picked_again(project):
    """100 Å are 25 px. A run that overwrites one micrograph must not make the other one's candidates its own."""
    distant, candidates = ("--minimum-distance", "100"), project / "out/candidates"
    assert pick(project) == 0 and _closest(candidates / "mic1.star") < 24
    assert pick(project, *distant, "--overwrite", micrographs=[str(project / "mics/mic0.mrc")]) == 0
    said = Result.read(project / "result.json").warnings
    assert any("1 other micrograph made with other parameters: minimum distance" in w for w in said)
    before = times(project)
    assert pick(project, *distant) == 0
    said = Result.read(project / "result.json").warnings
    assert any("1 micrograph had been picked with other parameters" in w for w in said)
    assert all(_closest(path) > 24 for path in candidates.glob("*.star"))
    after = times(project)
    assert after["mic0.star"] == before["mic0.star"] and after["mic1.star"] != before["mic1.star"]
    assert pick(project, *distant) == 0 and times(project) == after


def test_candidates_of_earlier_versions_are_kept(project):
    """Their first lines name the file alone, or nothing."""
    pick(project)
    for name, word in (("mic0", " with "), ("mic1", "; made of ")):
        path = project / f"out/candidates/{name}.star"
        head, rows = path.read_text().split("\n", 1)
        assert word in head
        path.write_text(head.split(word)[0] + "\n" + rows)
    before = times(project)
    assert pick(project) == 0 and times(project) == before
