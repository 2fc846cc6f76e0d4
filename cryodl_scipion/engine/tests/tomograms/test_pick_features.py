# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmentations become coordinates: shapes of which places and directions are known, and the command."""

import time

import mrcfile
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from synthetic import write_mrc

from cryodl.cli import main
from cryodl.contract import Result
from cryodl.core.projections import rotation_matrices
from cryodl.io.star import read_tables
from cryodl.tomograms.features import particles, picking, segmentation
from cryodl.tomograms.features.points import angles_along

PIXEL = 10.0


def ball(shape, centre, radius):
    return sum((i - c) ** 2 for i, c in zip(np.indices(shape), centre)) <= radius**2


def tube(axis, shape, radius, lumen=-1):
    """Mask of a tube around a line (n, 3) zyx."""
    distance = cKDTree(axis).query(np.indices(shape).reshape(3, -1).T)[0].reshape(shape)
    return (distance <= radius) & (distance > lumen)


def arc(radius=50, z=12):
    turn = np.linspace(0.15, 1.4, 300)
    return np.stack([z + 10 * turn, 5 + radius * np.sin(turn), 8 + radius * np.cos(turn)], axis=1)


def pick(folder, volume, *arguments, names=("t1",), label=True, output="picked"):
    """Columns of the STAR file, and the Result."""
    for name, values in zip(names, [volume] if len(names) == 1 else volume):
        write_mrc(folder / f"{name}.mrc", values.astype(np.int8) if values.dtype == bool else values, PIXEL)
    files = [str(folder / f"{name}.mrc") for name in names]
    code = main(
        [
            "pick-features",
            "--segmentations",
            *files,
            "--output",
            str(folder / output),
            "--result",
            str(folder / "result.json"),
            *(["--label", "1"] if label else []),
            *arguments,
        ]
    )
    assert code == 0
    return table(folder / output / f"{names[0]}.star"), Result.read(folder / "result.json")


def table(path):
    columns = read_tables(path)["particles"]
    return {k: v if k == "rlnTomoName" else np.array(v, float) for k, v in columns.items()}


def places(columns):
    return np.stack([columns[f"rlnCoordinate{axis}"] for axis in "ZYX"], axis=1)


def z_axes(columns):
    """(n, 3) zyx: where the reference's z axis lies in the tomogram, by the matrices of the project's projections."""
    angles = np.stack([columns[f"rlnAngle{a}"] for a in ("Rot", "Tilt", "Psi")], axis=1)
    return rotation_matrices(angles)[:, 2, ::-1]  # they take the tomogram's frame to the reference's


def degrees_between(a, b):
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))


def test_centres_are_those_of_mass_in_xyz_with_sizes_and_numbers_of_components(tmp_path):
    mask = np.zeros((10, 20, 30), bool)
    mask[1, 2, 3], mask[4:6, 10:14, 20:26] = True, True
    found, result = pick(tmp_path, mask)
    assert places(found).tolist() == [[1, 2, 3], [4.5, 11.5, 22.5]]
    assert found["cryodlVolume"].tolist() == [1, 48] and found["cryodlPiece"].tolist() == [1, 2]
    assert found["rlnTomoName"] == ["t1", "t1"] and (found["rlnAngleTilt"] == 0).all()
    assert result.outputs["counts"] == {"t1": 2} and result.outputs["pixel_size"] == pytest.approx(PIXEL)


def test_pieces_too_small_too_large_or_at_the_border_are_left_out(tmp_path):
    mask = np.zeros((20, 30, 40), bool)
    mask[5, 5, 5], mask[10:12, 10:12, 10:12], mask[5:15, 15:25, 20:30] = True, True, True
    mask[10:12, 10:12, 36:38] = True
    found, _ = pick(tmp_path, mask, "--smallest", "2", "--largest", "500", "--border", "30")
    assert places(found).tolist() == [[10.5, 10.5, 10.5]] and found["cryodlPiece"].tolist() == [3]


def test_a_piece_across_slabs_is_one(tmp_path, monkeypatch):
    mask = ball((24, 20, 20), (11, 9, 10), 7)
    monkeypatch.setattr(picking, "MEMORY", 1e-9)  # slabs of one slice
    found, _ = pick(tmp_path, mask)
    assert places(found).round(3).tolist() == [[11, 9, 10]] and found["cryodlVolume"][0] == mask.sum()


