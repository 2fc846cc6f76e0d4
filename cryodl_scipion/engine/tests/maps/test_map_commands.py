# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands on maps, as a user calls them, with good and bad inputs; the network is replaced by a doubling."""

import csv
import dataclasses
import json
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
from map_data import empty_grid, helix
from matplotlib.image import imread
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from cryodl.contract import CompareModelsConfig, EvaluateMapConfig, ImproveMapConfig, SimulateHalfMapsConfig
from cryodl.core.devices import computing_on
from cryodl.maps.commands import compare_models, evaluate_map, improve_map, simulate_half_maps
from cryodl.maps.improvers import run
from cryodl.maps.measures.atoms import dense_mask, model_density, read_atoms
from cryodl.maps.measures.shells import shell_numbers
from cryodl.maps.measures.volume import check_same_grid, read_volume, write_volume


class Doubling:
    """In the place of a trained network: twice the map."""

    card = dict(name="twice", network="fast", working_pixel_size=1.0, resolutions=[3.0, 6.0], weights_sha256="0")

    def improve(self, volume, overlap=0, batch_size=None, input_weight=0, resolution=None):
        return 2 * volume.data


@pytest.fixture(autouse=True)
def doubling(monkeypatch):
    for user in (run, improve_map):
        monkeypatch.setattr(user, "load_improver", lambda model, device: Doubling())


@pytest.fixture
def files(tmp_path):
    """{name: path} of a helix, its map and two noisy half-maps."""
    atoms = read_atoms(helix(tmp_path / "helix.pdb"))
    grid, rng = empty_grid(), np.random.default_rng(0)
    density = model_density(atoms, grid, 1.0)
    found = dict(structure=tmp_path / "helix.pdb")
    for name, noise in (("map", 0.02), ("half1", 0.1), ("half2", 0.1), ("mask", None)):
        noisy = density + (noise or 0) * density.max() * rng.normal(size=density.shape)
        data = np.ones_like(density) if noise is None else noisy
        found[name] = tmp_path / f"{name}.mrc"
        write_volume(found[name], data, grid)
    return {name: str(path) for name, path in found.items()}


def improve(files, tmp_path, **values):
    """The result for the map of 4 Å; with resolution=None it is found by the command."""
    usual = dict(map=files["map"], output=str(tmp_path / "new" / "out.mrc"), resolution=4.0)
    return improve_map.improve_map(ImproveMapConfig(**dict(usual, **values)))


def test_the_improved_map_lies_where_the_map_did_in_a_folder_that_is_made(files, tmp_path):
    outputs = improve(files, tmp_path, half_maps=(files["half1"], files["half2"])).outputs
    before, after = read_volume(files["map"]), read_volume(outputs["map"])
    assert not check_same_grid(before, after, "")
    np.testing.assert_allclose(after.data, 2 * before.data, rtol=1e-6)
    assert not any(check_same_grid(read_volume(outputs[name]), before, "") for name in ("doubt", "half1", "half2"))
    names = {"raw", "control", "improved", "crossed", "gain", "unexplained", "worst", "doubted", "piece", "place"}
    assert set(outputs["half_map_test"]) == names
    script = Path(outputs["doubt"]).with_suffix(".cxc").read_text()
    assert script.splitlines()[:2] == ['open "out.mrc"', 'open "out_doubt.mrc"'] and outputs["residues"] is None


@pytest.mark.parametrize("factor", [1e20, 1e-25])
def test_very_large_and_very_small_values_are_improved_as_others_are(files, tmp_path, factor):
    usual = improve(files, tmp_path, half_maps=(files["half1"], files["half2"])).outputs
    for name in ("map", "half1", "half2"):
        volume = read_volume(files[name])
        write_volume(files[name], volume.data * np.float32(factor), volume)
    result = improve(files, tmp_path, half_maps=(files["half1"], files["half2"]), output=str(tmp_path / "scaled.mrc"))
    one, other = (read_volume(outputs["map"]).data for outputs in (usual, result.outputs))
    np.testing.assert_allclose(other / other.std(), one / one.std(), atol=1e-5)
    assert sum("they are divided by" in line for line in result.warnings) == 3
    assert result.outputs["half_map_test"]["unexplained"] == pytest.approx(
        usual["half_map_test"]["unexplained"], abs=1e-6
    )


def test_with_a_model_the_doubt_of_each_residue_is_written(files, tmp_path):
    halves = (files["half1"], files["half2"])
    outputs = improve(files, tmp_path, half_maps=halves, mask_structure=files["structure"]).outputs
    rows = list(csv.DictReader(open(outputs["residues"])))
    assert [row["number"] for row in rows] == [str(k) for k in range(1, 13)] and rows[0]["chain"] == "A"
    assert all(float(row["doubt"]) < 0.5 and row["verdict"] != "not in the data" for row in rows)


def test_a_model_beside_its_density_is_told_before_its_residues_are_judged(files, tmp_path):
    assert not [line for line in improve(files, tmp_path, mask_structure=files["structure"]).warnings if "fit" in line]
    moved = str(helix(tmp_path / "moved.pdb", shift=(4.0, 0.0, 0.0)))
    found = improve(files, tmp_path, mask_structure=moved, output=str(tmp_path / "other.mrc")).warnings
    assert any("moved.pdb agree better elsewhere" in line and "Moved by (-4.0, " in line for line in found), found


def test_without_half_maps_there_is_no_doubt_and_the_summary_says_so(files, tmp_path):
    result = improve(files, tmp_path, mask_structure=files["structure"])
    assert result.outputs["doubt"] is result.outputs["residues"] is None
    assert any("no map of doubt" in line for line in result.summary)


