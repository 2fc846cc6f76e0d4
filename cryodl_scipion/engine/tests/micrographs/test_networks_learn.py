# SPDX-License-Identifier: GPL-3.0-or-later
"""Each network learns to find blobs in noise within seconds, also in an image that is turned, not square and odd.

The networks whose steps cost a second or more are marked slow.
"""

import functools

import numpy as np
import pytest
import torch
from synthetic import DIAMETER, PIXEL_SIZE, blob_micrograph

from cryodl.core.geometry import map_positions
from cryodl.core.matching import match_picks
from cryodl.learning.processes import OneProcess
from cryodl.learning.training import Schedule, fit
from cryodl.micrographs.normalize import prepare_micrograph
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.predict import Picker, working_factor
from cryodl.micrographs.pickers.train import PickerTask

SPACING = 65  # px, about two diameters: published rules about background windows need room between particles
# name, steps, batch size, peak rate (higher than usual: the problem is easy)
SETTINGS = {
    "unet": (30, 2, 0.003),
    "deeppicker": (80, 4, 0.02),
    "deepem": (60, 4, 0.2),
    "topaz": (60, 2, 0.003),
    "eman2": (25, 8, 0.0003),
    "cryolo": (60, 4, 0.0005),
}
# Mean shift of the picks that is allowed, px of 4 Å. After so few steps DeepPicker answers nearly alike all around a
# particle, and crYOLO's offsets are rough; that their grids are right is tested without training (test_dense.py,
# test_patch.py, test_networks_published.py).
SHIFT = {"deeppicker": 4.0, "cryolo": 2.5}
SLOW = ("eman2", "cryolo")
each_network = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in SETTINGS]
)


def labelled(method, seed, shape=(384, 320)):
    image, ground_truth = blob_micrograph(shape, seed=seed, spacing=SPACING)
    prepared = prepare_micrograph(image, working_factor(method, PIXEL_SIZE, DIAMETER), method.working_diameter)
    return LabelledImage(
        f"m{seed}",
        prepared.image,
        prepared.valid,
        map_positions(ground_truth, shape, prepared.image.shape),
        np.zeros((0, 2)),
    )


PLAIN = OneProcess(torch.device("cpu"), torch.bfloat16)


@functools.lru_cache(None)
def trained(name, tmp):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    method, (steps, batch, rate) = picker_method(name), SETTINGS[name]
    task = PickerTask(
        method, method.build(), [labelled(method, 0), labelled(method, 1)], [labelled(method, 2)], batch, PLAIN.device
    )
    fit(task, Schedule(steps, steps, 9, rate, 0, ema=0.8, decay=method.decay), tmp, PLAIN, log=lambda line: None)
    return Picker(method, task.networks["picker"], PLAIN.device)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return functools.lru_cache(None)(lambda name: tmp_path_factory.mktemp(name))


def best_f1(picker, image, ground_truth):
    """Best F1 over thresholds, of candidates within a quarter of a diameter."""
    yx, scores = picker.candidates(image, PIXEL_SIZE, DIAMETER, 0.5 * DIAMETER)
    hit = match_picks(yx, ground_truth, 0.25 * DIAMETER / PIXEL_SIZE)
    found = np.cumsum(hit)
    return float((2 * found / (np.arange(1, len(hit) + 1) + len(ground_truth))).max()) if len(hit) else 0.0


@each_network
def test_it_finds_blobs_in_noise_whatever_the_shape_and_orientation(name, folder):
    picker = trained(name, folder(name))
    image, ground_truth = blob_micrograph((333, 517), seed=7, spacing=SPACING)
    turned = np.stack(
        [image.shape[1] - 1 - ground_truth[:, 1], ground_truth[:, 0]], 1
    )  # as numpy's rot90 turns the picture
    plain, rotated = (
        best_f1(picker, image, ground_truth),
        best_f1(picker, np.ascontiguousarray(np.rot90(image)), turned),
    )
    assert plain > 0.85 and rotated > 0.85 and abs(plain - rotated) < 0.1


@each_network
def test_positions_are_not_shifted(name, folder):
    """On average over many particles, in a shape that no grid divides."""
    image, ground_truth = blob_micrograph((401, 383), seed=8, spacing=SPACING)
    yx, scores = trained(name, folder(name)).candidates(image, PIXEL_SIZE, DIAMETER, 0.5 * DIAMETER)
    gaps = np.linalg.norm(yx[:, None] - ground_truth[None], axis=2)
    near = gaps.min(1) < 0.25 * DIAMETER / PIXEL_SIZE
    offset = (yx[near] - ground_truth[gaps.argmin(1)[near]]).mean(0)
    assert near.sum() > 0.7 * len(ground_truth) and np.abs(offset).max() < SHIFT.get(name, 1.0)
