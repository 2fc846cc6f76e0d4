# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging features: scores compete, small components go, what is left is measured; the command as a user calls it."""

import csv
import json

import mrcfile
import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import Failure, Result
from cryodl.core.names import numbers_by_name
from cryodl.io.volume_writer import origin_of
from cryodl.running.cli import main
from cryodl.tomograms.features.components import ComponentFinder
from cryodl.tomograms.features.scores import FeatureScores, log_odds
from cryodl.tomograms.features.surfaces import AreaCounter, write_surface

PIXEL = 10.0
SHAPE = (24, 32, 40)

BETWEEN = "Thresholds (--threshold)", 0, 1


def ball(shape, centre, radius):
    return sum((i - c) ** 2 for i, c in zip(np.indices(shape), centre)) <= radius**2


def as_scores(mask, inside=0.9, outside=0.02):
    return np.where(mask, inside, outside).astype(np.float16)


def write_scores(folder, index=True, **files):
    """files: <tomogram>__<feature> = array. Writes segment.json with the features in the order that they come."""
    folder.mkdir(exist_ok=True)
    tomograms, names = {}, []
    for stem, values in files.items():
        write_mrc(folder / f"{stem}.mrc", values, PIXEL)
        tomogram, _, name = stem.rpartition("__")
        names += [name] if name not in names else []
        tomograms.setdefault(tomogram, dict(pixel_size=PIXEL, path=str(folder / "none.mrc"), files={}))
        tomograms[tomogram]["files"][name] = f"{stem}.mrc"
    if index:
        features = [dict(name=n, threshold=0.5, model=n, annotators=["a"]) for n in names]
        (folder / "segment.json").write_text(json.dumps(dict(features=features, tomograms=tomograms)))
    return folder


@pytest.fixture
def scores(tmp_path):
    """Two tomograms. Vesicles: one large ball and one of 7 voxels; rods: a bar that the ball cuts."""
    vesicle = ball(SHAPE, (12, 16, 14), 6) | ball(SHAPE, (3, 3, 36), 1)
    rod = np.zeros(SHAPE, bool)
    rod[10:14, 14:18, 17:38] = True
    return write_scores(
        tmp_path / "scores",
        t1__vesicle=as_scores(vesicle),
        t1__rod=as_scores(rod, 0.7),
        t2__vesicle=as_scores(vesicle),
        t2__rod=as_scores(np.zeros(SHAPE, bool)),
    )


def merge(scores, *arguments, output="merged"):
    return main(
        [
            "merge-features",
            "--scores",
            str(scores),
            "--output",
            str(scores.parent / output),
            "--result",
            str(scores.parent / "result.json"),
            *arguments,
        ]
    )


def labels_of(scores, name="t1", output="merged"):
    return mrcfile.read(scores.parent / output / f"{name}.mrc")


def test_labels_are_numbered_by_segment_json_and_the_surer_feature_takes_the_voxel(scores):
    assert merge(scores) == 0
    labels, index = labels_of(scores), json.loads((scores.parent / "merged/features.json").read_text())
    assert index["labels"] == {"1": "vesicle", "2": "rod"} and labels.dtype == np.int8
    vesicle = ball(SHAPE, (12, 16, 14), 6)
    assert (labels[vesicle] == 1).all()  # 0.9 against 0.7 where they overlap
    assert labels[12, 16, 30] == 2 and labels[0, 0, 0] == 0
    with mrcfile.open(scores.parent / "merged/t1.mrc") as mrc:
        assert mrc.voxel_size.x == pytest.approx(PIXEL) and mrc.is_volume()


def test_the_table_has_volumes_counts_and_shares(scores):
    merge(scores)
    with open(scores.parent / "merged/features.csv") as file:
        rows = {(r["tomogram"], r["feature"]): r for r in csv.DictReader(file)}
    vesicle = rows["t1", "vesicle"]
    voxels = ball(SHAPE, (12, 16, 14), 6).sum() + 7
    assert int(vesicle["voxels"]) == voxels and vesicle["components"] == "2" and vesicle["label"] == "1"
    assert float(vesicle["volume_nm3"]) == pytest.approx(voxels)  # voxels of 1 nm
    assert float(vesicle["volume_percent"]) == pytest.approx(100 * voxels / np.prod(SHAPE), rel=1e-3)
    assert float(vesicle["area_nm2"]) == pytest.approx(4 * np.pi * (6.2**2 + 1.2**2), rel=0.1)
    assert rows["t2", "rod"]["components"] == "0"
    result = Result.read(scores.parent / "result.json")
    assert result.outputs["counts"] == {"t1": {"vesicle": 2, "rod": 1}, "t2": {"vesicle": 2, "rod": 0}}
    assert any("No voxel of rod in 1 of 2 tomograms (t2)" in w for w in result.warnings)


