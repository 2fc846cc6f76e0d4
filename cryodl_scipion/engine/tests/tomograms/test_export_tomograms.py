# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes and coordinates as other programs read them. The layouts are those that zarr 2.18, imodmodel 0.2 and napari
read and write; the programs themselves are not needed here."""

import csv
import json
import struct

import mrcfile
import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import ExportTomogramsConfig, Result, TrainDetectorConfig
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomogram_coordinates import coordinate_columns, read_coordinates3d, write_coordinates3d
from cryodl.io.tomograms import Tomogram
from cryodl.io.zarr_writer import write_zarr
from cryodl.running.cli import main
from cryodl.running.runner import Run
from cryodl.tomograms.commands.export_tomograms import export_tomograms
from cryodl.tomograms.detectors.labels import gather_labels

SHAPE = (70, 30, 300)
ZYX = np.array([[3.0, 4.0, 5.0], [60.5, 20.25, 200.0], [10.0, 11.0, 12.0]])


@pytest.fixture
def made(tmp_path):
    """A tomogram, its coordinates of two species, and the outputs of an export of both."""
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    write_mrc(tmp_path / "t1.mrc", values, 8.0)
    columns = dict(coordinate_columns("t1", ZYX, SHAPE, 8.0), cryodlSpecies=["b", "a", "b"])
    write_coordinates3d(tmp_path / "p.star", [columns], [8.0])
    command = ["export-tomograms", "--tomograms", str(tmp_path / "t1.mrc"), "--output", str(tmp_path / "out")]
    assert main([*command, "--coordinates", str(tmp_path / "p.star"), "--result", str(tmp_path / "r.json")]) == 0
    return tmp_path, values, Result.read(tmp_path / "r.json").outputs


def test_a_volume_becomes_an_ome_zarr_of_halved_levels(made):
    folder, values, outputs = made
    zarr = folder / "out" / "t1.zarr"
    assert outputs["volumes"] == {"t1": str(zarr)} and outputs["pixel_sizes"] == {"t1": 8.0}
    found = json.loads((zarr / ".zattrs").read_text())["multiscales"][0]
    assert [axis["name"] for axis in found["axes"]] == ["z", "y", "x"] and found["version"] == "0.4"
    assert {axis["unit"] for axis in found["axes"]} == {"angstrom"}
    first, second = (level["coordinateTransformations"] for level in found["datasets"])
    assert first == [dict(type="scale", scale=[8.0] * 3)]
    assert second == [dict(type="scale", scale=[16.0] * 3), dict(type="translation", translation=[4.0] * 3)]
    described = json.loads((zarr / "1" / ".zarray").read_text())
    assert described["shape"] == [35, 15, 150] and described["chunks"] == [35, 15, 64]
    assert (described["dtype"], described["compressor"]["id"], described["dimension_separator"]) == (
        "<f4",
        "blosc",
        "/",
    )
    assert np.array_equal(Tomogram(zarr).raw(), values) and Tomogram(zarr).pixel_size == 8.0
    halved = values.reshape(35, 2, 15, 2, 150, 2).mean(axis=(1, 3, 5))
    assert np.allclose(Tomogram(zarr / "1").raw(), halved, atol=1e-6)


def test_positions_of_a_tomogram_of_other_sides_with_the_same_name_are_refused(made):
    """They would lie elsewhere by half of the difference; a binned one lacks some voxels at its end at most."""
    found = read_coordinates3d(made[0] / "p.star")
    binned = found.zyx_px(np.arange(3), (35, 15, 149), 16.0)
    assert np.allclose(binned, ZYX / 2, atol=0.51)
    with pytest.raises(ValueError, match="2400 x 240 x 560 Å .* has 2000 x 240 x 560 Å"):
        found.zyx_px(np.arange(3), (70, 30, 250), 8.0)


def test_coordinates_are_those_that_napari_saves(made):
    rows = list(csv.reader((made[0] / "out" / "t1.csv").read_text().splitlines()))
    assert rows[0] == ["index", "axis-0", "axis-1", "axis-2", "species", "cryodlPixelSize"]
    assert [[float(v) for v in row[1:4]] for row in rows[1:]] == [[60.5, 20.25, 200], [3, 4, 5], [10, 11, 12]]
    assert [row[4] for row in rows[1:]] == ["a", "b", "b"] and [float(row[0]) for row in rows[1:]] == [0, 1, 2]


def test_values_that_are_no_numbers_are_counted_as_they_are_copied(tmp_path, capsys):
    values = np.ones((20, 30, 40), np.float32)
    values[3, 4, 5:12] = np.nan, *[np.inf] * 6
    write_mrc(tmp_path / "t1.mrc", values, 8.0)
    assert main(["export-tomograms", "--tomograms", str(tmp_path / "t1.mrc"), "--output", str(tmp_path / "out")]) == 0
    assert "t1.mrc holds 7 values that are not finite numbers (NaN or infinite); t1.zarr" in capsys.readouterr().out


def test_an_imod_model_has_an_object_of_scattered_points_for_each_species(made):
    data = (made[0] / "out" / "t1.mod").read_bytes()
    assert data[:8] == b"IMODV1.2" and struct.unpack(">3i", data[136:148]) == (300, 30, 70)
    assert struct.unpack(">i", data[148:152]) == (2,) and struct.unpack(">f", data[216:220])[0] == pytest.approx(0.8)
    assert data[240:244] == b"OBJT" and data[244:245] == b"a" and struct.unpack(">I", data[376:380])[0] == 1 << 9
    # IMOD counts x and y from the edge of the first pixel, z from its middle
    assert struct.unpack(">3f", data[440:452]) == (200.5, 20.75, 60.5) and data[-4:] == b"IEOF"


@pytest.mark.parametrize("form", ["napari", "imod", "dynamo", "eman2"])
def test_coordinates_come_back_from_each_format(form, made):
    folder, _, outputs = made
    found = read_coordinates3d(outputs["points"]["t1"][form])
    zyx = found.zyx_px(np.arange(3), SHAPE, 8.0)
    names = ["class_1", "class_2", "class_2"] if form == "dynamo" else ["a", "b", "b"]
    assert list(found.species) == names and outputs["counts"] == {"t1": 3}
    assert np.allclose(zyx, ZYX[[1, 0, 2]], atol=1e-3)


def test_labels_stay_labels_at_coarser_levels(tmp_path):
    labels = np.zeros((8, 20, 260), np.int8)
    labels[:, 4:12, 30:200], labels[:4, 14:, :] = 1, -56  # 200, as bytes are
    write_mrc(tmp_path / "l.mrc", labels, 10.0)
    command = ["export-tomograms", "--tomograms", str(tmp_path / "l.mrc"), "--labels", "--output", str(tmp_path / "o")]
    assert main(command) == 0
    zarr = tmp_path / "o" / "l.zarr"
    assert "image-label" in json.loads((zarr / ".zattrs").read_text())
    coarse = Tomogram(zarr / "1").raw()
    assert coarse.dtype == np.uint8 and np.array_equal(coarse, labels.view(np.uint8)[::2, ::2, ::2])


def test_a_zarr_that_is_exported_again_lies_where_it_lay(tmp_path):
    with mrcfile.new(tmp_path / "t1.mrc") as mrc:
        mrc.set_data(np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32))
        mrc.voxel_size, mrc.header.origin = 13.0, (100.0, 200.0, -300.0)
    source = tmp_path / "t1.mrc"
    for folder in ("first", "second"):
        command = ["export-tomograms", "--tomograms", str(source), "--output", str(tmp_path / folder)]
        assert main(command) == 0
        source = tmp_path / folder / "t1.zarr"
        placed = json.loads((source / ".zattrs").read_text())["multiscales"][0]["datasets"][0]
        assert placed["coordinateTransformations"][1]["translation"] == [-300.0, 200.0, 100.0]


def test_what_cannot_be_written_is_said(made, capsys):
    folder = made[0]
    command = ["export-tomograms", "--tomograms", str(folder / "t1.mrc"), "--output"]
    assert main([*command, str(folder / "out")]) == 2 and "exists" in capsys.readouterr().err
    assert main([*command, str(folder / "new"), "--no-volumes"]) == 2
    assert "There is nothing to write" in capsys.readouterr().err
    assert main([*command, str(folder / "new"), "--points", "amira"]) == 2
    assert "contains 'amira'; choose from: napari, imod" in capsys.readouterr().err and not (folder / "new").exists()


def two_tomograms(folder):
    for name in ("T1", "T2"):
        volume = np.random.default_rng(0).normal(size=(20, 40, 60)).astype(np.float32)
        write_mrc(folder / f"{name}.mrc", volume, 10.0)
    return [str(folder / "T1.mrc"), str(folder / "T2.mrc")]


def exported(folder, tomograms, coordinates, *more, code=0):
    """{tomogram: [(species, z, y, x)]} of an export to napari."""
    output = folder / f"out{len(list(folder.glob('out*')))}"
    given = ["--tomograms", *map(str, tomograms), "--coordinates", *map(str, coordinates), "--output", str(output)]
    assert main(["export-tomograms", *given, "--no-volumes", *more]) == code
    rows = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in output.glob("*.csv")}
    return {
        name: [(row["species"], *(float(row[f"axis-{axis}"]) for axis in range(3))) for row in each]
        for name, each in rows.items()
    }


def test_a_species_has_the_same_number_in_all_tables_of_dynamo_and_eman2(tmp_path):
    tomograms = two_tomograms(tmp_path)
    names, species = ["T1", "T1", "T2"], ["apo", "ribo", "ribo"]
    rows = dict(rlnTomoName=names, **{f"rlnCoordinate{axis}": [10, 11, 12] for axis in "XYZ"}, cryodlSpecies=species)
    write_tables(tmp_path / "p.star", {"particles": rows})
    exported(tmp_path, tomograms, [tmp_path / "p.star"])
    # column 22 of a Dynamo table is the class, column 20 the tomogram
    tables = {name: np.loadtxt(tmp_path / "out0" / f"{name}.tbl", ndmin=2) for name in ("T1", "T2")}
    assert tables["T1"][:, 21].tolist() == [1, 2] and tables["T2"][:, 21].tolist() == [2]
    boxes = json.loads((tmp_path / "out0" / "T2_info.json").read_text())
    assert boxes["class_list"][str(boxes["boxes_3d"][0][5])]["name"] == "ribo" and boxes["boxes_3d"][0][5] == 1
    model = (tmp_path / "out0" / "T2.mod").read_bytes()
    assert model.count(b"OBJT") == 1 and struct.unpack(">i", model[148:152]) == (1,)
    # the tables are read back by the names of their files: their numbers, 1 and 2, are no names
    back = exported(tmp_path, tomograms, sorted((tmp_path / "out0").glob("*.tbl")), "--points", "napari")
    assert back == {"T1": [("class_1", 10, 10, 10), ("class_2", 11, 11, 11)], "T2": [("class_2", 12, 12, 12)]}
    # a file's own name says more than one class in it; STAR files count with the tables
    (tmp_path / "out0" / "T2.tbl").rename(tmp_path / "out0" / "T2_ribo.tbl")
    back = exported(tmp_path, tomograms, sorted((tmp_path / "out0").glob("*.tbl")), "--points", "napari")
    assert back["T2"] == [("ribo", 12, 12, 12)]
    del rows["cryodlSpecies"]
    rows = {name: values[2:] for name, values in rows.items()}
    write_tables(tmp_path / "T2.star", {"particles": dict(rows, rlnClassNumber=["2"])})
    given = [tmp_path / "T2.star", tmp_path / "out0" / "T1.tbl"]
    assert exported(tmp_path, tomograms, given, "--points", "napari")["T2"] == [("class_2", 12, 12, 12)]


def test_dynamo_tables_of_other_names_say_how_to_name_them(tmp_path, capsys):
    tomograms, row = two_tomograms(tmp_path), np.zeros(41)
    row[[19, 21, 23, 24, 25]] = 2, 1, 11, 11, 11
    np.savetxt(tmp_path / "ribosome.tbl", row[None])
    exported(tmp_path, tomograms, [tmp_path / "ribosome.tbl"], code=2)
    error = capsys.readouterr().err
    assert "the files name 2" in error and "as its tomogram (TS_1.tbl)" in error and "--names" in error
    given = [tmp_path / "ribosome.tbl"], "--names", "1", "2", "--points", "napari"
    assert exported(tmp_path, tomograms, *given) == {"2": [("ribosome", 10, 10, 10)]}


def napari_points(path):
    path.write_text("index,axis-0,axis-1,axis-2\n" + "".join(f"{n}.0,{5 + n},10.0,12.0\n" for n in range(6)))
    return path


def test_points_in_files_named_as_their_tomograms_are_one_species(tmp_path):
    tomograms = two_tomograms(tmp_path)
    points = [napari_points(tmp_path / f"{name}.csv") for name in ("T1", "T2")]
    found = exported(tmp_path, tomograms, points, "--points", "napari")
    assert {row[0] for rows in found.values() for row in rows} == {"particle"} and len(found["T2"]) == 6
    for diameter, species in (("120", "particle"), ("ribosome=120", "ribosome")):
        config = TrainDetectorConfig(
            output=str(tmp_path / "d"),
            tomograms=tuple(tomograms),
            coordinates=tuple(map(str, points)),
            diameter=(diameter,),
        )
        assert gather_labels(config, Run(config)).species == (species,)


@pytest.mark.parametrize(("largest", "told"), [(0.49, True), (0.8, False)])
def test_points_that_fill_one_corner_alone_are_said_to_be_of_another_binning(tmp_path, largest, told):
    (tomogram,) = two_tomograms(tmp_path)[:1]
    sides = largest * np.array(mrcfile.read(tomogram).shape)
    rows = np.random.default_rng(0).uniform(0, 1, (10, 3)) * sides
    rows[0] = 0.999 * sides
    lines = [f"{n},{z},{y},{x}\n" for n, (z, y, x) in enumerate(rows)]
    (tmp_path / "T1.csv").write_text("index,axis-0,axis-1,axis-2\n" + "".join(lines))
    config = ExportTomogramsConfig(
        output=str(tmp_path / "out"),
        tomograms=(str(tomogram),),
        coordinates=(str(tmp_path / "T1.csv"),),
        points=("imod",),
    )
    said = export_tomograms(config).warnings
    assert any("T1.csv: all 10 particles lie in one corner of T1" in one for one in said) == told


def test_eman2_and_files_of_other_names_find_their_tomogram(tmp_path):
    volume = np.zeros((20, 40, 60), np.float32)
    boxes = dict(
        apix_unbin=10.0, boxes_3d=[[0, 0, 0, "manual", 1.0, 0]], class_list={"0": dict(name="ribo", boxsize=32)}
    )
    for name in ("TS_01", "TS_02"):  # e2's base name of a tomogram ends before '__'
        write_mrc(tmp_path / f"{name}__bin4.mrc", volume, 10.0)
        (tmp_path / f"{name}_info.json").write_text(json.dumps(boxes))
    found = exported(tmp_path, tmp_path.glob("*.mrc"), sorted(tmp_path.glob("*.json")), "--points", "napari")
    assert found == {"TS_01__bin4": [("ribo", 10, 20, 30)], "TS_02__bin4": [("ribo", 10, 20, 30)]}
    one = exported(tmp_path, [tmp_path / "TS_01__bin4.mrc"], [napari_points(tmp_path / "ferritin.csv")])
    assert {row[0] for row in one["TS_01__bin4"]} == {"ferritin"} and len(one["TS_01__bin4"]) == 6
    exported(tmp_path, tmp_path.glob("*.mrc"), [tmp_path / "ferritin.csv"], code=2)  # of two, which?


def test_warp_s_names_of_tilt_series_are_those_of_its_tomograms(tmp_path):
    # WarpTools' ts_template_match and ts_reconstruct: TS_1.tomostar, TS_1_10.00Apx.mrc
    places, angles = np.array([[12.5, 8.25, 4.125], [50.0, 20.0, 9.5]]), np.array([[12.3, 45.6, -78.9], [170, 90, 5.0]])
    columns = [f"rlnCoordinate{axis}" for axis in "XYZ"] + ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    table = dict(zip(columns, [*places.T, *angles.T]), rlnMicrographName=["TS_1.tomostar", "TS_11.tomostar"])
    write_tables(tmp_path / "matched.star", {"": dict(table, rlnAutopickFigureOfMerit=[7.5, 6.25])})
    for name in ("TS_1", "TS_11"):
        write_mrc(tmp_path / f"{name}_10.00Apx.mrc", np.zeros((20, 40, 60), np.float32), 10.0)
    exported(tmp_path, tmp_path.glob("*.mrc"), [tmp_path / "matched.star"], "--points", "relion")
    made = read_tables(tmp_path / "out0" / "particles.star")["particles"]
    assert list(made["rlnTomoName"]) == ["TS_1_10.00Apx", "TS_11_10.00Apx"]
    found = np.array([made[name] for name in columns], float).T
    assert np.allclose(found, np.hstack([places, angles]), atol=0.01)


@pytest.mark.parametrize(
    "names, files, expected",
    [
        ("TS_01 TS_02", "TS_01_ribosome TS_02-apo TS_02", {"TS_01": {"ribosome"}, "TS_02": {"apo", "particle"}}),
        ("TS_01__bin4 TS_02", "TS_01_80S TS_02_info", {"TS_01__bin4": {"80S"}, "TS_02": {"particle"}}),
        ("TS TS_1", "TS_1_x_y", {"TS_1": {"x_y"}}),  # the longest
        ("TS_01_info TS_02", "TS_01_info", {"TS_01_info": {"particle"}}),
        ("TS_01_info", "TS_01_info", {"TS_01_info": {"particle"}}),
        ("Position_1 Position_2", "Position_1 Position_2_2 Position_22", {"Position_1": {"particle"}}),
    ],
)
def test_a_file_that_begins_with_a_tomogram_s_name_is_its_and_of_the_species_after_it(
    names, files, expected, tmp_path, capsys
):
    for name in names.split():
        write_mrc(tmp_path / f"{name}.mrc", np.zeros((20, 40, 60), np.float32), 10.0)
    points = [napari_points(tmp_path / f"{name}.csv") for name in files.split()]
    found = exported(tmp_path, tmp_path.glob("*.mrc"), points, "--points", "napari")
    assert {name: {row[0] for row in rows} for name, rows in found.items()} == expected
    left = "12 coordinates of tomograms that were not given" in capsys.readouterr().out
    assert left == files.startswith("Position")


@pytest.mark.parametrize("twice", [False, True])
def test_particles_that_are_given_twice_are_told(twice, tmp_path, capsys):
    write_mrc(tmp_path / "TS_1.mrc", np.zeros((20, 40, 60), np.float32), 10.0)
    points = napari_points(tmp_path / "TS_1.csv")
    exported(tmp_path, [tmp_path / "TS_1.mrc"], [points, points][: 1 + twice], "--points", "napari")
    assert (
        "of 12 coordinates have the position and angles of another" in " ".join(capsys.readouterr().out.split())
    ) == twice


def test_a_dynamo_table_that_begins_with_a_tomogram_s_name_is_its(tmp_path):
    tomograms, row = two_tomograms(tmp_path), np.zeros(41)
    row[[19, 21, 23, 24, 25]] = 7, 1, 11, 11, 11
    np.savetxt(tmp_path / "T2_ribosome.tbl", row[None])
    found = exported(tmp_path, tomograms, [tmp_path / "T2_ribosome.tbl"], "--points", "napari")
    assert found == {"T2": [("ribosome", 10, 10, 10)]}


def test_a_file_of_two_tomograms_of_one_run_may_be_called_as_the_run(tmp_path):
    for name in ("T1__a", "T1__b"):
        write_mrc(tmp_path / f"{name}.mrc", np.zeros((20, 40, 60), np.float32), 10.0)
    rows = dict(rlnTomoName=["T1__a", "T1__b"], **{f"rlnCoordinate{axis}": [10, 11] for axis in "XYZ"})
    write_tables(tmp_path / "T1.star", {"particles": rows})
    found = exported(tmp_path, tmp_path.glob("*.mrc"), [tmp_path / "T1.star"], "--points", "napari")
    assert found == {"T1__a": [("particle", 10, 10, 10)], "T1__b": [("particle", 11, 11, 11)]}


def test_tomograms_and_picks_of_a_copick_project_are_named_by_their_run(tmp_path, capsys):
    for run in ("TS_1", "TS_2"):
        spacing, picks = (tmp_path / "ExperimentRuns" / run / name for name in ("VoxelSpacing10.000", "Picks"))
        write_zarr(spacing / "wbp.zarr", Tomogram(two_tomograms(tmp_path)[0]), 10.0, (0.0, 0.0, 0.0), False)
        picks.mkdir()
        pick = dict(pickable_object_name="ribo", run_name=run, points=[dict(location=dict(x=130.0, y=260.0, z=50.0))])
        (picks / "a_1_ribo.json").write_text(json.dumps(pick))
    project = tmp_path / "ExperimentRuns"
    tomograms, picks = [project / "*" / "VoxelSpacing*" / "wbp.zarr"], [project / "*" / "Picks" / "*.json"]
    found = exported(tmp_path, tomograms, picks, "--points", "napari")
    assert found == {"TS_1": [("ribo", 5, 26, 13)], "TS_2": [("ribo", 5, 26, 13)]}
    (project / "TS_1" / "VoxelSpacing10.000" / "wbp.zarr").rename(project / "TS_1" / "wbp.zarr")
    (project / "TS_2" / "VoxelSpacing10.000" / "wbp.zarr").rename(project / "TS_2" / "wbp.zarr")
    exported(tmp_path, [project / "*" / "wbp.zarr"], picks, code=2)
    assert "give a name to each (--names" in capsys.readouterr().err
