# SPDX-License-Identifier: GPL-3.0-or-later
"""Working folders: continued, begun anew or refused; and never a file removed that is not the command's own."""

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

import cryodl
from cryodl.contract import ConsensusPicksConfig, TrainPickerConfig
from cryodl.contract.tomograms.segmenting import TrainGeneralSegmenterConfig
from cryodl.io.unfinished import RECORD, check_output, finish_folder, working_folder

CHECKPOINT = "checkpoint.safetensors"


def config_in(folder, **more):
    return TrainPickerConfig(("a.mrc",), "coords", 1.0, 100.0, str(folder / "out"), **more)


def test_the_same_run_finds_its_work(tmp_path):
    (working_folder(config_in(tmp_path)) / "done").write_text("half")
    folder = working_folder(config_in(tmp_path), precious="done")
    assert folder == tmp_path / "out.partial" and (folder / "done").read_text() == "half"


def test_other_parameters_begin_anew_unless_there_is_precious_work(tmp_path):
    folder = working_folder(config_in(tmp_path))
    (folder / "metrics.csv").write_text("none yet")
    (folder / "samples").mkdir()
    other = config_in(tmp_path, steps=7)
    working_folder(other, precious=CHECKPOINT)
    assert [p.name for p in folder.iterdir()] == [RECORD]
    (folder / CHECKPOINT).write_text("7 steps")
    with pytest.raises(
        ValueError,
        match=r"out.partial holds an unfinished train-picker with other parameters "
        r"\(steps\)",
    ):
        working_folder(dataclasses.replace(other, steps=8), precious=CHECKPOINT)
    assert (folder / CHECKPOINT).read_text() == "7 steps"


def test_another_input_of_the_same_name_is_another_run(tmp_path):
    (tmp_path / "map.mrc").write_text("a map")
    folder = working_folder(config_in(tmp_path), [tmp_path / "map.mrc"])
    (folder / "done").touch()
    (tmp_path / "map.mrc").write_text("a better map")
    working_folder(config_in(tmp_path), [tmp_path / "map.mrc"])
    assert not (folder / "done").exists()


def test_a_rewritten_chunk_of_a_folder_makes_it_another_input(tmp_path):
    (chunk := tmp_path / "tomo.zarr/0/0/1").parent.mkdir(parents=True)
    chunk.write_bytes(b"old")
    (working_folder(config_in(tmp_path), [tmp_path / "tomo.zarr"]) / CHECKPOINT).touch()
    assert (working_folder(config_in(tmp_path), [tmp_path / "tomo.zarr"], precious=CHECKPOINT) / CHECKPOINT).exists()
    chunk.write_bytes(b"new")  # in its place: no folder changes
    os.utime(chunk, (2e9, 2e9))
    with pytest.raises(ValueError, match="files that the inputs name"):
        working_folder(config_in(tmp_path), [tmp_path / "tomo.zarr"], precious=CHECKPOINT)


def test_a_run_continues_when_the_folder_that_it_adds_to_has_grown(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells/0.npz").write_text("a cell")
    config = TrainGeneralSegmenterConfig(str(tmp_path / "out"), ("a.mrc",), cache=str(tmp_path / "cells"))
    (working_folder(config) / CHECKPOINT).write_text("7 steps")
    (tmp_path / "cells/1.npz").write_text("another cell")
    assert (working_folder(config, precious=CHECKPOINT) / CHECKPOINT).exists()


def test_a_command_that_never_continues_begins_with_an_empty_folder(tmp_path):
    for _ in range(2):
        folder = working_folder(config_in(tmp_path), continues=False)
        assert [p.name for p in folder.iterdir()] == [RECORD]
        (folder / "stale.star").touch()


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("thesis.txt", "precious", "something else"),
        (RECORD, "{}", "something else"),
        (RECORD, "[1]", "something else"),
        (RECORD, '{"command": "reconstruct", "parameters": {}}', "an unfinished reconstruct"),
    ],
)
@pytest.mark.parametrize("continues", [True, False])
def test_what_is_not_the_commands_own_is_refused_and_left_alone(tmp_path, name, text, words, continues):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / name).write_text(text)
    (tmp_path / "out.partial/more").touch()
    with pytest.raises(
        ValueError, match=f"out.partial, where the unfinished train-picker would be kept, holds {words}"
    ):
        working_folder(config_in(tmp_path), continues=continues)
    assert (tmp_path / "out.partial" / name).read_text() == text and (tmp_path / "out.partial/more").exists()


