# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that continue in a folder replace and remove what they wrote there, and nothing else."""

import threading

import numpy as np
import pytest
from synthetic import blob_project, write_mrc, write_untrained_model

import cryodl
from cryodl.io import output_lock
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.micrographs.byhand.store import HandPicks, Pick
from cryodl.running.cli import main

MINE = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n40 50\n"
OF_MICROGRAPHS = "--micrographs mics/m.mrc --pixel-size 4 --output {}"
OF_VOLUMES = "--segmentations labels/t.mrc --label 1 --output {}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A micrograph with its picks, and a tomogram with labels and halves, of noise."""
    monkeypatch.chdir(tmp_path)
    for name in ("mics", "picks", "labels", "halves"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(1)
    write_mrc("mics/m.mrc", rng.standard_normal((128, 128)).astype(np.float32), 4.0)
    write_coordinates("picks/m.star", np.array([[60, 60]]), np.ones(1))
    labels = np.zeros((16, 32, 32), np.float32)
    labels[4:9, 8:16, 8:16] = 1
    write_mrc("labels/t.mrc", labels, 10.0)
    for name in ("t", "t_even", "t_odd"):
        write_mrc(f"halves/{name}.mrc", rng.standard_normal((16, 32, 32)).astype(np.float32), 10.0)
    return tmp_path


@pytest.mark.parametrize(
    "words, output, file",
    [
        (f"pick --method templates --particle-diameter 60 {OF_MICROGRAPHS}", "out", "out/m.star"),
        (f"pick --model general {OF_MICROGRAPHS}", "out", "out/m.star"),
        (f"pick-filaments --filament-diameter 80 {OF_MICROGRAPHS}", "out", "out/m.star"),
        (f"denoise-micrographs --model general_denoiser {OF_MICROGRAPHS}", "out", "out/m.mrc"),
        (f"assess-micrographs --particle-diameter 60 {OF_MICROGRAPHS}", "out", "out/m.json"),
        (f"assess-micrographs --particle-diameter 60 {OF_MICROGRAPHS}", "out", "out/good.txt"),
        (f"estimate-ctf --voltage 300 --spherical-aberration 2.7 {OF_MICROGRAPHS}", "out.star", "out.star"),
        (f"estimate-ctf --voltage 300 --spherical-aberration 2.7 {OF_MICROGRAPHS}", "out.star", "out/m.mrc"),
        (f"extract-particles --coordinates picks --particle-diameter 60 {OF_MICROGRAPHS}", "out.star", "out.star"),
        (f"extract-particles --coordinates picks --particle-diameter 60 {OF_MICROGRAPHS}", "out.star", "out/m.mrcs"),
        (f"pick-features {OF_VOLUMES}", "out", "out/t.star"),
        (f"pick-features {OF_VOLUMES}", "out", "out/particles.star"),
        (f"measure-membranes {OF_VOLUMES}", "out", "out/t.mrc"),
        ("detect-particles --tomograms labels/t.mrc --template labels/t.mrc --output {}", "out", "out/t.star"),
        ("denoise-tomograms --tomograms halves/t_*.mrc --output {}", "out", "out/t.mrc"),
    ],
)
def test_a_file_of_someone_else_is_not_replaced(folder, capsys, words, output, file):
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(MINE)
    assert main(words.format(output).split()) == 2
    assert f"{file} is there, and not of this command: it is not replaced" in capsys.readouterr().err
    assert (folder / file).read_text() == MINE


@pytest.mark.parametrize(
    "words, file",
    [
        (f"measure-membranes {OF_VOLUMES.format('labels')}", "labels/t.mrc"),
        ("denoise-tomograms --tomograms halves/t_*.mrc --output halves", "halves/t.mrc"),
        ("denoise-tomograms --tomograms halves/t_*.mrc --halves --output halves", "halves/t_even.mrc"),
    ],
)
def test_tomograms_in_the_output_folder_stay(folder, capsys, words, file):
    if "--halves" in words:
        (folder / "halves/t.mrc").unlink()
    before = (folder / file).read_bytes()
    assert main(words.split()) == 2
    assert "replace" in capsys.readouterr().err and (folder / file).read_bytes() == before


def test_tables_of_a_micrograph_that_became_unreadable_are_own_ones(folder):
    words = f"assess-micrographs --particle-diameter 60 {OF_MICROGRAPHS.format('out')}".split()
    whole = (folder / "mics/m.mrc").read_bytes()
    for content, code in ((whole, 0), (whole[:100], 2), (whole, 0)):
        (folder / "mics/m.mrc").write_bytes(content)
        assert main(words) == code


def test_picks_that_were_corrected_by_hand_are_not_replaced(tmp_path, capsys):
    blob_project(tmp_path, count=1)
    write_untrained_model(tmp_path / "model")
    words = ["pick", "--micrographs", str(tmp_path / "mics/*.mrc"), "--pixel-size", "4", "--device", "cpu"]
    words += ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "out")]
    assert main(words) == 0 and main([*words, "--threshold", "0.9"]) == 0  # its own it replaces
    HandPicks(str(tmp_path / "out"), ["mic0"]).write("mic0", [Pick(10, 20)], [])
    for more in ([], ["--overwrite"]):
        assert main([*words, *more]) == 2
        assert "mic0.star was corrected by hand: it is not replaced" in capsys.readouterr().err
    assert read_coordinates(tmp_path / "out/mic0.star")["mic0"][0].tolist() == [[10, 20]]


def test_commands_of_several_threads_run_one_after_another(folder, monkeypatch):
    monkeypatch.delenv(output_lock.HELD, raising=False)
    counts, given = [], dict(micrographs="mics/m.mrc", pixel_size=np.float32(4), coordinates="picks")

    def extract(output):
        for _ in range(3):
            made = cryodl.extract_particles(**given, particle_diameter=np.int64(60), output=output)
            counts.append((made.outputs.count, len(made.skipped)))

    threads = [threading.Thread(target=extract, args=(name,)) for name in ("one.star", "one.star", "two.star")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [(1, 0)] * 9
    assert not output_lock.os.environ.get(output_lock.HELD)  # the next command locks its output again