def test_a_stopped_run_keeps_the_maps_that_it_has_improved(files, tmp_path, monkeypatch):
    improved = []

    def stopped(self, volume, *args):
        if len(improved) == 2:
            improved.append("stop")
            raise KeyboardInterrupt
        improved.append(volume.path)
        return 2 * volume.data

    monkeypatch.setattr(Doubling, "improve", stopped)
    given, whole = dict(half_maps=(files["half1"], files["half2"])), str(tmp_path / "whole.mrc")
    with pytest.raises(KeyboardInterrupt):
        improve(files, tmp_path, **given)
    outputs = improve(files, tmp_path, **given).outputs
    assert improved == [files["map"], files["half1"], "stop", files["half2"]]
    assert not list((tmp_path / "new").glob("*.partial"))
    improved.clear()
    with pytest.raises(KeyboardInterrupt):
        improve(files, tmp_path, output=whole, **given)
    monkeypatch.setattr(Doubling, "card", dict(Doubling.card, weights_sha256="others of the same name"))
    improve(files, tmp_path, output=whole, **given)
    assert improved == [files["map"], files["half1"], "stop", files["map"], files["half1"], files["half2"]]
    Path(whole).unlink()
    improve(files, tmp_path, output=whole, **given)
    for name in ("", "_half1", "_half2", "_doubt"):
        one, other = (read_volume(path.replace(".mrc", name + ".mrc")) for path in (outputs["map"], whole))
        assert not check_same_grid(one, other, "") and (one.data == other.data).all()


@pytest.mark.parametrize("output, halves", [("map.mrc", False), ("half1.mrc", True), ("half.mrc", True)])
def test_no_input_is_replaced_by_an_output(files, tmp_path, output, halves):
    """half.mrc would have its improved halves in half_half1.mrc, which are no inputs."""
    given = dict(half_maps=(files["half1"], files["half2"])) if halves else {}
    before = {name: open(path, "rb").read() for name, path in files.items()}
    if output == "half.mrc":
        improve(files, tmp_path, output=str(tmp_path / output), **given)
    else:
        with pytest.raises(ValueError, match=f"{output} is an input and would be overwritten"):
            improve(files, tmp_path, output=str(tmp_path / output), **given)
    assert {name: open(path, "rb").read() for name, path in files.items()} == before


def test_improved_halves_beside_the_map_do_not_replace_the_half_maps(files, tmp_path):
    renamed = [str(tmp_path / f"run_half{n}.mrc") for n in (1, 2)]
    for path, name in zip(renamed, ("half1", "half2")):
        write_volume(path, read_volume(files[name]).data, read_volume(files[name]))
    with pytest.raises(ValueError, match="run_half1.mrc is an input"):
        improve(files, tmp_path, half_maps=tuple(renamed), output=str(tmp_path / "run.mrc"))


def test_emptied_solvent_is_no_gain_in_the_half_map_test(files, tmp_path, monkeypatch):
    """What any mask does must not count for the network: here it is all that is done."""
    atoms, volume = read_atoms(files["structure"]), read_volume(files["map"])
    around = dense_mask(model_density(atoms, volume, 1.0), volume.voxels_zyx)
    masking = lambda self, v, *options: v.data * around
    monkeypatch.setattr(Doubling, "improve", masking)
    test = improve(files, tmp_path, half_maps=(files["half1"], files["half2"])).outputs["half_map_test"]
    assert -0.05 < test["gain"] < 0.02
    assert test["unexplained"] < 0.1  # in this small box; larger ones: test_map_measures


def test_a_mask_without_a_model_holds_the_molecule_and_not_the_solvent(files):
    atoms, volume = read_atoms(files["structure"]), read_volume(files["half1"])
    mask = dense_mask(volume.data, volume.voxels_zyx)
    positions = np.rint(volume.positions(atoms.xyz)).astype(int)
    inside = ((positions >= 0) & (positions < volume.data.shape)).all(axis=1)
    assert mask[tuple(positions[inside].T)].mean() > 0.95 and 0.05 < mask.mean() < 0.5


def test_a_half_map_is_not_taken_for_the_whole_map(files, tmp_path):
    halves = (files["half1"], files["half2"])
    with pytest.raises(ValueError, match="the half-map .*half2.mrc are the same"):
        improve(files, tmp_path, map=files["half2"], half_maps=halves)
    result = evaluate_map.evaluate_map(
        EvaluateMapConfig(map=files["half1"], structure=files["structure"], half_maps=halves)
    )
    assert any("those of half of the data" in warning for warning in result.warnings)
    with pytest.raises(ValueError, match="are the same map"):
        improve(files, tmp_path, map=None, half_maps=(files["half1"], files["half1"]))


def test_halves_that_agree_up_to_the_last_shell_are_a_warning(files, tmp_path):
    """The map of all data in the place of a half-map shares the other half's noise."""
    whole = read_volume(files["half1"])
    write_volume(tmp_path / "all.mrc", 0.5 * (whole.data + read_volume(files["half2"]).data), whole)
    for first, said in ((files["half1"], False), (str(tmp_path / "all.mrc"), True)):
        halves = (first, files["half2"])
        results = [
            improve(files, tmp_path, half_maps=halves, output=str(tmp_path / f"{said}.mrc")),
            evaluate_map.evaluate_map(
                EvaluateMapConfig(map=files["map"], structure=files["structure"], half_maps=halves)
            ),
        ]
        assert [any("does not fall below 0.143" in w for w in result.warnings) for result in results] == [said] * 2


