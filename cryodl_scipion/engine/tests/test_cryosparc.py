# SPDX-License-Identifier: GPL-3.0-or-later
"""cryoSPARC's .cs files: read as RELION's tables, and a selection written back with the same uids.

The files of tests/data/cryosparc were written by cryosparc-tools 5.0.3 (Dataset.save): six particles of two micrographs
in two exposure groups, their passthrough file with the rows in another order, and the first in the compressed format.
"""

import resource
import shutil
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryodl.io.coordinates import align_keys, read_coordinates
from cryodl.io.cryosparc import cryosparc_tables, read_cs, write_cs_rows
from cryodl.io.messages import HEARD
from cryodl.io.particle_positions import read_particle_positions
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.io.star import read_tables
from cryodl.running.cli import main

DATA = Path(__file__).parent / "data" / "cryosparc"
UIDS = ["9223372036854775813", "11", "12", "13", "14", "18446744073709551000"]
ANGLES = [[10, 20, 30], [-40, 50, 60], [0, 0, 25], [170, 90, -80], [-120, 135, 5], [33, 66, 99]]


@pytest.fixture
def project(tmp_path):
    """A project's folder with the job's two files and its stacks of images."""
    (tmp_path / "J20").mkdir()
    for name in ("J20_particles.cs", "J20_passthrough_particles.cs"):
        shutil.copy(DATA / name, tmp_path / "J20" / name)
    (tmp_path / "J12" / "extract").mkdir(parents=True)
    for number, name in enumerate("ab"):
        with mrcfile.new(tmp_path / "J12" / "extract" / f"mic_{name}_particles.mrc") as mrc:
            images = np.random.default_rng(number).normal(size=(3, 16, 16)).astype(np.float32)
            mrc.set_data(images)
    return tmp_path


def relion_matrix(rot, tilt, psi):
    """Euler_angles2matrix of RELION: reference to image."""
    a, b, c = np.radians((rot, tilt, psi))
    turn_z = lambda t: np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]])
    turn_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return turn_z(c) @ turn_y @ turn_z(a)


def test_angles_are_those_that_cryodrgn_reads(project):
    # cryoDRGN takes the transposed matrix of the rotation vector (parse_pose_csparc), and RELION's (parse_pose_star)
    rows = read_cs(project / "J20" / "J20_particles.cs")
    found = read_particles(project / "J20" / "J20_particles.cs", need=["angles", "ctf"])
    assert np.allclose(found.angles, ANGLES, atol=1e-3)
    for vector, angles in zip(rows["alignments3D/pose"], found.angles):
        assert np.allclose(Rotation.from_rotvec(vector).as_matrix().T, relion_matrix(*angles), atol=1e-6)


@pytest.mark.parametrize("name, width", [("ctf/tilt_A", 2), ("ctf/anisomag", 4)])
@pytest.mark.parametrize("value, said", [(0, False), (0.4, True)])
def test_aberrations_that_are_not_corrected_are_said(project, name, width, value, said, capsys):
    path = project / "J20" / "J20_particles.cs"
    rows = read_cs(path)
    fields = {name: np.array(rows[name]) for name in rows.dtype.names}
    saved(path, **{**fields, name: np.full((6, width), value), "ctf/tetra_A": np.zeros((6, 4))})
    HEARD.clear()
    read_particles(path)
    assert (f"has {name}, which are not corrected here" in capsys.readouterr().out) == said


@pytest.mark.parametrize("signs, groups, said", [((-1,) * 6, "111222", False), ((1, -1, 1, -1, 1, 1), "212344", True)])
def test_images_of_either_sign_are_optics_groups_of_their_own_and_said(project, signs, groups, said, capsys):
    # their opposite contrast is then found by what the images show, as in any other set
    path = project / "J20" / "J20_particles.cs"
    rows = read_cs(path)
    saved(path, **{**{name: np.array(rows[name]) for name in rows.dtype.names}, "blob/sign": np.float32(signs)})
    HEARD.clear()
    assert "".join(read_particles(path).columns["rlnOpticsGroup"]) == groups
    assert ("blob/sign: 2 of 6 below 0" in capsys.readouterr().out) == said


