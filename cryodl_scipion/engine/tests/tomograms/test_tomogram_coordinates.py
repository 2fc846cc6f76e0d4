# SPDX-License-Identifier: GPL-3.0-or-later
"""Places of particles in the files of several programs: the bytes and columns are those of the formats' own pages."""

import json
import struct

import numpy as np
import pytest

from cryodl.io.coordinate_files import write_dynamo_table, write_eman2, write_imod_model, write_napari_points
from cryodl.io.coordinates3d import ParticlePoses
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomogram_coordinates import (
    coordinate_columns,
    join_coordinates3d,
    read_coordinates3d,
    write_coordinates3d,
)

ZYX = np.array([[10.0, 20.0, 30.0], [1.5, 2.5, 3.5]])
SHAPE = (40, 100, 80)  # z, y, x


def test_relion_5_counts_in_angstrom_from_the_middle_of_the_tomogram(tmp_path):
    write_coordinates3d(tmp_path / "a.star", [coordinate_columns("tomo", ZYX, SHAPE, 10.0)], [10.0])
    tables = read_tables(tmp_path / "a.star")
    particles = tables["particles"]
    # x: (30 - 80 / 2) px x 10 Å; y: (20 - 50) x 10; z: (10 - 20) x 10
    found = [float(particles[f"rlnCenteredCoordinate{axis}Angst"][0]) for axis in "XYZ"]
    assert found == [-100.0, -300.0, -100.0]
    assert [float(particles[f"rlnCoordinate{axis}"][0]) for axis in "XYZ"] == [30.0, 20.0, 10.0]
    assert particles["cryodlPixelSize"] == ["10.000000"] * 2


def relion_position(tables, row, tomograms_pixel_size, unbinned_shape):
    """x, y, z as RELION 5's ParticleSet computes it, in px of the tilt series: its optics are those of
    tomograms.star if the particles' file has no optics table (ParticleSet::read, ParticleSet::getPosition)."""
    particles, optics = tables["particles"], tables.get("optics")
    group = int(particles["rlnOpticsGroup"][row]) - 1 if optics else 0
    pixel_size = float(optics["rlnTomoTiltSeriesPixelSize"][group]) if optics else tomograms_pixel_size
    centred = np.array([float(particles[f"rlnCenteredCoordinate{axis}Angst"][row]) for axis in "XYZ"])
    return centred / pixel_size + np.array(unbinned_shape[::-1]) / 2


def test_relion_5_finds_particles_of_a_binned_tomogram_where_they_are(tmp_path):
    # binned by 4: 10 Å/px of a tilt series of 2.5 Å/px
    columns = coordinate_columns("tomo", ZYX, SHAPE, 10.0)
    write_coordinates3d(tmp_path / "a.star", [columns], [10.0])
    join_coordinates3d(tmp_path / "all.star", [tmp_path / "a.star"] * 2, [10.0, 10.0])
    for tables in (read_tables(tmp_path / "a.star"), read_tables(tmp_path / "all.star")):
        assert "optics" not in tables and "rlnOpticsGroup" not in tables["particles"]
        assert np.allclose(relion_position(tables, 0, 2.5, [4 * n for n in SHAPE]), 4 * ZYX[0, ::-1])


# Euler::anglesToMatrix3 of RELION 5 for right angles: tilt 90 takes x to z and z to -x, rot 90 takes x to -y
@pytest.mark.parametrize(
    "angles, origin, shift",
    [
        (None, (30, -20, 10), (30, -20, 10)),
        ((0, 90, 0), (30, 0, 0), (0, 0, 30)),
        ((0, 90, 0), (0, 0, 30), (-30, 0, 0)),
        ((90, 0, 0), (30, 0, 0), (0, -30, 0)),
    ],
)
@pytest.mark.parametrize("centred", [True, False])
def test_refined_shifts_are_taken_away_in_the_axes_of_the_subtomogram(tmp_path, angles, origin, shift, centred):
    columns = coordinate_columns("tomo", ZYX[:1], SHAPE, 10.0)
    columns = {name: values for name, values in columns.items() if centred or "Centered" not in name}
    columns.update({f"rlnOrigin{axis}Angst": [value] for axis, value in zip("XYZ", origin)})
    for name, value in zip(("Rot", "Tilt", "Psi"), angles or ()):
        columns[f"rlnTomoSubtomogram{name}"] = [value]
    write_tables(tmp_path / "a.star", {"particles": columns})
    zyx = read_coordinates3d(tmp_path / "a.star").zyx_px(np.arange(1), SHAPE, 10.0)
    assert np.allclose(zyx, ZYX[:1] - np.array(shift)[::-1] / 10, atol=1e-3)


