# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of simulated maps that are inside of the molecule: side chains, carboxyl groups, solvent."""
import dataclasses

import numpy as np
import pytest
from map_data import empty_grid, helix

from cryodl.maps.atoms import read_atoms
from cryodl.maps.simulated import Faults, _molecule, _weights, simulate

ATOMS = ["N", "CA", "C", "O", "CB", "CG", "CD", "OE1", "OE2", "OXT"]  # of a glutamate at the end of a chain
BONDS = [0, 0, 0, 0, 1, 2, 3, 4, 4, 0]
QUIET = Faults(3.0, 50.0, 0.0, 0.0, False, 0.0, 0.0, 1.0)


@pytest.fixture
def glutamate(tmp_path):
    lines = [f"ATOM  {k + 1:5d} {name:>4s} GLU A   1    {1.5 * k - 7:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00 20.00          "
             f"{name[0]:>2s}" for k, name in enumerate(f" {n:<3s}" if len(n) < 4 else n for n in ATOMS)]
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
    mean = lambda solvent: simulate(atoms, grid, dataclasses.replace(QUIET, solvent=solvent),
                                    np.random.default_rng(0)).full[filled > 0.9].mean()
    protein = atoms.number.sum() / (20 * len(atoms))
    assert mean(0.0) - mean(0.6) == pytest.approx(0.6 * protein, rel=0.1)
