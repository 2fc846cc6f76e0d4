# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that continues notices inputs that were made anew since."""

import os
import shutil
import types

import numpy as np
import pytest
from picking import pick, times, training_config
from synthetic import write_mrc

from cryodl.contract import ComparePicksConfig, TrainSegmenterConfig
from cryodl.io.stamps import file_stamp, input_stamps, stamp
from cryodl.io.unfinished import working_folder
from cryodl.learning import recipe
from cryodl.running.cli import main
from cryodl.tomograms.detectors import labels
from cryodl.tomograms.segmenters import sources


def replace(path, other):
    """Another file under the name of path."""
    shutil.copy(other, path)
    os.utime(path, (1e9, 1e9))


def test_a_replaced_micrograph_is_picked_again_and_the_others_are_not(project, capsys):
    assert pick(project) == 0
    before = times(project)
    assert pick(project) == 0 and times(project) == before
    replace(project / "mics/mic1.mrc", project / "mics/mic0.mrc")
    capsys.readouterr()
    assert pick(project) == 0
    after, said = times(project), capsys.readouterr().out
    assert (
        "mic1.mrc has changed since it was picked; it is picked again." in said and "1 of them already picked" in said
    )
    assert after["mic0.star"] == before["mic0.star"] and after["mic1.star"] != before["mic1.star"]
    texts = [(project / f"out/candidates/mic{i}.star").read_text().split("\n", 1)[1] for i in (0, 1)]
    assert texts[0] == texts[1]


def test_a_replaced_micrograph_is_assessed_again(project, capsys):
    command = [
        "assess-micrographs",
        "--micrographs",
        str(project / "mics/*.mrc"),
        "--pixel-size",
        "4",
        "--particle-diameter",
        "120",
        "--output",
        str(project / "assessed"),
        "--threads",
        "1",
    ]
    assert main(command) == 0
    replace(project / "mics/mic1.mrc", project / "mics/mic0.mrc")
    capsys.readouterr()
    assert main(command) == 0
    assert "mic1.mrc has changed since it was measured" in capsys.readouterr().out


def test_a_training_does_not_continue_with_other_files(project, capsys):
    config = training_config(project, output=str(project / "new"), steps=2, batch_size=1)
    (working_folder(config, precious="work") / "work").write_text("hours")
    assert working_folder(config, precious="work").name == "new.partial"
    replace(project / "mics/mic1.mrc", project / "mics/mic0.mrc")
    with pytest.raises(ValueError, match=r"other parameters \(files of micrographs that have changed\)"):
        working_folder(config, precious="work")


def test_a_training_does_not_continue_with_other_files_that_a_list_names(project, tmp_path):
    path = project / "mics/mic0.mrc"
    (project / "list.txt").write_text(f"{path}\n")
    config = training_config(project, output=str(project / "new"), micrographs=(str(project / "list.txt"),))
    take = lambda *files: working_folder(config, files, precious="work")
    (take() / "work").write_text("hours")  # by a version that did not look at them
    take(path)
    replace(path, project / "mics/mic1.mrc")
    with pytest.raises(ValueError, match=r"other parameters \(files that the inputs name\)"):
        take(path)


@pytest.mark.parametrize(
    "command, more",
    [
        ("denoise-micrographs", "--pixel-size 4"),
        ("denoise-tomograms", "--pixel-size 10"),
        ("train-detector", "--coordinates p.star --diameter 100"),
        ("train-segmenter", "--labels listed.txt --label 1"),
    ],
)
def test_every_training_looks_at_the_files_that_a_list_names(tmp_path, monkeypatch, capsys, command, more):
    monkeypatch.chdir(tmp_path)
    for seed, half in enumerate(("even", "odd")):
        noise = np.random.default_rng(seed).normal(size=(64, 64) if "micrographs" in command else (24, 64, 64))
        write_mrc(f"a_{half}.mrc", noise.astype(np.float32), 10.0)
    (tmp_path / "listed.txt").write_text("a_even.mrc\na_odd.mrc\n")
    # they have been read when the folder is taken
    monkeypatch.setattr(labels, "gather_labels", lambda config, run: None)
    monkeypatch.setattr(sources, "gather", lambda config, method, run: types.SimpleNamespace(files=[]))

    def taken(config, files, **given):
        raise ValueError(f"It looks at {sorted(set(files))}.")

    monkeypatch.setattr(recipe, "working_folder", taken)
    option = "--micrographs" if "micrographs" in command else "--tomograms"
    assert main([command, option, "listed.txt", *more.split(), "--output", "out"]) == 2
    assert "It looks at ['a_even.mrc', 'a_odd.mrc']." in capsys.readouterr().err


def test_a_chunk_of_an_ome_zarr_that_is_written_anew_is_a_change(tmp_path):
    (tmp_path / "t.zarr/0/0").mkdir(parents=True)
    (tmp_path / "t.zarr/.zgroup").write_text("{}")
    chunk = tmp_path / "t.zarr/0/0/0"
    config = TrainSegmenterConfig(output="x", tomograms=(str(tmp_path / "t.zarr"),), labels=("l.mrc",), label=1)
    seen = []
    for text, time in (("abc", 1e9), ("abc", 2e9), ("abcd", 2e9)):
        chunk.write_text(text)
        os.utime(chunk, (time, time))
        seen.append(
            (stamp(tmp_path / "t.zarr"), input_stamps(config)["tomograms"], str(file_stamp(tmp_path / "t.zarr")))
        )
    assert all(len(set(words)) == 3 for words in zip(*seen))


def test_a_list_that_is_written_again_is_the_same_list(project):
    config = training_config(project, output=str(project / "new"))
    before = input_stamps(config)
    assert set(before) == {"micrographs", "coordinates"}
    path = project / "coordinates/mic0.star"
    path.write_text(path.read_text())
    os.utime(path, (1e9, 1e9))
    assert input_stamps(config) == before
    path.write_text(path.read_text() + "1 1\n")
    assert input_stamps(config)["coordinates"] != before["coordinates"]
    assert stamp(path) != stamp(path, path)


def test_a_set_of_picks_with_a_name_counts_by_its_files(tmp_path):
    (tmp_path / "topaz").mkdir()
    picks = tmp_path / "topaz/mic0.star"
    picks.write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n10 10\n")
    config = ComparePicksConfig(
        (f"topaz={tmp_path}/topaz",), pixel_size=4.0, particle_diameter=90.0, output=str(tmp_path / "new")
    )
    before = input_stamps(config)
    assert input_stamps(config) == before and "picks" in before
    picks.write_text(picks.read_text() + "20 20\n")
    assert input_stamps(config)["picks"] != before["picks"]
