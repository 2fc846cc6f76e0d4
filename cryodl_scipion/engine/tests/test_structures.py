# SPDX-License-Identifier: GPL-3.0-or-later
"""Structures to simulate from: atomic models and maps, centred and in the right order of axes."""

import gzip

import gemmi
import mrcfile
import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.core.projections import padded_side, projection_memory
from cryodl.io.structures import LARGEST_SIDE, available_memory, check_memory, load_density, read_cube

PDB = "ATOM  {0:5d}  C   GLY A{0:4d}    {1:8.3f}{2:8.3f}{3:8.3f}  1.00  0.00           C\n"


def centre_of_mass(density):
    grid = torch.arange(float(density.shape[0])) - density.shape[0] // 2
    return [
        float((density.sum(tuple(a for a in range(3) if a != axis)) * grid).sum() / density.sum()) for axis in range(3)
    ]


def test_an_atomic_model_has_its_mass_in_the_middle_and_its_axes_in_order(tmp_path):
    """Three atoms far from the origin, unlike along x, y and z."""
    atoms = [(100.0, 200.0, 300.0), (130.0, 200.0, 300.0), (100.0, 212.0, 300.0), (100.0, 200.0, 306.0)]
    (tmp_path / "a.pdb").write_text("".join(PDB.format(i + 1, *xyz) for i, xyz in enumerate(atoms)) + "END\n")
    density = load_density(tmp_path / "a.pdb", 2.0)
    assert density.ndim == 3 and len(set(density.shape)) == 1 and density.shape[0] % 2 == 0 and density.min() >= 0
    assert np.abs(centre_of_mass(density)).max() < 0.05
    grid = (torch.arange(density.shape[0]) - density.shape[0] // 2) * 2.0
    spread = [
        float((density.sum(tuple(a for a in range(3) if a != axis)) * grid**2).sum() / density.sum())
        for axis in range(3)
    ]
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


def test_a_compressed_model_that_is_cut_short_is_not_taken_for_a_smaller_one(tmp_path):
    atoms = np.random.default_rng(0).uniform(-30, 30, (2000, 3)).tolist()
    whole = gzip.compress("".join(PDB.format(i + 1, *xyz) for i, xyz in enumerate(atoms)).encode())
    (tmp_path / "whole.pdb.gz").write_bytes(whole)
    assert load_density(tmp_path / "whole.pdb.gz", 4.0).max() > 0
    (tmp_path / "cut.pdb.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.pdb.gz is damaged"):
        load_density(tmp_path / "cut.pdb.gz", 4.0)


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
@pytest.mark.parametrize(
    "data, words",
    [
        (np.zeros((8, 8), np.float32), "three axes"),
        (b"hello" * 300, "it is text, not an MRC header"),
        (b"\xff\xd8\xff" * 400, "it does not begin with an MRC header"),
    ],
)
def test_what_is_no_map_is_named(tmp_path, data, words):
    if isinstance(data, bytes):
        (tmp_path / "bad.mrc").write_bytes(data)
    else:
        write_mrc(tmp_path / "bad.mrc", data)
    with pytest.raises(ValueError, match=f"bad.mrc.*{words}"):
        load_density(tmp_path / "bad.mrc", 2.0)


def test_a_folder_and_a_stack_of_images_are_no_map(tmp_path):
    with pytest.raises(ValueError, match="is a folder; an MRC file is needed"):
        load_density(tmp_path, 2.0)
    for name in ("images.mrcs", "images.mrc"):
        with mrcfile.new(tmp_path / name) as mrc:
            mrc.set_data(lopsided_density(16))
            mrc.set_image_stack() if name.endswith(".mrc") else mrc.set_volume()
            mrc.voxel_size = 2.0
        with pytest.raises(ValueError, match=f"{name} is a stack of 16 images, not a map"):
            load_density(tmp_path / name, 2.0)
        with pytest.raises(ValueError, match="not a map"):  # a mask
            read_cube(tmp_path / name, 2.0, 16)


def test_a_large_stack_of_images_is_told_by_its_header_alone(tmp_path, monkeypatch):
    with mrcfile.new(tmp_path / "images.mrcs") as mrc:
        mrc.set_data(lopsided_density(16))
    monkeypatch.setattr("cryodl.io.structures.read_data", lambda *_: pytest.fail("all of it was read"))
    with pytest.raises(ValueError, match="images.mrcs is a stack of 16 images, not a map"):
        load_density(tmp_path / "images.mrcs", 2.0)


def test_a_map_without_voxel_size_is_refused(tmp_path):
    write_mrc(tmp_path / "a.mrc", lopsided_density(16), 0.0)
    with pytest.raises(ValueError, match="a.mrc has voxels of 0 x 0 x 0 Å by its header; they must be"):
        load_density(tmp_path / "a.mrc", 2.0)


def test_the_noise_of_a_map_is_no_density_and_its_offset_is_taken_off(tmp_path):
    density = lopsided_density(48)
    noise = np.random.default_rng(0).normal(0.3, 0.02, density.shape)
    write_mrc(tmp_path / "a.mrc", (density + noise).astype(np.float32), 3.0)
    found = load_density(tmp_path / "a.mrc", 3.0).numpy()
    assert found.min() == 0 and correlation(found, density) > 0.99
    assert (found > 0).mean() < (density > 0).mean() and np.abs(found - density).max() < 0.15


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "data, words",
    [
        (np.zeros((16, 16, 16), np.float32), "no density above the solvent level"),
        (np.full((16, 16, 16), np.nan, np.float32), "not finite"),
    ],
)
def test_a_map_without_protein_is_refused(tmp_path, data, words):
    write_mrc(tmp_path / "bad.mrc", data, 3.0)
    with pytest.raises(ValueError, match=f"bad.mrc has .*{words}"):
        load_density(tmp_path / "bad.mrc", 3.0)