def test_particles_have_their_images_places_optics_and_uids(project):
    found = read_particles(project / "J20" / "J20_particles.cs", need=["angles", "ctf", "raw"])
    assert (len(found), found.box, found.pixel_size) == (6, 16, 2.5)
    with mrcfile.open(project / "J12" / "extract" / "mic_b_particles.mrc") as mrc:
        assert np.array_equal(found.images([4])[0].numpy(), mrc.data[1])
    assert list(found.columns["ucsfUid"]) == UIDS
    assert found.optics_columns["rlnAmplitudeContrast"][1] == "0.070000" and found.columns["rlnOpticsGroup"][5] == "2"
    # alignments3D/shift is RELION's origin in px: the particle lies at minus it
    assert np.allclose(found.shifts_yx[3], (0.75, -1.5)) and found.halves.tolist() == [1, 2] * 3
    assert found.classes.tolist() == [1, 1, 2, 2, 3, 3]
    assert (
        float(found.columns["rlnDefocusV"][5]) == 12300 and abs(float(found.columns["rlnDefocusAngle"][5]) - 50) < 0.01
    )


@pytest.mark.parametrize("flip", [False, True])
def test_places_are_of_the_micrograph_s_shape_and_may_be_turned(project, flip):
    path = project / "J20" / "J20_particles.cs"
    found = read_particle_positions(path, flip)["008578565574161745010_mic_a"]
    wanted = [(25, 20), (50, 40), (75, 60)]  # yx of 100 x 200 px
    wanted = [(100 - y, x) for y, x in wanted] if flip else wanted
    assert np.abs(found.yx - wanted).max() < 0.01
    assert np.allclose(found.origins, [(0, 0), (-0.625, 1.25), (-1.25, 2.5)])
    picks = align_keys(read_coordinates(project / "J20" / "J20_passthrough_particles.cs", flip), ["mic_a", "mic_b"])
    assert sorted(picks) == ["mic_a", "mic_b"] and np.abs(picks["mic_a"][0] - wanted[::-1]).max() < 0.01
    assert np.allclose(picks["mic_a"][1], [0.7, 0.8, 0.9])


def test_a_selection_goes_back_with_the_same_uids(project):
    source = project / "J20" / "J20_particles.cs"
    chosen = read_particles(source).subset([5, 0, 2])
    write_particles_star(project / "J20" / "chosen.star", chosen, {"rlnClassNumber": ["9"] * 3})
    back = read_cs(project / "J20" / "chosen.cs")
    first = read_cs(source)
    assert [str(uid) for uid in back["uid"]] == [UIDS[0], UIDS[2], UIDS[5]] and back.dtype == first.dtype
    assert np.array_equal(back, first[[0, 2, 5]])
    # what is selected of the selection, too, and every column stays
    again = read_particles(project / "J20" / "chosen.star")
    assert list(again.columns["ucsfUid"]) == [UIDS[5], UIDS[0], UIDS[2]] and "rlnPhaseShift" in again.columns
    write_particles_star(project / "J20" / "one.star", again.subset([1]))
    assert [str(uid) for uid in read_cs(project / "J20" / "one.cs")["uid"]] == [UIDS[0]]
    with pytest.raises(ValueError, match=r"chosen.cs has only 0 of the 1 particles of the selection"):
        write_cs_rows(project / "J20" / "chosen.cs", ["11"], project / "J20" / "wrong.cs")
    assert not (project / "J20" / "wrong.cs").exists()


def test_a_star_file_without_uids_makes_no_cs_file(project):
    source = project / "J20" / "J20_particles.cs"
    write_particles_star(project / "J20" / "a.star", read_particles(source))
    (project / "J20" / "a.cs").unlink()
    write_particles_star(project / "J20" / "b.star", read_particles(project / "J20" / "a.star"))
    assert not (project / "J20" / "b.cs").exists()  # the first file is not known


