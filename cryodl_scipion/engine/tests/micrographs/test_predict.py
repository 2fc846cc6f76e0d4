# SPDX-License-Identifier: GPL-3.0-or-later
"""Picker: an ideal detector in place of the network shows that every position and score arrives where it belongs."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic import blob_micrograph, gaussian_blobs

from cryodl.core.geometry import inside
from cryodl.io.memory import is_memory_error
from cryodl.micrographs.normalize import Prepared
from cryodl.micrographs.pickers.heatmap import HeatmapPicker
from cryodl.micrographs.pickers.predict import Picker, check_particle_fits, working_factor
from cryodl.micrographs.pickers.unet import UNetPicker


class Detector(torch.nn.Module):
    """Blurs and folds: its output is high where the image is bright. Stride 2, like a trained network's geometry."""

    stride, multiple, receptive_radius = 2, 16, 32

    def forward(self, x):
        kernel = torch.exp(-0.5 * (torch.arange(-12, 13.0) / 3.0) ** 2)
        kernel = (kernel / kernel.sum()).to(x.dtype)
        x = F.conv2d(F.pad(x, (12, 12, 12, 12)), kernel.view(1, 1, 1, -1))
        return 2 * (F.avg_pool2d(F.conv2d(x, kernel.view(1, 1, -1, 1)), 2) - 1.0)