def test_small_components_go_by_their_volume_in_nm3(scores):
    merge(scores, "--minimum-size", "7.5")
    assert labels_of(scores)[3, 3, 36] == 0 and labels_of(scores)[12, 16, 14] == 1
    assert merge(scores, "--minimum-size", "6.5", output="other") == 0
    assert labels_of(scores, output="other")[3, 3, 36] == 1


def test_components_and_labels_are_the_same_in_slabs_of_any_size(scores, monkeypatch):
    merge(scores, "--minimum-size", "20")
    from cryodl.tomograms.features import merging

    whole = json.loads((scores.parent / "merged/features.json").read_text())["tomograms"]
    thin = lambda shape, *_: [(z, min(z + 5, shape[0])) for z in range(0, shape[0], 5)]
    monkeypatch.setattr(merging.components, "slabs", thin)
    assert merge(scores, "--minimum-size", "20", output="slabs") == 0
    for name in ("t1", "t2"):
        assert (labels_of(scores, name) == labels_of(scores, name, "slabs")).all()
    parts = json.loads((scores.parent / "slabs/features.json").read_text())["tomograms"]
    assert [parts[n]["found"] for n in ("t1", "t2")] == [whole[n]["found"] for n in ("t1", "t2")]


def test_a_component_that_turns_back_across_slabs_is_one_and_diagonal_touch_counts():
    mask = np.zeros((9, 7, 7), np.int8)
    mask[:, 1, 1] = mask[:, 5, 5] = mask[8, 1:6, 1] = mask[8, 5, 1:6] = 1  # a hoop, closed only in the last slice
    mask[0:3, 3, 3], mask[3:6, 4, 4] = 2, 2  # touch by an edge across the border of slabs
    finder = ComponentFinder((1, 2))
    for z in range(0, 9, 3):
        finder.add(z, mask[z : z + 3])
    components = finder.components()
    assert components.labels.tolist() == [1, 2] and components.voxels.tolist() == [(mask == 1).sum(), 6]
    assert components.boxes[1].tolist() == [[0, 6], [3, 5], [3, 5]]
    assert components.centres[0] == pytest.approx(np.argwhere(mask == 1).mean(axis=0))


def test_competition_beats_independent_thresholds(tmp_path):
    """Two features that are alike: each network answers a little to the other's, above the threshold."""
    rng = np.random.default_rng(1)
    ground_truth = np.zeros(SHAPE, int)
    ground_truth[ball(SHAPE, (12, 16, 10), 7)], ground_truth[ball(SHAPE, (12, 16, 28), 7)] = 1, 2
    files = {}
    for label, name in ((1, "a"), (2, "b")):
        odds = np.select([ground_truth == label, ground_truth > 0], [2.0, 0.5], -3.0) + rng.normal(0, 0.7, SHAPE)
        files[f"t__{name}"] = (1 / (1 + np.exp(-odds))).astype(np.float16)
    scores = write_scores(tmp_path / "scores", **files)

    def dice(output, *arguments):
        merge(scores, *arguments, output=output)
        found = labels_of(scores, "t", output)
        return [
            2 * ((found == n) & (ground_truth == n)).sum() / ((found == n).sum() + (ground_truth == n).sum())
            for n in (1, 2)
        ]

    assert min(dice("yes")) > 0.9


def test_scores_compete_by_their_distance_from_their_own_thresholds(tmp_path):
    first, second = np.full((2, 3, 4), 0.85, np.float16), np.full((2, 3, 4), 0.75, np.float16)
    scores = write_scores(tmp_path / "scores", t__first=first, t__second=second)
    merge(scores)
    assert (labels_of(scores, "t") == 1).all()
    merge(scores, "--threshold", "first=0.8", "second=0.3", output="other")
    assert (labels_of(scores, "t", "other") == 2).all()