def test_shifts_in_px_of_relion_3_0_are_not_dropped_silently(tmp_path, capsys):
    columns = dict(coordinate_columns("tomo", ZYX, SHAPE, 10.0), rlnOriginX=[0, 2.5])
    write_tables(tmp_path / "a.star", {"particles": columns})
    read_coordinates3d(tmp_path / "a.star")
    assert "shifts in px (rlnOriginX" in capsys.readouterr().out


def test_files_of_earlier_versions_with_an_optics_table_are_read_and_joined(tmp_path):
    columns = coordinate_columns("tomo", ZYX, SHAPE, 10.0)
    optics = dict(rlnOpticsGroup=[1], rlnOpticsGroupName=["opticsGroup1"], rlnTomoTiltSeriesPixelSize=[10.0])
    write_tables(tmp_path / "old.star", {"particles": dict(columns, rlnOpticsGroup=[1, 1]), "optics": optics})
    positions = read_coordinates3d(tmp_path / "old.star")
    assert np.allclose(positions.zyx_px(np.arange(2), SHAPE, 10.0), ZYX, atol=1e-3)
    join_coordinates3d(tmp_path / "all.star", [tmp_path / "old.star"], [10.0])
    tables = read_tables(tmp_path / "all.star")
    assert list(tables) == ["particles"] and "rlnOpticsGroup" not in tables["particles"]


def test_px_of_relion_4_are_those_of_the_tilt_series(tmp_path):
    def read(sizes, groups=("1", "2")):
        columns = {f"rlnCoordinate{axis}": list(4 * values) for axis, values in zip("XYZ", ZYX[:, ::-1].T)}
        particles = {name: values[: len(groups)] for name, values in dict(columns, rlnOpticsGroup=[*groups]).items()}
        optics = dict(rlnOpticsGroup=[1, 2], rlnTomoTiltSeriesPixelSize=sizes)
        write_tables(tmp_path / "a.star", {"optics": optics, "particles": particles})
        return read_coordinates3d(tmp_path / "a.star")

    assert np.allclose(read([2.5, 1.25]).zyx_px(np.arange(2), SHAPE, 10.0), ZYX * [[1], [0.5]], atol=1e-3)
    with pytest.raises(ValueError, match="rlnTomoTiltSeriesPixelSize is 0; it must be above 0"):
        read([0, 1.25])
    assert len(read([2.5, 1.25], ()).xyz) == 0


def test_centred_coordinates_are_read_back_at_any_binning(tmp_path):
    write_coordinates3d(tmp_path / "a.star", [coordinate_columns("tomo", ZYX, SHAPE, 10.0)], [10.0])
    positions = read_coordinates3d(tmp_path / "a.star")
    assert positions.unit == "centred Å" and positions.tomograms == ("tomo", "tomo")
    assert np.allclose(positions.zyx_px(np.arange(2), SHAPE, 10.0), ZYX, atol=1e-3)
    assert np.allclose(positions.zyx_px(np.arange(2), (80, 200, 160), 5.0), 2 * ZYX, atol=1e-3)


def test_tomograms_of_two_pixel_sizes_keep_them(tmp_path):
    for name, size in (("a", 10.0), ("b", 8.0)):
        write_coordinates3d(tmp_path / f"{name}.star", [coordinate_columns(name, ZYX, SHAPE, size)], [size])
    join_coordinates3d(tmp_path / "all.star", [tmp_path / "a.star", tmp_path / "b.star"], [10.0, 8.0])
    tables = read_tables(tmp_path / "all.star")
    assert [float(size) for size in tables["particles"]["cryodlPixelSize"]] == [10, 10, 8, 8]


def test_a_dynamo_table_counts_from_one_and_adds_its_shifts(tmp_path):
    row = np.zeros(41)
    row[[3, 4, 5]], row[19], row[21], row[[23, 24, 25]] = (0.5, 0, -0.5), 7, 1, (31, 21, 11)
    np.savetxt(tmp_path / "ribosome.tbl", row[None])
    positions = read_coordinates3d(tmp_path / "ribosome.tbl")
    assert positions.tomograms == ("7",) and positions.species == ("",)
    assert np.allclose(positions.xyz, [[30.5, 20.0, 9.5]])


def test_a_dynamo_table_that_was_written_is_read_back(tmp_path):
    poses = ParticlePoses(ZYX, np.full((2, 3), np.nan), np.full((2, 2), np.nan))
    write_dynamo_table(tmp_path / "a.tbl", poses, 3, ["x", "x"], ["x"], None, 10.0)
    positions = read_coordinates3d(tmp_path / "a.tbl")
    assert np.isnan(positions.poses(np.arange(2), SHAPE, 10.0).scores).all()  # cc 1 all over says nothing
    assert positions.tomograms == ("3", "3") and np.allclose(positions.xyz[:, ::-1], ZYX)
    assert len((tmp_path / "a.tbl").read_text().splitlines()[0].split()) == 42 and positions.angles is None


