# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenters that nobody drew a tile for: simulated cells, a network of several features, and one model of each."""

import json

import numpy as np
import pytest
import torch
from synthetic import lopsided_density, write_mrc

from cryodl.contract import Result
from cryodl.core.optics import Optics
from cryodl.io.model import read_model, shipped_models
from cryodl.running.cli import main
from cryodl.simulate import varied_cells
from cryodl.simulate.tilt_series import imaged, moved, seen_on_slope
from cryodl.simulate.tomograms import Particle
from cryodl.tomograms.pretraining.cells import grown, warped
from cryodl.tomograms.pretraining.task import Cells, CellsTask, fainter, filtered_noise, noise_like, weights_of
from cryodl.tomograms.segmenters import load_segmenter, segmenter_method


@pytest.fixture
def small(monkeypatch):
    """Cells of a size that tests have time for."""
    monkeypatch.setattr(varied_cells, "WIDTH", 900.0)
    monkeypatch.setattr(varied_cells, "DEPTH", 500.0)


def test_a_cell_is_the_same_for_the_same_seed_and_has_the_features_labels(small):
    one, two, other = (varied_cells.random_cell([], [], 15.0, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.volume, two.volume) and (one.labels == two.labels).all()
    assert one.volume.shape == one.labels.shape and torch.isfinite(one.volume).all()
    assert set(np.unique(one.labels)) <= {0, 1, 2, 3, 4} and other.labels.any()


def test_settings_are_spread_over_what_microscopes_do():
    rng = np.random.default_rng(0)
    configs = [varied_cells.random_config(13.0, rng) for _ in range(200)]
    spread = lambda name: (min(getattr(c, name) for c in configs), max(getattr(c, name) for c in configs))
    assert spread("tilt_max")[0] < 45 < 65 < spread("tilt_max")[1] and 0.05 <= spread("snr")[0] < 0.06
    assert spread("snr")[1] > 50 and spread("alignment_error")[1] > 8 and spread("fiducials") == (0, 6)
    assert {c.contrast for c in configs} == {"dark", "bright"} and {c.ctf_gradient for c in configs} == {True, False}


def test_noise_that_is_learnt_from_has_other_places_and_the_filters_spectrum():
    image = torch.from_numpy(lopsided_density(20))
    for seed in range(12):
        made = noise_like(image, np.random.default_rng(seed))
        assert made.shape == image.shape and torch.isfinite(made).all()
        assert abs(float(torch.corrcoef(torch.stack([made.ravel(), image.ravel()]))[0, 1])) < 0.5
    white = torch.randn(24, 24, 24, generator=torch.Generator().manual_seed(0))
    soft = filtered_noise(white, (1, 1, 3), tilt=60.0)
    assert soft.std() == pytest.approx(1, rel=1e-3) and abs(soft.mean()) < 1e-3
    power = torch.fft.rfftn(soft).abs()
    assert power[6:12, :, 0].max() < 1e-3 < power[0, 1:4, 0].min()  # the wedge: along z
    along = lambda axis: float((soft * soft.roll(1, axis)).mean())
    assert along(2) > along(1)


def test_a_warped_ribosome_is_another_one_of_the_same_mass():
    density = torch.from_numpy(lopsided_density(24)).float()
    one = Particle("ribosome", density, 12, 0.5)
    two = warped(one, 0, 10.0, np.random.default_rng(0))
    assert two.density.shape == density.shape and two.name != one.name
    assert float(two.density.sum()) == pytest.approx(float(density.sum()), rel=1e-4)
    alike = float(torch.corrcoef(torch.stack([two.density.ravel(), density.ravel()]))[0, 1])
    assert 0.5 < alike < 0.99


def test_an_image_is_moved_by_what_is_asked():
    image = torch.randn(1, 16, 16)
    assert torch.allclose(moved(image, np.array([[2.0, -3.0]])), image.roll((2, -3), (1, 2)), atol=1e-4)


def test_the_defocus_changes_along_a_tilted_image_and_not_along_a_flat_one():
    optics = [Optics(20000.0, 20000.0, 0.0, 300.0, 2.7, 0.1)]
    image = torch.zeros(64, 400)
    image[32, [40, 200, 360]] = 1.0
    flat = imaged(image[None, None], 10.0, optics)[0, 0]
    assert torch.allclose(seen_on_slope(image, 10.0, optics, None, 0.0), flat, atol=1e-4)
    tilted = seen_on_slope(image, 10.0, optics, None, 60.0)
    higher, lower = (
        imaged(image[None, None], 10.0, [Optics(d, d, 0.0, 300.0, 2.7, 0.1)])[0, 0] for d in (17230, 22770)
    )
    ends = (slice(30, 50), slice(350, 370))
    near = lambda a, b, part: float((a[:, part] - b[:, part]).norm() / b[:, part].norm())
    assert min(near(tilted, part, ends[0]) for part in (higher, lower)) < 0.15 < near(tilted, flat, ends[0])
    assert near(tilted, flat, slice(190, 210)) < 0.15


@pytest.mark.parametrize("name", ["unet", "unet3d", "unet16", "unet32"])
def test_the_network_of_one_feature_answers_as_the_one_of_all(name):
    method = segmenter_method(name)
    every, one = method.build(3).eval(), method.build().eval()
    one.load_state_dict(weights_of(every.state_dict(), 1, 3))
    slab = torch.randn(1, method.slices_in, 24, 24)
    assert torch.allclose(every(slab).unflatten(1, (3, -1))[:, 1], one(slab), atol=1e-5)


def test_crops_lie_within_the_cells_and_cells_come_in_as_the_training_goes_on(tmp_path):
    for number in range(3):
        labels = np.zeros((20, 90, 90), np.uint8)
        labels[5:9, 40:60, 40:60] = number + 1
        np.savez(tmp_path / f"{number}.npz", image=np.random.randn(20, 90, 90).astype(np.float16), labels=labels)
    validation = Cells(lambda number: tmp_path / f"{number}.npz")
    validation.grow(1)
    task = CellsTask(segmenter_method("unet16"), Cells(validation.path_of), 3, validation, batch_size=4)
    task.progress = 1.0
    image, labels = task.batch(np.random.default_rng(0))
    assert image.shape == (4, 16, 80, 80) and labels.shape == (4, 8, 80, 80) and len(task.training.images) == 3
    assert {int(v) for _ in range(6) for v in task.batch(np.random.default_rng(_))[1].unique()} == {0, 1, 2, 3}


def test_crops_at_the_ends_are_mirrored_as_a_tomogram_is_and_y_and_x_lie_within(tmp_path):
    image = np.arange(10 * 20 * 20, dtype=np.float16).reshape(10, 20, 20) % 100
    np.savez(tmp_path / "0.npz", image=image, labels=np.zeros(image.shape, np.uint8))
    cells = Cells(lambda number: tmp_path / f"{number}.npz")
    cells.grow(1)
    crop, _ = cells.crop(0, (0, 0, 0), 9, 8, 0, np.random.default_rng(0))
    assert np.array_equal(crop, image[[3, 2, 1, 0, 1, 2, 3, 4, 5], :8, :8])


def test_a_fainter_crop_keeps_its_variance_and_loses_its_likeness():
    rng, likeness = np.random.default_rng(0), []
    for _ in range(20):
        image = torch.from_numpy(rng.standard_normal((8, 32, 32), dtype=np.float32))
        image[:, 10:20, 8:24] += 1.0
        two = fainter(image, rng)
        assert 0.9 < float(two.std() / image.std()) < 1.1
        likeness.append(float(torch.corrcoef(torch.stack([two.flatten(), image.flatten()]))[0, 1]))
    assert min(likeness) < 0.85 and max(likeness) > 0.97


def test_a_training_leaves_a_model_for_each_feature_which_segments(tmp_path, small, capsys):
    write_mrc(tmp_path / "ribo.mrc", lopsided_density(20), 13.0)
    command = [
        "train-general-segmenter",
        "--ribosomes",
        str(tmp_path / "ribo.mrc"),
        "--cells",
        "1",
        "--network",
        "unet",
    ]
    command += ["--validation-cells", "1", "--steps", "2", "--batch-size", "2", "--device", "cpu", "--threads", "1"]
    assert main([*command, "--output", str(tmp_path / "models"), "--result", str(tmp_path / "r.json")]) == 0
    outputs = Result.read(tmp_path / "r.json").outputs
    assert list(outputs["models"]) == list(varied_cells.FEATURES)
    for feature, folder in outputs["models"].items():
        card, _ = read_model(folder, "segmenter")
        assert card["feature"] == card["name"] == feature and 0 <= card["validation"]["noise_fraction"] <= 1
    segmenter = load_segmenter(outputs["models"]["filament"], torch.device("cpu"))
    assert segmenter.scores(torch.zeros(8, 16, 24)).shape == (4, 16, 24)
    assert sorted(p.name for p in (tmp_path / "models").iterdir() if p.is_dir()) == sorted(varied_cells.FEATURES)


def test_shipped_segmenters_are_found_by_name_beside_a_picker_of_the_same_name():
    names = shipped_models("segmenter")
    assert set(varied_cells.FEATURES) <= set(names) or not names
    if names:
        assert "ribosome" in shipped_models("picker")
        for name in names:
            from cryodl.io.model import SHIPPED, find_model

            card = json.loads((find_model(name, "segmenter") / "card.json").read_text(encoding="utf-8"))
            assert card["kind"] == "segmenter" and card["feature"] == name
            assert find_model(name, "segmenter").parent == SHIPPED


def test_a_grown_ribosome_has_lumps_around_what_it_was():
    y, x = np.indices((40, 40)) - 19.5
    ball = torch.from_numpy(((y**2 + x**2)[None] + (np.arange(40) - 19.5)[:, None, None] ** 2 < 100).astype(np.float32))
    one = Particle("ball", ball, 20, 0.5)
    larger = []
    for seed in range(5):
        two = grown(one, 12.0, np.random.default_rng(seed))
        margin = (len(two.density) - 40) // 2
        assert two.side * 2 == len(two.density) and two.threshold == one.threshold
        inner = two.density[margin : margin + 40, margin : margin + 40, margin : margin + 40]
        assert (inner >= ball - 1e-6).all()  # nothing is taken away
        inside = (two.density > 0.5).numpy()
        larger.append(inside.sum() / (ball > 0.5).sum())
        far = np.argwhere(inside) - (len(two.density) - 1) / 2
        assert np.linalg.norm(far, axis=1).max() * 6 < 60 + 35 + 12  # Å: the ball's radius, REACH, two voxels
    assert max(larger) > 1.1 and np.std(larger) > 0.01