def test_int8_scores_are_per_cent_and_annotators_are_combined_by_mean_log_odds(tmp_path):
    paths = [write_mrc(tmp_path / f"{n}.mrc", np.full((1, 2, 2), v, np.int8), PIXEL) for n, v in (("a", 90), ("b", 20))]
    found = FeatureScores([str(p) for p in paths]).read((0, 1))
    assert log_odds(found)[0, 0, 0] == pytest.approx((np.log(9) + np.log(0.25)) / 2, abs=1e-4)
    scores = write_scores(
        tmp_path / "scores",
        **{"t__m@anna": np.full((2, 2, 2), 90, np.int8), "t__m@bert": np.full((2, 2, 2), 20, np.int8)},
    )
    assert merge(scores) == 0 and (labels_of(scores, "t") == 1).all()  # odds of 1.5
    assert Result.read(tmp_path / "result.json").outputs["features"] == ["m"]


def test_axis_order_is_kept(tmp_path):
    """One bar along x, at one z and y."""
    mask = np.zeros((4, 6, 9), bool)
    mask[1, 4, 2:8] = True
    scores = write_scores(tmp_path / "scores", t__bar=as_scores(mask))
    merge(scores)
    assert (labels_of(scores, "t") == mask).all()


def test_without_segment_json_features_are_alphabetical_and_a_warning_says_so(tmp_path):
    one = as_scores(np.ones((2, 3, 4), bool))
    scores = write_scores(tmp_path / "scores", index=False, a__b__rod=one, a__b__membrane=one)
    assert merge(scores) == 0
    result = Result.read(tmp_path / "result.json")
    assert result.outputs["features"] == ["membrane", "rod"] and list(result.outputs["files"]) == ["a__b"]
    assert any("alphabetical order: membrane, rod" in w for w in result.warnings)


def test_nothing_found_is_an_empty_volume_and_a_warning(tmp_path):
    scores = write_scores(tmp_path / "scores", t__m=np.zeros((3, 4, 5), np.float16))
    assert merge(scores, "--surfaces") == 0 and not labels_of(scores, "t").any()
    result = Result.read(tmp_path / "result.json")
    assert any("No voxel of m in 1 of 1" in w for w in result.warnings) and result.outputs["surfaces"] == {"t": {}}


def test_features_that_noise_gives_too_are_told(scores):
    index = json.loads((scores / "segment.json").read_text())
    for name, part in (("t1", 0.001), ("t2", 0.01)):
        index["tomograms"][name]["noise"] = {"rod": dict(noise=part, tomogram=0.02, voxels=1000)}
    (scores / "segment.json").write_text(json.dumps(index))
    assert merge(scores) == 0
    said = Result.read(scores.parent / "result.json").warnings[0]
    assert said.startswith("In t2, noise alone gives more than a third as many voxels of rod as")


def test_a_tomogram_that_changed_since_its_scores_were_made_is_told(scores):
    index, path = json.loads((scores / "segment.json").read_text()), scores.parent / "t.mrc"
    path.write_text("four")
    for name, size in (("t1", 4), ("t2", 3)):
        index["tomograms"][name].update(path=str(path), bytes=size)
    (scores / "segment.json").write_text(json.dumps(index))
    assert merge(scores) == 0
    assert (
        "t2 changed after the scores were made. Segment again." in Result.read(scores.parent / "result.json").warnings
    )


def test_a_tomogram_without_one_feature_is_skipped_with_its_reason(scores):
    (scores / "t2__rod.mrc").unlink()
    assert merge(scores) == 0
    result = Result.read(scores.parent / "result.json")
    assert [s.item for s in result.skipped] == ["t2"] and "no scores of" in result.skipped[0].reason
    assert list(result.outputs["files"]) == ["t1"]


@pytest.mark.parametrize(
    "values, words",
    [
        (np.zeros((3, 4, 6), np.float16), ("t__a.mrc has 5 x 4 x 3 voxels", "t__b.mrc 6 x 4 x 3")),
        (np.full((3, 4, 5), 7.0, np.float32), ("t__b.mrc has values from 7 to 7; scores must be 0 to 1",)),
        (np.full((3, 4, 5), np.nan, np.float32), ("t__b.mrc has values from nan to nan",)),
    ],
)
def test_volumes_that_cannot_compete_are_named(tmp_path, capsys, values, words):
    scores = write_scores(tmp_path / "scores", t__a=np.zeros((3, 4, 5), np.float16), t__b=values)
    assert merge(scores) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert [p.name for p in (tmp_path / "merged").iterdir()] == ["features.json"]  # no half volume


