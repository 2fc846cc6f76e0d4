# SPDX-License-Identifier: GPL-3.0-or-later
"""extract-particles: boxes against RELION's rules and RELION itself, edges, CTF, what is skipped, continuing."""

import json
import os
import shutil
import subprocess

import mrcfile
import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import ExtractParticlesConfig, Result, check
from cryodl.core.optics import ctf_rfft
from cryodl.io.coordinates import write_coordinates
from cryodl.io.particle_sets import read_particles
from cryodl.io.star import read_tables, write_tables
from cryodl.running.cli import main

PIXEL, DIAMETER, BOX = 4.0, 100.0, 40
PLACES = np.array([[60, 70], [100, 40], [5, 90], [120, 110]])  # y, x; the third is nearer to the edge than half a box
OPTICS = dict(rlnVoltage=300.0, rlnSphericalAberration=2.7, rlnAmplitudeContrast=0.1)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two micrographs with a slope and a dark blob at each position, their picks and their CTF."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("mics")
    os.makedirs("picks")
    y, x = np.mgrid[:140, :160]
    for number in (1, 2):
        image = np.random.default_rng(number).standard_normal((140, 160)).astype(np.float32) + 0.05 * x - 0.02 * y
        for position in PLACES:
            image -= 3 * np.exp(-((y - position[0]) ** 2 + (x - position[1]) ** 2) / 60.0)
        write_mrc(f"mics/m{number}.mrc", image.astype(np.float32))
        write_coordinates(f"picks/m{number}.star", PLACES, np.linspace(0.9, 0.6, 4))
    write_ctf([1, 2])
    return tmp_path


def write_ctf(numbers):
    optics = {"rlnOpticsGroupName": ["o"], "rlnOpticsGroup": [1], **{name: [value] for name, value in OPTICS.items()}}
    micrographs = dict(
        rlnMicrographName=[f"mics/m{n}.mrc" for n in numbers],
        rlnOpticsGroup=[1] * len(numbers),
        rlnDefocusU=[15000.0 + n for n in numbers],
        rlnDefocusV=[14000.0 + n for n in numbers],
        rlnDefocusAngle=[20.0] * len(numbers),
    )
    write_tables("ctf.star", dict(optics=optics, micrographs=micrographs))


def extract(output="particles.star", *more, ctf=True):
    arguments = ["extract-particles", "--coordinates", "picks", "--micrographs", "mics/*.mrc", "--pixel-size", "4"]
    arguments += ["--particle-diameter", "100", "--box", str(BOX), "--output", output, "--result", "result.json"]
    return main(arguments + (["--ctf", "ctf.star"] if ctf else []) + list(more))


def outside(radius=DIAMETER / PIXEL / 2, box=BOX):
    y, x = np.mgrid[:box, :box] - box // 2
    return y**2 + x**2 > radius**2


def test_without_a_diameter_the_one_that_the_picks_were_made_with_is_taken(data, capsys):
    words = "extract-particles --coordinates picks --micrographs mics/*.mrc --pixel-size 4 --result result.json".split()
    assert main([*words, "--output", "own.star"]) == 2
    assert "picks does not tell the particle diameter; give it in Å" in capsys.readouterr().err
    for keep, box in ((False, 2 * 17), (True, 2 * 15)):  # 90 Å were found, 80 Å stated: 1.5 of them, even
        record = dict(particle_diameter=80.0, size=dict(diameter=90.0), keep_diameter=keep)
        (data / "picks/pick.json").write_text(json.dumps(record))
        assert main([*words, "--output", f"own{box}.star"]) == 0
        assert Result.read("result.json").outputs.box == box
    assert main([*words, "--box", "18", "--output", "small.star"]) == 2
    assert "must be wider than the particle" in capsys.readouterr().err


