# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmentations become coordinates: shapes of which positions and directions are known, and the command."""

import time

import mrcfile
import numpy as np
import pytest
from feature_shapes import PIXEL, ball, pick, positions, table, z_axes
from synthetic import write_mrc

from cryodl.contract import Result
from cryodl.io.volume_writer import VolumeWriter
from cryodl.running.cli import main
from cryodl.tomograms.commands.pick_features import INDEX
from cryodl.tomograms.features import picking
from cryodl.tomograms.segmenters.score_folder import LABEL


def test_centres_are_those_of_mass_in_xyz_with_sizes_and_numbers_of_components(tmp_path):
    mask = np.zeros((10, 20, 30), bool)
    mask[1, 2, 3], mask[4:6, 10:14, 20:26] = True, True
    found, result = pick(tmp_path, mask)
    assert positions(found).tolist() == [[1, 2, 3], [4.5, 11.5, 22.5]]
    assert found["cryodlVolume"].tolist() == [1, 48] and found["cryodlPiece"].tolist() == [1, 2]
    assert found["rlnTomoName"] == ["t1", "t1"] and (found["rlnAngleTilt"] == 0).all()
    assert result.outputs["counts"] == {"t1": 2} and result.outputs["pixel_size"] == pytest.approx(PIXEL)


def test_pieces_too_small_too_large_or_at_the_border_are_left_out(tmp_path):
    mask = np.zeros((20, 30, 40), bool)
    mask[5, 5, 5], mask[10:12, 10:12, 10:12], mask[5:15, 15:25, 20:30] = True, True, True
    mask[10:12, 10:12, 36:38] = True
    found, _ = pick(tmp_path, mask, "--minimum-size", "2", "--maximum-size", "500", "--border", "30")
    assert positions(found).tolist() == [[10.5, 10.5, 10.5]] and found["cryodlPiece"].tolist() == [3]


def test_a_piece_across_slabs_is_one(tmp_path, monkeypatch):
    mask = ball((24, 20, 20), (11, 9, 10), 7)
    monkeypatch.setattr(picking, "MEMORY", 1e-9)  # slabs of one slice
    found, _ = pick(tmp_path, mask)
    assert positions(found).round(3).tolist() == [[11, 9, 10]] and found["cryodlVolume"][0] == mask.sum()


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
    assert positions(found).tolist() == [[2, 3, 4]] and found["cryodlScore"].tolist() == [0.75]


def test_scores_in_an_ome_zarr_are_picked_as_those_in_mrc_files(tmp_path):
    """Hundredths: a peak of 0.9 in noise of up to 0.4."""
    scores = np.random.default_rng(0).integers(0, 40, (12, 16, 20)).astype(np.int8)
    scores[4:6, 6:8, 10:12] = 90
    write_mrc(tmp_path / "t1__ribosome.mrc", scores, PIXEL)
    export = ["export-tomograms", "--tomograms", str(tmp_path / "t1__ribosome.mrc")]
    assert main([*export, "--output", str(tmp_path / "exported")]) == 0
    command = ["pick-features", "--segmentations", str(tmp_path / "exported/t1__ribosome.zarr")]
    assert main([*command, "--output", str(tmp_path / "p")]) == 0
    assert positions(table(tmp_path / "p" / "t1.star")).tolist() == [[4.5, 6.5, 10.5]]


def test_nothing_found_is_an_empty_star_and_a_warning(tmp_path):
    for shape in ("centres", "particles", "filaments", "membranes"):
        found, result = pick(tmp_path, np.zeros((4, 5, 6), bool), "--shape", shape, output=shape)
        assert len(positions(found)) == 0 and result.outputs["counts"] == {"t1": 0}
        assert any("Nothing was found in 1 of 1 tomograms (t1): no voxel has the value 1" in w for w in result.warnings)


def test_a_label_that_is_not_there_is_named_with_those_that_are(tmp_path):
    labels = np.zeros((40, 5, 6), np.int8)
    labels[1, 2, 3], labels[39, 2, 3] = 2, 5  # in the first and in the last slab
    (tmp_path / "features.json").write_text('{"features": [{"label": 2, "name": "membrane"}]}')
    for command in ("pick-features", "measure-membranes"):
        files = ["--segmentations", str(tmp_path / "t1.mrc"), "--result", str(tmp_path / "result.json")]
        write_mrc(tmp_path / "t1.mrc", labels, PIXEL)
        assert main([command, *files, "--label", "7", "--output", str(tmp_path / command)]) == 0
        (said,) = Result.read(tmp_path / "result.json").warnings
        assert said.endswith(" The label volumes have 2 membrane, 5; --label is 7.")
    _, result = pick(tmp_path, labels, "--label", "5", "--minimum-size", "100", label=False)
    assert "label volumes have" not in result.warnings[0]  # it is there, and too small