def imod_model(points, name=b"ribosome"):
    """Bytes of a model as IMOD's page on its binary format has them: header 240, object 180, contour, IEOF."""
    header = b"IMODV1.2" + bytes(128) + struct.pack(">3i", 80, 100, 40) + struct.pack(">i", 1)
    header += bytes(240 - len(header))
    thing = b"OBJT" + name + bytes(64 - len(name)) + bytes(64) + struct.pack(">i", 1)
    thing += bytes(180 - len(thing))
    contour = b"CONT" + struct.pack(">4i", len(points), 0, 0, 0)
    contour += b"".join(struct.pack(">3f", *point) for point in points)
    return header + thing + contour + b"IMAT" + struct.pack(">i", 12) + bytes(12) + b"IEOF"


def test_points_of_an_imod_model_are_places_of_its_objects(tmp_path):
    (tmp_path / "tomo_1.mod").write_bytes(imod_model([(30.5, 20.5, 10.0), (4.0, 3.0, 1.5)]))
    positions = read_coordinates3d(tmp_path / "tomo_1.mod")
    assert positions.tomograms == ("tomo_1",) * 2 and positions.species == ("ribosome",) * 2
    assert np.allclose(positions.xyz[:, ::-1], ZYX)  # x and y from the corner of the first pixel, z from its middle


def test_an_imod_model_of_a_flipped_view_has_y_and_z_exchanged(tmp_path):
    """3dmod -Y saves points as it shows them, and says so in bit 16 of the model's flags."""
    model = bytearray(imod_model([(30.5, 10.5, 20.0), (4.0, 2.0, 2.5)]))
    model[152:156] = struct.pack(">I", 1 << 16 | 1 << 15)
    (tmp_path / "tomo_1.mod").write_bytes(model)
    assert np.allclose(read_coordinates3d(tmp_path / "tomo_1.mod").xyz[:, ::-1], ZYX)


def test_objects_behind_a_mesh_of_an_imod_model_are_not_lost(tmp_path):
    """IMOD's page: of MESH come the numbers of vertices and of list entries, 8 bytes more, then both."""
    mesh = b"MESH" + struct.pack(">iiIhh", 6, 5, 0, 0, 0) + struct.pack(">18f", *range(1, 19)) + bytes(4 * 5)
    first = imod_model([(1, 2, 3)], b"membrane").removesuffix(b"IEOF")
    (tmp_path / "a.mod").write_bytes(first + mesh + imod_model([(4, 5, 6)])[240:])
    found = read_coordinates3d(tmp_path / "a.mod")
    assert found.species == ("membrane", "ribosome") and found.xyz.tolist() == [[0.5, 1.5, 3], [3.5, 4.5, 6]]


@pytest.mark.parametrize("name", ["a.tbl", "a.mod", "a.csv"])
def test_px_of_another_binning_by_the_files_own_words_are_told(tmp_path, capsys, name):
    poses = ParticlePoses(ZYX, np.full((2, 3), np.nan), np.full((2, 2), np.nan))
    write_dynamo_table(tmp_path / "a.tbl", poses, 3, ["x", "x"], ["x"], None, 20.0)
    write_imod_model(tmp_path / "a.mod", ZYX[:, ::-1], ["x", "x"], SHAPE, 20.0, ["x"])
    write_napari_points(tmp_path / "a.csv", poses, ["x", "x"], 20.0)
    positions = read_coordinates3d(tmp_path / name)
    assert np.allclose(positions.zyx_px(np.arange(2), SHAPE, 20.2), ZYX) and not capsys.readouterr().out
    assert np.allclose(positions.zyx_px(np.arange(2), tuple(2 * n for n in SHAPE), 10.0), ZYX)
    assert f"{name} says 20 Å/px, and the tomogram has 10." in capsys.readouterr().out