@pytest.mark.parametrize("pixel_size", [1.5, 2.3, 4.0])
def test_the_middle_voxel_of_a_map_stays_the_middle_at_any_pixel_size(tmp_path, pixel_size):
    grid = np.stack(np.mgrid[:33, :40, :37]) - np.array([33, 40, 37]).reshape(3, 1, 1, 1) // 2
    write_mrc(tmp_path / "a.mrc", np.exp(-(grid**2).sum(0) / 18).astype(np.float32), 2.0)
    density = load_density(tmp_path / "a.mrc", pixel_size)
    assert density.shape[0] % 2 == 0 and np.abs(centre_of_mass(density)).max() < 0.02


def test_a_density_larger_than_the_memory_is_refused_with_its_size():
    assert available_memory() > 2**26
    check_memory(100, "small.cif", 1.0)
    with pytest.raises(ValueError, match="virus.cif is 500 px wide at 1 Å/px.* 2.0 GB are free.*larger --pixel-size"):
        check_memory(500, "virus.cif", 1.0, available=2e9)
    with pytest.raises(ValueError, match=f"at most {LARGEST_SIDE} px"):
        check_memory(LARGEST_SIDE + 2, "virus.cif", 1.0, available=1e15)


def test_an_assembly_too_large_for_its_pixel_size_is_refused_before_any_memory_is_taken(tmp_path):
    atoms = "".join(PDB.format(i + 1, x, 0.0, 0.0) for i, x in enumerate((0.0, 900.0))) + "END\n"
    (tmp_path / "long.pdb").write_text(atoms)
    with pytest.raises(ValueError, match="long.pdb is .* px wide at 0.1 Å/px"):
        load_density(tmp_path / "long.pdb", 0.1)


def test_memory_of_projections_counts_the_padded_cube():
    assert padded_side(100) == 200 and padded_side(300) == 450 and padded_side(201) % 2 == 0
    assert projection_memory(300) == 12 * 450**3


