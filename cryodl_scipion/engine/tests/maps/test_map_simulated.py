# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of simulated maps: what is asked for is found in them again."""

import dataclasses

import numpy as np
import pytest
from map_data import empty_grid, helix
from scipy.ndimage import gaussian_filter

from cryodl.maps.measures.atoms import read_atoms
from cryodl.maps.measures.shells import shell_correlation
from cryodl.maps.measures.simulated import Faults, _molecule, _weights, simulate

ATOMS = ["N", "CA", "C", "O", "CB", "CG", "CD", "OE1", "OE2", "OXT"]  # of a glutamate at the end of a chain
BONDS = [0, 0, 0, 0, 1, 2, 3, 4, 4, 0]
QUIET = Faults(3.0, 50.0, 0.0, 0.0, False, 0.0, 0.0, 1.0)


@pytest.fixture
def glutamate(tmp_path):
    lines = [
        f"ATOM  {k + 1:5d} {name:>4s} GLU A   1    {1.5 * k - 7:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00 20.00          "
        f"{name[0]:>2s}"
        for k, name in enumerate(f" {n:<3s}" if len(n) < 4 else n for n in ATOMS)
    ]
    lines = [line[:76] + f"{name[0]:>2s}" for line, name in zip(lines, ATOMS)]
    (tmp_path / "glu.pdb").write_text("\n".join([*lines, "END", ""]))
    return read_atoms(tmp_path / "glu.pdb")


def test_side_chains_blur_more_with_each_bond(glutamate):
    assert list(glutamate.atom_names) == ATOMS
    faults = dataclasses.replace(QUIET, side_chains=30.0)
    found = simulate(glutamate, empty_grid(), faults, np.random.default_rng(0)).b_factors
    np.testing.assert_allclose(found, 50 + 30 * np.array(BONDS))


def test_carboxyl_groups_lose_density_and_nothing_else(glutamate):
    kept = _weights(glutamate, 0.3) / _weights(glutamate, 1.0)
    np.testing.assert_allclose(kept, [0.3 if name in ("OE1", "OE2") else 1.0 for name in ATOMS])


def test_solvent_lowers_the_molecule_but_not_the_solvent(tmp_path):
    """Against the volume that protein takes: about 1.21 Å3 for a dalton."""
    atoms = read_atoms(helix(tmp_path / "helix.pdb", 20))
    grid = empty_grid((48, 48, 64))
    filled = _molecule(atoms, grid)
    assert 0 <= filled.min() and filled.max() <= 1 + 1e-6
    assert filled.sum() == pytest.approx(1.21 * 71 * 20, rel=0.25)  # alanine weighs 71 Da
    corner = filled[:4, :4, :4]
    assert corner.max() < 1e-3
    mean = lambda solvent: (
        simulate(atoms, grid, dataclasses.replace(QUIET, solvent=solvent), np.random.default_rng(0))
        .full[filled > 0.9]
        .mean()
    )
    protein = atoms.number.sum() / (20 * len(atoms))
    assert mean(0.0) - mean(0.6) == pytest.approx(0.6 * protein, rel=0.1)


@pytest.fixture
def bundle(tmp_path):
    """A long helix, and a grid with room around it."""
    return read_atoms(helix(tmp_path / "helix.pdb", 50)), empty_grid((100, 56, 56), 1.0, (-12.0, -28.0, -28.0))


@pytest.mark.parametrize("resolution", [3.0, 4.5, 6.0])
def test_the_half_maps_agree_to_the_resolution_that_is_asked_for(bundle, resolution):
    atoms, grid = bundle  # laid in a ball: a single helix has hardly any signal at some resolutions
    directions = np.random.default_rng(1).normal(size=(len(atoms), 3))
    radii = 16 * np.random.default_rng(2).random((len(atoms), 1)) ** (1 / 3)
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    atoms = dataclasses.replace(atoms, xyz=radii * directions + [0, 0, 36])
    maps = simulate(atoms, grid, Faults(resolution), np.random.default_rng(0))
    curve = shell_correlation(maps.half1 * maps.mask, maps.half2 * maps.mask, grid.voxels_zyx)
    assert curve.resolution(0.143) == pytest.approx(resolution, rel=0.1)


def test_flexible_parts_are_those_far_from_the_middle_and_add_no_more_than_asked_for(bundle):
    atoms = bundle[0]
    faults = dataclasses.replace(QUIET, flexibility=80.0)
    found = simulate(*bundle, faults, np.random.default_rng(0)).b_factors
    assert found.min() == pytest.approx(50) and found.max() == pytest.approx(130)
    far = np.abs(atoms.xyz[:, 2] - atoms.xyz[:, 2].mean())
    assert np.corrcoef(far, found)[0, 1] > 0.3


def test_directions_that_are_seen_rarely_are_noisier(bundle):
    """Of n views a part 1 - a c² shows a coefficient at the cosine c with the direction that is seen least."""
    maps = simulate(*bundle, dataclasses.replace(QUIET, anisotropy=0.6), np.random.default_rng(1))
    noise = maps.half1 - maps.half2
    power = np.abs(np.fft.fftn(noise)) ** 2
    zyx = np.meshgrid(*[np.fft.fftfreq(n) for n in noise.shape], indexing="ij")
    size = np.sqrt(sum(f**2 for f in zyx))
    cosine = np.abs(sum(f * v for f, v in zip(zyx, maps.views[::-1]))) / np.maximum(size, 1e-9)
    along, across = (power[(size > 0.1) & part].mean() for part in (cosine > 0.95, cosine < 0.2))
    assert along / across == pytest.approx(1 / (1 - 0.6 * 0.97**2), rel=0.1)


def test_detergent_is_a_belt_about_the_molecule_and_not_within(bundle):
    plain, belt = (
        simulate(*bundle, dataclasses.replace(QUIET, detergent=on), np.random.default_rng(0)) for on in (False, True)
    )
    added = gaussian_filter(belt.full - plain.full, 2)  # their noise differs
    near = plain.mask > 0.99
    assert np.abs(added[near]).mean() < 0.1 * added[plain.mask < 0.01].max()
    height = (np.arange(added.shape[0]) * 1.0 - 12.0)[:, None, None] - bundle[0].xyz[:, 2].mean()
    weight = np.clip(added, 0.05, None) - 0.05
    assert (weight * (np.abs(height) < 20)).sum() > 0.9 * weight.sum() > 0  # 30 Å high, about the middle
    # a ring: as wide above its middle as below, and no wider than the helix and its thickness
    y, x = np.ogrid[: added.shape[1], : added.shape[2]]
    centre = bundle[0].xyz[:, :2].mean(axis=0)
    across = np.hypot(y - 28.0 - centre[1], x - 28.0 - centre[0])[None]
    above, below = ((weight * across * part).sum() / (weight * part).sum() for part in (height > 5, height < -5))
    assert above == pytest.approx(below, rel=0.1) and (weight * (across < 27)).sum() > 0.95 * weight.sum()
