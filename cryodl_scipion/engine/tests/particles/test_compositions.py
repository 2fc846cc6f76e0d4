# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions in one frame, and those that are not."""

import gemmi
import numpy as np
import pytest
import torch
from synthetic import lopsided_density, write_mrc

from cryodl.particles.integrity.compositions import check_one_frame, load_compositions, overlaps

CHAIN = np.cumsum(np.random.default_rng(0).normal(scale=2.5, size=(60, 3)), axis=0)
PARTNER = CHAIN[:20] * 0.5 + [40, 0, 0]


def write_model(path, chains, rotation=None, shift=(0, 0, 0)):
    """A model of C alpha atoms. chains: {name: (n, 3) xyz}."""
    structure, model = gemmi.Structure(), gemmi.Model(1)
    for name, positions in chains.items():
        chain = gemmi.Chain(name)
        for number, position in enumerate(positions, 1):
            residue, atom = gemmi.Residue(), gemmi.Atom()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(number, " ")
            atom.name, atom.element = "CA", gemmi.Element("C")
            atom.pos = gemmi.Position(*((position if rotation is None else rotation @ position) + shift))
            residue.add_atom(atom)
            chain.add_residue(residue)
        model.add_chain(chain)
    structure.add_model(model)
    structure.write_pdb(str(path))
    return str(path)


@pytest.fixture
def models(tmp_path):
    whole = write_model(tmp_path / "whole.pdb", {"A": CHAIN, "B": PARTNER})
    return tmp_path, whole, write_model(tmp_path / "part.pdb", {"A": CHAIN})


def test_the_common_part_of_two_models_lies_at_the_same_place(models):
    _, whole, part = models
    (both, alone), diameter, notes = load_compositions([whole, part], 4.0, 48)
    difference = both - alone
    mass = float(difference.sum() / both.sum())
    assert mass == pytest.approx(20 / 80, abs=0.02) and difference.min() > -1e-3 * both.max()
    assert 60 < diameter < 4 * 46 and not notes


def test_the_heaviest_model_is_in_the_middle_whatever_the_order(models):
    _, whole, part = models
    (alone, both), *_ = load_compositions([part, whole], 4.0, 48)
    axis = torch.arange(48.0) - 24
    centre = [float((both.sum([a for a in range(3) if a != k]) * axis).sum() / both.sum()) for k in range(3)]
    assert np.abs(centre).max() < 0.1


def test_models_that_are_not_superposed_are_refused_with_what_would_superpose_them(models):
    folder, whole, _ = models
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    other = write_model(folder / "other.pdb", {"A": CHAIN}, rotation, (10, 0, 30))
    with pytest.raises(
        ValueError, match=r"not in the same coordinate frame: their 60 common residues .* 0.0 Å if .* rotated by 90°"
    ):
        load_compositions([whole, other], 4.0, 48)


def test_maps_that_are_shifted_are_refused_with_the_offset(tmp_path):
    density = lopsided_density(32)
    shifted = np.roll(density, (0, 0, 12), (0, 1, 2))
    first, second = (write_mrc(tmp_path / name, data, 2.0) for name, data in (("a.mrc", density), ("b.mrc", shifted)))
    with pytest.raises(
        ValueError, match=r"not in the same coordinate frame: only .* Shifted by -24 \+0 \+0 Å along x y z"
    ):
        load_compositions([str(first), str(second)], 2.0, 48)


def test_overlap_is_that_of_the_smaller_body():
    ball = torch.from_numpy(lopsided_density(32))
    half = torch.where(torch.arange(32) < 16, ball, torch.zeros(()))
    here, best, offset = overlaps(ball, half)
    assert here > 0.95 and best >= here and np.abs(offset).max() <= 2


def test_densities_that_never_fit_are_said_to_be_turned_or_others():
    rod, other = torch.zeros(32, 32, 32), torch.zeros(32, 32, 32)
    rod[14:18, 14:18, 2:30] = 1
    other[2:30, 14:18, 14:18] = 1
    with pytest.raises(ValueError, match="rotated, have different scales, or be different molecules"):
        check_one_frame([rod, other], ["a", "b"], 2.0)


def test_the_same_density_twice_is_refused(models):
    _, whole, _ = models
    with pytest.raises(ValueError, match="Give different compositions"):
        load_compositions([whole, whole], 4.0, 48)


def test_maps_and_models_are_not_mixed(models):
    folder, whole, _ = models
    path = write_mrc(folder / "map.mrc", lopsided_density(32), 4.0)
    with pytest.raises(ValueError, match="whole.pdb is an atomic model and .*map.mrc is a map"):
        load_compositions([whole, str(path)], 4.0, 48)


def test_a_complex_larger_than_the_box_is_refused(models):
    _, whole, part = models
    with pytest.raises(ValueError, match="Å wide, but the images are 16 px"):
        load_compositions([whole, part], 4.0, 16)


def test_a_file_that_is_missing_is_named(models):
    _, whole, _ = models
    with pytest.raises(FileNotFoundError, match="nothing.pdb"):
        load_compositions([whole, "nothing.pdb"], 4.0, 48)


def test_a_map_in_another_unit_is_brought_to_the_strength_of_the_first(tmp_path):
    density = lopsided_density(32)
    part = np.where(np.arange(32) < 20, density, 0).astype(np.float32)
    first, second = (write_mrc(tmp_path / name, data, 2.0) for name, data in (("a.mrc", density), ("b.mrc", 5 * part)))
    (one, two), _, notes = load_compositions([str(first), str(second)], 2.0, 48)
    assert float(two[24, 24, 24] / one[24, 24, 24]) == pytest.approx(1, abs=0.02)
    assert "b.mrc was multiplied by 0.2" in notes[0]
