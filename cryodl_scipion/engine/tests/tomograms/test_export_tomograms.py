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

from cryodl.cli import main
from cryodl.contract import Result
from cryodl.io.tomogram_coordinates import coordinate_columns, read_coordinates3d, write_coordinates3d
from cryodl.io.tomograms import Tomogram

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


def test_coordinates_are_those_that_napari_saves(made):
    rows = list(csv.reader((made[0] / "out" / "t1.csv").read_text().splitlines()))
    assert rows[0] == ["index", "axis-0", "axis-1", "axis-2", "species"]
    assert [[float(v) for v in row[1:4]] for row in rows[1:]] == [[60.5, 20.25, 200], [3, 4, 5], [10, 11, 12]]
    assert [row[4] for row in rows[1:]] == ["a", "b", "b"] and [float(row[0]) for row in rows[1:]] == [0, 1, 2]


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