def test_picks_of_copick_are_angstrom_with_run_and_object(tmp_path):
    points = [{"location": dict(x=300.0, y=200.0, z=100.0)}]
    text = json.dumps(dict(pickable_object_name="apo-ferritin", run_name="TS_1", unit="angstrom", points=points))
    (tmp_path / "picks.json").write_text(text)
    positions = read_coordinates3d(tmp_path / "picks.json")
    assert positions.tomograms == ("TS_1",) and positions.species == ("apo-ferritin",)
    assert np.allclose(positions.zyx_px(np.array([0]), SHAPE, 10.0), ZYX[:1])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.mod", b"not a model", "not a binary IMOD model"),
        ("a.mod", imod_model([(1, 2, 3)])[:430], "truncated"),
        ("a.mod", imod_model([(1, 2, 3)]).removesuffix(b"IEOF"), "truncated"),
        ("a.tbl", b"1 2 3\n", "not a Dynamo table"),
        ("a.json", b"{}", "no copick picks: points is missing. run_name, .*export it again"),
        ("a.json", b"{]", "is not a JSON file: line 1, column 2 is not as JSON is written. Export the picks again"),
        ("a.json", b'{"points": [3]}', "no copick picks: a value is not of the kind it must be"),
        ("a.json", b'{"boxes_3d": [["x", 1, 2]]}', "no EMAN2 boxes: 'x' is no number. boxes_3d must"),
        ("a.star", b"data_\nloop_\n_rlnVoltage #1\n300\n", "has neither"),
        ("a.star", b"", "a.star is empty. Write it again"),
        ("a.csv", b"", "a.csv is empty. Write it again"),
        ("b.star", b"data_\nloop_\n_rlnCoordinateX #1\n3\n", "has rlnCoordinateX, but not rlnCoordinateY, rlnC"),
    ],
)
def test_files_without_places_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_coordinates3d(tmp_path / name)


def test_eman2_counts_unbinned_pixels_from_the_middle_and_names_its_classes(tmp_path):
    # e2spt_boxer: x / apix * apix_unbin + nx // 2
    info = dict(
        apix_unbin=2.5,
        class_list={"0": dict(name="ribosome", boxsize=64), "2": dict(name="ferritin", boxsize=32)},
        boxes_3d=[[-40, -120, -40, "manual", 0.0, 0], [8, 0, 4, "tm", 0.5, 2]],
    )
    (tmp_path / "tomo_info.json").write_text(json.dumps(info))
    positions = read_coordinates3d(tmp_path / "tomo_info.json")
    assert positions.tomograms == ("tomo", "tomo") and positions.species == ("ribosome", "ferritin")
    assert np.allclose(positions.zyx_px(np.arange(2), SHAPE, 10.0), [[10, 20, 30], [21, 50, 42]])
    del info["apix_unbin"]
    (tmp_path / "old_info.json").write_text(json.dumps(info))
    assert np.allclose(read_coordinates3d(tmp_path / "old_info.json").xyz[1], [8, 0, 4])


def test_boxes_written_for_eman2_are_read_back(tmp_path):
    centred = np.array([[-100.0, -300.0, 55.0], [1.0, 2.0, 3.0]])
    write_eman2(tmp_path / "tomo_info.json", centred, ["b", "a"], 2.5, ["a", "b"], np.array([0.5, np.nan]))
    positions = read_coordinates3d(tmp_path / "tomo_info.json")
    assert positions.unit == "centred Å" and positions.species == ("b", "a") and np.allclose(positions.xyz, centred)


def test_points_that_napari_saved_are_z_y_x(tmp_path):
    (tmp_path / "tomo.csv").write_text("index,axis-0,axis-1,axis-2\n0.0,10.0,20.0,30.0\n1.0,1.5,2.5,3.5\n")
    positions = read_coordinates3d(tmp_path / "tomo.csv")
    assert positions.tomograms == ("tomo", "tomo") and np.allclose(positions.zyx_px(np.arange(2), SHAPE, 10.0), ZYX)
    (tmp_path / "other.csv").write_text("x,y,z\n1,2,3\n")
    with pytest.raises(ValueError, match="axis-0, axis-1, axis-2"):
        read_coordinates3d(tmp_path / "other.csv")


def test_a_position_that_is_no_number_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("index,axis-0,axis-1,axis-2\n0,1,2,3\n1,4,nan,6\n")
    with pytest.raises(ValueError, match="a.csv: the position of particle 2 is no three finite numbers"):
        read_coordinates3d(tmp_path / "a.csv")


def test_a_part_of_a_model_with_a_size_below_zero_is_damage(tmp_path):
    whole = imod_model([(1.0, 2.0, 3.0)])
    (tmp_path / "a.mod").write_bytes(
        whole[:240] + b"VIEW" + struct.pack(">i", -8) + whole[240:]
    )  # read for ever before
    with pytest.raises(ValueError, match="a.mod is damaged: a part of it has the size -8"):
        read_coordinates3d(tmp_path / "a.mod")


def test_a_folder_of_coordinates_is_not_said_to_be_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="are a folder; give its files, for example '.*[*].star'"):
        read_coordinates3d(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone do not exist"):
        read_coordinates3d(tmp_path / "gone")