def test_single_voxels_and_thin_lines_do_no_harm(tmp_path):
    mask = np.zeros((8, 9, 20), bool)
    mask[1, 1, 1], mask[4, 4, 3:18], mask[6, 7, 2:4] = True, True, True
    for shape in ("particles", "filaments", "membranes"):
        found, _ = pick(tmp_path, mask, "--shape", shape, "--spacing", "30", output=shape)
        assert len(positions(found)) >= 3 and np.isfinite(z_axes(found)).all()


def test_round_pieces_get_no_direction_of_a_filament(tmp_path):
    mask = ball((24, 40, 60), (12, 8, 14), 5) | ball((24, 40, 60), (12, 8, 40), 3)
    mask[10:15, 25:30, 3:57], mask[2, 2, 2] = True, True
    found, result = pick(tmp_path, mask, "--shape", "filaments", "--spacing", "80")
    assert len(positions(found)) > 4 and (np.abs(positions(found)[:, 1] - 27) < 1).all()
    assert "3 components of 4 left out, hardly longer than wide" in result.warnings[0]


@pytest.mark.parametrize("spacing", ["80", "100", "200"])  # at 100 and 200 nobody was told
def test_filaments_of_short_pieces_are_told(tmp_path, spacing):
    mask = np.zeros((12, 40, 60), bool)
    mask[4:9, 20:25, 3:57] = True
    long = pick(tmp_path, mask, "--shape", "filaments", "--spacing", spacing, output="long")[1]
    mask[:, :, 16:57:16] = mask[:, :, 17:57:16] = False
    short = pick(tmp_path, mask, "--shape", "filaments", "--spacing", spacing, output="short")[1]
    assert not long.warnings and "most points are on pieces shorter than 25 nm" in short.warnings[0]


@pytest.mark.parametrize("times, told", [(0.1, True), (0.8, False), (1.5, False), (10, True)])
def test_a_diameter_unlike_the_components_is_doubted(tmp_path, times, told):
    mask = ball((24, 24, 60), (12, 12, 14), 8) | ball((24, 24, 60), (12, 12, 44), 8)
    mask[2::4, 2::4, 29] = 1  # specks, as a network leaves them
    _, result = pick(tmp_path, mask, "--shape", "particles", "--diameter", str(times * 16 * PIXEL))
    assert any("particles may be split, or joined" in text for text in result.warnings) == told


def picked_again(folder, label):
    """Exit code of another run into the same folder."""
    segmentations, output = (str(folder / name) for name in ("t1.mrc", "picked"))
    return main(["pick-features", "--segmentations", segmentations, "--output", output, "--label", str(label)])


def test_all_tomograms_are_in_particles_star_and_finished_ones_stay(tmp_path, capsys):
    mask = ball((12, 14, 16), (5, 6, 7), 3)
    pick(tmp_path, mask)
    before = (tmp_path / "picked/t1.star").stat().st_mtime_ns
    pick(tmp_path, [mask, mask], names=("t2", "t3"))
    said = capsys.readouterr().out
    assert "1 point in 1 tomogram:" in said and "2 points in 2 tomograms:" in said
    write_mrc(tmp_path / "t4.mrc", np.zeros((3, 3, 3), np.int8), PIXEL)
    assert table(tmp_path / "picked/particles.star")["rlnTomoName"] == ["t1", "t2", "t3"]
    assert picked_again(tmp_path, label=1) == 0
    assert (tmp_path / "picked/t1.star").stat().st_mtime_ns == before


def test_points_of_a_volume_that_was_replaced_by_a_bad_one_go(tmp_path):
    mask = ball((12, 14, 16), (5, 6, 7), 3)
    pick(tmp_path, [mask, mask], names=("t1", "t2"))
    write_mrc(tmp_path / "t2.mrc", np.full((12, 14, 16), 0.3, np.float32), PIXEL)
    assert picked_again(tmp_path, label=1) == 0
    assert table(tmp_path / "picked/particles.star")["rlnTomoName"] == ["t1", "t2"]  # it was not asked for
    words = ["pick-features", "--output", str(tmp_path / "picked"), "--label", "1", "--segmentations"]
    assert main([*words, str(tmp_path / "t1.mrc"), str(tmp_path / "t2.mrc")]) == 0
    assert table(tmp_path / "picked/particles.star")["rlnTomoName"] == ["t1"]
    assert picked_again(tmp_path, label=1) == 0
    assert table(tmp_path / "picked/particles.star")["rlnTomoName"] == ["t1"]