class Everywhere(Detector):
    """A detector that is as sure of the padding and of every margin as of a particle."""

    def forward(self, x):
        rows, columns = (torch.arange(n // 2) for n in x.shape[-2:])
        return 4.0 + torch.sin(rows * 0.7)[:, None] + torch.sin(columns * 0.9)[None] + 0 * F.avg_pool2d(x, 2)


class Method(HeatmapPicker):
    name, working_diameter, build = "detector", 24.0, Detector


@pytest.fixture(autouse=True)
def exact_arithmetic(monkeypatch):
    """float32 also on CPUs with fast bfloat16: positions are compared to small parts of a pixel."""
    monkeypatch.setattr("cryodl.micrographs.tiled.fast_dtype", lambda device: torch.float32)


def picker(network=None, **options):
    return Picker(Method(), network or Detector(), torch.device("cpu"), **options)


def candidates(made, image, pixel_size, diameter, distance=None):
    return made.candidates(image, pixel_size, diameter, 0.5 * diameter if distance is None else distance)


@pytest.mark.parametrize(
    "shape, pixel_size, diameter",
    [((256, 320), 4.0, 120.0), ((517, 731), 2.0, 120.0), ((333, 1200), 3.0, 150.0), ((200, 260), 5.0, 100.0)],
)
@pytest.mark.parametrize("scales", [(1.0,), UNetPicker.scales])
def test_particles_are_found_where_they_are(shape, pixel_size, diameter, scales):
    size = diameter / pixel_size
    contrast = 4.0 * min(1.0, Method.working_diameter / size)  # binning takes noise away
    image, ground_truth = blob_micrograph(shape, spacing=1.6 * size, diameter_px=size, contrast=contrast)
    yx, scores = candidates(picker(scales=scales), image, pixel_size, diameter)
    yx = yx[scores > 0.5]
    gaps = np.linalg.norm(yx[:, None] - ground_truth[None], axis=2)
    assert gaps.min(0).max() < 0.12 * size  # each particle is found
    assert np.median(gaps.min(0)) < 0.04 * size
    nearest = ground_truth[gaps.argmin(1)][gaps.min(1) < 0.12 * size]
    offset = (yx[gaps.min(1) < 0.12 * size] - nearest).mean(0)
    assert np.abs(offset).max() < 0.012 * size  # no shift, however odd the shape: half a working px is 0.02


def test_the_log_odds_are_the_mean_of_those_at_several_scales():
    class Wide(Detector):
        def forward(self, x):
            return torch.full((1, 1, x.shape[2] // 2, x.shape[3] // 2), x.shape[3] / 100)

    prepared = Prepared(torch.randn(160, 160), torch.ones(160, 160, dtype=torch.bool), (160, 160))
    scores = picker(Wide(), scales=(0.8, 1.0)).score_map(prepared)
    assert scores.shape == (80, 80)
    assert torch.allclose(scores, torch.sigmoid(torch.tensor((1.28 + 1.6) / 2)), atol=1e-4)


def test_one_asymmetric_particle_is_not_mirrored_or_transposed():
    image = np.random.default_rng(0).standard_normal((300, 400)).astype(np.float32)
    image -= 3 * gaussian_blobs((300, 400), [[60.4, 330.7]], 6)
    yx, scores = candidates(picker(), image, 4.0, 120.0)
    assert np.abs(yx[0] - (60.4, 330.7)).max() < 1.0 and (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("shape", [(517, 731), (333, 1200), (256, 256), (399, 401)])
def test_no_pick_comes_from_padding(shape):
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    yx, _ = candidates(picker(Everywhere()), image, 4.0, 120.0)
    assert len(yx) > 50 and inside(yx + 0.5, np.add(shape, 1)).all()
    assert (yx[:, 0] > shape[0] - 30).any() and (yx[:, 1] > shape[1] - 30).any() and (yx < 30).any(0).all()


def test_no_pick_lies_in_a_streaked_margin_and_its_neighbours_survive():
    image = np.random.default_rng(0).standard_normal((300, 400)).astype(np.float32)
    image[:, :40] = image[:, 40:41]
    yx, _ = candidates(picker(Everywhere()), image, 4.0, 120.0)
    assert (yx[:, 1] > 38).all() and (yx[:, 1] < 80).any()


def test_no_pick_lies_in_a_patch_of_not_a_number_or_zeros():
    image = 20 + np.random.default_rng(0).standard_normal((300, 400)).astype(np.float32)
    image[100:160, 200:280], image[200:250, 50:110] = np.nan, 0
    yx, scores = candidates(picker(Everywhere()), image, 4.0, 120.0)
    assert np.isfinite(scores).all() and len(yx) > 50
    for (top, bottom), (left, right) in (((100, 160), (200, 280)), ((200, 250), (50, 110))):
        assert not ((yx > (top, left)) & (yx < (bottom - 1, right - 1))).all(1).any()


def test_a_false_peak_in_an_invalid_area_takes_no_particle_with_it():
    """Just inside the valid area is a particle; just outside, nearer than two particles may be, a stronger response."""

    @dataclasses.dataclass
    class Scene:
        image: torch.Tensor
        valid: torch.Tensor

    image = torch.from_numpy(
        gaussian_blobs((128, 128), [[60, 40]], 4) * 3 + gaussian_blobs((128, 128), [[60, 22]], 4) * 4
    )
    valid = torch.ones(128, 128, dtype=torch.bool)
    valid[:, :31] = False
    yx, _ = picker().candidates_prepared(Scene(image, valid), 20.0)
    assert np.abs(yx[0] - (60, 40)).max() < 1 and (yx[:, 1] >= 30.5).all()


@pytest.mark.parametrize("height, spared", [(2.4, False), (2.6, True)])
def test_outliers_are_no_candidates_of_a_general_model(monkeypatch, height, spared):
    """Dirt stands out 2.5 times as far as the middle particle of its micrograph."""
    image, places = blob_micrograph((600, 600), spacing=90, diameter_px=30, contrast=4.0)
    dirt = places[len(places) // 2]
    bands = torch.from_numpy(1 + (height - 1) * (gaussian_blobs((480, 480), [0.8 * dirt], 6.0) > 0.5))
    monkeypatch.setattr("cryodl.micrographs.normalize.particle_bands", lambda *a: bands)
    every, usual = (candidates(picker(spares_outliers=spares), image, 4.0, 120.0)[0] for spares in (False, True))
    assert np.linalg.norm(every - dirt, axis=1).min() < 4
    lost = every[np.linalg.norm(every[:, None] - usual[None], axis=2).min(1) > 0]
    assert (len(lost) > 0) == spared and all(np.linalg.norm(lost - dirt, axis=1) < 10)


def test_no_two_picks_are_nearer_than_the_minimum_distance():
    image = np.random.default_rng(0).standard_normal((300, 400)).astype(np.float32)
    for distance in (40.0, 90.0):
        yx, _ = candidates(picker(Everywhere()), image, 4.0, 120.0, distance)
        gaps = np.linalg.norm(yx[:, None] - yx[None], axis=2)[~np.eye(len(yx), dtype=bool)]
        assert gaps.min() >= distance / 4.0 * 0.98


def test_tiles_do_not_change_the_candidates():
    image, _ = blob_micrograph((700, 900), spacing=50)
    whole = candidates(picker(), image, 4.0, 120.0)
    tiled = candidates(picker(memory=0.004), image, 4.0, 120.0)
    assert len(whole[0]) == len(tiled[0]) > 30
    assert np.allclose(whole[0], tiled[0], atol=1e-3) and np.allclose(whole[1], tiled[1], atol=1e-5)


class TooLarge(Detector):
    """Fails as torch does on a full host until tiles are small enough."""

    def __init__(self, error, limit):
        super().__init__()
        self.error, self.limit, self.failures = error, limit, []

    def forward(self, x):
        if x.shape[-1] * x.shape[-2] > self.limit:
            self.failures.append(tuple(x.shape))
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_too_little_memory_makes_smaller_tiles_and_says_so(error, capsys):
    image, _ = blob_micrograph((700, 900), spacing=50)
    small = picker(TooLarge(error, 300 * 300))
    yx, _ = candidates(small, image, 4.0, 120.0)
    whole, _ = candidates(picker(), image, 4.0, 120.0)
    failures = len(small.network.failures)
    assert failures >= 1 and np.allclose(yx, whole, atol=1e-3)
    assert small.notes and "not enough memory for tiles" in capsys.readouterr().out
    candidates(small, image, 4.0, 120.0)
    assert len(small.network.failures) == failures  # the next micrograph does not try the large tiles again


def test_memory_that_never_suffices_and_other_errors_are_not_hidden():
    image, _ = blob_micrograph((300, 400))
    with pytest.raises(RuntimeError, match="can't allocate"):
        candidates(picker(TooLarge(RuntimeError("can't allocate memory"), 0)), image, 4.0, 120.0)
    with pytest.raises(RuntimeError, match="shape"):
        candidates(picker(TooLarge(RuntimeError("mismatch of shape"), 0)), image, 4.0, 120.0)
    assert not is_memory_error(ValueError("memory lane"))


def test_the_working_size_follows_from_pixel_size_and_diameter():
    assert working_factor(Method(), 2.0, 96.0) == 0.5


def test_the_same_scene_at_two_pixel_sizes_gives_the_same_places():
    image, ground_truth = blob_micrograph((512, 640), spacing=90, diameter_px=60)
    binned = image.reshape(256, 2, 320, 2).mean((1, 3))
    fine, coarse = candidates(picker(), image, 2.0, 120.0), candidates(picker(), binned, 4.0, 120.0)
    fine, coarse = fine[0][fine[1] > 0.5], coarse[0][coarse[1] > 0.5]
    assert len(fine) == len(coarse) >= len(ground_truth)
    gaps = np.linalg.norm(fine[:, None] - ((coarse + 0.5) * 2 - 0.5)[None], axis=2)
    assert gaps.min(1).max() < 2.0


def test_a_particle_larger_than_half_the_micrograph_is_refused():
    with pytest.raises(ValueError, match=r"600 Å.*256 px x 4 Å/px = 1024 Å.*Check pixel size"):
        check_particle_fits((256, 320), 4.0, 600.0)
    check_particle_fits((256, 320), 4.0, 500.0)


@pytest.mark.parametrize("gains, alike", [((0.0, float("inf")), False), ((0.5, 0.5), True)])
def test_dirt_hides_no_particle_from_a_network_that_learnt_clean_micrographs(gains, alike):
    """Dirt makes a micrograph's gain smaller, and its particles fainter than those that taught."""
    image = torch.zeros(256, 256)
    image[40:60, 40:60] = 2.0
    dirty = image.clone()
    dirty[180:220, 180:220] = 40.0
    method = UNetPicker()
    found = Picker(method, Detector(), torch.device("cpu"), gains=gains)
    valid = torch.ones(256, 256, dtype=torch.bool)
    clean, other = (found.score_map(Prepared(one, valid, (256, 256)))[:50, :50] for one in (image, dirty))
    assert method.gain(Prepared(dirty, valid, (256, 256))) < 0.1
    assert torch.allclose(clean.max(), other.max(), atol=0.02) is alike