@pytest.mark.parametrize(
    "texts, words",
    [
        (["rood=0.5"], "names 'rood', which does not exist; there are membrane, rod"),
        (["1.5"], "has '1.5'; give a number above 0 and below 1"),
        (["rod=x"], "has 'rod=x'"),
        (["0.4", "0.5"], "mixes '0.4' with other values; give one number for all"),
    ],
)
def test_wrong_thresholds_are_named(texts, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        numbers_by_name(texts, ["membrane", "rod"], *BETWEEN)


def test_thresholds_for_all_and_for_one():
    assert numbers_by_name(["0.4"], ["a", "b"], *BETWEEN) == dict(a=0.4, b=0.4)
    assert numbers_by_name(["b=0.7"], ["a", "b"], *BETWEEN) == dict(b=0.7)


def test_an_empty_folder_and_a_missing_one_are_named(tmp_path, capsys):
    (tmp_path / "scores").mkdir()
    assert merge(tmp_path / "scores") == 2 and "holds no score volume" in capsys.readouterr().err
    assert merge(tmp_path / "none") == 2 and "is not a folder" in capsys.readouterr().err


def test_finished_tomograms_are_not_merged_again_and_new_ones_are_added(scores):
    merge(scores)
    before = (scores.parent / "merged/t1.mrc").stat().st_mtime_ns
    rows = (scores.parent / "merged/features.csv").read_text()
    assert merge(scores) == 0 and (scores.parent / "merged/t1.mrc").stat().st_mtime_ns == before
    assert (scores.parent / "merged/features.csv").read_text() == rows
    write_mrc(scores / "t1__rod.mrc", np.zeros(SHAPE, np.float16), PIXEL)  # segmented anew
    assert merge(scores) == 0 and not (labels_of(scores) == 2).any()


def test_other_parameters_in_the_same_folder_are_refused_and_named(scores, capsys):
    merge(scores)
    before = labels_of(scores)
    assert merge(scores, "--minimum-size", "9", "--threshold", "rod=0.6") == 2
    error = capsys.readouterr().err
    assert "minimum component size 0 (now 9)" in error and "rod 0.5 (now vesicle 0.5, rod 0.6)" in error
    assert (labels_of(scores) == before).all()


def test_labels_of_another_order_are_not_mixed_with_those_that_are_there(scores, capsys):
    merge(scores)
    before = labels_of(scores)
    index = json.loads((scores / "segment.json").read_text())
    index["features"].reverse()
    (scores / "segment.json").write_text(json.dumps(index))
    assert merge(scores) == 2 and "order of the labels" in capsys.readouterr().err
    assert (labels_of(scores) == before).all()


def test_a_full_disk_is_said_with_the_name_of_the_file(scores, monkeypatch):
    import builtins

    from cryodl.tomograms.features import merging

    full = lambda path, *mode: builtins.open("/dev/full" if ".merging" in str(path) else path, *mode)
    monkeypatch.setattr(merging, "open", full, raising=False)
    assert merge(scores) == 2
    message = Failure.read(scores.parent / "failure.json").message
    assert "No space left on device" in message and ".t1.merging" in message
    assert not list((scores.parent / "merged").glob("*merging*")) and not (scores.parent / "merged/t1.mrc").exists()


def test_areas_of_balls_and_planes():
    counter = AreaCounter(2)
    volume = 1 * ball((50, 52, 54), (24, 25, 26), 18).astype(np.int8)
    for z in range(0, 50, 7):
        counter.add(volume[z : z + 7])
    assert counter.areas[1:][0] == pytest.approx(4 * np.pi * 18**2, rel=0.02) and counter.areas[1:][1] == 0
    sheet = np.zeros((20, 40, 40), np.int8)
    sheet[8:12] = 1
    counter = AreaCounter(1)
    counter.add(sheet)
    assert counter.areas[1:][0] == pytest.approx(2 * 40 * 40, rel=0.12)


def read_stl(path):
    facet = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])
    data = path.read_bytes()
    assert not data.startswith(b"solid") and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    return np.frombuffer(data[84:], facet)


