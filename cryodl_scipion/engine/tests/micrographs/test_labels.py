# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels for training: matched by name, checked against their micrograph, split without a leak."""

import numpy as np
import pytest
import torch
from picking import training_config as config
from synthetic import DIAMETER, PIXEL_SIZE, blob_micrograph, blob_project, write_mrc, write_star

from cryodl.contract import PICKER_NETWORKS, EvaluatePicksConfig
from cryodl.io.particle_positions import read_centred
from cryodl.io.star import write_tables
from cryodl.micrographs.compare import pick_metrics
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.labels import (
    Labels,
    leave_out_unlabelled_edge,
    load_labelled,
    load_labels,
    match_labels,
)
from cryodl.micrographs.pickers.recursive import split_image, split_items


def test_labels_find_their_micrographs(tmp_path):
    ground_truth = dict(blob_project(tmp_path))
    items = match_labels(config(tmp_path))
    assert [i[0] for i in items] == ["mic0", "mic1"]
    for name, path, positives, negatives, *_ in items:
        assert path.endswith(f"{name}.mrc") and np.allclose(positives, ground_truth[name], atol=1e-3)
        assert negatives.shape == (0, 2)


def test_copies_of_labels_teach_and_judge_once(tmp_path):
    """Two files of one pick's particles joined, say; copies would also halve the distance between picks."""
    ground_truth = blob_project(tmp_path)
    for name, yx in ground_truth:
        write_star(tmp_path / f"coordinates/{name}.star", np.concatenate([yx, yx[::3] + 0.4]))
    said = []
    items = match_labels(config(tmp_path), said.append)
    for item, (_, yx) in zip(items, ground_truth, strict=True):
        assert np.allclose(item.positives, yx, atol=1e-3)
    copies = sum(len(yx[::3]) for _, yx in ground_truth)
    assert said == [f"{copies} labels at the place of another one of its kind: left out."]


def shifted_particles(path, of):
    """A STAR file of particles that were extracted 3 px below and 2 px left of where they are, with the shifts.
    of: [(micrograph, yx)]."""
    rows = dict[str, list[object]]()
    for name, yx in of:
        rows.setdefault("rlnMicrographName", []).extend([f"{name}.mrc"] * len(yx))
        for axis, values, shift in (("Y", yx[:, 0], 3.0), ("X", yx[:, 1], -2.0)):
            rows.setdefault(f"rlnCoordinate{axis}", []).extend(values + shift)
            rows.setdefault(f"rlnOrigin{axis}Angst", []).extend([shift * PIXEL_SIZE] * len(yx))
    write_tables(path, {"particles": rows})


@pytest.mark.parametrize("folder", (False, True))
def test_particles_with_shifts_are_labels_where_these_centre_them(tmp_path, capsys, folder):
    ground_truth = blob_project(tmp_path)
    source = tmp_path / "refined"
    source.mkdir()
    for name, yx in ground_truth if folder else ():
        shifted_particles(source / f"{name}.star", [(name, yx)])
    if not folder:
        shifted_particles(source / "all.star", ground_truth)
    given = str(source if folder else source / "all.star")
    items = match_labels(config(tmp_path, coordinates=given))
    for item, (_, yx) in zip(items, ground_truth, strict=True):
        assert np.allclose(item.positives, yx, atol=1e-3)
    assert capsys.readouterr().out.count("has shifts") == (len(ground_truth) if folder else 1)
    scored = EvaluatePicksConfig(given, str(tmp_path / "coordinates"), PIXEL_SIZE, DIAMETER, tolerance=0.02)
    assert pick_metrics(scored)["f1"] == 1.0


def test_files_that_were_read_before_are_read_still(tmp_path, capsys):
    """Lists without shifts or names or rows; segments of filaments, which overlap; of two at one place the better."""
    head = "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnOriginXAngst\n_rlnOriginYAngst\n"
    (tmp_path / "plain.star").write_text(head + "10 20 0 0\n")
    (tmp_path / "empty.star").write_text(head)
    (tmp_path / "tubes.STAR").write_text(head + "_rlnHelicalTubeID\n" + "".join(f"{n} 9 3 0 1\n" for n in range(30)))
    scored = head + "_rlnAutopickFigureOfMerit\n50 50 2 0 0.1\n50 51 2 0 0.9\n"
    (tmp_path / "scored.STAR").write_text(scored)
    lists = read_centred(tmp_path, 2.0, 100.0)
    assert {key: len(yx) for key, (yx, _) in lists.items()} == dict(plain=1, empty=0, tubes=30, scored=1)
    assert lists["scored"][0].tolist() == [[51, 49]] and lists["scored"][1].tolist() == [0.9]
    assert "tubes.STAR has segments of filaments" in capsys.readouterr().out


