# SPDX-License-Identifier: GPL-3.0-or-later
"""pick: one file per micrograph, in its own geometry, with the names and paths that users have."""

import bz2
import json
import subprocess
import sys

import mrcfile
import numpy as np
import pytest
import tifffile
import torch
from picking import outputs, pick
from scipy.ndimage import distance_transform_edt
from synthetic import blob_micrograph, blob_project, environment, write_mrc, write_untrained_model

from cryodl.contract import Result
from cryodl.io.coordinates import read_coordinates
from cryodl.io.micrographs import micrograph_shape
from cryodl.simulate.artefacts import add_carbon


def test_each_micrograph_gets_its_file_and_the_result_lists_them(project):
    assert pick(project, "--threshold", "0.5") == 0
    out = outputs(project)
    for key in ("coordinates", "candidates"):
        found = {name: read_coordinates(path)[name] for name, path in out[key].items()}
        assert set(found) == {"mic0", "mic1"}
        for name, (yx, scores) in found.items():
            shape = micrograph_shape(project / f"mics/{name}.mrc")
            assert (yx >= -0.5).all() and (yx < shape).all() and (scores >= 0).all() and (scores <= 1).all()
            assert (np.diff(scores) <= 1e-6).all()
            if key == "coordinates":
                assert out["counts"][name] == len(yx) > 0 and (scores >= 0.5).all()
    assert out["picks"] == sum(out["counts"].values()) and out["threshold"] == 0.5
    assert out["particle_diameter"] == 120.0 and out["model"].endswith("model") and out["folder"].endswith("out")
    names = ["avoided", "candidates", "mic0.star", "mic1.star", "pick.json"]
    assert sorted(p.name for p in (project / "out").iterdir()) == names


def test_a_gone_file_of_a_list_is_skipped_and_a_pixel_size_far_off_is_said_at_the_end(project):
    with mrcfile.open(project / "mics/mic0.mrc", "r+") as mrc:
        mrc.voxel_size = 8.0
    (project / "mics/list.txt").write_text("mic0.mrc\ngone.mrc\n")
    assert pick(project, micrographs=[str(project / "mics/list.txt")]) == 0
    result = Result.read(project / "result.json")
    assert [one.item for one in result.skipped] == ["gone"] and set(result.outputs["counts"]) == {"mic0"}
    assert "says 8 Å/px; 4 Å/px" in result.summary[-1]


def test_a_micrograph_of_half_the_pixel_size_is_skipped_and_tells_nothing_of_the_others(project):
    path = project / "mics/mic0.mrc"
    assert pick(project) == 0
    write_mrc(path, np.kron(mrcfile.read(path), np.ones((2, 2), np.float32)), 2.0)
    for _ in range(2):
        assert pick(project) == 0
        result = Result.read(project / "result.json")
        assert [one.item for one in result.skipped] == ["mic0"] and set(result.outputs["counts"]) == {"mic1"}
        assert "says 2 Å/px, not 4 (--pixel-size), and with 640 px" in result.skipped[0].reason
        assert not list((project / "out").rglob("mic0.*"))  # of the earlier run, which later commands would read
    write_mrc(path, mrcfile.read(path)[::2, ::2], 2.0)  # binned, with the old value: the header alone is no proof
    assert pick(project) == 0 and set(outputs(project)["counts"]) == {"mic0", "mic1"}


def test_rows_that_are_not_numbers_are_said_and_get_no_pick(project):
    with mrcfile.open(project / "mics/mic0.mrc", "r+") as mrc:
        mrc.data[64:128] = np.nan
    assert pick(project, "--threshold", "0.1") == 0
    yx, _ = read_coordinates(project / "out")["mic0"]
    assert len(yx) and not ((yx[:, 0] > 70) & (yx[:, 0] < 122)).any()
    said = [line for line in Result.read(project / "result.json").warnings if "not finite numbers" in line]
    assert len(said) == 1 and "mic0.mrc (25.0%) of the pixels are not finite numbers" in said[0]


def test_border_and_minimum_distance_are_in_angstrom(project):
    pick(project, "--border", "80", "--minimum-distance", "100", "--threshold", "0")
    for yx, _ in read_coordinates(project / "out").values():
        assert (yx >= 20).all() and (yx < np.array([256, 320]) - 20).all()
        gaps = np.linalg.norm(yx[:, None] - yx[None], axis=2)[~np.eye(len(yx), dtype=bool)]
        assert 25 * 0.98 <= gaps.min() < 40 and yx.min() < 40


