# SPDX-License-Identifier: GPL-3.0-or-later
"""Discrete classes of a latent space: their number, their particles and their maps."""

import json
from pathlib import Path

import mrcfile
import numpy as np
from heterogeneity_data import command, moving_particles, write_model
from particle_data import simulate_particles
from sklearn.metrics import adjusted_rand_score

from cryodl.io.particle_sets import read_particles
from cryodl.particles.heterogeneity.map_files import find_classes

FIT = dict(particles="p.star", reference="p_map.mrc", latent=2, resolution=18, axes=0, threads=1)


def test_the_number_of_groups_is_found_and_the_largest_is_class_1():
    rng = np.random.default_rng(0)
    middles, sizes = [(0, 0), (6, 1), (-1, 7), (8, 8)], (60, 200, 100, 40)
    positions = np.concatenate([rng.normal(m, 1, (n, 2)) for m, n in zip(middles, sizes)])
    ground_truth = np.repeat([3, 1, 2, 4], sizes)
    labels, probabilities, criteria = find_classes(positions, 0, 0)
    assert adjusted_rand_score(labels, ground_truth) > 0.97 and (labels == ground_truth).mean() > 0.97
    assert int(np.argmin(criteria)) == 3 and probabilities.min() >= 0.25
    assert find_classes(rng.normal(size=(300, 3)), 0, 0)[0].max() == 1
    assert find_classes(positions, 2, 0)[0].max() == 2
    assert (find_classes(np.zeros((50, 2)), 0, 0)[0] == 1).all()


def test_two_compositions_are_two_classes_with_maps_and_half_maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate_particles(
        structure=write_model(), pixel_size=5.0, box=32, count=400, snr=0.5, missing_chains="B", weights="1,2"
    )
    made = command("fit-heterogeneity", **FIT, classes=0, output="fit").outputs
    found = read_particles("fit/particles.star").columns
    ground_truth = np.array(found["cryodlTrueState"], float)
    labels = np.array(found["rlnClassNumber"], int)
    assert len(made["classes"]) == 2 and adjusted_rand_score(ground_truth, labels) > 0.9
    assert (labels == 1).sum() > (labels == 2).sum() and set(found["rlnClassNumber"]) == {"1", "2"}
    said = json.loads(Path("fit/heterogeneity.json").read_text())
    assert [one["particles"] for one in said["classes"]] == [(labels == 1).sum(), (labels == 2).sum()]
    states = [mrcfile.read(f"p_state{number:03d}.mrc") for number in (1, 2)]
    maps = [mrcfile.read(f"fit/class_{number:02d}.mrc") for number in (1, 2)]
    lost = states[0] - states[1]
    assert np.corrcoef((maps[1] - maps[0]).ravel(), lost.ravel())[0, 1] > 0.6  # two thirds lack the domain
    assert all(Path(f"fit/class_02_half{half}.mrc").exists() for half in (1, 2))


def test_classes_are_those_of_the_linear_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moving_particles(count=20)
    message = command("fit-heterogeneity", 2, **FIT, classes=2, method="gaussian", output="fit")
    assert "--classes" in message and "--method" in message