def test_scores_are_cut_at_the_threshold_and_kept(tmp_path):
    scores = np.full((6, 8, 10), 0.1, np.float16)
    scores[2, 3, 4], scores[4, 6, 8] = 0.75, 0.5
    write_mrc(tmp_path / "t1__ribosome.mrc", scores, PIXEL)
    assert (
        main(
            [
                "pick-features",
                "--segmentations",
                str(tmp_path / "t1__ribosome.mrc"),
                "--threshold",
                "0.6",
                "--output",
                str(tmp_path / "p"),
            ]
        )
        == 0
    )
    found = table(tmp_path / "p" / "t1.star")
    assert places(found).tolist() == [[2, 3, 4]] and found["cryodlScore"].tolist() == [0.75]


def test_spheres_that_touch_are_parted(tmp_path):
    centres = [(15, 16, 12), (15, 17, 27), (16, 31, 20)]
    mask = np.any([ball((32, 46, 42), c, 8) for c in centres], axis=0)
    found, _ = pick(tmp_path, mask, "--shape", "particles", "--diameter", "160")
    distance, nearest = cKDTree(centres).query(places(found))
    assert sorted(nearest) == [0, 1, 2] and distance.max() < 1
    assert found["cryodlVolume"] == pytest.approx(ball((32, 46, 42), centres[0], 8).sum(), rel=0.05)
    assert found["cryodlPiece"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("reach, length", [(0, 1.6), (9, 1)], ids=("ellipsoid", "rod"))
def test_a_long_particle_without_a_neck_stays_one(reach, length):
    """Four turns and places on the grid, on which it depends how many summits a rod has."""
    grid = np.indices((48, 48, 48)).reshape(3, -1).T
    for seed in range(3, 7):
        own = Rotation.random(random_state=seed).apply(grid - 23 - np.random.default_rng(seed).random(3))
        own[:, 0] = np.maximum(np.abs(own[:, 0]) - reach, 0) / length
        mask = (np.linalg.norm(own, axis=1) <= 6).reshape(48, 48, 48)
        centres, voxels, seeds = particles.part(mask, 12)
        assert len(centres) == len(seeds) == 1 and voxels.tolist() == [mask.sum()] and mask[tuple(seeds[0])]
        assert centres[0] == pytest.approx(np.argwhere(mask).mean(axis=0))


@pytest.mark.parametrize("distance", (12, 16))
def test_two_spheres_that_touch_or_overlap_a_little_stay_two(distance):
    mask = ball((24, 24, 44), (11, 11, 12), 8) | ball((24, 24, 44), (11, 11, 12 + distance), 8)
    assert len(particles.part(mask, 16)[0]) == 2


@pytest.mark.parametrize("thickness", (5, 7))
def test_flat_particles_that_touch_stay_two(thickness):
    z, y, x = np.indices((24, 32, 48))
    disk = lambda centre: ((y - 15) ** 2 + (x - centre) ** 2 <= 64) & (np.abs(z - 12) <= thickness // 2)
    assert len(particles.part(disk(14) | disk(27), 16)[0]) == 2


def test_what_is_much_longer_than_a_particle_is_no_single_one():
    z, y, x = np.indices((20, 20, 120))
    centres = particles.part((z - 10) ** 2 + (y - 10) ** 2 <= 36, 12)[0]
    assert len(centres) >= 4


def test_without_a_diameter_that_of_the_median_piece_is_taken(tmp_path):
    centres = [(12, 12, 12), (12, 12, 40), (12, 40, 12), (12, 41, 27)]
    mask = np.any([ball((24, 54, 54), c, 8) for c in centres], axis=0)
    found, _ = pick(tmp_path, mask, "--shape", "particles")
    assert cKDTree(centres).query(places(found))[0].max() < 1 and len(places(found)) == 4


def test_parting_by_blocks_gives_each_particle_once(tmp_path, monkeypatch):
    """A chain of spheres through many blocks, beside a lone sphere in the same box that is a component of its own."""
    centres = [(12, 12 + (k % 2), 12 + 14 * k) for k in range(9)]
    mask = np.any([ball((25, 50, 140), c, 8) for c in [*centres, (12, 38, 60)]], axis=0)
    whole, _ = pick(tmp_path, mask, "--shape", "particles", "--diameter", "160")
    monkeypatch.setattr(particles, "LARGEST_BOX", 10_000)
    parts, _ = pick(tmp_path, mask, "--shape", "particles", "--diameter", "160", output="blocks")
    assert len(places(parts)) == len(places(whole)) == 10
    assert cKDTree(places(whole)).query(places(parts))[0].max() < 0.3
    assert sorted(parts["cryodlPiece"]) == sorted(whole["cryodlPiece"]) == [1] * 9 + [2]


@pytest.mark.parametrize("lumen", (-1, 2.5), ids=("solid", "hollow"))
def test_points_of_a_curved_tube_lie_on_its_axis_and_point_along_it(tmp_path, lumen):
    axis = arc()
    found, _ = pick(tmp_path, tube(axis, (40, 64, 70), 4.5, lumen), "--shape", "filaments", "--spacing", "60")
    distance, nearest = cKDTree(axis).query(places(found))
    along = np.gradient(axis, axis=0)[nearest]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    turn = degrees_between(z_axes(found), along)
    assert distance.max() < 1 and np.minimum(turn, 180 - turn).max() < 5
    assert (turn < 90).all() or (turn > 90).all()  # one way along the filament
    steps = np.linalg.norm(np.diff(places(found), axis=0), axis=1)
    assert steps == pytest.approx(6, rel=0.02)
    length = np.linalg.norm(np.diff(axis, axis=0), axis=1).sum()
    assert len(places(found)) >= length / 6 - 2 and (found["rlnHelicalTubeID"] == 1).all()
    assert (found["rlnAngleTiltPrior"] == found["rlnAngleTilt"]).all()


def test_filaments_that_cross_stay_two_and_short_spurs_go(tmp_path):
    shape, step = (20, 60, 60), np.linspace(0, 1, 200)[:, None]
    lines = [np.array([10, 5, 8]) + step * [0, 50, 42], np.array([10, 54, 10]) + step * [0, -46, 44]]
    spur = np.array([10, 30, 29]) + step * [0, 1, -3]
    mask = np.any([tube(line, shape, 2) for line in [*lines, spur]], axis=0)
    found, _ = pick(tmp_path, mask, "--shape", "filaments", "--spacing", "50")
    assert set(found["rlnHelicalTubeID"]) == {1, 2} and set(found["cryodlPiece"]) == {1}
    for number in (1, 2):
        own = places(found)[found["rlnHelicalTubeID"] == number]
        assert min(cKDTree(line).query(own)[0].max() for line in lines) < 1.5
        assert len(own) >= 11  # from one end to the other


def test_at_a_branch_the_straight_filament_goes_on_and_the_other_ends(tmp_path):
    shape, step = (20, 60, 60), np.linspace(0, 1, 200)[:, None]
    stem, branch = np.array([10, 30, 5]) + step * [0, 0, 50], np.array([10, 30, 30]) + step * [0, 26, 0]
    mask = tube(stem, shape, 2) | tube(branch, shape, 2)
    found, _ = pick(tmp_path, mask, "--shape", "filaments", "--spacing", "40")
    lengths = np.bincount(found["rlnHelicalTubeID"].astype(int))[1:]
    assert sorted(lengths) in ([6, 12], [6, 13], [7, 12], [7, 13])


def test_a_ring_gives_points_all_around(tmp_path):
    turn = np.linspace(0, 2 * np.pi, 400)
    ring = np.stack([10 + 0 * turn, 30 + 20 * np.sin(turn), 30 + 20 * np.cos(turn)], axis=1)
    found, _ = pick(tmp_path, tube(ring, (20, 60, 60), 2), "--shape", "filaments", "--spacing", "50")
    assert cKDTree(ring).query(places(found))[0].max() < 1.5
    assert cKDTree(places(found)).query(ring)[0].max() < 5


def test_large_filaments_are_traced_on_bins_and_stay_on_their_axis(tmp_path, monkeypatch):
    monkeypatch.setattr(segmentation, "MOST_VOXELS", 25_000)
    axis = arc()
    found, _ = pick(tmp_path, tube(axis, (40, 64, 70), 4.5), "--shape", "filaments", "--spacing", "60")
    assert len(places(found)) >= 9 and cKDTree(axis).query(places(found))[0].max() < 2


def test_points_on_a_shell_lie_on_it_with_normals_outwards_and_the_spacing(tmp_path):
    shape, centre = (52, 54, 56), np.array([25, 27, 28])
    radius = np.linalg.norm(np.indices(shape).reshape(3, -1).T - centre, axis=1).reshape(shape)
    found, _ = pick(tmp_path, np.abs(radius - 20) <= 2, "--shape", "membranes", "--spacing", "60")
    away = places(found) - centre
    lengths = np.linalg.norm(away, axis=1)
    assert np.abs(lengths - 20).max() < 0.5
    assert degrees_between(z_axes(found), away / lengths[:, None]).max() < 5
    nearest = cKDTree(places(found)).query(places(found), 2)[0][:, 1]
    assert nearest.min() > 5.7 and nearest.max() < 12
    assert cKDTree(places(found)).query(np.argwhere(np.abs(radius - 20) < 0.5))[0].max() < 9  # no holes


def test_normals_of_an_open_bent_sheet_are_on_one_side(tmp_path):
    z, y, x = np.indices((40, 50, 50))
    sheet = np.abs(z - 10 - 15 * np.cos((x - 25) / 20)) <= 1.5
    found, _ = pick(tmp_path, sheet, "--shape", "membranes", "--spacing", "60")
    assert (z_axes(found)[:, 0] > 0.5).all()  # the outer side of the bend is up


def test_angles_lay_the_z_axis_along_the_direction_and_rot_is_free():
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions[0], directions[1] = (2, 0, 0), (-1, 0, 0)
    angles = angles_along(directions, np.random.default_rng(1))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for rot in (angles[:, 0], 0 * angles[:, 0]):
        turned = rotation_matrices(np.stack([rot, angles[:, 1], angles[:, 2]], 1))[:, 2, ::-1]
        assert turned == pytest.approx(unit, abs=1e-6)
    assert angles[:, 0].std() > 60


def test_a_rod_along_z_turned_by_the_angles_of_a_filament_looks_like_it(tmp_path):
    """From outside: the density of a rod along z, turned by the simulator, lies where the filament was."""
    import torch

    from cryodl.simulate.rotations import rotated

    line = np.array([24, 24, 24]) + np.linspace(-20, 20, 200)[:, None] * np.array([0.35, 0.8, -0.48])
    found, _ = pick(tmp_path, tube(line, (48, 48, 48), 2.5), "--shape", "filaments", "--spacing", "80")
    rod = torch.zeros(48, 48, 48)
    rod[8:41, 23:26, 23:26] = 1
    middle = np.argmin(np.abs(places(found) - 24).sum(axis=1))
    angles = [[found[f"rlnAngle{a}"][middle] for a in ("Rot", "Tilt", "Psi")]]
    turned = np.argwhere(rotated(rod, angles)[0].numpy() > 0.5)
    assert cKDTree(line).query(turned)[0].max() < 3


def test_nothing_found_is_an_empty_star_and_a_warning(tmp_path):
    for shape in ("centres", "particles", "filaments", "membranes"):
        found, result = pick(tmp_path, np.zeros((4, 5, 6), bool), "--shape", shape, output=shape)
        assert len(places(found)) == 0 and result.outputs["counts"] == {"t1": 0}
        assert any("Nothing was found in 1 of 1 tomograms (t1): no voxel has the value 1" in w for w in result.warnings)


def test_single_voxels_and_thin_lines_do_no_harm(tmp_path):
    mask = np.zeros((8, 9, 20), bool)
    mask[1, 1, 1], mask[4, 4, 3:18], mask[6, 7, 2:4] = True, True, True
    for shape in ("particles", "filaments", "membranes"):
        found, _ = pick(tmp_path, mask, "--shape", shape, "--spacing", "30", output=shape)
        assert len(places(found)) >= 3 and np.isfinite(z_axes(found)).all()


def test_all_tomograms_are_in_particles_star_and_finished_ones_stay(tmp_path, capsys):
    mask = ball((12, 14, 16), (5, 6, 7), 3)
    pick(tmp_path, mask)
    before = (tmp_path / "picked/t1.star").stat().st_mtime_ns
    pick(tmp_path, [mask, mask], names=("t2", "t3"))
    said = capsys.readouterr().out
    assert "1 point in 1 tomogram:" in said and "2 points in 2 tomograms:" in said
    write_mrc(tmp_path / "t4.mrc", np.zeros((3, 3, 3), np.int8), PIXEL)
    assert table(tmp_path / "picked/particles.star")["rlnTomoName"] == ["t1", "t2", "t3"]
    assert (
        main(
            [
                "pick-features",
                "--segmentations",
                str(tmp_path / "t1.mrc"),
                "--output",
                str(tmp_path / "picked"),
                "--label",
                "1",
            ]
        )
        == 0
    )
    assert (tmp_path / "picked/t1.star").stat().st_mtime_ns == before


def test_other_parameters_in_the_same_folder_are_refused(tmp_path, capsys):
    pick(tmp_path, ball((12, 14, 16), (5, 6, 7), 3))
    assert (
        main(
            [
                "pick-features",
                "--segmentations",
                str(tmp_path / "t1.mrc"),
                "--output",
                str(tmp_path / "picked"),
                "--label",
                "2",
            ]
        )
        == 2
    )
    assert "label 1 (now 2)" in capsys.readouterr().err


def test_bad_volumes_are_skipped_with_their_reasons_and_named(tmp_path, capsys):
    good = tmp_path / "good.mrc"
    write_mrc(good, np.zeros((3, 4, 5), np.float32), PIXEL)
    write_mrc(tmp_path / "labels.mrc", np.zeros((3, 4, 5), np.uint16), PIXEL)
    write_mrc(tmp_path / "density.mrc", np.full((3, 4, 5), 40, np.float32), PIXEL)
    write_mrc(tmp_path / "unscaled.mrc", np.zeros((3, 4, 5), np.float32), 0)
    run = lambda *names: main(
        [
            "pick-features",
            "--segmentations",
            *(str(tmp_path / f"{n}.mrc") for n in names),
            "--output",
            str(tmp_path / "out"),
            "--result",
            str(tmp_path / "result.json"),
        ]
    )
    assert run("good", "labels", "density", "unscaled") == 0
    result, printed = Result.read(tmp_path / "result.json"), capsys.readouterr()
    assert (printed.out + printed.err).count("density.mrc") == 1, "said once, when it happens"
    assert result.warnings[-2] == "3 volumes were skipped, as said above."
    reasons = {s.item: s.reason for s in result.skipped}
    assert "Give the feature's value (--label)" in reasons["labels"]
    assert "values from 40 to 40; scores are 0 to 1" in reasons["density"]
    assert "Give --pixel-size" in reasons["unscaled"]
    assert run("labels") == 2 and "None of the 1 volume could be used" in capsys.readouterr().err


def test_a_label_for_scores_is_refused(tmp_path, capsys):
    listed = '{"features": [{"name": "wall"}], "tomograms": {"t1": {"files": {"wall": "t1__wall.mrc"}}}}'
    (tmp_path / "segment.json").write_text(listed)
    scores = ball((12, 14, 16), (5, 6, 7), 3)
    write_mrc(tmp_path / "t1__wall.mrc", scores.astype(np.int8), PIXEL)  # per cent, and listed
    write_mrc(tmp_path / "half.mrc", scores.astype(np.float16), PIXEL)
    for name in ("t1__wall", "half"):
        assert (
            main(
                [
                    "pick-features",
                    "--segmentations",
                    str(tmp_path / f"{name}.mrc"),
                    "--label",
                    "1",
                    "--output",
                    str(tmp_path / name),
                ]
            )
            == 2
        )
        assert "These are scores; leave out --label." in capsys.readouterr().err
    pick(tmp_path, scores)  # a label volume in the same folder, which is not listed


def test_a_label_volume_without_a_label_is_refused_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "merged").mkdir()
    write_mrc(tmp_path / "merged/a.mrc", np.eye(8, dtype=np.int8)[None].repeat(4, 0), PIXEL)
    (tmp_path / "features.json").write_text('{"features": [{"label": 1, "name": "wall"}]}')
    assert (
        main(["pick-features", "--segmentations", str(tmp_path / "merged/a.mrc"), "--output", str(tmp_path / "out")])
        == 2
    )
    assert "a label volume (1 wall" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_file_that_is_no_volume_is_skipped_and_the_others_are_picked(tmp_path):
    (tmp_path / "cut.mrc").write_bytes(b"cut short")
    write_mrc(tmp_path / "good.mrc", np.zeros((3, 4, 5), np.float32), PIXEL)
    assert (
        main(
            [
                "pick-features",
                "--segmentations",
                str(tmp_path / "cut.mrc"),
                str(tmp_path / "good.mrc"),
                "--output",
                str(tmp_path / "out"),
                "--result",
                str(tmp_path / "result.json"),
            ]
        )
        == 0
    )
    result = Result.read(tmp_path / "result.json")
    assert [s.item for s in result.skipped] == ["cut"] and set(result.outputs["files"]) == {"good"}


def test_float_scores_given_as_labels_are_refused_and_whole_floats_are_not(tmp_path, capsys):
    mask = ball((12, 14, 16), (5, 6, 7), 3)
    assert len(places(pick(tmp_path, mask.astype(np.float32))[0])) == 1
    write_mrc(tmp_path / "s1.mrc", np.where(mask, 0.83, 1).astype(np.float32), PIXEL)
    assert (
        main(
            [
                "pick-features",
                "--segmentations",
                str(tmp_path / "s1.mrc"),
                "--label",
                "1",
                "--output",
                str(tmp_path / "scores"),
            ]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert "s1.mrc holds values such as 0.83; label volumes hold whole numbers" in said and "leave out --label" in said


def test_labels_above_127_are_found_in_bytes_of_either_sign(tmp_path):
    labels = np.where(ball((12, 14, 16), (5, 6, 7), 3), np.uint8(200), np.uint8(255))
    write_mrc(tmp_path / "t1.mrc", labels.view(np.int8), PIXEL)
    assert (
        main(
            [
                "pick-features",
                "--segmentations",
                str(tmp_path / "t1.mrc"),
                "--label",
                "200",
                "--output",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    assert places(table(tmp_path / "out/t1.star")).round(3).tolist() == [[5, 6, 7]]


def test_a_warning_of_several_tomograms_is_given_once(tmp_path, capsys):
    mask = ball((12, 14, 16), (5, 6, 7), 3)
    _, result = pick(tmp_path, [mask, mask & False], names=("t1", "t2"))
    said = capsys.readouterr()
    assert len(result.warnings) == 1 and (said.out + said.err).count("Nothing was found in 1 of 2 tomograms") == 1


def test_points_are_the_same_again_with_the_same_seed(tmp_path):
    mask = np.abs(np.linalg.norm(np.indices((30, 30, 30)).T - 14, axis=-1).T - 10) < 1.5
    one, _ = pick(tmp_path, mask, "--shape", "membranes", "--spacing", "60")
    two, _ = pick(tmp_path, mask, "--shape", "membranes", "--spacing", "60", output="again")
    assert all((np.asarray(one[key]) == np.asarray(two[key])).all() for key in one)
    with mrcfile.open(tmp_path / "t1.mrc") as mrc:
        assert (mrc.data == mask).all()  # inputs stay as they are


def test_time_of_centre_lines_grows_with_their_number_and_not_with_its_square():
    from cryodl.tomograms.features.skeletons import _joined, _pruned

    def tree(spurs):
        """A long line with a short spur at every third voxel: places, and branches between branch points."""
        trunk = np.array([(0, 3 * k, 0) for k in range(spurs + 2)])
        tips = np.array([(0, 3 * k, 1) for k in range(1, spurs + 1)])
        branches = [[k, k + 1] for k in range(spurs + 1)] + [[k, spurs + 1 + k] for k in range(1, spurs + 1)]
        return np.concatenate([trunk, tips]), branches

    places, branches = tree(3000)
    start = time.process_time()
    lines = _joined(_pruned(branches, places, np.ones(len(places))), places, np.ones(len(places)))
    assert [len(line) for line in lines] == [3002] and time.process_time() - start < 5


def test_labels_in_bytes_are_not_taken_for_hundredths(tmp_path, capsys):
    labels = np.zeros((12, 40, 40), np.int8)
    labels[4:8, 10:30, 10:30] = 3
    write_mrc(tmp_path / "a.mrc", labels, PIXEL)
    command = ["pick-features", "--segmentations", str(tmp_path / "a.mrc"), "--shape", "centres"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 2
    assert (
        "holds the whole numbers 0, 3 and does not say that they are scores, which are hundredths"
        in capsys.readouterr().err
    )
    assert main([*command, "--output", str(tmp_path / "out"), "--label", "3"]) == 0
    write_mrc(tmp_path / "b.mrc", (np.arange(12 * 1600).reshape(labels.shape) % 40).astype(np.int8), PIXEL)
    assert main([*command[:2], str(tmp_path / "b.mrc"), *command[3:], "--output", str(tmp_path / "faint")]) == 0