def test_other_parameters_in_the_same_folder_are_refused(tmp_path, capsys):
    pick(tmp_path, ball((12, 14, 16), (5, 6, 7), 3))
    assert picked_again(tmp_path, label=2) == 2
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
    assert result.warnings[-1] == "3 volumes were skipped, for the reasons above."
    reasons = {s.item: s.reason for s in result.skipped}
    assert "give the feature's value (--label)" in reasons["labels"]
    assert "values from 40 to 40; scores must be 0 to 1" in reasons["density"]
    assert "Give --pixel-size" in reasons["unscaled"]
    assert run("labels") == 2 and "Of 1 volume, none could be used" in capsys.readouterr().err


def test_a_label_for_scores_is_refused_wherever_they_lie(tmp_path, capsys):
    scores = ball((12, 14, 16), (5, 6, 7), 3)
    with VolumeWriter(tmp_path / "t1__wall.mrc", scores.shape, PIXEL, np.int8, LABEL.format("wall", "", 0.5)) as volume:
        volume.write(0, scores)
    write_mrc(tmp_path / "half.mrc", (0.6 * scores).astype(np.float16), PIXEL)
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
        assert "leave out --label." in capsys.readouterr().err
    pick(tmp_path, scores)  # a label volume in the same folder


def test_labels_under_a_copied_header_are_picked_from_16_bits(tmp_path, capsys):
    labels, label = ball((12, 14, 16), (5, 6, 7), 3), LABEL.format("wall", "", 0.5)
    for name, kind in (("bytes", np.int8), ("words", np.int16)):
        with VolumeWriter(tmp_path / f"{name}.mrc", labels.shape, PIXEL, kind, label) as volume:
            volume.write(0, labels.astype(kind))
    words = ["pick-features", "--segmentations", str(tmp_path / "*s.mrc"), "--shape", "centres", "--label", "1"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "bytes.mrc holds scores by its header" in said
    assert "convert them with `newstack -mode 1`" in said and "1 volume" in said


def test_a_label_volume_without_a_label_is_refused(tmp_path, capsys):
    (tmp_path / "merged").mkdir()
    write_mrc(tmp_path / "merged/a.mrc", np.eye(8, dtype=np.int8)[None].repeat(4, 0), PIXEL)
    (tmp_path / "features.json").write_text('{"features": [{"label": 1, "name": "wall"}]}')
    assert (
        main(["pick-features", "--segmentations", str(tmp_path / "merged/a.mrc"), "--output", str(tmp_path / "out")])
        == 2
    )
    assert "holds the whole numbers 0, 1 wall and does not say" in capsys.readouterr().err


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
    for kind in (np.float32, np.float16):
        assert len(positions(pick(tmp_path, mask.astype(kind))[0])) == 1
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
    assert positions(table(tmp_path / "out/t1.star")).round(3).tolist() == [[5, 6, 7]]


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
        """A long line with a short spur at every third voxel: positions, and branches between branch points."""
        trunk = np.array([(0, 3 * k, 0) for k in range(spurs + 2)])
        tips = np.array([(0, 3 * k, 1) for k in range(1, spurs + 1)])
        branches = [[k, k + 1] for k in range(spurs + 1)] + [[k, spurs + 1 + k] for k in range(1, spurs + 1)]
        return np.concatenate([trunk, tips]), branches

    positions, branches = tree(3000)
    start = time.process_time()
    lines = _joined(_pruned(branches, positions, np.ones(len(positions))), positions, np.ones(len(positions)))
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


def test_a_record_that_names_a_file_elsewhere_removes_nothing(tmp_path):
    pick(tmp_path, ball((8, 8, 8), (4, 4, 4), 2))
    record = tmp_path / "picked" / INDEX
    (tmp_path / "mic.mrc").write_bytes(b"precious")
    record.write_text(record.read_text().replace('"t1.star"', '"../mic.mrc"'))
    write_mrc(tmp_path / "t1.mrc", ball((9, 9, 9), (4, 4, 4), 3).astype(np.int8), PIXEL)
    words = ["pick-features", "--segmentations", str(tmp_path / "t1.mrc"), "--label", "1"]
    assert main([*words, "--output", str(tmp_path / "picked")]) == 2
    assert (tmp_path / "mic.mrc").read_bytes() == b"precious"