def test_picks_of_binned_micrographs_are_known_by_their_corner(data):
    places = np.random.default_rng(0).uniform((45, 45), (115, 135), (60, 2))
    for scale, said in ((1.0, False), (0.5, True)):
        for name in ("m1", "m2"):
            write_coordinates(f"picks/{name}.star", places * scale, np.ones(60))
        assert extract(f"scale{scale}.star") == 0
        assert any("in one corner" in one for one in Result.read("result.json").warnings) == said


def test_the_few_picks_of_a_micrograph_that_came_later_may_lie_in_a_corner(data):
    places = np.random.default_rng(0).uniform((45, 45), (115, 135), (60, 2))
    for name, picks in (("m1", places), ("m2", places[:0])):
        write_coordinates(f"picks/{name}.star", picks, np.ones(len(picks)))
    assert extract() == 0
    write_coordinates("picks/m2.star", np.array([[50.0, 60.0], [55.0, 90.0]]), np.ones(2))
    assert extract() == 0
    assert not any("in one corner" in one for one in Result.read("result.json").warnings)


def test_segments_of_filaments_are_said_to_lose_what_helical_processing_needs(data):
    assert extract() == 0 and not any("filaments" in one for one in Result.read("result.json").warnings)
    tables = read_tables("picks/m2.star")
    write_tables("picks/m2.star", {"": {**next(iter(tables.values())), "rlnHelicalTubeID": [1, 1, 2, 2]}})
    assert extract() == 0
    (warning,) = (one for one in Result.read("result.json").warnings if "filaments" in one)
    assert "particles.star does not hold the tube numbers and angles" in warning and "export-relion" in warning
    assert extract("one.star", "--coordinates", "picks/m2.star") == 0  # a file as its folder
    assert any("one.star does not hold the tube numbers" in one for one in Result.read("result.json").warnings)


@pytest.mark.parametrize(
    "record, stated, said",
    [
        (dict(contrast="bright"), "dark", True),
        (dict(contrast="bright"), "bright", False),
        (dict(contrast="dark"), "bright", True),
        (dict(contrast="bright", assumed=True), "dark", False),
        (dict(contrast=None), "dark", False),
    ],
)
def test_another_contrast_than_that_of_the_picks_is_warned_of(data, record, stated, said):
    """Here, and where RELION's command for the extraction is printed."""
    (data / "picks/pick.json").write_text(json.dumps(record))
    assert extract("particles.star", "--contrast", stated) == 0
    words = f"are of {record['contrast']} protein, and Contrast (--contrast) is {stated}"
    assert any(words in warning for warning in Result.read("result.json").warnings) is said
    told = ["export-relion", "--coordinates", "picks", "--micrographs", "mics/*.mrc", "--pixel-size", "4"]
    told += ["--particle-diameter", "100", "--contrast", stated, "--output", "exported", "--result", "result.json"]
    assert main(told) == 0
    assert any(words in warning for warning in Result.read("result.json").warnings) is said


@pytest.mark.parametrize("of_picks, said", [(8.0, True), (2.0, True), (4.2, False)])
def test_the_pixel_size_that_was_picked_at_tells_another_binning(data, of_picks, said):
    """Of picks on binned micrographs none lies outside of the others."""
    (data / "picks/pick.json").write_text(json.dumps(dict(pixel_size=of_picks)))
    assert extract() == 0
    warnings = Result.read("result.json").warnings
    assert any(f"micrographs of {of_picks:g} Å/px, and Pixel size" in one for one in warnings) is said


def test_picks_of_another_binning_are_warned_of_and_a_broken_ctf_file_leaves_nothing(data, capsys):
    for number in (1, 2):
        write_coordinates(f"picks/m{number}.star", 2 * PLACES, np.linspace(0.9, 0.6, 4))
    assert extract(ctf=False) == 0
    assert "Most picks are at an edge or outside." in capsys.readouterr().out
    tables = {name: dict(columns) for name, columns in read_tables("ctf.star").items()}
    del tables["micrographs"]["rlnDefocusV"]
    write_tables("ctf.star", tables)
    assert extract("other.star") == 2
    assert "ctf.star has rlnDefocusU and rlnDefocusAngle, but not rlnDefocusV" in capsys.readouterr().err
    assert not os.path.exists("other") and not os.path.exists("other.star")