def test_a_map_that_is_there_is_not_replaced(files, tmp_path):
    path = improve(files, tmp_path).outputs["map"]
    before = Path(path).read_bytes()
    with pytest.raises(FileExistsError, match="out.mrc .*exists already"):
        improve(files, tmp_path, mask=files["mask"])
    assert Path(path).read_bytes() == before
    prefix = str(tmp_path / "simulated")
    config = SimulateHalfMapsConfig(structure=files["structure"], resolution=4.0, output=prefix)
    simulate_half_maps.simulate_half_maps(config)
    with pytest.raises(FileExistsError, match="simulated_truth.mrc .*exists already"):
        simulate_half_maps.simulate_half_maps(config)


def test_a_mask_that_begins_elsewhere_is_a_warning_with_both_places(files, tmp_path):
    mask = read_volume(files["mask"], what="mask")
    moved = dataclasses.replace(mask, origin_zyx=mask.origin_zyx + 10, header=None)
    write_volume(tmp_path / "moved.mrc", moved.data, moved)
    sentence = "moved.mrc begins at (-6.00, -8.00, -10.00) Å"
    for name, said in ((files["mask"], False), (str(tmp_path / "moved.mrc"), True)):
        result = improve(files, tmp_path, mask=name, output=str(tmp_path / f"{said}.mrc"))
        assert any(sentence in w for w in result.warnings) == said


def test_half_maps_of_different_scale_count_alike_and_are_told(files, tmp_path, monkeypatch):
    """Else the mean is of one, and the map of doubt does not show what was added to both."""
    half, strong = read_volume(files["half2"]), str(tmp_path / "strong.mrc")
    write_volume(strong, 10 * half.data, half)
    texture = gaussian_filter(np.random.default_rng(1).normal(size=half.data.shape), 1.2)
    texture *= gaussian_filter(read_volume(files["map"]).data, 2.0) > 0.02
    strength = lambda volume: gaussian_filter(volume.data, 2.0).max() / texture.std()
    monkeypatch.setattr(Doubling, "improve", lambda _, volume, *more: volume.data + strength(volume) * texture)
    found = []
    for other, told in ((files["half2"], False), (strong, True)):
        halves, output = (files["half1"], other), str(tmp_path / f"{told}.mrc")
        result = improve(files, tmp_path, map=None, half_maps=halves, output=output)
        assert any("density 10 times as strong" in warning for warning in result.warnings) == told
        found.append([read_volume(result.outputs[name]).data for name in ("map", "half2", "doubt")])
    for one, other in zip(*found):
        assert one.mean() == pytest.approx(other.mean(), rel=0.1) and np.corrcoef(one.flat, other.flat)[0, 1] > 0.98
    assert found[0][2].max() > 0.9


def test_half_maps_of_very_small_values_are_compared_too(files, tmp_path):
    """Squares of them are 0 as float32."""
    halves = []
    for name, factor in (("half1", 1e-21), ("half2", 1e-20)):
        halves.append(str(tmp_path / f"{name}.mrc"))
        write_volume(halves[-1], factor * read_volume(files[name]).data, read_volume(files[name]))
    with np.errstate(invalid="raise"):
        result = improve(files, tmp_path, map=None, half_maps=tuple(halves), output=str(tmp_path / "small.mrc"))
    assert any("density 10 times as strong" in warning for warning in result.warnings)


def test_half_maps_that_begin_at_different_places_are_a_warning_without_a_map_too(files, tmp_path):
    half = read_volume(files["half2"])
    moved = dataclasses.replace(half, origin_zyx=half.origin_zyx + 4, header=None)
    write_volume(tmp_path / "cropped.mrc", half.data, moved)
    for other, said in ((files["half2"], False), (str(tmp_path / "cropped.mrc"), True)):
        output = str(tmp_path / f"{said}.mrc")
        result = improve(files, tmp_path, map=None, half_maps=(files["half1"], other), output=output)
        sentence = "cropped.mrc begins at (-12.00, -14.00, -16.00) Å (x, y, z) by its header, the map"
        assert any(sentence in w for w in result.warnings) == said


def test_a_mask_that_lets_everything_through_is_a_mask_and_an_empty_one_is_none(files, tmp_path):
    improved = read_volume(improve(files, tmp_path, mask=files["mask"]).outputs["map"])
    np.testing.assert_allclose(improved.data, 2 * read_volume(files["map"]).data, rtol=1e-6)
    grid = read_volume(files["map"])
    write_volume(tmp_path / "empty.mrc", 0 * grid.data, grid)
    with pytest.raises(ValueError, match="empty.mrc is empty"):
        improve(files, tmp_path, mask=str(tmp_path / "empty.mrc"))
    smaller = dataclasses.replace(grid, data=grid.data[:20], header=None)
    write_volume(tmp_path / "other.mrc", np.ones_like(smaller.data), smaller)
    with pytest.raises(ValueError, match="other.mrc has 48 x 40 x 20 voxels of .*, the map .* 48 x 40 x 40"):
        improve(files, tmp_path, mask=str(tmp_path / "other.mrc"))


@pytest.mark.parametrize(("blur", "move"), [(0, 9), (0, 0), (2, 5)])
def test_a_model_beside_its_density_is_a_warning_with_its_way(files, tmp_path, blur, move):
    """A blurred map correlates with a misplaced model, too."""
    volume = read_volume(files["map"])
    data = gaussian_filter(np.roll(volume.data, move, axis=1), blur) + 0.05 * volume.data
    write_volume(tmp_path / "apart.mrc", data, volume)
    result = evaluate_map.evaluate_map(EvaluateMapConfig(map=str(tmp_path / "apart.mrc"), structure=files["structure"]))
    said = [warning for warning in result.warnings if "agree better elsewhere" in warning]
    assert [f"Moved by (0.0, {move}.0, 0.0) Å (x, y, z)" in warning for warning in said] == [True] * bool(move)