def test_the_assembly_of_an_mmcif_file_may_name_waters_that_are_left_out(tmp_path):
    """Assemblies of mmCIF files list the chains of waters; these are no density, and no reason to fail."""
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model("1"))
    chain = structure[0].add_chain(gemmi.Chain("A"))
    for number, (residue_name, atom_name, element, x) in enumerate(
        [("ALA", "CA", "C", 0.0), ("ALA", "CA", "C", 8.0), ("HOH", "O", "O", 30.0)]
    ):
        residue = gemmi.Residue()
        residue.name, residue.seqid = residue_name, gemmi.SeqId(str(number + 1))
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = atom_name, gemmi.Element(element), gemmi.Position(x, 0, 0)
        residue.add_atom(atom)
        chain.add_residue(residue)
    structure.setup_entities()
    assembly = gemmi.Assembly("1")
    generator = gemmi.Assembly.Gen()
    generator.subchains = [s.subchain_id() for s in structure[0].subchains()]
    operator = gemmi.Assembly.Operator()
    generator.operators.append(operator)
    assembly.generators.append(generator)
    structure.assemblies.append(assembly)
    structure.make_mmcif_document().write_file(str(tmp_path / "a.cif"))
    assert len(generator.subchains) == 2
    density = load_density(tmp_path / "a.cif", 1.0)
    assert density.shape[-1] < 40  # the water, 30 Å away, would need 60 voxels or more


def test_an_assembly_may_name_chains_that_were_cut_from_the_file(tmp_path):
    """As when somebody deletes a partner's atoms and leaves REMARK 350."""
    remark = ["REMARK 350 BIOMOLECULE: 1", "REMARK 350 APPLY THE FOLLOWING TO CHAINS: A, B"] + [
        f"REMARK 350   BIOMT{row}   1  "
        + "".join(f"{float(row == column):10.6f}" for column in (1, 2, 3))
        + "        0.00000"
        for row in (1, 2, 3)
    ]
    atom = "ATOM      1  CA  ALA A   1      10.000  10.000  10.000  1.00  0.00           C"
    (tmp_path / "cut.pdb").write_text("\n".join([*remark, atom, "END", ""]))
    assert load_density(tmp_path / "cut.pdb", 2.0).sum() == pytest.approx(6, rel=0.01)  # one carbon


def test_of_several_models_the_first_is_taken_and_that_is_said(tmp_path, capsys):
    """The PDB's assemblies (.pdb1) hold each copy as a model of its own."""
    copies = [PDB.format(1, 10.0, 10.0, z) for z in (10.0, 40.0)]
    models = "".join(f"MODEL     {k:4d}\n{copy}ENDMDL\n" for k, copy in enumerate(copies, 1))
    for name, text, said in (("one.pdb", copies[0], False), ("assembly.pdb", models, True)):
        (tmp_path / name).write_text(text + "END\n")
        assert load_density(tmp_path / name, 2.0).sum() == pytest.approx(6, rel=0.01)  # one carbon
        assert ("assembly.pdb has 2 models, and the first alone is used" in capsys.readouterr().out) == said


@pytest.mark.parametrize("occupancy", ["  0.00", "      "], ids=["zero", "blank"])
def test_occupancies_that_say_nothing_hide_no_atom(tmp_path, occupancy):
    """As VMD writes the atoms of a simulation. Where some are 0, these were not seen."""
    atoms = [PDB.format(1, 10.0, 10.0, 10.0), PDB.format(2, 10.0, 10.0, 14.0)]
    for name, text, mass in (("none", atoms, 12), ("one", atoms[:1], 6)):
        without = [atom.replace("  1.00", occupancy, 1) for atom in text] + atoms[len(text) :]
        (tmp_path / f"{name}.pdb").write_text("".join(without) + "END\n")
        assert load_density(tmp_path / f"{name}.pdb", 2.0).sum() == pytest.approx(mass, rel=0.01)


@pytest.mark.parametrize("text", ["data_r1abcsf\nloop_\n_refln.index_h\n_refln.F_meas_au\n1 12.0\n", ""])
def test_a_file_of_structure_factors_or_of_nothing_is_said_to_have_no_atoms(tmp_path, text):
    path = tmp_path / "factors.cif"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"factors.cif is not a readable atomic model: it has no atoms\."):
        load_density(path, 2.0)
