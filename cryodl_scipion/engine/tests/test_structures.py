# SPDX-License-Identifier: GPL-3.0-or-later
"""Structures to simulate from: atomic models and maps, centred and in the right order of axes."""
import mrcfile
import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.simulate.structures import load_density

PDB = "ATOM  {0:5d}  C   GLY A{0:4d}    {1:8.3f}{2:8.3f}{3:8.3f}  1.00  0.00           C\n"


def centre_of_mass(density):
    grid = torch.arange(float(density.shape[0])) - density.shape[0] // 2
    return [float((density.sum(tuple(a for a in range(3) if a != axis)) * grid).sum() / density.sum()) for axis in range(3)]


def test_an_atomic_model_has_its_mass_in_the_middle_and_its_axes_in_order(tmp_path):
    """Three atoms far from the origin, unlike along x, y and z."""
    atoms = [(100.0, 200.0, 300.0), (130.0, 200.0, 300.0), (100.0, 212.0, 300.0), (100.0, 200.0, 306.0)]
    (tmp_path / "a.pdb").write_text("".join(PDB.format(i + 1, *xyz) for i, xyz in enumerate(atoms)) + "END\n")
    density = load_density(tmp_path / "a.pdb", 2.0)
    assert density.ndim == 3 and len(set(density.shape)) == 1 and density.shape[0] % 2 == 0 and density.min() >= 0
    assert np.abs(centre_of_mass(density)).max() < 0.05
    grid = (torch.arange(density.shape[0]) - density.shape[0] // 2) * 2.0
    spread = [float((density.sum(tuple(a for a in range(3) if a != axis)) * grid ** 2).sum() / density.sum())
              for axis in range(3)]
    assert spread[2] > spread[1] > spread[0]  # zyx: x is the longest


def test_water_is_left_out_and_broken_models_are_named(tmp_path):
    water = PDB.format(1, 10.0, 10.0, 10.0).replace("GLY", "HOH").replace("C   HOH", "O   HOH")
    (tmp_path / "water.pdb").write_text(water.replace("ATOM  ", "HETATM") + "END\n")
    (tmp_path / "bad.cif").write_text("hello")
    for name in ("water.pdb", "bad.cif"):
        with pytest.raises(ValueError, match=name):
            load_density(tmp_path / name, 2.0)
    with pytest.raises(FileNotFoundError, match="gone.pdb does not exist"):
        load_density(tmp_path / "gone.pdb", 2.0)


def test_a_map_with_exchanged_axes_is_the_same_map(tmp_path):
    density = lopsided_density(32)
    write_mrc(tmp_path / "plain.mrc", density, 3.0)
    write_mrc(tmp_path / "exchanged.mrc", np.ascontiguousarray(density.transpose(1, 2, 0)), 3.0)
    with mrcfile.open(tmp_path / "exchanged.mrc", mode="r+") as mrc:  # axis 0 of the array is y, 1 is x, 2 is z
        mrc.header.maps, mrc.header.mapr, mrc.header.mapc = 2, 1, 3
    plain, exchanged = (load_density(tmp_path / f"{n}.mrc", 3.0) for n in ("plain", "exchanged"))
    assert torch.allclose(plain, torch.from_numpy(density).clamp(min=0), atol=1e-5)
    assert torch.allclose(plain, exchanged, atol=1e-5)


def test_a_map_with_exchanged_axes_and_unlike_sides_keeps_its_voxels(tmp_path):
    """xyz sides of 20, 16 and 12 voxels of 2 Å; stored with z fastest."""
    density = np.zeros((12, 16, 20), np.float32)
    density[4, 9, 15] = 1.0
    write_mrc(tmp_path / "plain.mrc", density, 2.0)
    write_mrc(tmp_path / "exchanged.mrc", np.ascontiguousarray(density.transpose(2, 1, 0)), 2.0)
    with mrcfile.open(tmp_path / "exchanged.mrc", mode="r+") as mrc:
        mrc.header.maps, mrc.header.mapr, mrc.header.mapc = 1, 2, 3
        mrc.header.mx, mrc.header.my, mrc.header.mz = 20, 16, 12
        mrc.header.cella = (40.0, 32.0, 24.0)
    plain, exchanged = (load_density(tmp_path / f"{n}.mrc", 2.0) for n in ("plain", "exchanged"))
    assert plain.shape == exchanged.shape == (20, 20, 20) and torch.equal(plain, exchanged)


def test_a_map_is_resampled_to_the_pixel_size_about_its_middle(tmp_path):
    write_mrc(tmp_path / "a.mrc", lopsided_density(32), 3.0)
    fine = load_density(tmp_path / "a.mrc", 1.5)
    coarse = load_density(tmp_path / "a.mrc", 6.0)
    assert fine.shape == (64,) * 3 and coarse.shape == (16,) * 3
    half = torch.nn.functional.avg_pool3d(fine[None, None], 4)[0, 0]
    assert correlation(half, coarse) > 0.95


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("data, words", [(np.zeros((8, 8), np.float32), "three axes"), (None, "not a readable map")])
def test_what_is_no_map_is_named(tmp_path, data, words):
    if data is None:
        (tmp_path / "bad.mrc").write_bytes(b"hello" * 300)
    else:
        write_mrc(tmp_path / "bad.mrc", data)
    with pytest.raises(ValueError, match=f"bad.mrc.*{words}"):
        load_density(tmp_path / "bad.mrc", 2.0)


def test_a_map_without_voxel_size_is_refused(tmp_path):
    write_mrc(tmp_path / "a.mrc", lopsided_density(16), 0.0)
    with pytest.raises(ValueError, match="a.mrc has the voxel size .* must be positive"):
        load_density(tmp_path / "a.mrc", 2.0)