@pytest.mark.parametrize(("mirrored", "told"), [((), 0), (("half2",), 1), (("half1", "half2"), 2)])
def test_half_maps_that_do_not_show_what_the_map_shows_are_told(files, tmp_path, mirrored, told):
    """Both of the other hand than the map agree with each other, and the half-map test alone finds nothing."""
    for name in mirrored:
        volume = read_volume(files[name])
        write_volume(files[name], np.flip(volume.data, (0, 1, 2)), volume)
    halves = (files["half1"], files["half2"])
    config = EvaluateMapConfig(map=files["map"], structure=files["structure"], half_maps=halves)
    for result in (evaluate_map.evaluate_map(config), improve(files, tmp_path, half_maps=halves)):
        assert sum("moved, mirrored, filtered, or of other data" in one for one in result.warnings) == told


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_a_map_of_the_other_hand_is_told_from_a_model_that_lies_elsewhere(files, tmp_path, axis):
    volume = read_volume(files["map"])
    noisy = volume.data + 0.05 * volume.data.max() * np.random.default_rng(1).normal(size=volume.data.shape)
    write_volume(tmp_path / "hand.mrc", noisy if axis is None else np.flip(noisy, axis), volume)
    result = evaluate_map.evaluate_map(EvaluateMapConfig(map=str(tmp_path / "hand.mrc"), structure=files["structure"]))
    said = [warning for warning in result.warnings if "local correlation" in warning]
    words = "is of the other hand than {structure}, or the model is turned: ".format(**files)  # by 26°, of GroEL
    assert [words in warning for warning in said] == [True] * (axis is not None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data, ""),
        (lambda data: np.roll(data, 3, axis=2), "agree better elsewhere"),
        (lambda data: data.transpose(1, 2, 0), "where the map's x, y and z are the model's z, x, y."),
    ],
)
def test_the_map_or_the_one_before_that_lies_unlike_the_model_is_told(tmp_path, change, said):
    atoms, grid = read_atoms(helix(tmp_path / "helix.pdb")), empty_grid((48, 48, 48), origin=(-24.0, -24.0, -24.0))
    density, noise = model_density(atoms, grid, 1.0), np.random.default_rng(1).normal(size=(48, 48, 48))
    for name, data in (("right", density), ("other", np.ascontiguousarray(change(density)))):
        write_volume(tmp_path / f"{name}.mrc", data + 0.05 * density.max() * noise, grid)
    right, other = str(tmp_path / "right.mrc"), str(tmp_path / "other.mrc")
    for both in (dict(map=other), dict(map=right, before=other)):
        result = evaluate_map.evaluate_map(EvaluateMapConfig(structure=str(tmp_path / "helix.pdb"), **both))
        about = [one for one in result.warnings if one.startswith(other) and "local correlation" in one]
        assert [said in one for one in about] == [True] * bool(said)


def test_a_place_that_a_small_model_finds_by_chance_is_not_called_its_own(tmp_path):
    """A helix that lies right, in a coarse map with a hundred others: turned, it finds places as good."""
    atoms, grid = read_atoms(helix(tmp_path / "helix.pdb", 8)), empty_grid((24, 24, 24), 3.7, (-44.4, -44.4, -44.4))
    data, centred = model_density(atoms, grid, 3.0), atoms.xyz - atoms.xyz.mean(axis=0)
    places = np.random.default_rng(3).uniform(-36, 36, (100, 3))
    for turn, place in zip(Rotation.random(100, random_state=3).as_matrix(), places):
        data = data + model_density(dataclasses.replace(atoms, xyz=centred @ turn + place), grid, 3.0)
    write_volume(tmp_path / "map.mrc", data, grid)
    config = EvaluateMapConfig(map=str(tmp_path / "map.mrc"), structure=str(tmp_path / "helix.pdb"))
    assert not [line for line in evaluate_map.evaluate_map(config).warnings if "local correlation" in line]


@pytest.mark.parametrize("factor", [1.0, 1.03, 0.97])
def test_a_pixel_size_at_which_the_model_does_not_fit_is_told(tmp_path, factor):
    """The model lies where it fits the map of the wrong size best; 72 residues are 108 Å long."""
    atoms, grid = read_atoms(helix(tmp_path / "helix.pdb", 72, shift=(0, 0, -54))), empty_grid((160, 32, 32))
    grid = dataclasses.replace(grid, origin_zyx=np.array([-80.0, -16.0, -16.0]))
    data = model_density(atoms, grid, 1.0)
    wrong = dataclasses.replace(grid, voxels_zyx=grid.voxels_zyx * factor, origin_zyx=grid.origin_zyx * factor)
    write_volume(
        tmp_path / "map.mrc", data + 0.05 * data.max() * np.random.default_rng(1).normal(size=data.shape), wrong
    )
    config = EvaluateMapConfig(map=str(tmp_path / "map.mrc"), structure=str(tmp_path / "helix.pdb"))
    said = [one for one in evaluate_map.evaluate_map(config).warnings if "may be wrong by some 3%" in one]
    assert [f"are 1 in place of {factor:g} Å wide" in one for one in said] == [True] * (factor != 1)


