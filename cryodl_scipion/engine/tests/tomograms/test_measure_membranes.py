# SPDX-License-Identifier: GPL-3.0-or-later
"""Membranes as objects: spheres, tubes and sheets of known size are measured to be what they are."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from synthetic import environment, write_mrc

from cryodl.contract import Result
from cryodl.io.star import read_tables
from cryodl.io.tomograms import Tomogram
from cryodl.running.cli import main
from cryodl.tomograms.features.measured_membranes import separated
from cryodl.tomograms.features.membranes import nearest_others

PIXEL, THICK = 10.0, 4.0  # Å/px; voxels


def shell(shape, centre, radius):
    away = np.sqrt(sum((g - c) ** 2 for g, c in zip(np.indices(shape), centre)))
    return np.abs(away - radius) <= THICK / 2


def tube(shape, centre_zy, radius):
    z, y, _ = np.indices(shape)
    return np.abs(np.hypot(z - centre_zy[0], y - centre_zy[1]) - radius) <= THICK / 2


def measure(folder, mask, *more):
    """Rows of the table, columns of the STAR file, and the Result."""
    write_mrc(folder / "t1.mrc", mask.astype(np.int8), PIXEL)
    command = ["measure-membranes", "--segmentations", str(folder / "t1.mrc"), "--label", "1", "--spacing", "50"]
    command += ["--output", str(folder / "out"), "--result", str(folder / "r.json"), *more]
    assert main(command) == 0
    result = Result.read(folder / "r.json")
    with open(result.outputs["table"], newline="") as file:
        rows = [
            {k: v if k in ("tomogram", "closed") else float(v or "nan") for k, v in r.items()}
            for r in csv.DictReader(file)
        ]
    return rows, read_tables(result.outputs["particles"])["particles"], result


def read_ply(path):
    """Vertices (n, k) by name and faces (m, 3) of a binary PLY file."""
    head, _, body = open(path, "rb").read().partition(b"end_header\n")
    lines = head.decode().splitlines()
    vertices, faces = (int(line.split()[2]) for line in lines if line.startswith("element"))
    names = [line.split()[2] for line in lines if line.startswith("property float")]
    table = np.frombuffer(body, "<f4", vertices * len(names)).reshape(vertices, -1)
    rest = np.frombuffer(body[table.nbytes :], [("n", "u1"), ("c", "<i4", 3)])
    assert len(rest) == faces and (rest["n"] == 3).all()
    return dict(zip(names, table.T)), rest["c"]


@pytest.fixture(scope="module")
def spheres(tmp_path_factory):
    """Two spheres of radius 200 and 120 Å whose middle surfaces are 90 Å apart, and a speck."""
    shape, folder = (60, 60, 90), tmp_path_factory.mktemp("spheres")
    mask = shell(shape, (30, 30, 27), 20) | shell(shape, (30, 30, 68), 12)
    mask[2:5, 2:5, 2:5] = True
    return folder, *measure(folder, mask)


def test_spheres_have_their_area_thickness_and_curvature(spheres):
    _, rows, _, result = spheres
    assert result.outputs["counts"] == {"t1": 2} and [row["closed"] for row in rows] == ["yes", "yes"]
    for row, radius in zip(sorted(rows, key=lambda r: -r["area_nm2"]), (20.0, 12.0)):
        assert row["area_nm2"] == pytest.approx(4 * np.pi * radius**2, rel=0.05)
        assert row["thickness_angstrom"] == pytest.approx(10 * THICK, abs=5)
        assert row["mean_curvature_per_nm"] == pytest.approx(1 / radius, rel=0.12)
        assert row["gaussian_curvature_per_nm2"] == pytest.approx(1 / radius**2, rel=0.25)
        assert row["distance_angstrom"] == pytest.approx(90, abs=12) and row["nearest_membrane"] in (1, 2)


def test_two_spheres_that_touch_are_two_membranes(tmp_path):
    shape, radii = (48, 48, 84), (18.0, 14.0)
    one, two = shell(shape, (24, 24, 22), radii[0]), shell(shape, (24, 24, 57), radii[1])
    mask = one | two
    mask[24, 24, 41:43] = True  # a bridge of two voxels
    mask[:10], mask[38:] = False, False  # the missing wedge takes the top and the bottom
    rows, _, result = measure(tmp_path, mask)
    assert result.outputs["counts"] == {"t1": 2}
    numbers = Tomogram(result.outputs["instances"]["t1"]).raw()
    assert (numbers > 0).sum() == mask.sum() == sum(row["voxels"] for row in rows)
    for sphere, row in zip((one, two), rows):
        own = numbers == row["membrane"]
        assert (own & sphere & mask).sum() > 0.99 * own.sum()
        assert row["nearest_membrane"] == 3 - row["membrane"] and row["distance_angstrom"] < 80
    assert rows[0]["mean_curvature_per_nm"] == pytest.approx(1 / radii[0], rel=0.25)


def test_what_lies_in_each_other_or_has_a_septum_is_one():
    shape = (44, 44, 44)
    middle = shell(shape, (22, 22, 22), 17)
    nested = middle | shell(shape, (22, 22, 28), 8)  # touches the outer one
    septum = middle | ((np.indices(shape)[2] // 4 == 5) & (sum((g - 22) ** 2 for g in np.indices(shape)) < 17**2))
    assert separated(nested, THICK)[0] is None and separated(septum, THICK)[0] is None
    beside = shell((44, 44, 80), (22, 22, 20), 16) | shell((44, 44, 80), (22, 22, 57), 17)
    assert separated(beside, THICK)[0].max() == 2


def test_meshes_lie_on_the_middle_surface_with_normals_outwards(spheres):
    _, _, _, result = spheres
    radii = []
    for path in result.outputs["meshes"]["t1"]:
        values, faces = read_ply(path)
        xyz = np.stack([values[k] for k in "xyz"], 1)
        centre = np.array([270, 300, 300] if xyz[:, 0].max() < 500 else [680, 300, 300])
        away = np.linalg.norm(xyz - centre, axis=1)
        radii.append(float(np.median(away)))
        assert away.std() < 4 and len(faces) > 500
        normals = np.stack([values[k] for k in ("nx", "ny", "nz")], 1)
        assert ((xyz - centre) / away[:, None] * normals).sum(1).min() > 0.95
        a, b, c = (xyz[faces[:, k]] for k in range(3))
        assert ((np.cross(b - a, c - a) * (a - centre)).sum(1) > 0).mean() > 0.99
    assert sorted(radii) == pytest.approx([120, 200], abs=4)


def test_membranes_of_an_ome_zarr_are_those_of_its_mrc_file(tmp_path):
    for folder in ("mrc", "zarr"):
        (tmp_path / folder).mkdir()
    rows, _, _ = measure(tmp_path / "mrc", shell((40, 40, 40), (20, 20, 20), 10))
    export = ["export-tomograms", "--tomograms", str(tmp_path / "mrc/t1.mrc"), "--labels"]
    assert main([*export, "--output", str(tmp_path / "exported")]) == 0
    command = ["measure-membranes", "--segmentations", str(tmp_path / "exported/t1.zarr"), "--label", "1"]
    assert main([*command, "--spacing", "50", "--output", str(tmp_path / "zarr/out")]) == 0
    for name in ("membranes.csv", "t1.mrc", "t1_membrane_001.ply"):
        assert (tmp_path / "zarr/out" / name).exists()
    with open(tmp_path / "zarr/out/membranes.csv", newline="") as file:
        assert float(next(csv.DictReader(file))["area_nm2"]) == rows[0]["area_nm2"]


def test_every_membrane_has_its_number_and_points_their_places_and_angles(spheres):
    folder, rows, columns, result = spheres
    numbers = Tomogram(result.outputs["instances"]["t1"]).raw()
    assert set(np.unique(numbers)) == {0, 1, 2} and numbers[3, 3, 3] == 0  # the speck is too small
    assert [int((numbers == k).sum()) for k in (1, 2)] == [row["voxels"] for row in rows]
    zyx = np.array([[float(v) for v in columns[f"rlnCoordinate{a}"]] for a in "ZYX"]).T.round().astype(int)
    assert (numbers[tuple(zyx.T)] == np.array(columns["cryodlPiece"], int)).all()
    assert set(columns) >= {"rlnCenteredCoordinateXAngst", "rlnAngleTilt", "cryodlMeanCurvature", "cryodlDistance"}
    assert len(zyx) == result.outputs["points"]["t1"] == sum(row["points"] for row in rows) > 150


def test_a_tube_bends_one_way_only_and_ends_where_the_volume_does(tmp_path):
    rows, columns, _ = measure(tmp_path, tube((50, 50, 60), (25, 25), 15))
    (row,) = rows
    assert row["closed"] == "no" and row["area_nm2"] == pytest.approx(2 * np.pi * 15 * 60, rel=0.06)
    assert row["mean_curvature_per_nm"] == pytest.approx(1 / 30, rel=0.12)
    assert abs(row["gaussian_curvature_per_nm2"]) < 0.1 / 15**2
    assert np.isnan(row["distance_angstrom"]) and set(columns["cryodlNearestMembrane"]) == {"0"}


def test_sheets_are_flat_and_their_distance_is_that_of_their_middles(tmp_path):
    mask = np.zeros((50, 40, 40), bool)
    mask[10:14], mask[30:36] = True, True
    rows, _, _ = measure(tmp_path, mask)
    assert [row["thickness_angstrom"] for row in rows] == pytest.approx([40, 60], abs=3)
    assert [row["distance_angstrom"] for row in rows] == pytest.approx([210, 210], abs=4)
    assert all(abs(row["mean_curvature_per_nm"]) < 2e-3 for row in rows)


def test_a_large_surface_takes_no_more_than_its_mask_and_its_mesh():
    """870 bytes for each vertex before: all of them were blended, and their triangles turned, at once."""
    code = (
        "import numpy as np; from cryodl.tomograms.features.membrane_meshes import middle_surface\n"
        "peak = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "def made(n):\n"
        "    places = np.stack(np.meshgrid([1.5], np.arange(4, n, 8), np.arange(4, n, 8)), -1).reshape(-1, 3)\n"
        "    return middle_surface(np.ones((4, n, n), bool), np.zeros(3, int), places, np.eye(3)[[0] * len(places)])\n"
        "made(40); before = peak(); mesh = made(600); print((peak() - before) * 1024 / len(mesh.vertices), mesh.area)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    bytes_each, area = map(float, done.stdout.split())
    assert bytes_each < 400 and area == pytest.approx(600**2, rel=0.01), done.stderr


def test_the_nearest_other_surface_is_that_of_all_vertices():
    rng = np.random.default_rng(0)
    surfaces = {n: rng.normal(40 * rng.random(3), 4, (500, 3)) for n in range(1, 6)}
    surfaces[6] = np.zeros((0, 3))
    positions, own = 60 * rng.random((300, 3)), rng.integers(1, 7, 300)
    distance, other = nearest_others(positions, own, surfaces)
    away = {n: np.linalg.norm(positions[:, None] - v, axis=2).min(axis=1, initial=np.inf) for n, v in surfaces.items()}
    expected = np.stack([np.where(own == n, np.inf, away[n]) for n in surfaces])
    assert np.allclose(distance, expected.min(axis=0)) and (other == expected.argmin(axis=0) + 1).all()


def test_nothing_large_enough_is_said(tmp_path):
    mask = np.zeros((12, 12, 12), bool)
    mask[5, 5, 5] = True
    rows, columns, result = measure(tmp_path, mask)
    assert rows == [] and result.outputs["meshes"] == {"t1": []} and result.outputs["points"] == {"t1": 0}
    assert any("No membrane was found in t1" in warning for warning in result.warnings)
