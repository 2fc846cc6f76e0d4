# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections as Fourier coefficients, and the likelihood's view of images."""

import numpy as np
import torch
from synthetic import lopsided_density

from cryodl.core.half_transforms import HalfDisc
from cryodl.core.projections import Projector, random_angles
from cryodl.likelihood.reference import Reference

BOX = 40


def projector():
    return Projector(torch.from_numpy(lopsided_density(32)))


def test_a_half_disc_holds_each_pair_of_frequencies_once():
    disc = HalfDisc(BOX, 6.0)
    both = set(zip(*disc.waves.tolist())) | set(zip(*(-disc.waves).tolist()))
    whole = [(y, x) for y in range(-6, 7) for x in range(-6, 7) if 0 < y * y + x * x <= 36]
    assert len(both) == 2 * len(disc) == len(whole)


def test_reference_slices_are_the_transforms_of_projections():
    disc, source = HalfDisc(BOX, 12.0), projector()
    angles, shifts = random_angles(5, np.random.default_rng(0)), np.array([[0, 0], [1.5, -2], [0, 3], [-1, 0], [2, 2]])
    images = disc.coefficients(source.project(angles, shifts, BOX))
    slices = Reference(source, disc).at_angles(angles) * disc.ramp(torch.from_numpy(shifts).float())
    assert ((images - slices).abs().square().sum() / images.abs().square().sum()).sqrt() < 0.02


def test_the_gain_of_a_ring_multiplies_that_ring_alone():
    disc, source = HalfDisc(BOX, 6.0), projector()
    gain = torch.ones(disc.rings)
    gain[3] = 2.0
    plain = Reference(source, disc).at_angles([[10, 20, 30]])[0]
    raised = Reference(source, disc, gain).at_angles([[10, 20, 30]])[0]
    assert torch.allclose(raised[disc.ring == 3], 2 * plain[disc.ring == 3])
    assert torch.allclose(raised[disc.ring != 3], plain[disc.ring != 3])