@pytest.mark.parametrize("model", [True, False])
def test_half_maps_of_any_program_are_tested_and_their_doubt_is_mapped(files, tmp_path, model):
    """Both are doubled, and a helix that no half-map has is added to both beside the molecule. Without a model the mask
    is the usual one, which leaves most of the noise out."""
    raw = [read_volume(files[name]) for name in ("half1", "half2")]
    true = model_density(read_atoms(files["structure"]), empty_grid(), 1.0)
    planted = np.roll(true, 14, axis=1)
    processed = tuple(str(tmp_path / f"processed{number}.mrc") for number in (1, 2))
    for path, half in zip(processed, raw):
        write_volume(path, 2 * half.data + 2 * planted, half)
    values = dict(map=files["map"], structure=files["structure"], half_maps=(files["half1"], files["half2"]))
    values.update(dict(mask=files["mask"]) if model else dict(structure=None))
    values.update(processed=processed, output=str(tmp_path / "evaluated"))
    with computing_on("99", 1):  # there is no network to run: nothing asks for a GPU
        result = evaluate_map.evaluate_map(EvaluateMapConfig(**values))
    outputs = result.outputs
    doubt = read_volume(outputs["doubt"]).data
    assert doubt[planted > 0.5 * planted.max()].mean() > 0.8 > 0.2 > doubt[true > 0.5 * true.max()].mean()
    agreed = outputs["half_map_test"]["raw"]["fsc0143_angstrom"]
    assert agreed > 3.5 if model else agreed < 3.3
    named = files["mask"] if model else "around what is dense in the half-maps"
    assert json.loads(Path(outputs["evaluation"]).read_text())["mask"] == named
    assert outputs["half_map_test"]["unexplained"] > 0.1 and any("not in the data" in one for one in result.warnings)
    table = Path(outputs["doubt"]).with_suffix(".csv")
    assert table.exists() == model == (outputs["q_score"] is not None) == ("Q-score" in " ".join(result.summary))
    if model:
        verdicts = [row["verdict"] for row in csv.DictReader(open(table))]
        assert verdicts.count("not in the data") <= 1 + len(verdicts) // 10  # the model is where the data are
    script = Path(outputs["doubt"]).with_suffix(".cxc").read_text().splitlines()
    assert script[:2] == ['open "../map.mrc"', 'open "doubt.mrc"']


@pytest.mark.parametrize("wrong", ["swapped", "noise", "inverted", "of both"])
def test_processed_half_maps_that_are_not_of_their_halves_are_refused(files, tmp_path, wrong):
    raw = [read_volume(files[name]) for name in ("half1", "half2")]
    noise = np.random.default_rng(1).normal(size=(2, *raw[0].data.shape))
    both = raw[0].data + raw[1].data
    made = {"swapped": raw[1].data, "noise": noise[0], "inverted": -raw[0].data, "of both": both}[wrong]
    other = {"swapped": raw[0].data, "noise": noise[1], "inverted": -raw[1].data, "of both": both * (both > 0)}[wrong]
    processed = tuple(str(tmp_path / f"processed{number}.mrc") for number in (1, 2))
    for path, data in zip(processed, (made, other)):
        write_volume(path, data, raw[0])
    halves = dict(half_maps=(files["half1"], files["half2"]), processed=processed)
    with pytest.raises(ValueError, match="--processed. is hardly more like its half-map .*half1.mrc than like"):
        evaluate_map.evaluate_map(EvaluateMapConfig(map=files["map"], structure=files["structure"], **halves))


def test_offset_and_scale_of_half_maps_change_nothing(files, tmp_path):
    """Of the processed ones, and of all: the squares of 1e-20 are beyond float32."""
    names, found = ("map", "half1", "half2"), []
    for number, (scale, offset, unit) in enumerate(((1.0, 0.0, 1.0), (1e-9, 5e-9, 1.0), (1.0, 0.0, 1e-20))):
        path = {key: str(tmp_path / f"{number}_{key}.mrc") for key in (*names, "processed1", "processed2")}
        for name in names:
            raw = read_volume(files[name])
            write_volume(path[name], unit * raw.data, raw)
            if name != "map":
                write_volume(path[name.replace("half", "processed")], unit * (scale * raw.data + offset), raw)
        values = dict(map=path["map"], structure=files["structure"], half_maps=(path["half1"], path["half2"]))
        config = EvaluateMapConfig(**values, processed=(path["processed1"], path["processed2"]))
        outputs = evaluate_map.evaluate_map(config).outputs
        found.append([outputs["half_map_test"][name] for name in ("gain", "unexplained", "worst", "doubted", "piece")])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, atol=2e-3)


def test_processed_half_maps_need_the_half_maps():
    (problem,) = EvaluateMapConfig(map="a.mrc", structure="a.pdb", processed=("b.mrc", "c.mrc")).check_together()
    assert "two of each; 2 and 0 are given" in problem


@pytest.mark.parametrize("given", [dict(), dict(half_maps=("b", "c")), dict(before="d")])
def test_without_a_model_there_must_be_processed_half_maps(given):
    (problem,) = EvaluateMapConfig(map="a.mrc", **given).check_together()
    assert problem.startswith("An atomic structure (--structure) is missing")


