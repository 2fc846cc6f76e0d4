# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' own arithmetic, on made-up sets and without the engine's commands: PYTHON -m pytest benchmarks"""

import json
import types

import numpy as np
import pickers
import pytest
import rotation
from common import ROOT
from parts import Bench, RealSet, draw_labels, engine_path, expected_particles, table
from relion import resolution_at, shell_correlation, star_rows, write_star

engine_path()


@pytest.fixture
def bench(tmp_path):
    options = types.SimpleNamespace(
        output=tmp_path / "out",
        sets=["empiar10017"],
        labels=[20],
        draws=1,
        general_models=None,
        networks=["unet"],
        reconstruct=["truth"],
        reconstruct_real=None,
        train_topaz=False,
        simulated_models=["general"],
    )
    return Bench(options, tmp_path)


@pytest.fixture
def real(tmp_path):
    """Three micrographs of 300 px with 12 bright dots each; one to train on, two to test."""
    import mrcfile

    from cryodl.io.coordinates import write_coordinates

    for part in ("micrographs", "coords"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for index in range(3):
        lattice = [(y, x) for y in range(60, 260, 50) for x in range(70, 260, 60)]
        yx = np.random.default_rng(index).permutation(lattice)[:12]
        image = np.zeros((300, 300), np.float32)
        for y, x in yx:
            image[y - 2 : y + 3, x - 2 : x + 3] = 1
        mrcfile.write(tmp_path / "set" / "micrographs" / f"m{index}.mrc", image)
        write_coordinates(tmp_path / "set" / "coords" / f"m{index}.star", yx, np.ones(12))
    return RealSet("dots", tmp_path, "set", 2.0, 20.0, 25.0, 1)


def _pick_dots(micrographs, pixel_size, diameter, model, folder, *options):
    """A picker that finds every dot."""
    from pathlib import Path

    import mrcfile
    from scipy.ndimage import center_of_mass, label

    from cryodl.io.coordinates import write_coordinates

    (folder / "candidates").mkdir(parents=True)
    for path in micrographs:
        bright = mrcfile.read(path) > 0.5
        marks, count = label(bright)
        yx = np.array(center_of_mass(bright, marks, range(1, count + 1)))
        for place in (folder, folder / "candidates"):
            write_coordinates(place / f"{Path(path).stem}.star", yx, np.ones(len(yx)))


@pytest.mark.parametrize("angle", [0, 90, 37])
def test_a_picker_that_finds_all_finds_all_in_turned_micrographs(bench, real, angle, monkeypatch):
    monkeypatch.setattr(rotation, "pick", _pick_dots)
    figures = rotation._measure(bench, real, None, "dots", angle)
    assert figures["f1_disc"] == figures["best_f1_disc"] == 1.0
    assert angle == 37 or figures["f1_square"] == 1.0


def test_labels_are_drawn_from_the_training_micrographs_alone(real, tmp_path):
    from cryodl.io.coordinates import read_coordinates

    used, available = draw_labels(real, 5, 0, tmp_path / "labels")
    chosen = read_coordinates(tmp_path / "labels")
    assert (used, available, list(chosen)) == (5, 12, ["m0"]) and expected_particles(real) == 12
    ground_truth = read_coordinates(real.ground_truth)["m0"][0].tolist()
    assert len(chosen["m0"][0]) == 5 and all(place in ground_truth for place in chosen["m0"][0].tolist())


def test_a_figure_is_measured_once_and_a_failure_is_kept_apart(bench, capsys):
    def fail():
        raise RuntimeError("no such network")

    assert bench.once("a", lambda: dict(f1=0.5)) == bench.once("a", fail) == dict(f1=0.5)
    assert bench.once("b", fail) is None and bench.failed == ["b"] and "no such network" in capsys.readouterr().out
    assert Bench(bench.options, bench.data).figures == {"a": {"f1": 0.5}}


def test_what_was_not_measured_is_said_in_every_table(bench):
    for module, _ in pickers.PARTS.values():
        assert "ot measured" in module.tables(bench) or "| --- |" in module.tables(bench)
    assert table(["a", "b"], [[0.12345, None]]).splitlines()[-1] == "| 0.123 | not measured |"


def test_the_resolution_lies_where_the_line_crosses_the_level():
    assert resolution_at([(40, 0.9), (20, 0.243), (10, 0.043)], 0.143) == pytest.approx(1 / 0.075)
    assert resolution_at([(40, 0.9), (20, 0.5)], 0.143) == 20


def test_maps_that_agree_to_a_shell_correlate_to_that_shell():
    rng = np.random.default_rng(0)
    both, alone = (np.fft.fftn(rng.standard_normal((32, 32, 32))) for _ in range(2))
    axis = np.fft.fftfreq(32, 1 / 32)
    low = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) <= 8.5
    first, second = np.fft.ifftn(both).real, np.fft.ifftn(np.where(low, both, alone)).real
    fsc = shell_correlation(first, second, 2.0)
    assert fsc[7][0] == 8.0 and all(value > 0.999 for _, value in fsc[:8]) and all(abs(v) < 0.2 for _, v in fsc[9:])


def test_star_tables_come_back(tmp_path):
    write_star(
        tmp_path / "a.star",
        {"optics": (["Voltage"], ["300"]), "particles": (["ImageName", "OpticsGroup"], ["1@a.mrcs 1", "2@a.mrcs 1"])},
    )
    assert star_rows(tmp_path / "a.star", "particles") == (
        ["_rlnImageName", "_rlnOpticsGroup"],
        [["1@a.mrcs", "1"], ["2@a.mrcs", "1"]],
    )


def test_missing_leave_one_out_models_are_named(bench, tmp_path):
    bench.options.general_models = str(tmp_path / "none")
    with pytest.raises(ValueError, match="without-empiar10017"):
        bench.general("empiar10017")


def test_the_page_on_windows_has_the_measured_figures():
    figures = json.loads((ROOT / "benchmarks/figures/windows.json").read_text())["figures"]
    page = (ROOT / "docs/bench_running.md").read_text()
    for move, found in figures.items():
        assert f"| {move} | {found['cpu_ms']:.0f} |" in page
        assert found["cpu_ms"] < 200
