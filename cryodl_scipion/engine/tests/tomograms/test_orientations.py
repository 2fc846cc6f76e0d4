# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations through every export and back, and as other programs' own readers see them where these are installed."""

import csv
import json

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import Result
from cryodl.core.projections import random_angles, rotation_matrices
from cryodl.core.symmetry import angular_distance
from cryodl.io.coordinates3d import after, angles_of, dynamo_angles, to_tomogram
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomogram_coordinates import (
    ANGLES,
    SUBTOMOGRAM,
    coordinate_columns,
    read_coordinates3d,
    write_coordinates3d,
)
from cryodl.running.cli import main

SHAPE, PIXEL_SIZE, COUNT = (80, 500, 2000), 7.5, 40  # coordinates above 1000 px need their last digits
SPECIES = ["ribosome"] * 25 + ["apo-ferritin"] * 15
FORMATS = ("napari", "imod", "dynamo", "eman2", "relion", "copick")
WITHOUT = ("imod", "eman2")
DEGREE, PIXEL = 0.01, 0.01
JUDGED = np.stack([np.linspace(0.9, 0.3, COUNT), np.linspace(0.01, 0.05, COUNT)], axis=1)  # scores and q-values


def known_poses():
    """(zyx, angles) of COUNT particles; the first ones have tilts of 0 and 180 degrees."""
    rng = np.random.default_rng(5)
    angles = random_angles(COUNT, rng)
    angles[:3] = (30, 0, 40), (-50, 180, 20), (170, 90, -170)
    return rng.uniform(0.05, 0.95, (COUNT, 3)) * SHAPE, angles


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, zyx, angles, outputs, command's warnings) of an export of RELION's file to every format."""
    folder = tmp_path_factory.mktemp("exports")
    zyx, angles = known_poses()
    write_mrc(folder / "t1.mrc", np.zeros((4, 4, 4), np.float32), PIXEL_SIZE)
    with open(folder / "t1.mrc", "r+b") as file:  # a large tomogram whose voxels nobody reads
        file.write(np.array(SHAPE[::-1], "<i4").tobytes())
        file.truncate(1024 + 4 * int(np.prod(SHAPE)))
    columns = dict(coordinate_columns("t1", zyx, SHAPE, PIXEL_SIZE), cryodlSpecies=SPECIES)
    columns.update(zip((*ANGLES, "cryodlScore", "cryodlQ"), (*angles.T, *JUDGED.T)))
    write_coordinates3d(folder / "p.star", [columns], [PIXEL_SIZE])
    command = ["export-tomograms", "--tomograms", str(folder / "t1.mrc"), "--coordinates", str(folder / "p.star")]
    command += ["--no-volumes", "--tilt-min", "-57", "--tilt-max", "51", "--output", str(folder / "out")]
    assert main([*command, "--result", str(folder / "r.json")]) == 0
    result = Result.read(folder / "r.json")
    return folder, zyx, angles, result.outputs["points"]["t1"], result.warnings


def test_no_species_takes_the_place_of_another_in_copick(tmp_path, capsys):
    write_mrc(tmp_path / "t1.mrc", np.zeros((8, 8, 8), np.float32), 10.0)
    columns = dict(coordinate_columns("t1", np.ones((2, 3)), (8, 8, 8), 10.0), cryodlSpecies=["beta_amylase"] * 2)
    columns["cryodlSpecies"][1] = "beta-amylase"
    write_coordinates3d(tmp_path / "p.star", [columns], [10.0])
    words = ["export-tomograms", "--tomograms", str(tmp_path / "t1.mrc"), "--coordinates", str(tmp_path / "p.star")]
    words += ["--no-volumes", "--output", str(tmp_path / "out")]
    assert main([*words, "--points", "copick"]) == 2 and not (tmp_path / "out").exists()
    assert "beta-amylase and beta_amylase would have one name in copick" in capsys.readouterr().err
    assert main([*words, "--points", "dynamo"]) == 0


def in_order(angles):
    """The angles in the order of the exported files: one species after the other, by name."""
    return np.concatenate([angles[25:], angles[:25]])


def test_dynamo_s_angles_are_those_of_dynamo_itself():
    # dynamo_euler2matrix([-155.55, 63.924, 197.81]), which takes the particle onto the template
    published = [[0.8110, -0.5165, -0.2747], [0.4516, 0.2544, 0.8552], [-0.3718, -0.8177, 0.4396]]
    assert np.allclose(rotation_matrices(dynamo_angles([[-155.55, 63.924, 197.81]]))[0], published, atol=1e-4)
    # eulerangles 1.0.2: convert_eulers(..., source_meta="dynamo", target_meta="relion")
    dynamo, relion = (
        [[10, 20, 30], [100, 60, -50], [-170, 140, 20]],
        [[-60, 20, 100], [-140, 60, -170], [-70, 140, -80]],
    )
    assert np.allclose(dynamo_angles(dynamo), relion) and np.allclose(dynamo_angles(relion), dynamo)


def test_a_subtomogram_s_own_orientation_is_multiplied_as_relion_5_does():
    first, then = random_angles(20, np.random.default_rng(1)), random_angles(20, np.random.default_rng(2))
    assert np.allclose(to_tomogram(after(first, then)), to_tomogram(then) @ to_tomogram(first))
    assert np.allclose(to_tomogram(after(first, np.zeros((20, 3)))), to_tomogram(first))


@pytest.mark.parametrize("tilt", [0.0, 180.0, 1e-7, 90.0])
def test_angles_come_back_from_matrices_at_the_poles_too(tilt):
    angles = np.array([[25.0, tilt, -70.0], [180.0, tilt, 0.0]])
    assert np.allclose(to_tomogram(angles_of(to_tomogram(angles))), to_tomogram(angles), atol=1e-9)
    with pytest.raises(ValueError, match="point 2 is no rotation"):
        angles_of(np.array([np.eye(3), np.diag([1.0, 1.0, -1.0])]))


@pytest.mark.parametrize("form", FORMATS)
def test_poses_come_back_from_each_format(form, made):
    folder, zyx, angles, files, _ = made
    paths = [files[form]]
    if form == "copick":
        paths = sorted(str(path) for path in (folder / "out").glob("ExperimentRuns/t1/Picks/*.json"))
        assert [path.rsplit("_", 1)[1] for path in paths] == ["apo-ferritin.json", "ribosome.json"]
    found = [read_coordinates3d(path) for path in paths]
    poses = [one.poses(np.arange(len(one)), SHAPE, PIXEL_SIZE) for one in found]
    assert np.abs(np.concatenate([one.zyx for one in poses]) - in_order(zyx)).max() < PIXEL
    if form in WITHOUT:
        assert not any(one.oriented.any() for one in poses)
    else:
        assert angular_distance(np.concatenate([one.angles for one in poses]), in_order(angles)).max() < DEGREE
    scores = np.concatenate([one.scores for one in poses])
    held = dict(napari=2, relion=2, imod=0).get(form, 1)  # columns
    assert np.allclose(scores[:, :held], in_order(JUDGED)[:, :held], atol=1e-6) and np.isnan(scores[:, held:]).all()


def test_what_a_format_cannot_hold_is_said(made, tmp_path):
    folder, _, _, _, warnings = made
    assert [text for text in warnings if "hold no orientations" in text] == [
        "IMOD's models and EMAN2's boxes hold no orientations: only positions are there."
    ]
    assert {"IMOD's models hold no scores.", "Only napari's points and RELION's file hold cryodlQ."} < {*warnings}
    assert "Dynamo's tables number species (column 22): 1 apo-ferritin, 2 ribosome." in warnings
    assert not any("wedge" in text for text in warnings)
    rows = dict(coordinate_columns("t1", known_poses()[0][:2], SHAPE, PIXEL_SIZE), cryodlSpecies=["a_b", "a_b"])
    write_tables(tmp_path / "p.star", {"particles": rows})
    oriented = dict(coordinate_columns("t1", known_poses()[0][2:3], SHAPE, PIXEL_SIZE), cryodlSpecies=["c"])
    oriented.update(zip(ANGLES, ([10.0], [20.0], [30.0])))
    write_tables(tmp_path / "q.star", {"particles": oriented})
    command = [
        "export-tomograms",
        "--tomograms",
        str(folder / "t1.mrc"),
        "--no-volumes",
        "--output",
        str(tmp_path / "o"),
    ]
    command += [
        "--coordinates",
        str(tmp_path / "p.star"),
        str(tmp_path / "q.star"),
        "--result",
        str(tmp_path / "r.json"),
    ]
    assert main(command) == 0
    said = " ".join(Result.read(tmp_path / "r.json").warnings)
    assert "scores." not in said and "cryodlScore" not in (tmp_path / "o" / "particles.star").read_text()
    assert "2 coordinates of 3 have no orientation" in said and "give --tilt-min and --tilt-max" in said
    assert "a_b is called a-b there" in said
    picks = json.loads((tmp_path / "o" / "ExperimentRuns" / "t1" / "Picks" / "cryodl_1_a-b.json").read_text())
    assert picks["trust_orientation"] is False and picks["points"][0]["transformation_"] == np.eye(4).tolist()
    table = list(csv.DictReader((tmp_path / "o" / "t1.csv").read_text().splitlines()))
    assert [row["rlnAngleTilt"] for row in table] == ["", "", "20.0"]
    assert (
        main([*command[:-2], "--tilt-min", "-60"]) == 2
        and main([*command[:-2], "--tilt-min", "9", "--tilt-max", "8"]) == 2
    )


def test_an_orientation_with_an_angle_missing_is_an_error_that_names_it(tmp_path):
    rows = dict(coordinate_columns("t1", known_poses()[0][:1], SHAPE, PIXEL_SIZE), rlnAngleRot=[1.0], rlnAnglePsi=[2.0])
    write_tables(tmp_path / "p.star", {"particles": rows})
    with pytest.raises(ValueError, match=r"p.star has rlnAngleRot and rlnAnglePsi, but not rlnAngleTilt"):
        read_coordinates3d(tmp_path / "p.star")


def test_relion_5_s_subtomogram_angles_are_part_of_the_orientation(tmp_path):
    zyx, angles = known_poses()
    turned = random_angles(COUNT, np.random.default_rng(9))
    rows = dict(coordinate_columns("t1", zyx, SHAPE, PIXEL_SIZE))
    rows.update(zip(ANGLES, angles.T), **dict(zip(SUBTOMOGRAM, turned.T)))
    write_tables(tmp_path / "p.star", {"particles": rows})
    found = read_coordinates3d(tmp_path / "p.star").angles
    assert np.allclose(to_tomogram(found), to_tomogram(turned) @ to_tomogram(angles), atol=1e-6)


# ----- other programs' own readers


def test_dynamotable_reads_angles_wedge_and_pixel_size(made):
    dynamotable = pytest.importorskip("dynamotable", reason="dynamotable is not installed: pip install dynamotable")
    _, zyx, angles, files, _ = made
    table = dynamotable.read(files["dynamo"])
    assert np.abs(table[["z", "y", "x"]].to_numpy() - 1 - in_order(zyx)).max() < PIXEL
    turned = table[["tdrot", "tilt", "narot"]].to_numpy()
    assert np.abs(turned - dynamo_angles(in_order(angles))).max() < DEGREE
    assert set(table.ftype) == {1} and set(table.ymintilt) == {-57} and set(table.ymaxtilt) == {51}
    assert set(table.apix) == {PIXEL_SIZE} and set(table.tomo) == {1}
    assert list(table["class"]) == [1] * 15 + [2] * 25
    eulerangles = pytest.importorskip("eulerangles", reason="eulerangles is not installed: pip install eulerangles")
    theirs = eulerangles.convert_eulers(turned, source_meta="dynamo", target_meta="relion")
    assert angular_distance(theirs, in_order(angles)).max() < DEGREE


def test_starfile_reads_relion_s_file(made):
    starfile = pytest.importorskip("starfile", reason="starfile is not installed: pip install starfile")
    _, zyx, angles, files, _ = made
    table = starfile.read(files["relion"])
    centred = table[[f"rlnCenteredCoordinate{axis}Angst" for axis in "ZYX"]].to_numpy()
    assert np.abs(centred / PIXEL_SIZE + np.array(SHAPE) / 2 - in_order(zyx)).max() < PIXEL
    assert np.abs(table[list(ANGLES)].to_numpy() - in_order(angles)).max() < DEGREE
    assert set(table.rlnTomoName) == {"t1"}


def test_imodmodel_reads_the_points(made):
    imodmodel = pytest.importorskip("imodmodel", reason="imodmodel is not installed: pip install imodmodel")
    _, zyx, _, files, _ = made
    table = imodmodel.read(files["imod"])
    # IMOD counts x and y from the edge of the first pixel, z from its middle
    assert np.abs(table[["z", "y", "x"]].to_numpy() - (0, 0.5, 0.5) - in_order(zyx)).max() < PIXEL
    assert table.object_id.nunique() == 2


def test_copick_reads_the_picks(made):
    models = pytest.importorskip("copick.models", reason="copick is not installed: pip install copick")
    folder, zyx, angles, _, _ = made
    found, turned = [], []
    for path in sorted((folder / "out").glob("ExperimentRuns/t1/Picks/*.json")):
        picks = models.CopickPicksFile(**json.loads(path.read_text()))
        assert picks.run_name == "t1" and picks.voxel_spacing == PIXEL_SIZE and picks.trust_orientation
        found += [(point.location.z, point.location.y, point.location.x) for point in picks.points]
        turned += [point.transformation[:3, :3] for point in picks.points]
    assert np.abs(np.array(found) / PIXEL_SIZE - in_order(zyx)).max() < PIXEL
    assert angular_distance(angles_of(np.array(turned)), in_order(angles)).max() < DEGREE


def test_the_source_s_own_columns_are_there(made):
    folder, *_ = made
    assert read_tables(folder / "out" / "particles.star")["particles"]["cryodlSpecies"][0] == "apo-ferritin"