def test_another_job_s_file_beside_the_particles_is_said_and_not_used(project, capsys):
    chosen = read_particles(project / "J20" / "J20_particles.cs").subset([1, 2])
    write_particles_star(project / "J20" / "a.star", chosen)
    rows = np.array(read_cs(project / "J20" / "a.cs"))
    rows["uid"] = 77, 78
    with open(project / "J20" / "a.cs", "wb") as file:
        np.save(file, rows)
    write_particles_star(project / "J20" / "b.star", read_particles(project / "J20" / "a.star"))
    assert "No .cs file is written of these particles: " in capsys.readouterr().out
    assert (project / "J20" / "b.star").exists() and not (project / "J20" / "b.cs").exists()


def test_picks_and_particles_on_the_command_line(project, capsys, monkeypatch):
    monkeypatch.chdir(project)
    for name in ("mic_a", "mic_b"):
        with mrcfile.new(f"{name}.mrc") as mrc:
            mrc.set_data(np.zeros((100, 200), np.float32))
    picks = ["--coordinates", "J20/J20_passthrough_particles.cs", "--micrographs", "mic_*.mrc", "--pixel-size", "2.5"]
    command = ["export-relion", *picks, "--particle-diameter", "20", "--output", "relion"]
    assert main(command) == 0
    found = {k: v[0] for k, v in read_coordinates("relion/autopick.star").items()}
    assert np.abs(found["mic_b"] - [(30, 120), (20, 100), (10, 80)]).max() < 0.01
    turned = ["export-relion", *picks, "--particle-diameter", "20", "--flip-y", "--output", "turned"]
    assert main(turned) == 0
    assert np.abs(read_coordinates("turned/autopick.star")["mic_b"][0][:, 0] - [70, 80, 90]).max() < 0.01
    aligned = [*command[:2], "J20/J20_particles.cs", *command[3:-1], "aligned"]
    assert main(aligned) == 0
    moved = read_coordinates("aligned/autopick.star")["mic_b"][0] - found["mic_b"][::-1]
    assert np.abs(moved - [(0.75, -1.5), (1, -2), (1.25, -2.5)]).max() < 0.01  # the alignment's shifts, px
    with mrcfile.new("mic_b.mrc", overwrite=True) as mrc:  # binned since: fractions of it would be other places
        mrc.set_data(np.zeros((50, 100), np.float32))
    assert main([*command[:-1], "binned"]) == 2 and not Path("binned").exists()
    said = capsys.readouterr().err
    assert "mic_b has 200 x 100 px by its field location/micrograph_shape, but mic_b.mrc has 100 x 50 px" in said
    assert "J20_passthrough_particles.cs: " in said


def saved(path, **fields):
    count = len(next(iter(fields.values())))
    rows = np.zeros(count, [(name, np.asarray(v).dtype, np.asarray(v).shape[1:]) for name, v in fields.items()])
    for name, values in fields.items():
        rows[name] = values
    with open(path, "wb") as file:
        np.save(file, rows, allow_pickle=rows.dtype.hasobject)
    return path


PLACE = {
    "uid": np.arange(2, dtype=np.uint64),
    "location/micrograph_path": np.array([b"m.mrc"] * 2),
    "location/micrograph_shape": np.full((2, 2), 100, np.uint32),
    "location/center_x_frac": np.array([0.1, 0.2], np.float32),
    "location/center_y_frac": np.array([0.1, 0.2], np.float32),
}


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"location/center_x_frac": np.array([0.1, np.nan], np.float32)},
            "center_x_frac has values that are no finite",
        ),
        ({"location/micrograph_shape": np.zeros((2, 2), np.uint32)}, "micrograph_shape has sizes of 0 px"),
        ({"location/micrograph_shape": np.ones(2, np.uint32)}, "micrograph_shape must have 2 numbers for each row"),
        ({"location/center_x_frac": np.zeros((2, 2))}, "center_x_frac must have 1 numbers for each row"),
        ({"location/micrograph_path": np.array([1, 2])}, "micrograph_path has values that are no names"),
        ({"location/center_y_frac": None}, "has no field location/center_y_frac"),
        ({"location/center_x_frac": None}, "has no field location/center_x_frac"),
        ({"location/center_x_frac": np.array([b"a", b"b"])}, "center_x_frac has values that are no finite numbers"),
        ({"uid": None}, "has no field uid"),
        ({"uid": np.array([{}, {}], object)}, "Python objects in dtype"),
    ],
)
def test_a_bad_field_is_named_with_its_file(changes, words, tmp_path):
    fields = {name: values for name, values in {**PLACE, **changes}.items() if values is not None}
    path = saved(tmp_path / "picks.cs", **fields)
    with pytest.raises(ValueError, match=f"picks.cs.*{words}"):
        read_coordinates(path)