@pytest.mark.parametrize("step", (1, 2))
def test_the_surface_of_a_ball_has_its_area_and_volume_and_place_across_slabs(tmp_path, monkeypatch, step):
    monkeypatch.setattr("cryodl.tomograms.features.surfaces.binning", lambda shape: step)
    mask = ball((50, 52, 54), (24, 25, 26), 18)
    write_surface(tmp_path / "a.stl", lambda part: mask[slice(*part)], mask.shape, PIXEL, (1000, 0, -500), 1e-4)
    corners = read_stl(tmp_path / "a.stl")["corners"].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    middle = np.array([1260, 250, -260])
    assert np.linalg.norm(normals, axis=1).sum() == pytest.approx(4 * np.pi * 180**2, rel=0.05)
    outward = ((corners.mean(axis=1) - middle) * normals).sum() / 3  # its volume, negative if inside out
    assert outward == pytest.approx(4 / 3 * np.pi * 180**3, rel=0.05)
    assert corners.mean(axis=(0, 1)) == pytest.approx(middle, abs=2)
    edges = np.sort(np.unique(corners.round(3).reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(-1, 3), axis=1)
    sides = np.concatenate([edges[:, [0, 1]], edges[:, [1, 2]], edges[:, [0, 2]]])
    _, uses = np.unique(sides, axis=0, return_counts=True)
    assert (uses == 2).mean() > 0.999  # closed: slabs join without a seam


def test_thin_sheets_keep_their_surface(tmp_path):
    mask = np.zeros((20, 30, 30), bool)
    mask[10, 5:25, 5:25] = True
    assert write_surface(tmp_path / "a.stl", lambda part: mask[slice(*part)], mask.shape, 1.0, (0, 0, 0), 1) > 500


def test_surfaces_and_the_script_lie_where_the_tomogram_lies(scores):
    tomogram = scores.parent / "raw" / "t1.mrc"
    tomogram.parent.mkdir()
    write_mrc(tomogram, np.zeros(SHAPE, np.int8), PIXEL)
    with mrcfile.open(tomogram, "r+") as mrc:
        mrc.header.origin = (-200, 50, 7)
    index = json.loads((scores / "segment.json").read_text())
    index["tomograms"]["t1"]["path"] = str(tomogram)
    (scores / "segment.json").write_text(json.dumps(index))
    assert merge(scores) == 0 and merge(scores, "--surfaces") == 0  # later, too
    script = (scores.parent / "merged/t1.cxc").read_text().splitlines()
    assert 'open "../raw/t1.mrc"' in script and 'open "t1.mrc" name labels' in script
    assert "volume #2 voxelSize 10 origin -200,50,7" in script
    assert "nothing open" in script[0]
    assert script.index('open "surfaces/t1__rod.stl" name "rod"') + 1 == script.index("color #4 #ee6677")
    corners = read_stl(scores.parent / "merged/surfaces/t1__rod.stl")["corners"].reshape(-1, 3)
    low, high = np.array([17, 14, 10]), np.array([38, 18, 14])  # xyz, first voxel and end
    assert (corners.min(axis=0) > 10 * low + [-200, 50, 7] - 10).all()
    assert (corners.max(axis=0) < 10 * high + [-200, 50, 7]).all()
    assert corners[:, 0].max() == pytest.approx(10 * 37 - 200 + 5, abs=5)


def test_chimerax_takes_the_start_where_there_is_no_origin(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", np.zeros((4, 5, 6), np.int8), PIXEL)
    with mrcfile.open(path, "r+") as mrc:
        mrc.nstart = (-3, 2, 1)
    assert origin_of(path) == pytest.approx((-30, 20, 10))


def test_surfaces_of_a_tomogram_whose_scores_broke_do_not_stay(scores):
    assert merge(scores, "--surfaces") == 0
    kept = {p.relative_to(scores.parent / "merged") for p in (scores.parent / "merged").rglob("*") if "t2" in p.name}
    (scores / "t1__rod.mrc").write_bytes(b"none")
    assert merge(scores, "--surfaces") == 0
    there = {p.relative_to(scores.parent / "merged") for p in (scores.parent / "merged").rglob("t*")}
    assert there == kept and len(kept) > 2


def test_a_tomogram_that_segment_json_forgot_is_in_no_table_and_one_of_other_scores_stays(scores):
    assert merge(scores, "--surfaces") == 0
    nothing = as_scores(np.zeros(SHAPE, bool))
    more = write_scores(scores.parent / "more", t3__vesicle=nothing, t3__rod=nothing)
    index = json.loads((scores / "segment.json").read_text())
    del index["tomograms"]["t1"]
    (scores / "segment.json").write_text(json.dumps(index))
    assert merge(more) == 0 and "t1" in (scores.parent / "merged/features.csv").read_text()
    assert merge(scores, "--surfaces") == 0
    with open(scores.parent / "merged/features.csv") as file:
        assert {row["tomogram"] for row in csv.DictReader(file)} == {"t2", "t3"}
    assert not list((scores.parent / "merged").rglob("t1*")) and list((scores.parent / "merged").rglob("t3*"))
