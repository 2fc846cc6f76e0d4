# SPDX-License-Identifier: GPL-3.0-or-later
"""pick --method templates: what projections of a structure, or blobs, find; the threshold; runs continued."""

import json

import mrcfile
import numpy as np
import pytest
import torch

from cryodl.contract import AllSkipped, PickConfig
from cryodl.core.matching import match_picks
from cryodl.core.peaks import LocalCorrelation, disc_normalised, disc_of
from cryodl.io.coordinates import read_coordinates
from cryodl.micrographs import templates as by_templates
from cryodl.micrographs.commands.pick import pick as pick_micrographs
from cryodl.micrographs.templates import ACROSS, of_blobs, of_structure, threshold_by_negative
from cryodl.running.cli import main

PIXEL = 4.0


def rod(side=48):
    """A density 120 Å long and 50 Å wide at 4 Å/px: its projections are no discs."""
    z, y, x = np.indices((side,) * 3) - side // 2
    return ((np.abs(z) < 15) & (np.hypot(y, x) < 6)).astype(np.float32)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A map of a rod, and three micrographs with 20 dark rods each, lying at any angle."""
    folder = tmp_path_factory.mktemp("templates")
    with mrcfile.new(folder / "rod.mrc") as file:
        file.set_data(rod())
        file.voxel_size = PIXEL
    rng, ground_truth = np.random.default_rng(3), {}
    (folder / "mics").mkdir()
    for number in range(3):
        image = rng.normal(0, 1.0, (400, 400)).astype(np.float32)
        y, x = np.indices(image.shape)
        positions = np.stack(np.meshgrid(np.arange(50, 380, 75), np.arange(60, 380, 90)), -1).reshape(-1, 2) + 0.0
        for centre in positions:
            rotation = rng.uniform(0, np.pi)
            along = (y - centre[0]) * np.sin(rotation) + (x - centre[1]) * np.cos(rotation)
            across = (x - centre[1]) * np.sin(rotation) - (y - centre[0]) * np.cos(rotation)
            image -= 1.2 * ((np.abs(along) < 15) & (np.abs(across) < 6))
        ground_truth[f"mic{number}"] = positions
        with mrcfile.new(folder / f"mics/mic{number}.mrc") as file:
            file.set_data(image)
            file.voxel_size = PIXEL
    return folder, ground_truth


def pick(folder, output, **values):
    source = {} if "particle_diameter" in values else dict(structure=str(folder / "rod.mrc"))
    values = {**source, "method": "templates", "pictures": 0, **values}
    return pick_micrographs(PickConfig((str(folder / "mics/*.mrc"),), PIXEL, str(output), **values))


def found(result, ground_truth, reach):
    """Precision and recall of all micrographs, within so many px."""
    hits = picks = 0
    for name, path in result.outputs["coordinates"].items():
        ((yx, _),) = read_coordinates(path).values()
        hits, picks = hits + match_picks(yx, ground_truth[name], reach).sum(), picks + len(yx)
    return hits / max(picks, 1), hits / sum(map(len, ground_truth.values()))


def test_the_coefficient_is_that_of_the_pixels_under_the_disc_also_at_the_edge():
    rng = np.random.default_rng(0)
    image, disc = torch.from_numpy(rng.normal(2, 3, (40, 31))), disc_of(4.0)
    template = disc_normalised(torch.from_numpy(rng.normal(0, 1, (1, *disc.shape))), disc)
    scores = LocalCorrelation(image, disc).scores(template)[0].numpy()
    half = disc.shape[0] // 2
    inside = image.numpy()[12 - half : 13 + half, 20 - half : 21 + half][disc.numpy()]
    assert abs(scores[12, 20] - np.corrcoef(inside, template[0].numpy()[disc.numpy()])[0, 1]) < 1e-4
    assert scores.shape == (40, 31) and np.abs(scores).max() <= 1 + 1e-4
    corner, part = image.numpy()[: half + 1, : half + 1], disc.numpy()[half:, half:]
    part_template = template[0].numpy()[half:, half:]
    by_hand = (part_template * corner)[part].sum() / np.sqrt(part.sum() * corner[part].var())
    assert abs(scores[0, 0] - by_hand) < 1e-3


def test_projections_of_a_rod_are_of_its_length_in_every_direction(project):
    templates = of_structure(str(project[0] / "rod.mrc"), 40.0)
    assert abs(templates.diameter - 124) < 12
    assert torch.allclose((templates.images * templates.disc).sum((1, 2)), torch.zeros(1), atol=1e-4)
    assert torch.allclose(templates.images.square().sum((1, 2)), torch.ones(1), atol=1e-4)
    middle = templates.images.shape[-1] // 2
    weight = templates.images.clamp(min=0)
    axis = torch.arange(weight.shape[-1]) - float(middle)
    off = torch.stack([(weight * axis[:, None]).sum((1, 2)), (weight * axis).sum((1, 2))]) / weight.sum((1, 2))
    assert off.abs().max() < 0.6  # px of ACROSS to the diameter: the middle stays the middle


def test_a_molecule_anywhere_in_its_box_is_projected_about_its_centre_and_that_is_said(project, tmp_path, monkeypatch):
    with mrcfile.new(tmp_path / "off.mrc") as file:
        file.set_data(np.pad(rod(), ((0, 0), (0, 16), (30, 0))))
        file.voxel_size = PIXEL
    middle, off = (of_structure(str(path), 60.0) for path in (project[0] / "rod.mrc", tmp_path / "off.mrc"))
    assert abs(off.moved - PIXEL * np.hypot(8, 15)) < 1 > middle.moved
    assert torch.allclose(off.images, middle.images, atol=0.03) and abs(off.diameter - middle.diameter) < 1
    monkeypatch.setattr(by_templates, "STEP", 60.0)
    assert any(
        "from the middle of its box" in w
        for w in pick(*project[:1], tmp_path / "off", structure=str(tmp_path / "off.mrc")).warnings
    )
    for record in (tmp_path / "off/candidates").glob("*.json"):  # as an earlier version wrote it
        known = json.loads(record.read_text())
        settings = {name: value for name, value in known["settings"].items() if "centre" not in name}
        record.write_text(json.dumps({**known, "settings": settings}))
    with pytest.raises(ValueError, match="other parameters: Å of the structure's centre from its box's None .now 6"):
        pick(*project[:1], tmp_path / "off", structure=str(tmp_path / "off.mrc"))


@pytest.mark.parametrize("values, recall", [({}, 0.9), ({"particle_diameter": 110.0}, 0.9)])
def test_particles_are_found_without_a_threshold(project, tmp_path, monkeypatch, values, recall):
    monkeypatch.setattr(by_templates, "STEP", 40.0)
    result = pick(project[0], tmp_path / "picks", **values)
    # a blob sits anywhere along a rod
    precision, share = found(result, project[1], 10.0 if "particle_diameter" in values else 5.0)
    assert precision > 0.7 and share > recall
    assert result.outputs["expected_false_picks"] < 0.3 * result.outputs["picks"] and not result.warnings
    blobs = len(of_blobs(110.0).images)
    assert (result.outputs["templates"] == blobs) == ("particle_diameter" in values)


def test_bright_protein_is_the_negative_of_dark(project, tmp_path):
    assert (
        found(pick(project[0], tmp_path / "picks", contrast="bright", particle_diameter=110.0), project[1], 5.0)[1]
        < 0.3
    )
    chance = pick(project[0], tmp_path / "all", threshold=0.1, contrast="bright", particle_diameter=110.0)
    assert any("are chance, assuming bright" in w and "Check the contrast" in w for w in chance.warnings)
    wide = pick(project[0], tmp_path / "all", threshold=0.1, contrast="bright", particle_diameter=110.0, border=1e4)
    assert chance.outputs["expected_false_picks"] > 0 == wide.outputs["expected_false_picks"] == wide.outputs["picks"]


def test_scores_are_those_of_every_template_though_few_images_are_compared(project):
    templates = of_structure(str(project[0] / "rod.mrc"), 24.0)
    image = torch.from_numpy(np.random.default_rng(5).normal(0, 1, (90, 70))).float()
    compared = LocalCorrelation(image, templates.disc, by_templates.QUIET).scores(templates.images)
    highest, lowest = by_templates.extremes(image, templates)
    assert (highest - compared.amax(0)).abs().max() < 0.02 > (lowest - compared.amin(0)).abs().max()
    assert len(templates.sums[1]) < len(templates.images) / 2 < 720 / 15
    alike = templates.images.flatten(1) @ templates.images.flatten(1).T
    assert alike.triu(1).max() < by_templates.SAME  # a rod looks the same from many sides


def test_the_threshold_leaves_out_what_the_negative_has_as_well():
    scores, false = np.r_[np.full(50, 0.6), np.linspace(0.1, 0.3, 400)], np.linspace(0.1, 0.3, 400)
    assert threshold_by_negative(scores, false) == 0.6
    assert threshold_by_negative(scores, np.zeros(0)) == 0.1
    assert threshold_by_negative(false, np.linspace(0.2, 0.5, 500)) == 1.0
    assert threshold_by_negative(np.zeros(0), false) == 1.0


def test_in_crowded_micrographs_chance_has_little_room_and_in_empty_ones_few_are_picked():
    rng = np.random.default_rng(1)
    noise = lambda count: rng.normal(0.4, 0.1, count)
    scores, right = np.r_[rng.normal(0.55, 0.07, 600), noise(400)], np.arange(1000) < 600
    f1 = lambda threshold: 2 * right[scores >= threshold].sum() / ((scores >= threshold).sum() + 600)
    assert f1(threshold_by_negative(scores, noise(1000))) > max(map(f1, scores)) - 0.05
    empty = [(image >= threshold_by_negative(image, noise(1000))).sum() for image in (noise(1000) for _ in range(20))]
    assert np.median(empty) < 5


def test_finished_micrographs_are_not_compared_again_and_a_changed_one_is(project, tmp_path, monkeypatch):
    values = dict(particle_diameter=110.0)
    first = pick(project[0], tmp_path / "picks", **values)
    seen, real = [], by_templates.candidates
    monkeypatch.setattr(by_templates, "candidates", lambda *a: seen.append(1) or real(*a))
    again = pick(project[0], tmp_path / "picks", threshold=0.99, **values)
    assert not seen and again.outputs["picks"] < first.outputs["picks"]
    record = tmp_path / "picks/candidates/mic1.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "stamp": None}))
    assert pick(project[0], tmp_path / "picks", **values).outputs["picks"] == first.outputs["picks"] and len(seen) == 1
    with pytest.raises(ValueError, match="made with other parameters: particle diameter 110"):
        pick(project[0], tmp_path / "picks", particle_diameter=90.0)


def test_earlier_picks_of_the_folder_with_another_threshold_are_named(project, tmp_path):
    given = dict(method="templates", pictures=0, particle_diameter=110.0)
    one = lambda name, threshold: pick_micrographs(
        PickConfig((str(project[0] / f"mics/{name}.mrc"),), PIXEL, str(tmp_path / "out"), threshold=threshold, **given)
    )
    said = [
        any("mic0" in w and "another threshold" in w for w in one(*row).warnings)
        for row in (("mic0", 0.3), ("mic1", 0.3), ("mic1", 0.4))
    ]
    assert said == [False, False, True]


def test_a_bad_micrograph_is_left_out_and_named(project, tmp_path):
    mics = tmp_path / "mics"
    mics.mkdir()
    (mics / "good.mrc").write_bytes((project[0] / "mics/mic0.mrc").read_bytes())
    (mics / "short.mrc").write_bytes((project[0] / "mics/mic0.mrc").read_bytes()[:3000])
    result = pick(tmp_path, tmp_path / "picks", particle_diameter=110.0)
    assert [s.item for s in result.skipped] == ["short"] and list(result.outputs["counts"]) == ["good"]
    (mics / "good.mrc").unlink()
    with pytest.raises(AllSkipped, match="Of 1 micrograph, none could be picked"):
        pick(tmp_path, tmp_path / "other", particle_diameter=110.0)


@pytest.mark.parametrize(
    "values, word", [({}, "neither is"), (dict(structure="a.mrc", particle_diameter=110.0), "both are")]
)
def test_a_structure_or_a_diameter_is_needed_and_not_both(values, word):
    (problem,) = PickConfig(("a.mrc",), 1.0, "out", method="templates", **values).check_together()
    assert f"{word} given" in problem and ACROSS > 8


def test_a_structure_that_is_not_there_is_a_sentence_about_its_name(project, tmp_path, capsys):
    words = ["--micrographs", str(project[0] / "mics/*.mrc"), "--pixel-size", "4", "--structure", "none.cif"]
    assert main(["pick", "--method", "templates", *words, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "none.cif: No such file or directory. Check its name (current folder: " in said and "permissions" not in said


def test_a_model_beside_templates_is_said_not_to_be_used(project, tmp_path):
    folder, _ = project
    said = [pick(folder, tmp_path / f"out_{model}", model=model).warnings for model in ("general", "other")]
    assert [any("(--model) is not used" in one for one in warnings) for warnings in said] == [False, True]
