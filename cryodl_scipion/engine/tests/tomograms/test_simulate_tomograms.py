# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-tomograms`: labels, coordinates and volumes agree with each other and with physics."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.contract import Failure, Result, check
from cryodl.contract.tomograms.simulating import SimulateTomogramsConfig
from cryodl.io.star import read_tables
from cryodl.io.structures import load_density
from cryodl.io.tomograms import Tomogram
from cryodl.running.cli import main
from cryodl.simulate.tilt_series import tilt_images
from cryodl.simulate.tomograms import molecular_threshold

PIXEL = 13.0
ATOM = "ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00           C\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc("ribo.mrc", lopsided_density(20), PIXEL)


def simulate(output="sim", code=0, **options):
    options = dict(
        dict(
            structures="ribo.mrc",
            copies=4,
            size=64,
            thickness=32,
            vesicles=1,
            membranes=0,
            microtubules=0,
            filaments=1,
            tilt_step=6,
            device="cpu",
            threads=1,
            output=output,
            result="result.json",
        ),
        **options,
    )
    words = ["simulate-tomograms"]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, *map(str, value if isinstance(value, tuple) else (value,))]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def particles_of(path):
    table = read_tables(path)["particles"]
    positions = np.array([[float(v) for v in table[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T
    return positions, np.array([[float(v) for v in table[f"rlnAngle{a}"]] for a in ("Rot", "Tilt", "Psi")]).T


def test_files_and_outputs_name_the_same_things():
    result = simulate(count=2, tilt_series=True, fiducials=1)
    outputs = result.outputs
    assert outputs["features"] == ["ribo", "membrane", "filament", "fiducial"]
    assert outputs["counts"] == dict(ribo=8, membrane=2, filament=2, fiducial=2)
    written = json.loads(Path("sim/features.json").read_text())
    assert written["features"][1] == dict(label=2, name="membrane")
    assert written["tomograms"]["tomo_002"]["counts"]["ribo"] == 4
    for kind, dtype in (("tomograms", np.float32), ("labels", np.int8)):
        volume = Tomogram(outputs[kind]["tomo_002"])
        assert volume.shape == (32, 64, 64) and volume.dtype == dtype and volume.pixel_size == pytest.approx(PIXEL)
    assert set(np.unique(Tomogram("sim/labels/tomo_001.mrc").raw())) == {0, 1, 2, 3, 4}
    series = Tomogram(outputs["tilt_series"]["tomo_001"])
    assert series.shape[0] == 21 == len(Path("sim/tilt_series/tomo_001.rawtlt").read_text().split())
    assert (outputs["tilt_min"], outputs["tilt_max"]) == (-60, 60)
    assert sorted(p.name for p in Path("sim").iterdir()) == [
        "coordinates",
        "features.json",
        "labels",
        "tilt_series",
        "tomograms",
    ]


def test_coordinates_and_angles_say_where_the_labelled_densities_are():
    simulate(vesicles=0, filaments=0, copies=5)
    positions, angles = particles_of("sim/coordinates/tomo_001.star")
    labels = Tomogram("sim/labels/tomo_001.mrc").raw() == 1
    from cryodl.simulate.rotations import rotated

    density = load_density("ribo.mrc", PIXEL)
    limit, again = molecular_threshold(density, "ribo.mrc", PIXEL), np.zeros(labels.shape, bool)
    for position, angle in zip(positions, angles):
        whole = np.rint(position).astype(int)
        body = (
            np.argwhere(rotated(density, angle, position - whole)[0].numpy() > limit) + whole - density.shape[-1] // 2
        )
        again[tuple(body.T)] = True
    assert len(positions) == 5
    assert 2 * (again & labels).sum() / (again.sum() + labels.sum()) > 0.95


@pytest.mark.parametrize("hydrogens", (False, True))
def test_labels_of_models_have_the_molecules_volume(hydrogens):
    # a ball of carbon as dense as protein: 110 Da and 51 electrons a residue, 1.21 Å^3 a Da, so 15.7 Å^3 an atom
    step, radius = (6 * 110 / 51 * 1.21) ** (1 / 3), 45
    grid = step * np.stack(np.mgrid[-20:21, -20:21, -20:21], -1).reshape(-1, 3)
    atoms = grid[np.linalg.norm(grid, axis=1) < radius]
    lines = [ATOM.format(n % 9999, n % 999, *xyz) for n, xyz in enumerate(atoms)]
    lines += [line.replace("CA ", "HA ").replace("           C", "           H") for line in lines] * hydrogens
    Path("ball.pdb").write_text("".join(lines) + "END\n")
    simulate(structures="ball.pdb", vesicles=0, filaments=0, copies=3, pixel_size=8)
    voxels = (Tomogram("sim/labels/tomo_001.mrc").raw() == 1).sum()
    assert voxels * 8**3 == pytest.approx(3 * 4 / 3 * np.pi * radius**3, rel=0.08)


def test_tomograms_show_what_is_labelled_dark_or_bright():
    for contrast, sign in (("dark", -1), ("bright", 1)):
        simulate(contrast, contrast=contrast, snr=100)
        volume, labels = (
            Tomogram(f"{contrast}/tomograms/tomo_001.mrc").part(),
            Tomogram(f"{contrast}/labels/tomo_001.mrc").raw(),
        )
        assert sign * volume[labels == 1].mean() > 0.5
        assert volume.mean() == pytest.approx(0, abs=1e-3) and volume.std() == pytest.approx(1, abs=1e-2)
    dark, bright = (Tomogram(f"{c}/labels/tomo_001.mrc").raw() for c in ("dark", "bright"))
    assert (dark == bright).all()


def test_tilt_images_have_the_snr_that_was_asked_for():
    snr = 0.5
    simulate(tilt_series=True, snr=snr, defocus=0, dose=0, filaments=0, vesicles=0)
    simulate("clean", tilt_series=True, snr=1e6, defocus=0, dose=0, filaments=0, vesicles=0)
    noisy, clean = (torch.tensor(Tomogram(f"{f}/tilt_series/tomo_001.mrc").part()) for f in ("sim", "clean"))
    signal = clean * (snr / 1e6) ** 0.5
    noise = noisy - signal
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    assert float(signal.var(dim=(1, 2)).mean() / noise.var()) == pytest.approx(snr, rel=0.05)
    assert abs(correlation(noise, signal)) < 0.02


def test_tilt_images_are_the_projections_of_the_labelled_things():
    simulate(tilt_series=True, snr=1e6, defocus=0, dose=0, vesicles=0, filaments=0, tilt_min=-50, tilt_max=20)
    labels = torch.tensor(Tomogram("sim/labels/tomo_001.mrc").raw() > 0).float()
    images = torch.tensor(Tomogram("sim/tilt_series/tomo_001.mrc").part())
    tilts = [float(t) for t in Path("sim/tilt_series/tomo_001.rawtlt").read_text().split()]
    shadows = tilt_images(labels, tilts, images.shape[2])
    assert correlation(-images, shadows) > 0.85
    assert correlation(-images, shadows.flip(0)) < 0.8


def test_the_same_seed_gives_the_same_files_and_number_two_does_not_depend_on_the_number_of_tomograms():
    simulate("a", count=2), simulate("b", count=3), simulate("c", seed=1)
    for name in ("tomograms/tomo_002.mrc", "labels/tomo_001.mrc"):
        assert (Tomogram(f"a/{name}").raw() == Tomogram(f"b/{name}").raw()).all()
    assert (Tomogram("a/labels/tomo_001.mrc").raw() != Tomogram("c/labels/tomo_001.mrc").raw()).any()
    assert Path("a/coordinates/tomo_002.star").read_text() == Path("b/coordinates/tomo_002.star").read_text()


def test_a_killed_run_continues(monkeypatch):
    from cryodl.tomograms.commands import simulate_tomograms as command

    write, calls = command.write_tables, []

    def stops_at_second(*args):
        calls.append(Path(args[0]).stem)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(command, "write_tables", stops_at_second)
    simulate(count=2, code=130)
    assert not Path("sim").exists()
    simulate(count=2)
    assert calls == ["tomo_001", "tomo_002", "tomo_002"]


def test_too_many_copies_are_a_warning_and_what_is_there_is_counted():
    result = simulate(copies=500)
    found = result.outputs["counts"]["ribo"]
    assert 5 < found < 500 and len(particles_of("sim/coordinates/tomo_001.star")[0]) == found
    assert any(f"{found} of 500 copies of ribo" in note for note in result.warnings)


def test_a_tomogram_may_be_empty_or_without_structures():
    words = [
        "simulate-tomograms",
        "--size",
        "32",
        "--thickness",
        "16",
        "--vesicles",
        "0",
        "--membranes",
        "0",
        "--microtubules",
        "0",
        "--filaments",
        "0",
        "--tilt-step",
        "10",
        "--threads",
        "1",
        "--result",
        "result.json",
    ]
    assert main([*words, "--output", "empty"]) == 0
    assert Result.read("result.json").outputs["features"] == []
    assert not Tomogram("empty/labels/tomo_001.mrc").raw().any()


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(structures="none.cif"), ["none.cif"]),
        (dict(copies="two"), ["--copies", "two"]),
        (dict(copies=(1, 2)), ["1 structures", "2"]),
        (dict(thickness=16, pixel_size=6), ["ribo.mrc", "--thickness"]),
        (dict(tilt_min=30, tilt_max=20), ["--tilt-max", "20"]),
        (dict(size=4096, thickness=2048), ["GB", "--size"]),
    ],
)
def test_bad_input_is_one_sentence(options, words):
    message = simulate(code=2, **options)
    assert all(word in message for word in words)
    assert not Path("sim").exists() and not Path("sim.partial").exists()


def test_structures_of_one_name_or_of_another_features_are_refused():
    Path("other").mkdir()
    for name in ("other/ribo.mrc", "membrane.mrc"):
        write_mrc(name, lopsided_density(20), PIXEL)
    assert "called ribo" in simulate(structures=("ribo.mrc", "other/ribo.mrc"), code=2)
    assert "membrane" in simulate(structures="membrane.mrc", code=2)


def test_halves_have_noise_of_their_own_and_the_tomogram_is_their_mean():
    outputs = simulate(halves=True, snr=0.05).outputs
    whole, even, odd = (Tomogram(outputs[kind]["tomo_001"]).part() for kind in ("tomograms", "even", "odd"))
    assert np.allclose((even + odd) / 2, whole, atol=1e-5)
    alone = Tomogram(simulate("plain", snr=0.05).outputs["tomograms"]["tomo_001"]).part()
    assert np.array_equal(alone, whole)  # halves change nothing else
    clean = Tomogram(simulate("clean", snr=1e6).outputs["tomograms"]["tomo_001"]).part()
    rest = [x - clean * np.vdot(x, clean) / np.vdot(clean, clean) for x in (even, odd)]
    assert abs(correlation(*rest)) < 0.05 and correlation(even, odd) > 0


def test_a_number_of_copies_for_each_file_of_a_pattern():
    for number in (1, 2):
        write_mrc(f"body{number}.mrc", lopsided_density(18), 13.0)
    problems = lambda *names: check(SimulateTomogramsConfig("out", names, copies=("1", "2", "3")))
    assert "There are 2 structures" in " ".join(problems("body1.mrc", "body2.mrc")) and not problems("body*.mrc")
    result = simulate(structures="body*.mrc", copies=(2, 1))
    assert [result.outputs["counts"][name] for name in ("body1", "body2")] == [2, 1]
