# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs: particles where the lists say, noise as asked for."""

import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density

from cryodl.contract import SimulateMicrographsConfig
from cryodl.core.optics import Optics
from cryodl.core.projections import Projector
from cryodl.simulate.micrographs import Surroundings, apply_ctf, particle_diameter, random_optics, simulate_micrograph
from cryodl.simulate.noise import MicroscopeNoise
from cryodl.simulate.particles import cut_particles, discs, random_centres, random_clumps

OPTICS = Optics(15000.0, 14000.0, 30.0, 300.0, 2.7, 0.1)


def test_centres_keep_distance_and_margin():
    centres = random_centres((300, 400), 30, 40, 25, np.random.default_rng(0))
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)[~np.eye(len(centres), dtype=bool)]
    assert len(centres) >= 20 and gaps.min() >= 40
    assert (centres >= 25).all() and (centres <= np.array([299, 399]) - 25).all()


def simulated(snr=0.5, seed=0, count=25, shape=(400, 520), **surroundings):
    density = torch.from_numpy(lopsided_density())
    diameter = particle_diameter(density, 4.0) / 4.0
    return simulate_micrograph(
        density, 4.0, shape, count, snr, OPTICS, np.random.default_rng(seed), diameter, Surroundings(**surroundings)
    ), diameter


def test_particles_lie_where_the_coordinates_say():
    """Nearly noiseless and without CTF tails: the mean of boxes at the coordinates has its mass in the middle."""
    micrograph, _ = simulated(snr=1e6)
    boxes = []
    for y, x in np.rint(micrograph.centres_yx).astype(int):
        box = -micrograph.image[y - 14 : y + 15, x - 14 : x + 15]
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
    """One seed gives the same particles and noise at every SNR, so two micrographs tell them apart."""
    micrograph, diameter = simulated(snr)
    other = simulated(4 * snr)[0].image.double()
    clean = other - micrograph.image.double()  # the particles' own: twice as strong there
    noise = micrograph.image.double() - clean
    inside = torch.from_numpy(discs((400, 520), micrograph.centres_yx, diameter / 2))
    assert float(clean[inside].square().mean() / noise.var()) == pytest.approx(snr, rel=0.02)
    assert float(noise.var()) == pytest.approx(1.0, rel=0.02)


def test_protein_is_dark_and_the_seed_repeats():
    micrograph, _ = simulated(snr=5)
    positions = np.rint(micrograph.centres_yx).astype(int)
    assert float(micrograph.image[positions[:, 0], positions[:, 1]].mean()) < float(micrograph.image.mean()) - 0.5
    assert torch.equal(micrograph.image, simulated(snr=5)[0].image)
    assert not torch.equal(micrograph.image, simulated(snr=5, seed=1)[0].image)


def test_a_micrograph_without_particles_is_noise():
    micrograph, _ = simulated(count=0)
    assert len(micrograph.centres_yx) == len(micrograph.angles) == 0
    assert float(micrograph.image.std()) == pytest.approx(1.0, rel=0.02)


def test_optics_stay_in_their_ranges():
    config = SimulateMicrographsConfig("a", 2.0, 1, "o", minimum_defocus=9000, maximum_defocus=12000, astigmatism=400)
    for seed in range(50):
        o = random_optics(config, np.random.default_rng(seed))
        assert 9000 <= (o.defocus_u + o.defocus_v) / 2 <= 12000 and 0 <= o.defocus_u - o.defocus_v <= 400
        assert 0 <= o.defocus_angle <= 180 and o.voltage_kv == 300


def test_the_diameter_of_a_ball_is_found():
    zz, yy, xx = np.mgrid[:40, :40, :40] - 20
    ball = torch.from_numpy((zz**2 + yy**2 + xx**2 <= 12**2).astype(np.float32))
    assert particle_diameter(ball, 3.0) == pytest.approx(2 * 12 * 3.0, rel=0.12)


