# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the search for orientations: likelihood, answers, refinement, strength."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic import lopsided_density

from cryodl.core.half_transforms import HalfDisc
from cryodl.core.projections import Projector, random_angles, rotation_matrices
from cryodl.core.symmetry import angular_distance
from cryodl.likelihood.observed import Observed
from cryodl.likelihood.reference import Reference
from cryodl.likelihood.refine import Neighbourhood, refine
from cryodl.likelihood.search import FAR, Bank, Grid, Shifts, find_modes, log_likelihoods
from cryodl.particles.orientations.amplitude import RingPower, improved, likeliest_sigma

BOX = 32


@pytest.fixture(scope="module")
def projector():
    return Projector(torch.from_numpy(lopsided_density(BOX)))


def simulated(projector, angles, shifts, noise, radius=9.0, amplitude=1.0):
    """Observed of noisy projections with a CTF that falls and turns its sign, the images' coefficients and the CTF."""
    disc = HalfDisc(BOX, radius)
    transfer = torch.cos(disc.ring / 3.0).expand(len(angles), -1).contiguous()
    clean = disc.coefficients(projector.project(angles, shifts, BOX)) * amplitude
    generator = torch.Generator().manual_seed(0)
    images = clean * transfer + noise * torch.randn(clean.shape, dtype=torch.complex64, generator=generator)
    power = max(noise, 1e-3) ** 2
    return Observed(2 * images * transfer / power, transfer.square() / power, disc), images, transfer


def test_the_likelihood_is_that_of_the_difference_between_image_and_reference(projector):
    angles = random_angles(3, np.random.default_rng(1))
    observed, images, transfer = simulated(projector, angles, np.zeros((3, 2)), 20.0)
    grid = Grid(60)
    reference = Reference(projector, observed.disc)
    values = log_likelihoods(observed, Bank(reference, grid), Shifts.within(0, 1))
    slices = reference.at_angles(grid.angles(np.arange(len(grid))))
    misfit = (images[:, None] - transfer[:, None] * slices).abs().square().sum(-1) / 20.0**2
    nothing = images.abs().square().sum(-1) / 20.0**2
    assert torch.allclose(values, nothing[:, None] - misfit, rtol=1e-3, atol=1e-2)


def test_shifts_are_summed_over_with_their_prior(projector):
    angles, shifts = random_angles(2, np.random.default_rng(2)), np.array([[2.0, 0], [0, -2]])
    observed, _, _ = simulated(projector, angles, shifts, 20.0)
    bank = Bank(Reference(projector, observed.disc), Grid(60))
    yx, prior = torch.tensor([[2.0, 0], [0, -2.0]]), torch.tensor([0.25, 0.75])
    one = [log_likelihoods(observed, bank, Shifts(position[None], torch.zeros(1))) for position in yx]
    both = log_likelihoods(observed, bank, Shifts(yx, torch.log(prior)))
    expected = torch.logsumexp(torch.stack([one[0] + np.log(0.25), one[1] + np.log(0.75)]), 0)
    assert torch.allclose(both, expected, rtol=1e-4, atol=1e-2)


def test_a_bank_of_other_strengths_gives_what_a_reference_of_that_gain_gives(projector, monkeypatch):
    observed, _, _ = simulated(projector, random_angles(2, np.random.default_rng(3)), np.zeros((2, 2)), 20.0)
    reference, grid, shifts = Reference(projector, observed.disc), Grid(40), Shifts.within(1, 1)
    gain = 0.5 * torch.exp(-torch.arange(observed.disc.rings) / 4.0)
    bank = Bank(reference, grid)
    before = log_likelihoods(observed, bank, shifts)
    found = log_likelihoods(observed, bank.with_gain(gain), shifts)
    monkeypatch.setattr("cryodl.likelihood.search.CACHE", 0)  # slices are made anew
    assert torch.allclose(found, log_likelihoods(observed, Bank(reference.with_gain(gain), grid), shifts), atol=1e-3)
    still = reference.with_gain(gain).at_angles(grid.angles(np.arange(len(grid))))  # no shift: one product
    expected = (observed.match[:, None] * still.conj()).real.sum(-1) - observed.weight @ still.abs().square().T
    assert torch.allclose(log_likelihoods(observed, bank.with_gain(gain), Shifts.within(0, 1)), expected, atol=1e-2)
    assert torch.equal(log_likelihoods(observed, bank, shifts), before)


