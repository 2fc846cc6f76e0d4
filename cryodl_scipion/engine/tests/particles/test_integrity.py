# SPDX-License-Identifier: GPL-3.0-or-later
"""Likelihoods of compositions, on images of which the composition is known."""

import numpy as np
import pytest
import torch
from synthetic import lopsided_density

from cryodl.core.half_transforms import HalfDisc
from cryodl.core.projections import Projector, random_angles, rotation_matrices
from cryodl.likelihood.observed import Observed
from cryodl.particles.integrity.evidence import Comparison, fitted_amplitude

BOX, DIAMETER = 32, 26
ONE = lambda rings: torch.ones(rings)


def whole_and_part():
    """A density, and the same without one of its blobs."""
    whole = torch.from_numpy(lopsided_density(BOX))
    axis = torch.arange(BOX) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    near = (z + 2) ** 2 + (y + 5) ** 2 + (x - 6) ** 2 < 3.5**2
    return whole, torch.where(near, torch.zeros(()), whole)


def scene(kinds, noise, seed=0):
    """Comparison, Observed of one image of each kind (0: whole, 1: part), their angles and shifts. noise: standard
    deviation."""
    rng = np.random.default_rng(seed)
    projectors = [Projector(d) for d in whole_and_part()]
    angles, shifts = random_angles(len(kinds), rng), rng.uniform(-1.5, 1.5, (len(kinds), 2))
    clean = torch.cat([projectors[kind].project(a[None], s[None]) for kind, a, s in zip(kinds, angles, shifts)])
    images = clean + noise * torch.from_numpy(rng.standard_normal(clean.shape).astype(np.float32))
    disc = HalfDisc(BOX, 14)
    power = noise**2 * BOX**2
    observed = Observed(2 * disc.coefficients(images) / power, torch.full((len(images), len(disc)), 1 / power), disc)
    return Comparison(projectors, disc, ONE, 7.5, DIAMETER), observed, angles, shifts


def test_all_steps_share_one_transform_of_each_composition():
    """They had one each: 1.8 GB for two compositions of 256 px, 0.9 GB now."""
    projectors = [Projector(d) for d in whole_and_part()]
    comparison = Comparison(projectors, HalfDisc(BOX, 14), ONE, 40.0, DIAMETER)
    held = {reference.cube.data_ptr() for level in comparison.levels for reference in level.references}
    assert len(comparison.levels) > 1 and len(held) == 2


def nearly(angles, degrees, seed=1):
    """(n, 1, 3, 3) matrices that are a few degrees off."""
    from scipy.spatial.transform import Rotation

    axis = np.random.default_rng(seed).normal(size=(len(angles), 3))
    rotation = Rotation.from_rotvec(
        degrees * axis / np.linalg.norm(axis, axis=1, keepdims=True), degrees=True
    ).as_matrix()
    return torch.as_tensor(rotation_matrices(angles) @ rotation, dtype=torch.float32)[:, None]


def grid(radius=2):
    y, x = torch.meshgrid(torch.arange(-radius, radius + 1.0), torch.arange(-radius, radius + 1.0), indexing="ij")
    return torch.stack([y, x], -1).reshape(-1, 2)


def test_each_image_is_most_like_its_own_composition():
    kinds = [0, 1, 0, 1, 1, 0]
    comparison, observed, angles, _ = scene(kinds, noise=2.0)
    found = comparison.evidence(observed, nearly(angles, 4), grid(), 1.0)
    assert found.logs.argmax(1).tolist() == kinds
    assert (found.logs[:, 0] - found.logs[:, 1]).abs().min() > 3


def test_orientation_and_shift_are_found_again_from_a_candidate_nearby():
    comparison, observed, angles, shifts = scene([0, 0, 1], noise=0.5)
    found = comparison.evidence(observed, nearly(angles, 5), grid(), 1.0)
    trace = np.einsum("nij,nij->n", found.matrices.numpy(), rotation_matrices(angles))
    # the step that the resolution asks for is 3.75
    assert np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))).max() < 4
    assert np.abs(found.shifts_yx.numpy() - shifts).max() < 0.4


def test_the_strength_of_the_images_is_learnt_from_them():
    comparison, observed, angles, _ = scene([0, 1] * 4, noise=1.0)
    halved = Observed(0.5 * observed.match, observed.weight, observed.disc)  # as if the images were half as strong
    amplitude = 1.0
    for _ in range(4):
        found = comparison.evidence(halved, nearly(angles, 3), grid(), amplitude)
        amplitude = fitted_amplitude(found)
    assert amplitude == pytest.approx(0.5, abs=0.03)


def test_particles_in_batches_are_as_particles_one_by_one(monkeypatch):
    comparison, observed, angles, _ = scene([0, 1, 1], noise=1.0)
    together = comparison.evidence(observed, nearly(angles, 4), grid(), 1.0)
    monkeypatch.setattr("cryodl.particles.integrity.evidence.ELEMENTS", 1.0)
    alone = comparison.evidence(observed, nearly(angles, 4), grid(), 1.0)
    torch.testing.assert_close(together.logs, alone.logs, atol=1e-2, rtol=1e-5)


def test_images_of_noise_alone_say_nothing():
    """Very weak projections: the likelihoods of all compositions are alike."""
    comparison, observed, angles, _ = scene([0, 1], noise=1.0)
    found = comparison.evidence(observed, nearly(angles, 4), grid(), 1e-6)
    torch.testing.assert_close(found.logs[:, 0], found.logs[:, 1], atol=1e-3, rtol=0)