def test_each_particle_is_the_projection_at_its_angles_through_the_ctf():
    """Every box without noise against its own view, which no other view equals; also where they overlap little."""
    micrograph, diameter = simulated(snr=1e8, count=12)
    density, box = torch.from_numpy(lopsided_density()), 32
    whole = np.rint(micrograph.centres_yx).astype(int)
    for (y, x), shift, angles in zip(whole, micrograph.centres_yx - whole, micrograph.angles):
        seen = micrograph.image[y - box // 2 : y + box // 2, x - box // 2 : x + box // 2]
        view = lambda a: apply_ctf(Projector(density).project([a], [shift], 128)[0], 4.0, OPTICS)[48:80, 48:80]
        right = correlation(-seen, view(angles))
        assert right > 0.97 and right > correlation(-seen, view(angles + [0, 0, 90])) + 0.05


def test_positions_are_exact_to_a_tenth_of_a_pixel():
    micrograph, _ = simulated(snr=1e8, count=3)
    projector = Projector(torch.from_numpy(lopsided_density()))
    for centre, angles in zip(micrograph.centres_yx, micrograph.angles):
        low = np.floor(centre).astype(int) - 16
        seen = -micrograph.image[low[0] : low[0] + 32, low[1] : low[1] + 32]
        shifts = np.array([[a, b] for a in np.arange(-0.5, 0.51, 0.1) for b in np.arange(-0.5, 0.51, 0.1)])
        views = projector.project(np.tile(angles, (len(shifts), 1)), shifts + centre - low - 16, 96)
        fits = [correlation(seen, apply_ctf(v, 4.0, OPTICS)[32:64, 32:64]) for v in views]
        assert np.abs(shifts[int(np.argmax(fits))]).max() < 0.15


def test_orientations_come_from_those_given():
    given = np.array([[10.0, 20.0, 30.0], [-50.0, 80.0, 5.0]])
    micrograph, _ = simulated(orientations=given, aggregates=3)
    assert len(micrograph.angles) > 10 and {tuple(a) for a in micrograph.angles} == {tuple(a) for a in given}


def test_artefacts_that_are_off_are_absent_and_change_nothing_else():
    plain, _ = simulated(count=0, noise=MicroscopeNoise(0.0))
    assert not plain.contaminated.any() and abs(float(plain.image.mean())) < 0.01
    iced, _ = simulated(count=0, noise=MicroscopeNoise(0.0), ice=6)
    clean = ~iced.contaminated & (iced.image - plain.image).abs().lt(1e-3)
    assert iced.contaminated.any() and float(clean.float().mean()) > 0.3
    assert torch.allclose(iced.image[clean], plain.image[clean], atol=1e-3)
    assert float((iced.image - plain.image)[iced.contaminated].mean()) < -0.5


def test_particles_keep_clear_of_ice_carbon_and_aggregates():
    for seed in range(4):
        micrograph, diameter = simulated(seed=seed, ice=5, carbon=1.0, aggregates=2)
        rows, columns = np.rint(micrograph.centres_yx).astype(int).T
        assert len(rows) and micrograph.contaminated.any() and not micrograph.contaminated[rows, columns].any()


def test_particles_of_an_aggregate_are_drawn_but_not_listed():
    """Without listed particles the aggregates are all that the nearly noiseless image shows."""
    micrograph, diameter = simulated(snr=100, count=0, aggregates=3)
    assert len(micrograph.centres_yx) == 0
    assert (
        float(micrograph.image[micrograph.contaminated].mean())
        < float(micrograph.image[~micrograph.contaminated].mean()) - 3
    )
    positions = random_clumps((1000, 1000), 5, 40, np.random.default_rng(0))
    gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 1e9 * np.eye(len(positions))
    assert len(positions) > 20 and gaps.min(1).max() <= 0.8 * 40


def test_crowded_particles_overlap():
    count = lambda distance: len(simulated(minimum_distance=distance, count=200)[0].centres_yx)
    assert count(0.5) > 1.4 * count(1.15) > 10
    centres = random_centres((400, 400), 500, 12, 10, np.random.default_rng(0))
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 1e9 * np.eye(len(centres))
    assert len(centres) == 500 and gaps.min() >= 12


def test_where_nothing_fits_there_is_no_particle():
    assert len(random_centres((50, 50), 5, 10, 30, np.random.default_rng(0))) == 0
    blocked = np.ones((90, 90), bool)
    assert len(random_centres((90, 90), 5, 10, 20, np.random.default_rng(0), None, blocked)) == 0
    blocked[:, 45:] = False
    assert (random_centres((90, 90), 5, 3, 20, np.random.default_rng(0), None, blocked)[:, 1] >= 44.5).all()


def test_a_gradient_has_the_range_asked_for():
    still, sloping = (simulated(count=0, gradient=g)[0].image for g in (0.0, 7.0))
    field = sloping - still
    assert float(field.max() - field.min()) == pytest.approx(7.0, rel=1e-3)


def test_bright_contrast_is_the_negative():
    dark, bright = (simulated(seed=3, dark_protein=dark, ice=2)[0] for dark in (True, False))
    assert torch.equal(dark.image, -bright.image) and np.array_equal(dark.centres_yx, bright.centres_yx)


def test_a_projector_gives_the_same_micrograph_as_its_density():
    density = torch.from_numpy(lopsided_density())
    one, other = (
        simulate_micrograph(d, 4.0, (300, 300), 5, 0.5, OPTICS, np.random.default_rng(0), 28)
        for d in (density, Projector(density))
    )
    assert torch.equal(one.image, other.image)


@pytest.mark.parametrize("dark", [True, False])
def test_cut_particles_are_white_on_a_background_of_mean_0_and_deviation_1(dark):
    image = torch.randn((200, 200), generator=torch.Generator().manual_seed(0)) * 3 + 100
    image[90:110, 40:60] += -20 if dark else 20
    images, positions, whole = cut_particles(image, np.array([[99.6, 50.2], [100.0, 10.0]]), 40, 15, dark)
    assert images.shape == (1, 40, 40) and positions.tolist() == [[100, 50]] and whole.tolist() == [True, False]
    outside = np.add.outer(*[(np.arange(40) - 20) ** 2] * 2) > 15**2
    assert abs(images[0][outside].mean()) < 1e-4 and images[0][outside].std() == pytest.approx(1, abs=0.01)
    assert images[0][15:25, 15:25].mean() > 4
    assert cut_particles(image, np.zeros((0, 2)), 40, 15)[0].shape == (0, 40, 40)