def test_micrographs_without_labels_are_left_out(tmp_path):
    blob_project(tmp_path)
    write_mrc(tmp_path / "mics/unlabelled.mrc", np.zeros((64, 64), np.float32))
    assert [i[0] for i in match_labels(config(tmp_path))] == ["mic0", "mic1"]


def test_background_boxes_are_negatives(tmp_path):
    blob_project(tmp_path)
    (tmp_path / "background").mkdir()
    write_star(tmp_path / "background/mic1.star", [[5.0, 200.0]])
    items = match_labels(config(tmp_path, background=str(tmp_path / "background")))
    assert [len(i[3]) for i in items] == [0, 1] and items[1][3].tolist() == [[5.0, 200.0]]


def test_labels_lie_on_the_particles_of_the_prepared_micrograph(tmp_path):
    shape = (300, 420)
    image, centres = blob_micrograph(shape, spacing=60, contrast=6.0)
    (tmp_path / "mics").mkdir()
    write_mrc(tmp_path / "mics/a.mrc", image)
    method = picker_method(PICKER_NETWORKS[0])
    item = load_labelled(
        Labels("a", str(tmp_path / "mics/a.mrc"), centres, centres[:1]), method, PIXEL_SIZE, DIAMETER, "complete"
    )
    smooth = torch.nn.functional.avg_pool2d(item.image[None, None], 7, stride=1, padding=3)[0, 0]
    positions = np.rint(item.positives).astype(int)
    assert (smooth[positions[:, 0], positions[:, 1]] > 2).all()
    expected = method.working_diameter * PIXEL_SIZE / DIAMETER
    assert abs(item.image.shape[0] / shape[0] - expected) < 0.01 and len(item.negatives) == 1


def test_splitting_by_micrograph_never_leaks_and_repeats():
    items = [(f"m{i}", "", np.zeros((3, 2)), np.zeros((0, 2))) for i in range(10)]
    training, validation = split_items(items, 0.2, np.random.default_rng(0))
    names = [{i[0] for i in part} for part in (training, validation)]
    assert len(names[1]) == 2 and not names[0] & names[1] and len(names[0] | names[1]) == 10
    again = split_items(items, 0.2, np.random.default_rng(0))
    assert [i[0] for i in again[1]] == [i[0] for i in validation]


@pytest.mark.parametrize("counts, fraction", [([0, 0, 0, 7, 4, 0], 0.2), ([5, 0, 3, 0], 0.5), ([1, 9], 0.2)])
@pytest.mark.parametrize("seed", range(6))
def test_both_parts_get_particles_where_that_is_possible(seed, counts, fraction):
    items = [(f"m{i}", "", np.zeros((n, 2)), np.zeros((1, 2))) for i, n in enumerate(counts)]
    parts = split_items(items, fraction, np.random.default_rng(seed))
    assert all(sum(len(i[2]) for i in part) > 0 for part in parts)


def test_the_only_micrograph_with_particles_stands_in_both_parts():
    """A few good boxes on one micrograph, background on others: it is cut in two, the others train."""
    items = [(f"m{i}", "", np.zeros((n, 2)), np.zeros((4, 2))) for i, n in enumerate((0, 20, 0))]
    training, validation = split_items(items, 0.2, np.random.default_rng(0))
    assert [i[0] for i in training] == ["m0", "m1", "m2"] and [i[0] for i in validation] == ["m1"]


def labelled(positives, shape=(200, 300), **changes):
    return LabelledImage(
        "a",
        torch.zeros(shape),
        torch.ones(shape, dtype=torch.bool),
        np.asarray(positives, float),
        np.zeros((0, 2)),
        "complete",
        **changes,
    )


def test_a_single_micrograph_is_cut_in_two_with_a_gap():
    rng = np.random.default_rng(0)
    whole = labelled(rng.uniform(0, 1, (100, 2)) * (199, 299))
    training, validation = split_image(whole, 0.2, 30)
    assert not (training.allowed & validation.allowed).any()
    gap = int((~(training.allowed | validation.allowed))[0].sum())
    assert 29 <= gap <= 31
    for part in (training, validation):
        positions = np.rint(part.positives).astype(int)
        assert part.usable[positions[:, 0], positions[:, 1]].all()
    assert training.positives[:, 1].max() < validation.positives[:, 1].min()
    assert 10 <= len(validation.positives) <= 20 < len(training.positives)


def test_the_strip_where_nobody_labelled_is_unknown():
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, 1, (60, 2)) * (199 - 40, 299 - 40) + 20
    centres[0] = (20, 150)
    (image,) = leave_out_unlabelled_edge([labelled(centres)], 24.0)
    assert not image.usable[:20].any() and not image.usable[:, -20:].any() and image.usable[20:-20, 20:-20].all()