def test_micrographs_without_picks_are_no_warning(data):
    """They may be one batch of many, in whose summary the sentence would stand."""
    for number in (1, 2):
        write_coordinates(f"picks/m{number}.star", PLACES[:0], np.zeros(0))
    assert extract() == 0
    said = Result.read("result.json")
    assert "0 particles of" in said.summary[0] and not said.warnings


def test_particles_are_white_on_a_flat_background_of_deviation_1_and_know_their_place_and_ctf(data):
    assert extract() == 0
    said = Result.read("result.json")
    assert "6 particles of" in said.summary[0] and "extracted and normalised" in said.methods[0]
    result = said.outputs
    assert (result.counts, result.at_edge, result.box) == ({"m1": 3, "m2": 3}, {"m1": 1, "m2": 1}, BOX)
    particles = read_particles("particles.star", need=("raw", "ctf"))
    images = particles.images(slice(None)).numpy()
    background = images[:, outside()]
    assert np.abs(background.mean(1)).max() < 1e-4 and np.abs(background.std(1) - 1).max() < 1e-2
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    assert images[:, BOX // 2, BOX // 2].min() > 1  # dark blobs are bright, at the middle
    assert np.abs([np.polyfit(x[outside()], image[outside()], 1)[0] for image in images]).max() < 1e-4  # no slope
    table = read_tables("particles.star")["particles"]
    assert table["cryodlPickNumber"] == ["1", "2", "4"] * 2
    assert [(float(a), float(b)) for a, b in zip(table["rlnCoordinateX"], table["rlnCoordinateY"])][:2] == [
        (70, 60),
        (40, 100),
    ]
    assert [o.defocus_u for o in particles.optics] == [15001.0] * 3 + [15002.0] * 3


@pytest.mark.skipif(not shutil.which("relion_preprocess"), reason="RELION's relion_preprocess is not installed")
def test_boxes_are_those_of_relions_extraction(data):
    os.makedirs("relion/mics")
    for number in (1, 2):
        shutil.copy(f"picks/m{number}.star", f"relion/mics/m{number}_pick.star")
    optics = {"rlnOpticsGroupName": ["o"], "rlnOpticsGroup": [1], **{name: [value] for name, value in OPTICS.items()}}
    pixel = dict(rlnMicrographOriginalPixelSize=[PIXEL], rlnMicrographPixelSize=[PIXEL])
    names = dict(rlnMicrographName=["mics/m1.mrc", "mics/m2.mrc"], rlnOpticsGroup=[1, 1])
    write_tables("micrographs.star", dict(optics=dict(optics, **pixel), micrographs=names))
    subprocess.run(
        "relion_preprocess --i micrographs.star --coord_dir relion/ --coord_suffix _pick.star --extract "
        f"--extract_size {BOX} --norm --bg_radius 12 --invert_contrast --part_dir theirs/ --part_star theirs/p.star",
        shell=True,
        check=True,
        capture_output=True,
    )
    assert extract("particles.star", "--edge", "fill", "--particle-diameter", "96") == 0
    for number in (1, 2):
        theirs = mrcfile.read(f"theirs/mics/m{number}.mrcs")
        assert np.abs(mrcfile.read(f"particles/m{number}.mrcs") - theirs)[[0, 1, 3]].max() < 4e-3


def test_a_resampled_box_keeps_the_field_of_view(data):
    assert extract("small.star", "--scaled-box", "20") == 0
    particles = read_particles("small.star")
    assert (particles.box, particles.pixel_size) == (20, pytest.approx(8.0))
    images = particles.images(slice(None)).numpy()
    assert images[:, 10, 10].min() > 1 and np.abs(images[:, outside(6.25, 20)].std(1) - 1).max() < 1e-2


def test_a_box_over_the_edge_is_filled_with_the_edges_pixels_on_demand(data):
    assert extract("filled.star", "--edge", "fill", "--contrast", "bright") == 0
    assert Result.read("result.json").outputs.counts == {"m1": 4, "m2": 4}
    image = mrcfile.read("filled/m1.mrcs")[2]  # centre 5 px below the upper edge: 15 rows repeat the first one
    plane = lambda row: row - np.polyval(np.polyfit(np.arange(BOX), row, 1), np.arange(BOX))
    assert np.allclose(plane(image[0]), plane(image[15]), atol=1e-3)


def test_flipped_phases_make_the_signs_of_the_ctf_one(data):
    image = np.random.default_rng(0).standard_normal((128, 128))
    seen = np.fft.irfft2(np.fft.rfft2(image) * ctf_rfft((128, 128), PIXEL, 15001, 14001, 20, 300, 2.7, 0.1).numpy())
    os.remove("mics/m2.mrc")
    write_mrc("mics/m1.mrc", seen.astype(np.float32))
    write_coordinates("picks/m1.star", np.array([[64, 64]]), np.ones(1))
    assert extract("flipped.star", "--flip-phases", "--contrast", "bright", "--box", "128") == 0
    particles = read_particles("flipped.star", need=("ctf",))
    assert particles.ctf_state == "flipped"
    transform = np.fft.rfft2(particles.images([0])[0].numpy()) * np.fft.rfft2(image).conj()
    rings = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    tested = transform[(rings > 0.1) & (rings < 0.4)]
    assert (tested.real > -0.02 * np.abs(tested).max()).all()


def test_what_cannot_be_used_is_named_and_the_others_are_cut(data):
    write_ctf([1])
    write_mrc("mics/m3.mrc", np.zeros((140, 160), np.float32))
    assert extract() == 0
    skipped = {s.item: s.reason for s in Result.read("result.json").skipped}
    assert "no CTF" in skipped["m2"] and "m3" in skipped
    os.remove("picks/m2.star")
    assert extract("less.star", ctf=False) == 0
    assert "no list of picks" in Result.read("result.json").skipped[0].reason
    write_coordinates("picks/m3.star", PLACES, np.ones(4))
    assert extract("without.star", ctf=False) == 0
    result = Result.read("result.json")
    assert result.outputs.unusable == {"m3": 3} and result.outputs.counts == {"m1": 3, "m3": 0}
    os.remove("mics/m3.mrc")
    (data / "list.txt").write_text("mics/m1.mrc\nmics/m3.mrc\n")
    assert extract("gone.star", "--micrographs", "list.txt", ctf=False) == 0
    assert [one.reason for one in Result.read("result.json").skipped] == ["mics/m3.mrc does not exist."]
    os.symlink("/away/m3.mrc", "mics/m3.mrc")
    assert extract("link.star", "--micrographs", "list.txt", ctf=False) == 0
    (skipped,) = Result.read("result.json").skipped
    assert skipped.reason == "mics/m3.mrc is a link to /away/m3.mrc, which is gone."
    write_ctf([7])
    assert extract("none.star") == 2


def test_only_what_has_changed_is_cut_again(data, capsys):
    assert extract() == 0
    first = {n: os.stat(f"particles/m{n}.mrcs").st_mtime_ns for n in (1, 2)}
    write_coordinates("picks/m2.star", PLACES[:2], np.ones(2))
    assert extract() == 0
    again = {n: os.stat(f"particles/m{n}.mrcs").st_mtime_ns for n in (1, 2)}
    assert again[1] == first[1] and again[2] != first[2]
    assert len(read_particles("particles.star")) == 5
    assert extract("particles.star", "--scaled-box", "20") == 2  # other parameters are not mixed in
    assert extract(ctf=False) == 2 and "was made with CTFs" in capsys.readouterr().err
    with open("particles/m1.json", "w") as file:
        json.dump(dict(kind="else"), file)
    assert extract() == 2


def test_other_micrographs_do_not_take_the_place_of_earlier_ones_in_the_table(data, capsys):
    assert extract("particles.star", "--micrographs", "mics/m1.mrc") == 0
    before = open("particles.star").read()
    assert extract("particles.star", "--micrographs", "mics/m2.mrc") == 2
    said = capsys.readouterr().err
    assert "micrographs that are not given now (m1); their stacks are in particles. Give" in said
    assert open("particles.star").read() == before and not os.path.exists("particles/m2.mrcs")
    assert extract() == 0  # all of them: it continues
    assert len(read_particles("particles.star")) == 6


def test_classified_particles_are_extracted_where_their_alignment_centres_them_each_once(data, capsys):
    off = np.array([[3, -2], [-4, 5], [0, 0], [2, 2]])  # px, y and x, at which the picks missed the particles
    twice = np.concatenate([PLACES, PLACES[:1]]) + np.concatenate([off, -off[:1]])
    shift = PIXEL * (twice - PLACES[[0, 1, 2, 3, 0]])  # Å; RELION's origin is subtracted from the coordinate
    columns = dict(rlnCoordinateX=twice[:, 1], rlnCoordinateY=twice[:, 0])
    columns.update(rlnOriginXAngst=shift[:, 1], rlnOriginYAngst=shift[:, 0], rlnMicrographName=["mics/m1.mrc"] * 5)
    write_tables("kept.star", dict(particles={name: list(values) for name, values in columns.items()}))
    assert extract("again.star", "--coordinates", "kept.star", ctf=False) == 0
    assert "where their alignment centres them. 1 particle within 25 Å of another" in capsys.readouterr().out
    found = read_tables("again.star")["particles"]
    places = np.stack([found["rlnCoordinateY"], found["rlnCoordinateX"]], axis=1).astype(float)
    np.testing.assert_allclose(places, PLACES[[0, 1, 3]])


def test_picks_that_are_given_twice_are_told(data):
    """Joined lists of picks gave every particle twice, without a word."""
    assert extract() == 0 and not any("twice" in said for said in Result.read("result.json").warnings)
    # the other one that is there twice is at the edge, and not extracted
    write_coordinates("picks/m2.star", np.concatenate([PLACES, PLACES[[0, 2]] + 3]), np.ones(6))
    assert extract() == 0
    assert any("1 particle within 25 Å of another" in said for said in Result.read("result.json").warnings)


def test_what_does_not_fit_is_said():
    config = dict(coordinates="p", micrographs=("m.mrc",), pixel_size=4.0, particle_diameter=100.0, output="p.star")
    problems = lambda **values: " ".join(check(ExtractParticlesConfig(**dict(config, **values))))
    assert not problems() and ExtractParticlesConfig(**config).box_in_pixels() == 38
    assert "must be even" in problems(box=41) and "wider than the particle" in problems(box=20)
    assert "adds no detail" in problems(scaled_box=60) and "needs the CTF" in problems(flip_phases=True)
    assert "end in .star" in problems(output="p")


@pytest.mark.parametrize("flags", ([], ["--flip-phases"], ["--scaled-box", "20"]))
def test_a_hot_pixel_neither_drowns_its_particle_nor_leaves_rings(data, flags):
    assert extract("clean.star", *flags) == 0
    with mrcfile.mmap("mics/m1.mrc", "r+") as file:
        file.data[62, 84], file.data[65, 75] = 5000, 400  # within the box of the first pick, the weaker in the shade
    write_coordinates("picks/m2.star", np.zeros((0, 2)), np.zeros(0))  # none are extracted from it
    assert extract("hot.star", *flags) == 0
    clean, hot = (read_particles(f"{name}.star").images([0])[0].numpy() for name in ("clean", "hot"))
    assert np.corrcoef(clean.ravel(), hot.ravel())[0, 1] > 0.98 and np.abs(hot - clean).max() < 4
