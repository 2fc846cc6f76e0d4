# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs: particles where the lists say, noise as asked for."""
import numpy as np
import pytest
import torch
from synthetic import lopsided_density

from cryodl.contract import SimulateMicrographsConfig
from cryodl.simulate.micrographs import (Optics, particle_diameter, random_optics,
                                         simulate_micrograph)
from cryodl.simulate.particles import random_centres

OPTICS = Optics(15000.0, 14000.0, 30.0, 300.0, 2.7, 0.1)


def test_centres_keep_distance_and_margin():
    centres = random_centres((300, 400), 30, 40, 25, np.random.default_rng(0))
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)[~np.eye(len(centres), dtype=bool)]
    assert len(centres) >= 20 and gaps.min() >= 40
    assert (centres >= 25).all() and (centres <= np.array([299, 399]) - 25).all()


def simulated(snr=0.5, seed=0, count=25, shape=(400, 520)):
    density = torch.from_numpy(lopsided_density())
    diameter = particle_diameter(density, 4.0) / 4.0
    return simulate_micrograph(density, 4.0, shape, count, snr, OPTICS, np.random.default_rng(seed), diameter), diameter


def test_particles_lie_where_the_coordinates_say():
    """Nearly noiseless and without CTF tails: the mean of boxes at the coordinates has its mass in the middle."""
    micrograph, _ = simulated(snr=1e6)
    boxes = []
    for y, x in np.rint(micrograph.centres_yx).astype(int):
        box = -micrograph.image[y - 14:y + 15, x - 14:x + 15]
        if box.shape == (29, 29):
            boxes.append(box - box.median())
    mean = torch.stack(boxes).mean(0).clamp(min=0) ** 2
    grid = torch.arange(29.0) - 14
    assert len(boxes) > 15
    assert abs(float((mean.sum(1) * grid).sum() / mean.sum())) < 0.5
    assert abs(float((mean.sum(0) * grid).sum() / mean.sum())) < 0.5
    assert int(mean.argmax()) // 29 in range(12, 17) and int(mean.argmax()) % 29 in range(12, 17)


@pytest.mark.parametrize("snr", [0.05, 0.5])
def test_signal_to_noise_is_what_was_asked_for(snr):
    micrograph, diameter = simulated(snr)
    clean = (simulated(1e8)[0].image.double() - simulated(1e8)[0].image.double().mean())
    yy, xx = np.mgrid[:400, :520]
    inside = np.zeros((400, 520), bool)
    for y, x in micrograph.centres_yx:
        inside |= (yy - y) ** 2 + (xx - x) ** 2 < (diameter / 2) ** 2
    inside = torch.from_numpy(inside)
    # both have the same seed, so the same particles: fit the clean image into the noisy one, the rest is noise
    image = micrograph.image.double() - micrograph.image.double().mean()
    gain = (image * clean).sum() / (clean ** 2).sum()
    noise = (image - gain * clean).var()
    assert float((gain * clean)[inside].square().mean() / noise) == pytest.approx(snr, rel=0.1)
    assert float(noise) == pytest.approx(1.0, rel=0.05)


def test_protein_is_dark_and_the_seed_repeats():
    micrograph, _ = simulated(snr=5)
    places = np.rint(micrograph.centres_yx).astype(int)
    assert float(micrograph.image[places[:, 0], places[:, 1]].mean()) < float(micrograph.image.mean()) - 0.5
    assert torch.equal(micrograph.image, simulated(snr=5)[0].image)
    assert not torch.equal(micrograph.image, simulated(snr=5, seed=1)[0].image)


def test_a_micrograph_without_particles_is_noise():
    micrograph, _ = simulated(count=0)
    assert len(micrograph.centres_yx) == len(micrograph.angles) == 0
    assert float(micrograph.image.std()) == pytest.approx(1.0, rel=0.02)


def test_optics_stay_in_their_ranges():
    config = SimulateMicrographsConfig("a", 2.0, 1, "o", defocus_min=9000, defocus_max=12000, astigmatism=400)
    for seed in range(50):
        o = random_optics(config, np.random.default_rng(seed))
        assert 9000 <= (o.defocus_u + o.defocus_v) / 2 <= 12000 and 0 <= o.defocus_u - o.defocus_v <= 400
        assert 0 <= o.defocus_angle <= 180 and o.voltage_kv == 300


def test_the_diameter_of_a_ball_is_found():
    zz, yy, xx = np.mgrid[:40, :40, :40] - 20
    ball = torch.from_numpy((zz ** 2 + yy ** 2 + xx ** 2 <= 12 ** 2).astype(np.float32))
    assert particle_diameter(ball, 3.0) == pytest.approx(2 * 12 * 3.0, rel=0.12)