def test_what_a_refused_second_start_said_in_the_outputs_place_goes(tmp_path):
    for name in ("out.partial", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out.partial/made.txt").touch()
    (tmp_path / "out/failure.json").touch()
    finish_folder(tmp_path / "out.partial", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["made.txt"]


def test_a_file_in_the_folders_place_is_refused_and_an_empty_folder_taken(tmp_path):
    (tmp_path / "out.partial").write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        working_folder(config_in(tmp_path))
    (tmp_path / "out.partial").unlink()
    (tmp_path / "out.partial").mkdir()
    assert (working_folder(config_in(tmp_path)) / RECORD).exists()


def test_links_in_a_folder_that_is_emptied_are_removed_and_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mic.mrc").touch()
    folder = working_folder(config_in(tmp_path))
    (folder / "link").symlink_to(tmp_path / "data")
    working_folder(config_in(tmp_path), continues=False)
    assert not (folder / "link").exists() and (tmp_path / "data/mic.mrc").exists()


def test_stopped_while_it_empties_a_folder_stays_the_commands_own(tmp_path, monkeypatch):
    folder = working_folder(config_in(tmp_path))
    (folder / "done").touch()
    monkeypatch.setattr("cryodl.io.unfinished._remove", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        working_folder(config_in(tmp_path, steps=7))
    monkeypatch.undo()
    working_folder(config_in(tmp_path))  # of the first parameters: yet nothing half-removed is continued
    assert not (folder / "done").exists()


def test_a_finished_folder_holds_no_trace_of_the_work(tmp_path):
    config = ConsensusPicksConfig(("a", "b"), 1.0, 100.0, str(tmp_path / "out"))
    folder = working_folder(config, continues=False)
    for name in ("a.star", CHECKPOINT):
        (folder / name).touch()
    (folder / "done").mkdir()
    assert json.loads((folder / RECORD).read_text())["command"] == "consensus-picks"
    finish_folder(folder, config.output, "done", CHECKPOINT)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.star"] and not folder.exists()
    with pytest.raises(FileExistsError, match="Output folder .*out .--output. exists already"):
        check_output(config.output)


def test_what_a_kill_after_the_last_rename_left_is_removed_by_the_next_start(tmp_path, monkeypatch):
    folder = working_folder(config_in(tmp_path))
    (folder / CHECKPOINT).touch()
    (folder / "card.json").touch()
    monkeypatch.setattr("cryodl.io.unfinished._tidy", lambda folder: None)  # killed there
    finish_folder(folder, tmp_path / "out", CHECKPOINT)
    monkeypatch.undo()
    assert len(list((tmp_path / "out").iterdir())) == 3
    with pytest.raises(FileExistsError, match="exists already"):
        check_output(str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["card.json"]


@pytest.mark.parametrize("name", ["../mic.mrc", ".", "{}/mic.mrc"])
def test_a_record_that_names_files_of_another_folder_removes_nothing(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "mic.mrc").touch()
    (tmp_path / "out" / RECORD).write_text(json.dumps({"leftovers": [name.format(tmp_path)]}))
    with pytest.raises(ValueError, match="which is not in this folder. Choose another --output"):
        check_output(str(tmp_path / "out"))
    assert (tmp_path / "mic.mrc").exists() and (tmp_path / "out" / RECORD).exists()


def test_no_command_removes_its_work_before_its_folder_has_its_name():
    """A command that is killed while it does could neither go on nor begin anew."""
    commands = Path(cryodl.__file__).parent.rglob("commands/*.py")
    assert [path.name for path in commands if re.search(r"rmtree\(folder / [A-Z]", path.read_text("utf-8"))] == []