def test_every_pick_has_a_pixel_of_the_micrograph_when_it_is_rounded(project, monkeypatch):
    positions = np.array([[0.0, 0.0], [255.4, 319.4], [255.6, 100.0], [100.0, 319.6], [-0.4, 100.0]])
    monkeypatch.setattr("cryodl.micrographs.pickers.predict.Picker.candidates", lambda *a: (positions, np.full(5, 0.9)))
    pick(project)
    for yx, _ in read_coordinates(project / "out").values():
        assert yx.tolist() == positions[:2].tolist()


@pytest.mark.parametrize("avoid, kept", [("nothing", 3), ("contamination", 2), ("contamination and carbon", 1)])
def test_no_pick_is_on_an_area_to_avoid_and_the_areas_are_written(project, monkeypatch, capsys, avoid, kept):
    """A crystal, a carbon film and clean ice, with a candidate on each."""
    image, _ = blob_micrograph((640, 560), seed=0, spacing=70, diameter_px=40)
    image, film = add_carbon(torch.from_numpy(image), 40, np.random.default_rng(1), fraction=0.3)
    away = distance_transform_edt(np.pad(~film.numpy(), 1))[1:-1, 1:-1]
    crystal = np.array(np.unravel_index(away.argmax(), away.shape))
    y, x = np.mgrid[: film.shape[0], : film.shape[1]]
    far = np.hypot(y - crystal[0], x - crystal[1])
    write_mrc(project / "mics/mic0.mrc", np.where(far < 45, image.numpy() - 12, image.numpy()).astype(np.float32))
    inner = distance_transform_edt(np.pad(film.numpy(), 1))[1:-1, 1:-1]
    clean = np.where(far > 120, away, 0)
    places = [crystal, *(np.unravel_index(found.argmax(), found.shape) for found in (inner, clean))]
    positions = np.array(places, float)
    monkeypatch.setattr("cryodl.micrographs.pickers.predict.Picker.candidates", lambda *a: (positions, np.full(3, 0.9)))
    mics, record = [str(project / "mics/mic0.mrc")], project / "out/avoided/mic0.json"
    record.parent.mkdir(parents=True)
    record.write_text("what an earlier run avoided")
    assert pick(project, "--particle-diameter", "160", "--avoid", avoid, micrographs=mics) == 0
    yx, _ = read_coordinates(project / "out/mic0.star")["mic0"]
    on = {"nothing": [0, 1, 2], "contamination": [1, 2], "contamination and carbon": [2]}[avoid]
    assert len(yx) == kept and yx.tolist() == positions[on].tolist()
    assert record.exists() is (avoid != "nothing")
    said = {3: "", 2: " on contamination is left out", 1: " on contamination and carbon are left out"}[kept]
    assert (f"{said} (--avoid nothing keeps them)" in capsys.readouterr().out) == (said != "")
    if record.exists():
        rows = np.array([list(row) for row in json.loads(record.read_text())["areas"]])
        at = [rows[tuple((place * rows.shape // np.array(film.shape)).astype(int))] for place in positions]
        assert at == ["1", "2" if avoid.endswith("carbon") else "0", "0"]


def test_micrographs_of_different_sizes_and_formats_in_one_run(project):
    """Each in its own geometry."""
    mics = project / "mics"
    tall, _ = blob_micrograph((420, 256), seed=5)
    tifffile.imwrite(mics / "tall.tif", tall)
    small, _ = blob_micrograph((200, 200), seed=6)
    write_mrc(mics / "small.mrc", small)
    (mics / "packed.mrc.bz2").write_bytes(bz2.compress((mics / "mic0.mrc").read_bytes()))
    assert pick(project, "--threshold", "0", micrographs=[str(mics / "*")]) == 0
    found = read_coordinates(project / "out")
    assert set(found) == {"mic0", "mic1", "tall", "small", "packed"}
    assert found["tall"][0][:, 0].max() > 330 and found["tall"][0][:, 1].max() < 256
    assert found["small"][0].max() < 200
    assert np.array_equal(found["packed"][0], found["mic0"][0])


def test_the_order_of_micrographs_changes_nothing(project):
    paths = [str(project / f"mics/mic{i}.mrc") for i in (0, 1)]
    pick(project, micrographs=paths)
    pick(project, micrographs=paths[::-1], output="reversed")
    for name in ("mic0", "mic1"):
        assert (project / f"out/{name}.star").read_text() == (project / f"reversed/{name}.star").read_text()


def test_names_replace_file_names(project):
    paths = [str(project / f"mics/mic{i}.mrc") for i in (0, 1)]
    assert pick(project, "--names", "first 1%", "second", micrographs=paths) == 0
    assert set(outputs(project)["coordinates"]) == {"first 1%", "second"}
    assert (project / "out/first 1%.star").exists()


def test_a_file_that_is_gone_is_skipped_where_its_name_is_given(project):
    paths = [str(project / "mics/mic0.mrc"), str(project / "mics/gone.mrc")]
    assert pick(project, "--names", "first", "second", micrographs=paths) == 0
    (skipped,) = Result.read(project / "result.json").skipped
    assert (skipped.item, skipped.reason) == ("second", f"Micrograph {paths[1]} does not exist.")


def test_names_that_clash_in_two_folders_are_an_error(project, capsys):
    (project / "more").mkdir()
    write_mrc(project / "more/mic0.mrc", blob_micrograph()[0])
    assert pick(project, micrographs=[str(project / "mics/mic0.mrc"), str(project / "more/mic0.mrc")]) == 2
    error = capsys.readouterr().err
    assert "Two micrographs are called mic0" in error and "mics/mic0.mrc" in error and "more/mic0.mrc" in error


def test_a_list_file_is_as_good_as_a_glob(project):
    (project / "list.txt").write_text("mics/mic0.mrc\nmics/mic1.mrc\n")
    assert pick(project, micrographs=[str(project / "list.txt")]) == 0
    assert set(outputs(project)["counts"]) == {"mic0", "mic1"}


def test_paths_with_spaces_percent_and_quotes(tmp_path):
    folder = tmp_path / "50% of 'my' \"data\" é"
    folder.mkdir()
    blob_project(folder, count=1)
    (folder / "mics/mic0.mrc").rename(folder / "mics/mic 1 'a' \"b\" 20%s.mrc")
    write_untrained_model(folder / "model")
    assert pick(folder) == 0
    assert list(outputs(folder)["coordinates"]) == ["mic 1 'a' \"b\" 20%s"]
    assert (folder / "out" / "mic 1 'a' \"b\" 20%s.star").exists()


def test_one_bad_micrograph_among_many_is_skipped_and_named(project, capsys):
    write_mrc(project / "mics/black 1.mrc", np.zeros((256, 320), np.float32))
    assert pick(project) == 0
    result = Result.read(project / "result.json")
    assert [(s.item, s.path) for s in result.skipped] == [("black 1", str(project / "mics/black 1.mrc"))]
    assert "constant" in result.skipped[0].reason
    assert "1 micrograph was skipped, for the reasons above." in result.warnings
    assert set(result.outputs["coordinates"]) == {"mic0", "mic1"} and not (project / "out/black 1.star").exists()
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("black 1.mrc") == 1, "said once, when it happens"


@pytest.mark.slow
def test_a_large_micrograph_is_picked_in_less_than_1_gb(tmp_path):
    """4096 x 4096 px, particles of 200 Å at 1.5 Å/px; the largest memory of a process of its own."""
    (tmp_path / "mics").mkdir()
    write_mrc(
        tmp_path / "mics/large.mrc", np.random.default_rng(0).standard_normal((4096, 4096), dtype=np.float32), 1.5
    )
    write_untrained_model(tmp_path / "model", diameter=200.0)
    # not ru_maxrss: a child inherits its parent's peak there
    code = (
        "from cryodl.running.cli import main\n"
        "code = main(['pick', '--micrographs', 'mics/*.mrc', '--pixel-size', '1.5', '--model', 'model', "
        "'--output', 'out', '--device', 'cpu'])\n"
        "print(code, next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    code, kilobytes = map(int, done.stdout.splitlines()[-1].split())
    assert code == 0 and kilobytes < 1e6, done.stderr
