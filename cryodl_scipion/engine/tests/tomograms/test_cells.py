# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in simulated cells: positions, thickness and labels."""

import numpy as np
import pytest

from cryodl.simulate.cells import (
    FILAMENT,
    MICROTUBULE,
    Bilayer,
    Cell,
    Part,
    _subunits,
    balls,
    blobs,
    filament,
    profile,
    put_many,
    sheet,
    vesicle,
)

PIXEL = 13.0


def test_nothing_is_put_where_something_is():
    cell, block = Cell((8, 8, 8)), np.argwhere(np.ones((3, 3, 3)))
    part = Part(block, block, lambda: (block, np.ones(len(block))))
    assert cell.put(part, 1) and not cell.put(part, 2)
    assert put_many(cell, lambda: part, 2, 2) == 0
    assert (cell.labels == 1).sum() == 27 and cell.density.sum() == 27


def test_parts_outside_of_a_cell_are_left_out():
    cell, block = Cell((8, 8, 8)), np.argwhere(np.ones((3, 3, 3))) - [1, 0, 6]
    assert not cell.put(Part(block, block, lambda: (block, np.ones(27))), 1)
    block = block + [0, 0, 5]
    assert cell.put(Part(block, block, lambda: (block, np.ones(27))), 1)
    assert cell.density.sum() == 2 * 3 * 2 and cell.density[0, 0, 0] == 1


def test_balls_and_blobs_have_their_volume():
    assert len(balls(np.array([[10.3, 10.0, 9.6]]), 5.0)) == pytest.approx(4 / 3 * np.pi * 125, rel=0.05)
    _, values = blobs(np.array([[5.2, 5.0, 4.7], [9.0, 9.0, 9.0]]), 1.3, 7.0)
    assert values.sum() == pytest.approx(14.0, rel=0.03)  # three sigma hold 97 %


def test_a_bilayer_has_two_leaflets_forty_angstrom_apart():
    distance = np.arange(-60, 60.5, 0.5)
    density = profile(distance, 2.0)
    peaks = distance[1:-1][(density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])]
    assert np.abs(peaks - [-Bilayer().leaflets / 2, Bilayer().leaflets / 2]).max() < 1.5
    assert density[distance == 0] < 0 and density[np.abs(distance) > 1.6 * Bilayer().thickness / 2].max() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_sheets_are_labelled_as_thick_as_a_bilayer(seed):
    shape = (24, 96, 96)
    cell = Cell(shape)
    assert put_many(cell, lambda: sheet(shape, 6.0, np.random.default_rng(seed)), 1, 1) == 1
    from scipy.ndimage import distance_transform_edt

    # of a slab of thickness t the distances from outside have the mean t / 4
    inside = np.pad(cell.labels, 12, mode="edge") > 0
    deep = distance_transform_edt(inside)[12:-12, 12:-12, 12:-12]
    assert 4 * 6.0 * (deep[cell.labels > 0].mean() - 0.5) == pytest.approx(Bilayer().thickness, abs=9)


def test_vesicles_are_closed_so_that_inside_and_outside_are_apart():
    from scipy.ndimage import label

    shape = (64, 96, 96)
    for seed in range(20):
        part = vesicle(shape, PIXEL, np.random.default_rng(seed))
        if not ((part.labelled.min(0) > 0).all() and (part.labelled.max(0) < np.array(shape) - 1).all()):
            continue  # cut by a border
        cell = Cell(shape)
        assert cell.put(part, 1) and label(cell.labels == 0)[1] == 2
        break
    else:
        pytest.fail("No vesicle lies whole in the cell.")


@pytest.mark.parametrize("kind, width", [(MICROTUBULE, 250), (FILAMENT, 70)])
def test_filaments_are_as_wide_as_they_should_be_and_hold_their_subunits_density(kind, width):
    cell, rng = Cell((64, 96, 96)), np.random.default_rng(1)
    assert put_many(cell, lambda: filament(cell, kind, 6.5, rng), 1, 1) == 1
    from scipy.ndimage import distance_transform_edt

    deepest = distance_transform_edt(np.pad(cell.labels, 1) > 0).max()
    assert 2 * 6.5 * deepest == pytest.approx(width, abs=16)
    inside = cell.density[cell.labels > 0].sum() / cell.density.sum()
    assert inside > 0.85
    length = (cell.labels > 0).sum() * 6.5**3 / (np.pi * kind.radius**2)
    subunits = cell.density.sum() * 6.5**3 / kind.volume
    assert subunits == pytest.approx(length / kind.rise * kind.strands, rel=0.2)


def test_a_microtubule_is_hollow():
    cell, rng = Cell((64, 96, 96)), np.random.default_rng(1)
    put_many(cell, lambda: filament(cell, MICROTUBULE, 6.5, rng), 1, 1)
    from scipy.ndimage import distance_transform_edt

    depth = 6.5 * distance_transform_edt(np.pad(cell.labels, 1) > 0)[1:-1, 1:-1, 1:-1]
    lumen, wall = cell.density[depth > 85].mean(), cell.density[(depth > 15) & (depth < 35)].mean()
    assert lumen < 0.1 * wall and wall > 0.4


def test_filaments_end_before_what_is_in_their_way():
    cell, rng = Cell((32, 64, 64)), np.random.default_rng(0)
    cell.labels[:, :, 30:34] = 1
    for _ in range(5):
        put_many(cell, lambda: filament(cell, FILAMENT, PIXEL, rng), 1, 2)
    assert (cell.labels == 2).any() and (cell.labels[:, :, 30:34] == 1).all()


def test_membrane_proteins_and_coats_stand_out_of_the_bilayer_and_are_not_labelled():
    bare, full = Cell((48, 64, 64)), Cell((48, 64, 64))
    rich = Bilayer(proteins=1e-3, reach=(80.0, 120.0), coat=(-90.0, 10.0, 0.5))
    for cell, bilayer in ((bare, Bilayer()), (full, rich)):
        assert cell.put(sheet(cell.shape, PIXEL, np.random.default_rng(3), bilayer), 1)
    assert (bare.labels == full.labels).all()
    outside = np.array([full.density[full.labels == 0].sum(), bare.density[bare.labels == 0].sum()])
    assert outside[0] > outside[1] + 1000


def test_the_coat_of_a_vesicle_lies_on_the_side_that_it_is_said_to():
    inner, outer = (profile(np.array([-90.0, 90.0]), 2.0, Bilayer(coat=(d, 10.0, 0.5))) for d in (-90.0, 90.0))
    assert inner[0] == pytest.approx(0.5, rel=0.05) and inner[1] == pytest.approx(0, abs=1e-3)
    assert outer[::-1] == pytest.approx(inner)


@pytest.mark.parametrize("kind, rise, twist", [(FILAMENT, 27.3, -166.4), (MICROTUBULE, 40 * 3 / 13, -360 / 13)])
def test_helices_have_the_hand_of_actin_and_of_microtubules(kind, rise, twist):
    # in a tomogram's frame x, y, z, which is right-handed: both the genetic helix of actin (27.3 Å, -166.4°) and the
    # three-start helix of microtubules are left-handed
    axis = np.array([0.48, 0.6, 0.64])
    xyz = _subunits(np.arange(0, 900.0, 5)[:, None] * axis[::-1], kind, np.random.default_rng(0))[:4, ::-1]
    along, across = xyz @ axis, xyz - np.outer(xyz @ axis, axis)
    turned = [np.degrees(np.arctan2(axis @ np.cross(a, b), a @ b)) for a, b in zip(across, across[1:])]
    assert np.allclose(np.diff(along), rise) and np.allclose(turned, twist, atol=0.5)