def test_labels_up_to_the_edge_or_few_labels_leave_all_known():
    rng = np.random.default_rng(0)
    for centres in (rng.uniform(0, 1, (200, 2)) * (199, 299) * 0.999, [[100.0, 150.0]]):
        (image,) = leave_out_unlabelled_edge([labelled(centres)], 24.0)
        assert image.usable.float().mean() > 0.97


def test_a_coordinate_outside_its_micrograph_is_named(tmp_path):
    blob_project(tmp_path)
    for y, x in ((257, 5), (5, 321), (-1, 5), (5000, 5)):
        write_star(tmp_path / "coordinates/mic1.star", [[10, 10], [y, x]])
        with pytest.raises(ValueError) as error:
            match_labels(config(tmp_path))
        for word in ("1 coordinate of mic1", "mic1.mrc (320 x 256 px)", f"x {x:g}, y {y:g}", "binning"):
            assert word in str(error.value)
    write_star(tmp_path / "coordinates/mic1.star", [[255.5, 319.5], [-0.5, -0.5]])
    assert len(match_labels(config(tmp_path))) == 2


def test_coordinates_of_other_micrographs_are_listed(tmp_path):
    blob_project(tmp_path)
    (tmp_path / "coordinates/mic1.star").rename(tmp_path / "coordinates/other7.star")
    said = []
    assert [item[0] for item in match_labels(config(tmp_path), said.append)] == ["mic0"]
    assert len(said) == 1 and "also has coordinates of 1 other micrograph, which are not used: other7" in said[0]


def test_no_common_name_lists_both_sides(tmp_path):
    blob_project(tmp_path)
    for i in (0, 1):
        (tmp_path / f"coordinates/mic{i}.star").rename(tmp_path / f"coordinates/other{i}.star")
    with pytest.raises(ValueError) as error:
        match_labels(config(tmp_path))
    for word in ("other0, other1", "mic0, mic1", "without folder and extension"):
        assert word in str(error.value)


def test_a_name_in_two_folders_is_named(tmp_path):
    blob_project(tmp_path / "a")
    blob_project(tmp_path / "b")
    with pytest.raises(ValueError, match="Two micrographs are called mic0: .*a/mics/mic0.mrc and .*b/mics/mic0.mrc"):
        match_labels(config(tmp_path / "a", micrographs=(str(tmp_path / "*/mics/*.mrc"),)))


def test_too_few_particles_are_counted(tmp_path):
    blob_project(tmp_path, count=1)
    write_star(tmp_path / "coordinates/mic0.star", [[10, 10], [50, 50]])
    with pytest.raises(ValueError, match="has 2 particles for these micrographs; training needs at least"):
        match_labels(config(tmp_path))


def test_a_labelled_micrograph_that_cannot_be_used_is_named(tmp_path):
    path = write_mrc(tmp_path / "zeros.mrc", np.zeros((256, 320), np.float32))
    item, method = Labels("zeros", str(path), np.array([[50.0, 50.0]])), picker_method(PICKER_NETWORKS[0])
    with pytest.raises(ValueError, match="zeros.mrc: .*constant"):
        load_labelled(item, method, PIXEL_SIZE, DIAMETER, "complete")
    with pytest.raises(ValueError, match="zeros.mrc.*diameter of 700 Å"):
        load_labelled(item, method, PIXEL_SIZE, 700.0, "complete")


def test_bad_labelled_micrographs_are_left_out_and_named(tmp_path):
    blob_project(tmp_path, count=3)
    write_mrc(tmp_path / "mics/mic0.mrc", np.zeros((256, 320), np.float32))
    (tmp_path / "mics/mic2.mrc").write_bytes(b"rubbish " * 1000)
    method = picker_method(PICKER_NETWORKS[0])
    usable, images, skipped = load_labels(match_labels(config(tmp_path)), method, config(tmp_path))
    assert [i[0] for i in usable] == [i.name for i in images] == ["mic1"]
    assert [s.item for s in skipped] == ["mic0", "mic2"] and "constant" in skipped[0].reason
    assert "mic2.mrc" in skipped[1].path and "mic2.mrc" in skipped[1].reason


def test_if_too_few_particles_are_left_the_first_reason_is_said(tmp_path):
    blob_project(tmp_path)
    for i in (0, 1):
        write_mrc(tmp_path / f"mics/mic{i}.mrc", np.zeros((256, 320), np.float32))
    with pytest.raises(
        ValueError, match="2 of the 2 labelled micrographs cannot be used.*leaves 0.*mic0.mrc.*constant"
    ):
        load_labels(match_labels(config(tmp_path)), picker_method(PICKER_NETWORKS[0]), config(tmp_path))
