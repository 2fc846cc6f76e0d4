# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl compare-maps-of-picks`: sets of picks of simulated micrographs in; maps and their resolutions out."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from denoiser_data import run_command
from particle_data import PIXEL
from synthetic import write_mrc

from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.io.particles import ANGLES
from cryodl.io.star import read_tables, write_tables
from cryodl.recipes.picked_maps import one_map
from cryodl.recipes.picked_maps.one_map import doubts, losses, print_rows
from cryodl.recipes.picked_maps.sets import drawn, file_names, halves_of_micrographs
from cryodl.running.cli import main

BOX, SIDE = 32, 256


def detailed_density(side=24, blobs=40):
    """(d, d, d) float32 density of narrow blobs without symmetry: detail to the pixel size."""
    rng, axis = np.random.default_rng(5), np.arange(side) - side // 2
    centres = rng.normal(0, side / 8, (blobs, 3)).clip(-side / 3, side / 3)
    along = [np.exp(-((axis - centres[:, [i]]) ** 2) / 2) for i in range(3)]
    return np.einsum("nz,ny,nx->zyx", *along).astype(np.float32)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A folder with map.mrc, two micrographs of it, ctf.star, and the sets of picks sim/coordinates, random, empty."""
    folder = tmp_path_factory.mktemp("maps")
    write_mrc(folder / "map.mrc", detailed_density(), PIXEL)
    words = f"simulate-micrographs --structure {folder}/map.mrc --pixel-size {PIXEL} --count 2 --size {SIDE} "
    words += f"--particles 40 --snr 2 --output {folder}/sim --threads 1"
    assert main(words.split()) == 0
    rng = np.random.default_rng(0)
    for part in ("random", "empty"):
        (folder / part).mkdir()
    rows = dict[str, list]()
    for name, (yx, scores) in read_coordinates(folder / "sim/coordinates").items():
        write_coordinates(folder / f"random/{name}.star", rng.uniform(20, SIDE - 20, (40, 2)), np.zeros(40))
        write_coordinates(folder / f"empty/{name}.star", yx[:0], scores[:0])
        columns = next(iter(read_tables(folder / f"sim/coordinates/{name}.star").values()))
        rows.setdefault("rlnMicrographName", []).append(f"{name}.mrc")
        for column in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"):
            rows.setdefault(column, []).append(columns[column][0])
    rows["rlnOpticsGroup"] = [1] * len(rows["rlnMicrographName"])
    microscope = dict(rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    optics = dict(rlnOpticsGroupName=["o"], rlnOpticsGroup=[1], **microscope)
    write_tables(folder / "ctf.star", dict(optics=optics, micrographs=rows))
    return folder


def compare(folder, code=0, **options):
    usual = dict(
        picks="random",
        reference="sim/coordinates",
        micrographs="sim/micrographs/*.mrc",
        pixel_size=PIXEL,
        structure="map.mrc",
        ctf="ctf.star",
        box=BOX,
        angular_step=20,
        resolution=24,
        max_shift=8,
        output="maps",
    )
    options = {name: value for name, value in {**usual, **options}.items() if value is not None}
    return run_command("compare-maps-of-picks", code, (), **options)


def test_random_positions_lose_resolution_and_an_empty_set_does_not_end_the_run(
    simulated, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(simulated)
    result = compare(simulated, picks=["random", "none=empty"], output=str(tmp_path / "maps"))
    made = result.outputs
    assert made.sets == ["reference", "random"] and made.measured_by == "reference"
    assert made.loss["reference"] == 0 and (made.loss["random"] is None or made.loss["random"] > 30)
    assert made.resolution["reference"] < 0.95 * made.search_resolution
    assert result.warnings[: len(made.notes)] == tuple(made.notes)  # not what was said of each set
    assert made.noise_resolution["random"] is None or made.noise_resolution["random"] > 0.8 * made.search_resolution
    genuine, random = capsys.readouterr().out.split("\nrandom: ", 1)
    assert "does not explain these particles" in random and "does not explain" not in genuine
    assert [s.item for s in result.skipped] == ["none"] and "has no picks" in result.skipped[0].reason
    for files in (made.maps, made.half1, made.half2):
        assert list(files) == made.sets and all(Path(file).is_file() for file in files.values())
    assert json.loads(Path(made.comparison).read_text())["resolution"] == made.resolution
    rows = list(csv.reader(open(made.table)))
    assert [row[0] for row in rows] == ["set", "reference", "random"]
    assert Path(made.curves_plot).read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in (tmp_path / "maps").iterdir() if p.is_dir()) == []  # particles are not kept
    assert not list(tmp_path.glob("*.partial"))


def test_a_stopped_run_continues_with_the_maps_that_are_made(simulated, monkeypatch, tmp_path):
    monkeypatch.chdir(simulated)
    calls, original = [], one_map.reconstruct

    def orient(config, **settings):
        particles = read_particles(config.particles)
        write_particles_star(config.output, particles, {name: [0.0] * len(particles) for name in ANGLES})

    def stopped(config, **settings):
        calls.append(Path(config.output).parent.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(config, **settings)

    monkeypatch.setattr(one_map, "assign_orientations", orient)
    monkeypatch.setattr(one_map, "reconstruct", stopped)
    output = str(tmp_path / "maps")
    words = "compare-maps-of-picks --picks random --reference sim/coordinates --micrographs sim/micrographs/*.mrc "
    words += f"--pixel-size {PIXEL} --structure map.mrc --ctf ctf.star --box {BOX} --angular-step 30 --threads 1"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        if main([*words.split(), "--maximum-particles", "50", "--output", output]):
            raise SystemExit
    assert not Path(output).exists()
    assert main([*words.split(), "--maximum-particles", "50", "--output", output]) == 0
    assert calls == ["01_reference", "02_random", "02_random"]
    assert json.loads((tmp_path / "maps/maps.json").read_text())["particles"] == dict(reference=50, random=50)


def three(folder, tmp_path, lacking):
    """Words of options: a third micrograph (a copy of the second) and its picks; of `lacking` there is no CTF."""
    for part in ("mics", "reference", "random"):
        (tmp_path / part).mkdir()
    mics = sorted((folder / "sim/micrographs").glob("*.mrc"))
    tables = read_tables(folder / "ctf.star")
    rows = {column: list(values) for column, values in tables["micrographs"].items()}
    for number, mic in enumerate([*mics, mics[1]]):
        shutil.copy(mic, tmp_path / f"mics/m{number}.mrc")
        for part, source in (("reference", "sim/coordinates"), ("random", "random")):
            shutil.copy(folder / source / f"{mic.stem}.star", tmp_path / part / f"m{number}.star")
    which = [n for n in range(3) if f"m{n}" not in lacking]
    names = [Path(name).stem for name in rows["rlnMicrographName"]]
    row = [names.index([*mics, mics[1]][n].stem) for n in which]
    rows = {column: [values[r] for r in row] for column, values in rows.items()}
    rows["rlnMicrographName"] = [f"m{n}.mrc" for n in which]
    write_tables(tmp_path / "ctf.star", dict(optics=tables["optics"], micrographs=rows))
    paths = dict(picks="random", reference="reference", ctf="ctf.star", micrographs="mics/*.mrc")
    return {key: str(tmp_path / value) for key, value in paths.items()}


def quick(monkeypatch, folder):
    """Orientations and maps are not under test."""
    monkeypatch.chdir(folder)

    def orient(config, **settings):
        particles = read_particles(config.particles)
        write_particles_star(config.output, particles, {name: [0.0] * len(particles) for name in ANGLES})

    monkeypatch.setattr(one_map, "assign_orientations", orient)


def test_micrographs_without_ctf_are_named_and_not_counted(simulated, monkeypatch, tmp_path):
    quick(monkeypatch, simulated)
    options = three(simulated, tmp_path, ["m1"])
    made = compare(simulated, maximum_particles=50, output=str(tmp_path / "maps"), **options).outputs
    assert (made.micrographs, made.picks["random"], made.particles["random"]) == (2, 80, 50)
    assert any("1 of 3 micrographs" in note and "CTF" in note and "m1" in note for note in made.notes)


def test_too_few_micrographs_with_a_ctf_are_an_error_that_names_it(simulated, monkeypatch, tmp_path):
    quick(monkeypatch, simulated)
    options = three(simulated, tmp_path, ["m1", "m2"])
    said = compare(simulated, code=2, output=str(tmp_path / "maps"), **options)
    assert "2 of 3 micrographs, for which" in said and "ctf.star (--ctf) has no CTF: m1, m2. One is left" in said
    assert not list(tmp_path.glob("maps*"))


@pytest.mark.parametrize("kept", [500, 100000])  # bytes: no header; a header, but half of the image
def test_a_micrograph_that_cannot_be_read_is_named_and_the_others_are_used(simulated, monkeypatch, tmp_path, kept):
    quick(monkeypatch, simulated)
    options = three(simulated, tmp_path, [])
    os.truncate(tmp_path / "mics/m1.mrc", kept)
    result = compare(simulated, maximum_particles=60, output=str(tmp_path / "maps"), **options)
    assert result.outputs.sets == ["reference", "random"] and not result.skipped
    assert any("m1" in note for note in result.outputs.notes)
    assert result.outputs.micrographs == 2 and result.outputs.particles["random"] == 60


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(reference=None), "Give at least two sets, or a reference"),
        (dict(ctf=None), "Voltage (--voltage) and Cs (--spherical-aberration) must be known"),
        (dict(box=31), "Box (--box) is 31 px; it must be even. Give 32"),
        (dict(box=8), "it must be wider than the particle"),
        (
            dict(box=16, particle_diameter=60),
            "map.mrc is 74 Å wide, but the box is 16 px, 64 Å. Give a larger one (--box 28)",
        ),
        (dict(symmetry="D2"), "map.mrc does not have"),
        (dict(structure="none.mrc"), "none.mrc does not exist. Structure (--structure) must be a map (.mrc"),
        (
            dict(structure="ctf.star"),
            "Structure (--structure) must be a map (.mrc, .map) or an atomic model (.pdb, .cif)",
        ),
        (dict(ctf="sim"), "sim (--ctf) is a folder; a file is needed: the STAR file of `cryodl estimate-ctf`"),
        (dict(reference="nowhere"), "Reference (--reference): The set of picks nowhere does not exist"),
        (dict(micrographs="sim/micrographs/*1.mrc"), "at least two are needed, because the half-sets are divided"),
        (dict(picks="sim/coordinates"), "is given twice"),
        (dict(symmetry="Q3"), "Q3"),
        (dict(reference="empty", picks=["random", "sim/coordinates"]), "0 of the 2 micrographs"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_what_to_do(simulated, monkeypatch, tmp_path, options, words):
    monkeypatch.chdir(simulated)
    assert words in compare(simulated, code=2, output=str(tmp_path / "maps"), **options)
    assert not list(tmp_path.glob("maps*"))


def test_noise_that_does_not_agree_is_said_so(capsys):
    columns = dict(picks=9, particles=9, resolution=9.0, loss=0.0, noise_resolution=None, structure_resolution=None)
    print_rows(dict({key: dict(a=value) for key, value in columns.items()}, sets=["a"], measured_by="a"))
    assert ["nothing", "agrees", "not", "reached", "a"] == capsys.readouterr().out.splitlines()[2].split()[-5:]


def test_halves_are_divided_by_micrographs_into_about_equal_numbers():
    halves = halves_of_micrographs(dict(a=10, b=90, c=50, d=45))
    assert halves == dict(b=1, c=2, d=2, a=1)


def test_picks_are_drawn_by_the_seed_from_those_with_a_whole_box(tmp_path):
    write_mrc(tmp_path / "m.mrc", np.zeros((100, 100), np.float32))
    yx = np.array([[5, 5], [50, 50], [60, 40], [40, 60], [99, 50]], float)
    picks, count = drawn({"m": (yx, np.arange(5.0))}, {"m": str(tmp_path / "m.mrc")}, 32, 2, seed=0)
    assert count == 3 and len(picks["m"][1]) == 2 and set(picks["m"][1]) < {1.0, 2.0, 3.0}
    again, _ = drawn({"m": (yx, np.arange(5.0))}, {"m": str(tmp_path / "m.mrc")}, 32, 2, seed=0)
    assert again["m"][1].tolist() == picks["m"][1].tolist()


def test_names_of_sets_become_names_of_files():
    assert file_names(["a b/c", "???"]) == {"a b/c": "01_a_b_c", "???": "02_set"}


def test_losses_are_measured_by_the_reference_or_the_best():
    resolutions = dict(a=10.0, b=8.0, c=None)
    assert losses(resolutions, "a") == ("a", dict(a=0.0, b=-20.0, c=None))
    assert losses(resolutions, None) == ("b", dict(a=25.0, b=0.0, c=None))
    assert losses(resolutions, "lost") == losses(resolutions, None)
    assert losses(dict(c=None), None) == ("c", dict(c=None))


def test_maps_that_only_agree_where_the_structure_was_compared_are_named():
    record = dict(resolution=15.0, noise_resolution=16.0, pixel_size=4.0)
    nothing = dict(record, resolution=None)
    records = dict(good=dict(record, resolution=9.0), bad=record, none=dict(nothing, noise_resolution=None))
    said = doubts(dict(records, noise=nothing), 15.0)
    assert len(said) == 3 and "map of bad (15.0 Å) may show the structure alone" in said[0]
    assert "half-maps of none do not agree" in said[1] and "of noise agree no better than those of images" in said[2]
    assert "limited by the pixel size" in doubts(dict(good=dict(record, resolution=8.0)), 15.0)[0]
