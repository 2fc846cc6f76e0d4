# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks that are written for RELION are the particles that RELION extracts."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.micrographs import micrograph_shape, read_micrograph
from cryodl.io.pick_sets import coordinate_file
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomograms import Tomogram
from cryodl.micrographs.filaments.trace import Trace, place_segments, write_segments
from cryodl.running.cli import build_parser, main

needs_relion = pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is not installed")
PLACES = {"day1/a": [(40, 60), (90, 30)], "day2/b.part": [(70, 100)], "day2/none": []}  # yx


@pytest.fixture
def project(tmp_path, monkeypatch):
    """RELION's project folder: micrographs in subfolders with a dark spot at each position, and picks/ of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picks").mkdir()
    for seed, (name, positions) in enumerate(PLACES.items()):
        image = np.random.default_rng(seed).normal(0, 1, (128, 160)).astype(np.float32)
        for y, x in positions:
            image[y - 2 : y + 3, x - 2 : x + 3] -= 40
        path = tmp_path / "mics" / f"{name}.mrc"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mrc(path, image, 2.0)
        write_coordinates(
            tmp_path / "picks" / f"{path.stem}.star", np.reshape(positions, (-1, 2)), np.ones(len(positions))
        )
    return tmp_path


def export(*more, micrographs="mics/*/*.mrc"):
    arguments = ["export-relion", "--coordinates", "picks", "--micrographs", micrographs, "--pixel-size", "2"]
    return main([*arguments, "--particle-diameter", "40", "--output", "cryodl/picks", *more])


def commands_of(printed):
    """{RELION's version: the command that was printed}"""
    return dict(re.findall(r"RELION ([\w. ]+):\n  (relion_preprocess .*)", printed))


@needs_relion
def test_relion_extracts_every_pick_by_the_printed_command(project, capsys):
    assert export() == 0
    command = commands_of(capsys.readouterr().out)["3.1"]
    done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    particles = read_tables("Extract/cryodl/particles.star")
    assert sorted(particles["particles"]["rlnMicrographName"]) == ["mics/day1/a.mrc"] * 2 + ["mics/day2/b.part.mrc"]
    assert float(particles["optics"]["rlnImagePixelSize"][0]) == 2
    for stack in sorted({name.split("@")[1] for name in particles["particles"]["rlnImageName"]}):
        for box in Tomogram(stack).part():  # spots were dark, the particles' protein is bright, in the box's middle
            assert box.shape == (30, 30)
            assert np.abs(np.subtract(np.unravel_index(box.argmax(), box.shape), 15)).max() <= 3


@needs_relion
def test_picks_fit_the_micrographs_that_relion_has_corrected(project, capsys):
    """With RELION's own table, whose names begin with the number of a job, the same files are found."""
    (project / "MotionCorr" / "job002").mkdir(parents=True)
    (project / "mics").rename(project / "MotionCorr" / "job002" / "mics")
    assert export(micrographs="MotionCorr/job002/mics/*/*.mrc") == 0
    (project / "corrected.star").write_text((project / "cryodl/picks/micrographs.star").read_text())
    shutil.rmtree("cryodl")
    capsys.readouterr()
    assert export(micrographs="corrected.star") == 0
    command = commands_of(capsys.readouterr().out)["3.1"]
    assert "--i corrected.star" in command and not (project / "cryodl/picks/micrographs.star").exists()
    subprocess.run(shlex.split(command), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(read_tables("Extract/cryodl/particles.star")["particles"]["rlnImageName"]) == 3


@needs_relion
def test_the_commands_of_the_page_extract_every_pick(project):
    """Picking is only read: the picks are there."""
    page = Path(__file__).parents[4] / "docs" / "in_and_out.md"
    if not page.exists():
        pytest.skip("needs the checkout's pages")
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    for path in project.glob("mics/*/*.mrc"):  # of the page's pixel size, and large enough for its box
        write_mrc(path, np.pad(read_micrograph(path), 80, mode="reflect"), 1.77)
    for line in lines:
        words = shlex.split(line)
        assert words[0] in ("cryodl", "relion_preprocess")
        if words[1] == "pick":
            assert build_parser().parse_args(words[1:]).output == "picks/"
        elif words[0] == "cryodl":
            assert main(words[1:]) == 0
        else:
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(read_tables("Extract/cryodl/particles.star")["particles"]["rlnImageName"]) == 3


def test_the_printed_commands_are_those_of_the_page(project, capsys):
    page = Path(__file__).parents[4] / "docs" / "in_and_out.md"
    if not page.exists():
        pytest.skip("needs the checkout's pages")
    assert export("--pixel-size", "1.77", "--particle-diameter", "190") == 0
    by_list = "--coord_list cryodl/picks/autopick.star"
    by_folder = "--coord_dir cryodl/picks/ --coord_suffix _pick.star"
    for command in commands_of(capsys.readouterr().out).values():
        assert command.replace(by_list, by_folder) in page.read_text()
    assert f"RELION 4 and 5 take `{by_list}` instead of both" in page.read_text()


def test_every_file_that_the_lists_name_is_there_and_holds_the_picks(project, capsys):
    assert export() == 0
    listed = read_tables("cryodl/picks/autopick.star")["coordinate_files"]
    micrographs = read_tables("cryodl/picks/micrographs.star")["micrographs"]
    assert listed["rlnMicrographName"] == micrographs["rlnMicrographName"]
    for micrograph, file in zip(listed["rlnMicrographName"], listed["rlnMicrographCoordinates"]):
        ((yx, _),) = read_coordinates(file).values()
        assert sorted(map(tuple, yx)) == sorted(PLACES[micrograph[len("mics/") : -len(".mrc")]])
        assert micrograph_shape(micrograph) == (128, 160)
    assert "--coord_list cryodl/picks/autopick.star" in commands_of(capsys.readouterr().out)["4 and 5"]
    assert (project / "cryodl/picks/coords_suffix_pick.star").read_text() == "cryodl/picks/micrographs.star\n"


def test_aligned_particles_are_exported_where_their_alignment_centres_them(project, capsys):
    columns = dict(rlnMicrographName=["mics/day1/a.mrc"] * 3, rlnCoordinateX=[60, 33, 61], rlnCoordinateY=[40, 90, 40])
    columns.update(rlnOriginXAngst=[4.0, 6.0, 6.0], rlnOriginYAngst=[-2.0, 0.0, -2.0])  # Å, subtracted; 2 Å/px
    write_tables("kept.star", dict(particles=columns))
    assert export("--coordinates", "kept.star") == 0
    assert "centres them. 1 particle within 10 Å of another" in capsys.readouterr().out
    for file in ("autopick.star", "picked_particles.star"):
        ((yx, _),) = read_coordinates(f"cryodl/picks/{file}").values()
        assert sorted(map(tuple, yx)) == [(41, 58), (90, 30)]


def test_one_file_of_all_places_is_written_for_cryosparc(project):
    assert export("--voltage", "200") == 0
    tables = read_tables("cryodl/picks/picked_particles.star")
    rows = set(zip(*(tables["particles"][c] for c in ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"))))
    assert {(n, float(x), float(y)) for n, x, y in rows} == {
        (f"mics/{name}.mrc", float(x), float(y)) for name, positions in PLACES.items() for y, x in positions
    }
    assert float(tables["optics"]["rlnVoltage"][0]) == 200


@pytest.mark.parametrize(
    "name, file",
    [
        ("mics/day1/a.mrc", "mics/day1/a_pick.star"),
        ("MotionCorr/job002/mics/a.b.mrc", "mics/a.b_pick.star"),
        ("job12/a.mrc", "job12/a_pick.star"),  # no number of three digits: a folder of the user
    ],
)
def test_coordinates_are_named_as_relion_looks_for_them(name, file):
    assert coordinate_file(name) == file


def test_micrographs_outside_the_project_are_refused_with_the_way_out(project, capsys):
    (project / "other").mkdir()
    assert export("--project", "other") == 2
    said = capsys.readouterr().err
    assert "outside RELION's project folder" in said and "ln -s" in said and not (project / "cryodl/picks").exists()


@pytest.mark.parametrize("table, column", [("optics", "rlnVoltage"), ("micrographs", "rlnOpticsGroup")])
def test_a_table_of_micrographs_that_lacks_a_column_is_refused_by_its_name(table, column, project, capsys):
    assert export() == 0
    tables = {name: dict(columns) for name, columns in read_tables("cryodl/picks/micrographs.star").items()}
    write_tables("ctf.star", tables)
    shutil.rmtree("cryodl")
    assert export(micrographs="ctf.star") == 0
    shutil.rmtree("cryodl")
    del tables[table][column]
    write_tables("ctf.star", tables)
    assert export(micrographs="ctf.star") == 2
    assert f"ctf.star: its tables lack {column}." in capsys.readouterr().err
    assert not Path("cryodl/picks").exists()


def test_an_output_outside_the_project_is_refused(project, capsys):
    assert export("--project", "mics") == 2
    assert "(--output) lies outside" in capsys.readouterr().err and not (project / "cryodl/picks").exists()


def test_micrographs_and_lists_that_do_not_belong_together_are_said(project, capsys):
    (project / "picks" / "a.star").rename(project / "picks" / "stranger.star")
    assert export() == 0
    said = capsys.readouterr().out
    assert "No micrograph has the name of these lists of picks, which are not written: stranger." in said
    assert "1 micrograph was skipped" in said and "without picks: none" in said
    for file in (project / "picks").iterdir():
        file.rename(file.with_name("x" + file.name))
    assert export("--output", "again") == 2
    assert "matched by name" in capsys.readouterr().err and not (project / "again").exists()


def test_picks_beyond_their_micrograph_as_those_of_another_binning_are_said(project, capsys):
    assert export() == 0 and "outside their micrographs" not in capsys.readouterr().out
    shutil.rmtree("cryodl")
    twice = np.array(PLACES["day1/a"]) * 2  # y 80 and 180, x 120 and 60, of 128 x 160
    write_coordinates("picks/a.star", twice, np.ones(2))
    assert export() == 0
    assert "1 of these picks lie outside their micrographs: a." in capsys.readouterr().out


def test_bright_protein_is_not_inverted_and_odd_boxes_are_refused(project, capsys):
    assert export("--contrast", "bright", "--box", "64") == 0
    command = commands_of(capsys.readouterr().out)["3.1"]
    assert "--invert_contrast" not in command and "--extract_size 64" in command
    assert export("--box", "63", "--output", "odd") == 2 and "even boxes" in capsys.readouterr().err


def test_segments_in_one_file_of_all_micrographs_keep_their_tubes(project, capsys):
    names = [f"mics/{name}.mrc" for name in ("day1/a", "day2/b.part", "day1/a")]
    columns = dict(rlnMicrographName=names, rlnCoordinateX=[60, 100, 30], rlnCoordinateY=[40, 70, 90])
    write_tables("all.star", {"": {**columns, "rlnHelicalTubeID": [1, 1, 2]}})
    assert export("--coordinates", "all.star") == 0
    assert "--helix" in commands_of(capsys.readouterr().out)["3.1"]
    found = {name: read_tables(f"cryodl/picks/mics/{name}_pick.star") for name in ("day1/a", "day2/b.part")}
    tubes = {name: [list(table["rlnHelicalTubeID"]) for table in tables.values()] for name, tables in found.items()}
    assert tubes == {"day1/a": [["1", "2"]], "day2/b.part": [["1"]]}


@needs_relion
def test_segments_of_filaments_keep_tube_and_angle_through_relions_extraction(project, capsys):
    trace = Trace(np.stack([np.linspace(30, 100, 101), np.linspace(20, 140, 101)], 1), 0.9, [(0, 100)])
    segments = place_segments([trace], 2.0, 40.0, (128, 160), 0.0)
    shutil.rmtree("picks")
    Path("picks").mkdir()
    write_segments("picks/a.star", segments)
    assert export(micrographs="mics/day1/*.mrc") == 0
    command = commands_of(capsys.readouterr().out)["3.1"]
    assert "--helix --helical_outer_diameter 40" in command
    subprocess.run(shlex.split(command), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    particles = read_tables("Extract/cryodl/particles.star")["particles"]
    assert set(particles["rlnHelicalTubeID"]) == {"1"} and len(particles["rlnImageName"]) == len(segments.tube)
    assert np.allclose(np.array(particles["rlnAnglePsiPrior"], float), segments.psi, atol=1e-3)
    # what RELION itself says of a tube from the first to the last place of this filament
    Path("ends/mics/day1").mkdir(parents=True)
    ends = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n20 30\n140 100\n"
    Path("ends/mics/day1/a_pick.star").write_text(ends)
    words = shlex.split(command.replace("cryodl/picks/ ", "ends/ ").replace("Extract/", "Tubes/"))
    words += ["--helical_tubes", "--helical_nr_asu", "1", "--helical_rise", "20"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    theirs = read_tables("Tubes/cryodl/particles.star")["particles"]
    assert np.allclose(np.array(theirs["rlnAnglePsiPrior"], float), segments.psi[0], atol=0.5)
