# SPDX-License-Identifier: GPL-3.0-or-later
"""Log-likelihoods of compositions that are over-confident and lean to one side, of particles of known composition."""

import numpy as np
import pytest

from cryodl.particles.integrity import calibration
from cryodl.particles.integrity.calibration import MadeUp

LEAN, SURE = 3.0, 2.5  # what is added to the first composition; by how much the likelihoods are too sure


def particles(kinds, apart, strength=0.0, seed=0, compositions=2):
    """(n, c) log-likelihoods of Gaussians of variance 1 that lie `apart` along an axis for each composition. All
    evidence grows with the strength, and that of the first composition more."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(len(kinds), compositions)) + apart / 2**0.5 * np.eye(compositions)[kinds]
    strength = np.broadcast_to(strength, len(kinds))
    logs = SURE * apart / 2**0.5 * seen + (40 * strength + rng.normal(scale=3, size=len(kinds)))[:, None]
    logs[:, 0] += LEAN + 20 * strength
    return logs


def made_up(apart, each=120, compositions=2, seed=1):
    number = np.arange(each * compositions)
    kinds, strength = number % compositions, np.array([-0.15, 0.15])[number // compositions % 2]
    return MadeUp(particles(kinds, apart, strength, seed, compositions), kinds, strength)


def judged(logs, made):
    return calibration.judged(logs, made, np.arange(len(logs)))


@pytest.mark.parametrize("share, strength", [(0.2, 0.0), (0.5, 0.1), (0.8, -0.1)])
def test_as_many_are_right_as_is_said_whatever_leans_to_one_side(share, strength):
    kinds = (np.random.default_rng(5).random(1000) > share).astype(int)
    logs = particles(kinds, 2.0, strength)
    found = judged(logs, made_up(2.0))
    said, right = found.probability.max(1).mean(), (found.probability.argmax(1) == kinds).mean()
    assert found.answers and abs(said - right) < 0.04 and right > 0.8
    assert found.fractions[0] == pytest.approx(share, abs=0.07)
    assert found.low[0] - 0.02 < share < found.high[0] + 0.02 and found.high[0] - found.low[0] < 0.3
    assert found.strength == pytest.approx(strength, abs=0.04)
    if share < 0.8:  # the likelihoods themselves call far too many the first one
        assert (logs.argmax(1) == 0).mean() - share > 0.1 or strength < 0


def test_compositions_that_look_alike_are_not_told():
    kinds = np.arange(300) % 2
    found = judged(particles(kinds, 0.3), made_up(0.3))
    assert not found.answers and found.told < 0.65
    assert found.high[0] - found.low[0] > 0.3  # nor is their share known


def test_three_compositions_are_told_and_their_parts_found():
    kinds = np.random.default_rng(2).choice(3, 900, p=[0.6, 0.3, 0.1])
    found = judged(particles(kinds, 3.0, compositions=3), made_up(3.0, compositions=3))
    assert found.answers and np.abs(found.fractions - np.bincount(kinds) / 900).max() < 0.05
    right = (found.probability.argmax(1) == kinds).mean()
    assert found.probability.max(1).mean() == pytest.approx(right, abs=0.03) and right > 0.9


def test_one_clear_particle_is_judged():
    found = judged(particles(np.array([1]), 12.0), made_up(12.0))
    assert found.answers and found.told == 1 and found.probability[0, 1] > 0.9
    assert 0 < found.fractions.min() and found.fractions.sum() == pytest.approx(1)


def test_copies_of_an_image_make_no_fraction_surer():
    logs, image = particles(np.arange(60) % 2, 2.0), np.repeat(np.arange(60), 6)
    once, copied = judged(logs, made_up(2.0)), calibration.judged(np.repeat(logs, 6, 0), made_up(2.0), image)
    assert copied.high[0] - copied.low[0] == pytest.approx(once.high[0] - once.low[0], rel=0.15)


@pytest.mark.parametrize("kind", [0, 1])
def test_the_interval_of_a_small_set_of_one_composition_holds_all_and_a_tenth_less(kind):
    found = judged(particles(np.full(24, kind), 8.0), made_up(8.0))
    assert found.low[1 - kind] < 0.005 and found.high[kind] > 0.995
    assert 0.1 < found.high[1 - kind] < 0.2 and 0.8 < found.low[kind] < 0.9


def test_particles_with_hardly_any_evidence_have_no_probability_and_no_part_in_the_fractions():
    """A fifth of another molecule, as complexes of the second composition would be: it lacks what the first has."""
    kinds = np.random.default_rng(3).choice(3, 1000, p=[0.48, 0.32, 0.2])
    logs = particles(np.minimum(kinds, 1), 3.0)
    logs[kinds == 2] -= 25
    found = judged(logs, made_up(3.0))
    shown = found.probability.any(1)
    assert (~shown[kinds == 2]).mean() > 0.95 and (~shown[kinds < 2]).mean() < 0.05
    assert found.fractions[0] == pytest.approx(0.6, abs=0.04) and found.low[0] < 0.6 < found.high[0]
    assert np.allclose(found.probability[shown].sum(1), 1)


def test_no_particle_of_a_set_of_the_compositions_alone_loses_its_probability():
    for seed in range(5):
        kinds = np.arange(300) % 2
        assert judged(particles(kinds, 2.0, seed=seed), made_up(2.0, seed=seed + 9)).probability.any(1).all()
    assert judged(particles(np.zeros(2, int), 2.0) - 100, made_up(2.0)).probability.any(1).all()  # all: see `explained`