@pytest.mark.parametrize("safe, kept", [(7.0, True), (-np.inf, False)])
def test_what_is_left_out_is_compared_where_the_particle_shows_less_detail_than_the_reference(monkeypatch, safe, kept):
    monkeypatch.setattr("cryodl.likelihood.search.SAFE", safe)
    rng, density = np.random.default_rng(10), np.zeros((BOX,) * 3, np.float32)
    density[tuple(rng.normal(BOX // 2, 6, (3, 60)).round().astype(int).clip(5, 27))] = 1
    projector, angles, shifts = Projector(torch.from_numpy(density)), random_angles(8, rng), np.zeros((8, 2))
    observed, _, _ = simulated(projector, angles, shifts, 4.0, radius=13.0)
    strong = 1 + 2.0 * (torch.arange(observed.disc.rings) > 8)  # in fine detail
    bank, yx = Bank(Reference(projector, observed.disc).with_gain(strong), Grid(7.5)), Shifts.within(2.5, 0.6, 0.8)
    every, likely = (log_likelihoods(observed, bank, yx, far) for far in (np.inf, FAR))
    assert torch.allclose(likely.logsumexp(1), every.logsumexp(1), atol=0.1) == kept


@pytest.mark.parametrize("cache", [1e9, 0])  # 0: slices are made anew, in several blocks
def test_orientations_that_coarse_detail_leaves_far_behind_are_not_compared_in_full(monkeypatch, cache):
    monkeypatch.setattr("cryodl.likelihood.search.CACHE", cache)
    rng, density = np.random.default_rng(10), np.zeros((BOX,) * 3, np.float32)
    density[tuple(rng.normal(BOX // 2, 6, (3, 60)).round().astype(int).clip(5, 27))] = 1  # atoms
    projector, angles, shifts = Projector(torch.from_numpy(density)), random_angles(8, rng), rng.normal(0, 0.6, (8, 2))
    observed, _, _ = simulated(projector, angles, shifts, 4.0, radius=13.0)
    bank, yx = Bank(Reference(projector, observed.disc), Grid(7.5)), Shifts.within(2.5, 0.6, 0.8)
    every, likely = (log_likelihoods(observed, bank, yx, far) for far in (np.inf, FAR))
    same = (likely - every).abs() < 1e-2
    assert 0 < same.float().mean() < 0.5
    assert torch.allclose(likely.logsumexp(1), every.logsumexp(1), atol=1e-2)
    assert torch.equal(likely.argmax(1), every.argmax(1)) and bool(same[every > every.amax(1, keepdim=True) - 5].all())


def degrees_from(grid, angles):
    """(n,) degrees between the grid's orientations and some angles."""
    return angular_distance(grid.angles(np.arange(len(grid))), np.tile(angles, (len(grid), 1)))


def test_a_neighbourhood_with_more_probability_beats_a_single_higher_point():
    grid = Grid(10)
    lone, crowded = (int(degrees_from(grid, angles).argmin()) for angles in ([0, 90, 0], [90, 90, 90]))
    distance = degrees_from(grid, grid.angles(crowded))
    values = torch.full((1, len(grid)), -50.0)
    values[0, torch.from_numpy(distance < 12)] = 0.0
    values[0, lone] = 0.5
    numbers, mass = find_modes(values, grid, 2, 20)
    assert distance[int(numbers[0, 0])] < 12
    assert int(numbers[0, 1]) == lone and mass[0, 0] > mass[0, 1]


def test_answers_are_farther_apart_than_asked_also_by_symmetry():
    grid = Grid(15, "C2")
    values = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (3, len(grid)))).float()
    numbers = find_modes(values, grid, 4, 30)[0].numpy()
    first, second = np.triu_indices(4, 1)
    for angles in grid.angles(numbers):
        assert (angular_distance(angles[first], angles[second], "C2") > 29.9).all()


def test_refinement_brings_an_orientation_nearer_to_the_truth(projector):
    angles, shifts = random_angles(6, np.random.default_rng(4)), np.full((6, 2), 0.8)
    observed, _, _ = simulated(projector, angles, shifts, 5.0)
    ground_truth = Rotation.from_matrix(rotation_matrices(angles))
    start = ground_truth * Rotation.from_rotvec(np.tile([3.0, -4.0, 5.0], (6, 1)), degrees=True)
    matrices = torch.from_numpy(start.as_matrix()).float()
    position = torch.zeros((6, 2))
    for rotation, shift in ((4, 0.5), (2, 0.25), (1, 0.12)):
        near = Neighbourhood.of(rotation, shift)
        pose = refine(observed, Reference(projector, observed.disc), matrices, position, near)
        matrices, position = pose.matrices, pose.shifts_yx
    left = np.degrees((ground_truth.inv() * Rotation.from_matrix(matrices.double().numpy())).magnitude())
    assert np.median(left) < 1.5 and left.max() < np.degrees((ground_truth.inv() * start).magnitude()).min()
    assert np.abs(position.numpy() - shifts).max() < 0.2


def test_the_spread_of_shifts_is_that_of_the_particles_that_show_it():
    rng = np.random.default_rng(3)
    yx = Shifts.within(6, 0.8).yx
    # where each particle seems to lie: 0.9 px from the middle, and 0.7 px from where it is
    seen = torch.from_numpy(rng.normal(scale=0.9, size=(400, 2)) + rng.normal(scale=0.7, size=(400, 2)))
    positions = -(seen[:, None] - yx).square().sum(2) / (2 * 0.7**2)
    positions[100:] = 0.0  # three of four tell nothing
    assert likeliest_sigma(positions, yx) == pytest.approx(0.9, rel=0.2)
    assert likeliest_sigma(torch.zeros(1, 1), torch.zeros(1, 2)) > 0


def test_the_power_of_images_gives_the_strength_of_a_map_that_is_blurred_more(projector):
    angles, width = random_angles(60, np.random.default_rng(5)), BOX * 4.0
    observed, _, _ = simulated(projector, angles, np.zeros((60, 2)), 2.0, amplitude=0.4)
    b_factor = 1500.0
    blur = torch.exp(-b_factor / 4 * (torch.arange(observed.disc.rings) / width) ** 2)
    fit = RingPower.of(observed, Reference(projector, observed.disc).with_gain(blur)).fit(width)
    gain = (fit.gain(observed.disc.rings, width) * blur)[1:8]
    assert gain.numpy() == pytest.approx([0.4] * 7, rel=0.15)
    assert fit.b_factor < -0.7 * b_factor


def test_strength_and_spread_of_shifts_are_learnt(projector):
    rng = np.random.default_rng(5)
    angles, shifts = random_angles(40, rng), rng.normal(0, 1.0, (40, 2))
    observed, _, _ = simulated(projector, angles, shifts, 20.0, radius=6.0, amplitude=0.4)
    reference, fit = Reference(projector, observed.disc), None
    for _ in range(2):
        fit = RingPower.of(observed, reference).fit(BOX * 4.0) if fit is None else fit
        fit = improved(fit, observed, Bank(reference, Grid(20)), Shifts.within(3, 1), BOX * 4.0)
    gain = fit.gain(observed.disc.rings, BOX * 4.0)
    assert gain[1:4].numpy() == pytest.approx([0.4] * 3, rel=0.15)
    assert fit.sigma == pytest.approx(1.0, rel=0.3)