@pytest.mark.parametrize(
    "wrong", [dict(half_maps=("half1", "other")), dict(processed=("half1", "other")), dict(before="other")]
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_measured(files, tmp_path, monkeypatch, wrong):
    from cryodl.maps.measures import measure

    monkeypatch.setattr(measure, "measure_map", None)  # it must not be called
    grid = read_volume(files["map"])
    files["other"] = str(tmp_path / "other.mrc")
    smaller = dataclasses.replace(grid, data=grid.data[:20], header=None)
    write_volume(files["other"], smaller.data, smaller)
    given = dict(half_maps=(files["half1"], files["half2"]), map=files["map"], structure=files["structure"])
    named = lambda value: tuple(map(named, value)) if isinstance(value, tuple) else files.get(value, value)
    with pytest.raises(ValueError, match="same grid"):
        evaluate_map.evaluate_map(
            EvaluateMapConfig(**{**given, **{name: named(value) for name, value in wrong.items()}})
        )


@pytest.mark.parametrize("wrong", ["map", "mask", "mask_structure"])
def test_a_folder_in_the_place_of_a_file_is_called_one(files, tmp_path, wrong):
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder"):
        improve(files, tmp_path, **{wrong: str(tmp_path)})


def test_warnings_stand_in_the_result_and_are_not_said_twice(files, capsys):
    far = gemmi.read_structure(files["structure"])
    far[0]["A"][11]["CA"][0].pos = gemmi.Position(500, 0, 0)
    far.write_pdb(files["structure"])
    result = evaluate_map.evaluate_map(EvaluateMapConfig(map=files["map"], structure=files["structure"]))
    assert "of the 60 atoms" in result.warnings[0]
    assert capsys.readouterr().out.count("Warning") == 1


def test_a_model_with_many_chains_is_compared_chain_by_chain(tmp_path):
    """36 chains, more than letters: mmCIF with names of two letters."""
    names = [chr(65 + k) if k < 26 else "A" + chr(39 + k) for k in range(36)]
    built = gemmi.Structure()
    built.add_model(gemmi.Model("1"))
    for k, name in enumerate(names):
        one = gemmi.read_structure(str(helix(tmp_path / "one.pdb", 4, shift=(30.0 * (k % 6), 30.0 * (k // 6), 0))))
        one[0]["A"].name = name
        built[0].add_chain(one[0][0])
    built.setup_entities()
    built.make_mmcif_document().write_file(str(tmp_path / "many.cif"))
    outputs = compare_models.compare_models(
        CompareModelsConfig(structure=str(tmp_path / "many.cif"), reference=str(tmp_path / "many.cif"))
    ).outputs
    assert outputs["chains"] == {name: 1.0 for name in names} and outputs["rmsd_angstrom"] == 0


def test_atoms_without_elements_are_counted_and_models_of_water_are_none(files, tmp_path):
    lines = open(files["structure"]).read().splitlines()
    unknown = [
        line[:12] + " XX " + line[16:76] + " X" if line.startswith("ATOM") and k < 5 else line
        for k, line in enumerate(lines)
    ]
    (tmp_path / "unknown.pdb").write_text("\n".join(unknown) + "\n")
    result = evaluate_map.evaluate_map(EvaluateMapConfig(map=files["map"], structure=str(tmp_path / "unknown.pdb")))
    assert any("atoms have no known element and are left out" in warning for warning in result.warnings)
    (tmp_path / "water.pdb").write_text(
        "HETATM    1  O   HOH A   1      10.000  10.000  10.000  1.00 20.00           O\n"
    )
    with pytest.raises(ValueError, match="water.pdb has no atoms"):
        compare_models.compare_models(
            CompareModelsConfig(structure=str(tmp_path / "water.pdb"), reference=files["structure"])
        )


def test_the_folder_of_an_evaluation_holds_what_was_measured(files, tmp_path):
    halves, folder = (files["half1"], files["half2"]), tmp_path / "evaluated"
    config = EvaluateMapConfig(
        map=files["map"], structure=files["structure"], half_maps=halves, before=files["half1"], output=str(folder)
    )
    made = evaluate_map.evaluate_map(config).outputs
    said = json.loads((folder / "evaluation.json").read_text())
    assert said["q_score"] == made["q_score"] and said["fsc05_angstrom"] == made["fsc05_angstrom"]
    model = gemmi.read_structure(files["structure"])[0]
    with open(folder / "residues.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["chain"], r["number"], r["name"]) for r in rows] == [
        (chain.name, str(residue.seqid), residue.name) for chain in model for residue in chain
    ]
    scores = np.array([[float(r["q_score"]), float(r["q_score_before"])] for r in rows])
    assert np.abs(scores).max() <= 1 and abs(scores[:, 0].mean() - made["q_score"]) < 0.05
    coloured = [line.split() for line in (folder / "q_score.defattr").read_text().splitlines()[3:]]
    assert coloured == [[f"/{r['chain']}:{r['number']}", r["q_score"]] for r in rows]
    opened = [line[6:-1] for line in (folder / "show.cxc").read_text().splitlines() if line.startswith('open "')]
    assert len(opened) >= 3 and all((folder / name).exists() for name in opened)
    assert ("local_resolution.mrc" in opened) == ("local_resolution_angstrom" in said["half_maps"])
    assert (folder / "local_resolution.png").exists() == ("local_resolution.mrc" in opened)
    with open(folder / "fsc.csv", newline="") as file:
        shells = list(csv.DictReader(file))
    column = lambda name: np.array([float(row[name]) for row in shells])
    before = said["before"]
    for curve, limit, resolution in (
        ("map and model", 0.5, said["fsc05_angstrom"]),
        ("map and model, whole box", 0.5, said["fsc05_unmasked_angstrom"]),
        ("before and model", 0.5, before["fsc05_angstrom"]),
        ("before and model, whole box", 0.5, before["fsc05_unmasked_angstrom"]),
        ("half-maps", 0.143, said["half_maps"]["resolution_angstrom"]),
    ):
        below = np.flatnonzero(column(curve) < limit)
        assert (len(below) > 0) == (resolution is not None), curve
        if len(below):  # between the shells around it
            frequency = column("frequency_per_angstrom")[[below[0] - 1, below[0]]]
            assert frequency[0] <= 1 / resolution <= frequency[1], curve
    assert (folder / "fsc.png").exists()
    slices = imread(folder / "slices.png")[..., :3]
    assert slices.std() > 0.1 and (np.ptp(slices, axis=2) < 0.02).mean() > 0.98, "densities are grey"


def test_summary_and_methods_say_what_was_measured(files, tmp_path, monkeypatch):
    halves = (files["half1"], files["half2"])
    improved = improve(files, tmp_path, half_maps=halves)
    assert any("both improved" in line for line in improved.summary) and "Swin-Conv-UNet" in improved.methods[0]
    assert any("Without half-maps" in line for line in improve(files, tmp_path / "alone").summary)
    evaluated = evaluate_map.evaluate_map(
        EvaluateMapConfig(
            map=improved.outputs["map"], structure=files["structure"], half_maps=halves, before=files["map"]
        )
    )
    said = " ".join(evaluated.summary)
    score = f"{evaluated.outputs['q_score']:.3f}"
    for words in ("Map-model FSC 0.5: ", "; original ", f"Q-score, mean of the atoms: {score}", "Half-maps, FSC 0.143"):
        assert words in said
    assert f"the mean Q-score is {score} (before improvement: " in evaluated.methods[0]
    compared = compare_models.compare_models(
        CompareModelsConfig(structure=files["structure"], reference=files["structure"])
    )
    matched = compared.outputs["matched"]
    assert compared.summary[0].startswith(f"{matched} of {matched} residues of the reference are matched within 3 Å")
    assert "with an RMSD of 0.00 Å" in compared.methods[0]


def test_simulated_maps_and_their_model_are_in_one_frame(files, tmp_path):
    outputs = simulate_half_maps.simulate_half_maps(
        SimulateHalfMapsConfig(
            structure=files["structure"], resolution=5.0, output=str(tmp_path / "sim" / "helix"), pixel_size=1.5, box=32
        )
    ).outputs
    result = evaluate_map.evaluate_map(EvaluateMapConfig(map=outputs["ground_truth"], structure=outputs["structure"]))
    assert result.outputs["local_correlation"] > 0.9
    with mrcfile.open(outputs["full"]) as mrc:
        assert mrc.data.shape == (32, 32, 32) and mrc.voxel_size.x == pytest.approx(1.5)


def test_half_maps_of_opposite_contrast_are_refused(files, tmp_path):
    inverted = {}
    for name in ("half1", "half2"):
        volume = read_volume(files[name])
        inverted[name] = str(tmp_path / f"inverted_{name}.mrc")
        write_volume(inverted[name], -volume.data, volume)
    for halves in ((inverted["half1"], files["half2"]), (inverted["half1"], inverted["half2"])):
        with pytest.raises(ValueError, match="inverted_half1.mrc and the .* opposite contrast"):
            improve(files, tmp_path, half_maps=halves)
        with pytest.raises(ValueError, match="opposite contrast"):
            evaluate_map.evaluate_map(
                EvaluateMapConfig(map=files["map"], structure=files["structure"], half_maps=halves)
            )


def test_a_map_in_the_place_of_a_mask_is_cut_off_with_a_warning_in_both_commands(files, tmp_path):
    results = [
        improve(files, tmp_path, mask=files["map"]),
        evaluate_map.evaluate_map(EvaluateMapConfig(map=files["map"], structure=files["structure"], mask=files["map"])),
    ]
    assert all(any("mask and not a map" in warning for warning in result.warnings) for result in results)


def test_a_resolution_that_the_model_does_not_know_and_what_it_invents_are_warnings(files, tmp_path, monkeypatch):
    halves = (files["half1"], files["half2"])
    assert not any("was trained on" in w for w in improve(files, tmp_path, half_maps=halves, resolution=4.0).warnings)
    blank = lambda self, volume, *options: np.random.default_rng(0).normal(size=volume.data.shape)
    monkeypatch.setattr(Doubling, "improve", blank)
    warnings = improve(files, tmp_path, half_maps=halves, resolution=4.0, output=str(tmp_path / "b.mrc")).warnings
    assert any("it was added" in warning or "more errors were added than removed" in warning for warning in warnings)


@pytest.mark.parametrize("resolution", [2.5, 7.5])
def test_a_map_outside_the_trained_resolutions_is_left_as_it_is_and_said(files, tmp_path, resolution):
    result = improve(files, tmp_path, resolution=resolution)
    np.testing.assert_array_equal(read_volume(result.outputs["map"]).data, read_volume(files["map"]).data)
    assert result.outputs["doubt"] is None and result.outputs["unchanged"] in result.warnings
    assert f"{resolution:g} Å, as given (--resolution)" in result.outputs["unchanged"]


def test_a_resolution_finer_than_two_voxels_is_refused_and_one_rounded_there_is_not(files, tmp_path):
    finest = 2 * read_volume(files["map"]).voxels_zyx.max()
    with pytest.raises(ValueError, match="hold no detail below .* Å. Give the resolution of the map"):
        improve(files, tmp_path, resolution=0.9 * finest)
    assert improve(files, tmp_path, resolution=0.98 * finest).outputs["resolution"] == 0.98 * finest


def test_half_maps_tell_the_resolution_and_decide_before_the_work(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Doubling, "card", dict(Doubling.card, resolutions=[8.0, 12.0]))
    monkeypatch.setattr(Doubling, "improve", None)  # it must not be called
    result = improve(files, tmp_path, half_maps=(files["half1"], files["half2"]), resolution=None)
    assert "by the FSC of the half-maps" in result.outputs["unchanged"] and result.outputs["resolution"] < 8


def test_half_maps_that_agree_nowhere_are_noise_whatever_resolution_is_given(files, tmp_path):
    volume, rng, noise = read_volume(files["map"]), np.random.default_rng(0), {}
    for name in ("half1", "half2"):
        noise[name] = str(tmp_path / f"noise_{name}.mrc")
        write_volume(noise[name], rng.normal(size=volume.data.shape), volume)
    told = improve(files, tmp_path, half_maps=tuple(noise.values()), resolution=None)
    assert "agree at no resolution: this is noise. The map is not changed." in told.outputs["unchanged"]
    assert not any("Give the resolution" in warning for warning in told.warnings)
    given = improve(files, tmp_path, half_maps=tuple(noise.values()), output=str(tmp_path / "given.mrc"))
    assert given.outputs["unchanged"] is None and any("this is noise" in warning for warning in given.warnings)
    halves = (files["half1"], files["half2"])
    good = improve(files, tmp_path, half_maps=halves, output=str(tmp_path / "good.mrc"))
    assert not any("this is noise" in warning for warning in good.warnings)


@pytest.mark.parametrize("shells", [(1,), (2, 3)])
def test_half_maps_that_agree_in_fine_shells_alone_are_told(files, tmp_path, shells):
    half, other = read_volume(files["half2"]), str(tmp_path / "other.mrc")
    index, _, _ = shell_numbers(half.data.shape, half.voxels_zyx)
    turned = np.fft.rfftn(half.data) * np.where(np.isin(index, shells), -1, 1)
    write_volume(other, np.fft.irfftn(turned, half.data.shape, (0, 1, 2)), half)
    told = improve(files, tmp_path, half_maps=(files["half1"], other), resolution=None, mask=files["mask"])
    assert "its half-maps agree in fine detail, but not in the coarsest" in told.outputs["unchanged"]


def fine_maps(tmp_path, density):
    """{name: path} of a map of 1.2 Å/px and of two half-maps with little noise, so that they agree up to Nyquist."""
    rng, grid = np.random.default_rng(0), empty_grid(density.shape, 1.2, (-28.0, -28.0, -24.0))
    paths = {name: str(tmp_path / f"fine_{name}.mrc") for name in ("map", "half1", "half2")}
    for path in paths.values():
        write_volume(path, density + 0.01 * density.max() * rng.normal(size=density.shape), grid)
    return paths


@pytest.mark.parametrize("with_halves", [False, True])
def test_half_maps_that_agree_to_nyquist_do_not_switch_the_check_of_the_resolution_off(
    tmp_path, monkeypatch, with_halves
):
    atoms = read_atoms(helix(tmp_path / "helix.pdb"))
    paths = fine_maps(tmp_path, model_density(atoms, empty_grid((48, 48, 56), 1.2, (-28.0, -28.0, -24.0)), 0.6))
    monkeypatch.setattr(Doubling, "card", dict(Doubling.card, resolutions=[4.0, 6.0]))
    halves = (paths["half1"], paths["half2"]) if with_halves else ()
    result = improve(paths, tmp_path, half_maps=halves, resolution=None)
    assert "up to 2.4 Å, the Nyquist limit" in result.outputs["unchanged"] and result.outputs["resolution"] is None
    assert any("does not fall below 0.143" in w for w in result.warnings) == with_halves


@pytest.mark.parametrize("with_halves", [False, True])
def test_a_map_whose_resolution_is_not_known_is_left_as_it_is_and_said(tmp_path, with_halves):
    """Points at random in a ball have as much power at the last shell as at all others."""
    points, density = np.random.default_rng(1).normal(20, 5, (1500, 3)), np.zeros((40, 40, 40))
    within = np.linalg.norm(points - 20, axis=1) < 9
    np.add.at(density, tuple(np.rint(points[within]).astype(int).T), 1)
    paths = fine_maps(tmp_path, density)
    halves = (paths["half1"], paths["half2"]) if with_halves else ()
    result = improve(paths, tmp_path, half_maps=halves, resolution=None)
    assert result.outputs["resolution"] is None and result.outputs["unchanged"] in result.warnings
    assert sum("is not known" in w and "up to 2.4 Å" in w for w in result.warnings) == 1
    known = improve(paths, tmp_path, resolution=4.0, output=str(tmp_path / "known.mrc"))
    assert known.outputs["unchanged"] is None and not any("is not known" in w for w in known.warnings)
    assert any("4 Å, as given (--resolution)" in line for line in known.summary)


def test_voxels_larger_than_those_of_the_training_ask_for_half_maps_or_a_resolution(files, tmp_path):
    coarse = dict(pixel_size=1.95, map=files["map"])
    assert "up to 1.9 Å/px" in improve(files, tmp_path, resolution=None, **coarse).outputs["unchanged"]
    told = improve(files, tmp_path, output=str(tmp_path / "told.mrc"), **coarse).outputs
    assert told["unchanged"] is None


def test_a_map_with_much_smaller_voxels_than_the_model_is_improved_with_a_warning(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Doubling, "card", dict(Doubling.card, working_pixel_size=2.0, resolutions=[5.0, 8.0]))
    warnings = improve(files, tmp_path, resolution=6.0).warnings
    assert any("working pixel size of the model is 2 Å: detail finer than 4 Å is lost" in text for text in warnings)


def test_an_output_that_is_a_folder_is_refused_and_a_table_is_not_replaced(files, tmp_path):
    with pytest.raises(FileExistsError, match="is a folder, and a map is written"):
        improve(files, tmp_path, output=str(tmp_path))
    config = CompareModelsConfig(
        structure=files["structure"], reference=files["structure"], output=str(tmp_path / "new" / "table.csv")
    )
    compare_models.compare_models(config)
    with pytest.raises(FileExistsError, match="table.csv .*exists already"):
        compare_models.compare_models(config)


def test_a_simulation_that_misses_its_resolution_says_so(files, tmp_path):
    simulated = lambda name, **values: (
        simulate_half_maps.simulate_half_maps(
            SimulateHalfMapsConfig(structure=files["structure"], output=str(tmp_path / name), **values)
        ).warnings
    )
    assert not simulated("good", resolution=4.0)
    assert any("is 20 Å, but the FSC" in w for w in simulated("coarse", resolution=20.0, pixel_size=5.0))
