# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of sparsely labelled micrographs mean the chance of a particle, not that of a label."""

import numpy as np
import pytest

from cryodl.core.calibration import calibrate, expected_calibration_error
from cryodl.micrographs.pickers.corrected_calibration import fit_sparse_calibration


def candidates(part, seed=0, n=4000):
    """Raw scores of n candidates by a known curve, which are particles, and which of those are labelled."""
    rng = np.random.default_rng(seed)
    odds = np.where(rng.random(n) < 0.4, rng.normal(1.5, 1.5, n), rng.normal(-2.0, 1.0, n))
    raw = 1 / (1 + np.exp(-odds))
    particle = rng.random(n) < calibrate(raw, (1.3, 0.4))
    return raw, particle, particle & (rng.random(n) < part)


@pytest.mark.parametrize("part", [0.1, 0.5, 1.0])
def test_the_curve_is_found_from_a_part_of_the_particles(part):
    raw, particle, labelled = candidates(part)
    curve = fit_sparse_calibration(labelled, raw, 1 / part)
    assert curve[0] == pytest.approx(1.3, rel=0.35)
    assert expected_calibration_error(particle, calibrate(raw, curve)) < 0.05


def test_the_probabilities_add_up_to_the_expected_number():
    raw, _, labelled = candidates(0.2)
    for fraction in (2, 5):
        expected = calibrate(raw, fit_sparse_calibration(labelled, raw, fraction)).sum()
        assert expected == pytest.approx(fraction * labelled.sum(), rel=1e-3)


def test_more_particles_than_candidates_and_none_stay_finite():
    raw, _, labelled = candidates(0.5, n=50)
    assert np.isfinite(fit_sparse_calibration(labelled, raw, 1e6)).all()
    assert fit_sparse_calibration(np.zeros(50, bool), raw, 10) == (1.0, 0.0)
    assert fit_sparse_calibration(np.zeros(0, bool), np.zeros(0), 10) == (1.0, 0.0)
