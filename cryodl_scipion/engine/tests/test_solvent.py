# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule of a map, and its diameter, whatever the solvent shows."""

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.io.structures import dark_notes, load_density, without_solvent
from cryodl.simulate.micrographs import particle_diameter

SIDE, VOXEL, DIAMETER = 64, 3.0, 96.0


def ball_map(kind):
    """A ball of DIAMETER Å, off which a smaller one stands, cut at 8 Å; `kind` says what else the map shows."""
    grid = np.stack(np.meshgrid(*3 * [np.arange(SIDE) - SIDE // 2], indexing="ij")) * VOXEL
    solid = (np.sqrt((grid**2).sum(0)) < DIAMETER / 2).astype(np.float32)
    frequency = np.fft.fftfreq(SIDE, VOXEL)
    square = frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency**2
    cut = lambda data: np.fft.ifftn(np.fft.fftn(data) * (square < 1 / 8**2)).real
    data = cut(solid)
    noise = cut(np.random.default_rng(0).normal(size=data.shape))
    noise *= 0.06 / noise.std()
    inside = (grid**2).sum(0) < (SIDE * VOXEL / 2) ** 2
    return {
        "ripple": data,
        "noise": data + noise,
        "noise within a sphere": (data + noise) * inside,
        "offset": data + 0.3,
        "negative": -data,
        "negative and noisy": 5 - data - noise,
    }[kind].astype(np.float32)


@pytest.mark.parametrize(
    "kind", ["ripple", "noise", "noise within a sphere", "offset", "negative", "negative and noisy"]
)
def test_the_diameter_of_a_map_is_that_of_its_molecule(tmp_path, kind):
    write_mrc(tmp_path / "a.mrc", ball_map(kind), VOXEL)
    # 99 % of a ball's mass lie within 0.9967 of its radius
    assert particle_diameter(load_density(tmp_path / "a.mrc", VOXEL), VOXEL) == pytest.approx(DIAMETER, rel=0.04)


@pytest.mark.parametrize(
    "kind, dark", [("noise", False), ("offset", False), ("negative", True), ("negative and noisy", True)]
)
def test_a_dark_map_is_noticed_and_said(tmp_path, kind, dark):
    write_mrc(tmp_path / "a.mrc", ball_map(kind), VOXEL)
    notes = dark_notes(tmp_path / "a.mrc")
    assert len(notes) == dark and all("Protein seems to be negative in" in note for note in notes)


def test_specks_of_solvent_are_no_molecule():
    data = ball_map("noise")
    data[4:6, 4:6, 4:6] += 1.0
    density, _ = without_solvent(data, np.full(3, VOXEL))
    assert density[4:6, 4:6, 4:6].max() == 0 and density[32, 32, 32] > 0.5


def test_a_map_without_noise_keeps_the_tails_of_its_density():
    grid = (np.stack(np.meshgrid(*3 * [np.arange(32) - 16], indexing="ij")) ** 2).sum(0)
    data = np.exp(-grid / 20).astype(np.float32)
    density, dark = without_solvent(data, np.full(3, VOXEL))
    assert not dark and np.abs(density - data).max() < 1e-3