def test_files_of_another_kind_are_refused_with_a_sentence(tmp_path, capsys):
    with pytest.raises(ValueError, match="is in cryoSPARC's compressed format, which is not read"):
        read_cs(DATA / "compressed.cs")
    whole = (DATA / "J20_particles.cs").read_bytes()
    for number, data in enumerate(
        (b"", b"\x93NUMPY", whole[:900], whole[:-1], b"\x93NUMPY\x01\x00\xff\xff" + whole[10:])
    ):
        (tmp_path / f"{number}.cs").write_bytes(data)
        with pytest.raises(ValueError, match=f"{number}.cs (cannot be read|is damaged)"):
            read_cs(tmp_path / f"{number}.cs")
    lie = whole.replace(b"'shape': (6,)", b"'shape': (6" + b"0" * 12 + b",)")  # more rows than any disk has
    (tmp_path / "lie.cs").write_bytes(lie.replace(b" " * 12 + b"\n", b"\n", 1))
    with pytest.raises(ValueError, match="lie.cs (cannot be read|is damaged)"):
        read_cs(tmp_path / "lie.cs")
    with pytest.raises(ValueError, match="has neither particles"):
        read_tables(saved(tmp_path / "empty.cs", uid=np.arange(3, dtype=np.uint64)))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_cs(tmp_path / "none.cs")
    with pytest.raises(ValueError, match="is a folder"):
        read_cs(tmp_path)
    for data in np.random.default_rng(0).integers(0, len(whole), (200, 3)):
        damaged = bytearray(whole)
        for place in data:
            damaged[place] ^= 0x5A
        (tmp_path / "damaged.cs").write_bytes(bytes(damaged))
        try:
            cryosparc_tables(tmp_path / "damaged.cs")
        except ValueError as error:
            assert "damaged.cs" in str(error)


def test_a_passthrough_file_of_other_particles_is_not_taken(project):
    rows = np.array(read_cs(project / "J20" / "J20_passthrough_particles.cs"))
    rows["uid"][0] = 99  # one of another exposure group
    path = project / "J20" / "J20_passthrough_particles.cs"
    path.unlink()
    saved(path, **{name: rows[name] for name in rows.dtype.names})
    with pytest.raises(
        ValueError, match="J20_passthrough_particles.cs has only 5 of the 6 particles of .*J20_particles"
    ):
        read_tables(project / "J20" / "J20_particles.cs")
    rows["uid"] = np.arange(100, 106)
    saved(path, **{name: rows[name] for name in rows.dtype.names})
    assert "rlnCoordinateX" not in read_tables(project / "J20" / "J20_particles.cs")["particles"]
    with pytest.raises(ValueError, match="has particles without positions"):
        read_particle_positions(project / "J20" / "J20_particles.cs")


def test_100_000_particles_take_little_time_and_memory(tmp_path):
    rows = np.repeat(np.array(read_cs(DATA / "J20_particles.cs")), 16_667)
    rows["uid"] = np.arange(len(rows), dtype=np.uint64)
    with open(tmp_path / "many.cs", "wb") as file:
        np.save(file, rows)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    tables = cryosparc_tables(tmp_path / "many.cs")
    write_cs_rows(tmp_path / "many.cs", tables["particles"]["ucsfUid"], tmp_path / "same.cs")
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert len(tables["particles"]["rlnImageName"]) == 100_002 and time.process_time() - start < 20 and taken < 500
    assert np.array_equal(read_cs(tmp_path / "same.cs"), rows)
