# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic models as arrays: what maps are compared with."""

from __future__ import annotations

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np

from ...contract.reading import reader
from .volume import Volume

if typing.TYPE_CHECKING:
    from gemmi import Atom, Chain, Residue, Structure


BACKBONE = {"CA", "P"}  # one for each residue of protein and of nucleic acid


@dataclasses.dataclass(frozen=True)
class Atoms:
    """Heavy atoms of a model's first conformation, without waters. xyz: (n, 3) Å. number: (n,) atomic numbers. b: (n,)
    Å². occupancy: (n,). residue: (n,) position in `residues`, a tuple of (chain, number with insertion code, name).
    atom_names: tuple of str. protein: (n,) bool, atoms of amino acids. notes: sentences about what was left out."""

    path: str
    xyz: np.ndarray
    number: np.ndarray
    b: np.ndarray
    occupancy: np.ndarray
    residue: np.ndarray
    residues: tuple[tuple[str, str, str], ...]
    atom_names: tuple[str, ...]
    protein: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def chains(self) -> np.ndarray:
        """(n,) array: chain of each atom."""
        return np.array([self.residues[r][0] for r in self.residue])


@reader
def read_structure(path: str | os.PathLike[str]) -> Structure:
    """gemmi's structure of a file. Raises FileNotFoundError, or ValueError that names it."""
    import gemmi

    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; an atomic model (.pdb, .cif) is needed.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"The structure {path} does not exist.")
    try:
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        structure[0]
    except (RuntimeError, ValueError, IndexError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{path} is not a readable atomic model: {words}.") from None
    return structure


@reader
def read_atoms(path: str | os.PathLike[str]) -> Atoms:
    """Atoms of a .pdb or .cif file (also .gz), as deposited: no assembly is built, since it lies in its map's frame.
    Hydrogens, waters, and all but the first alternative place of an atom are left out. Raises ValueError if nothing is
    left, or atoms have no element."""
    import gemmi

    structure = read_structure(path)
    xyz, number, b, occupancy, residue, names, protein, residues = (list[typing.Any]() for _ in range(8))
    unknown = 0
    for chain, group in _groups(structure):
        amino_acid, kept = gemmi.find_tabulated_residue(group.name).is_amino_acid(), False
        for atom in group.first_conformer():
            if atom.element == gemmi.Element("X"):
                unknown += 1
            elif not atom.is_hydrogen():
                kept = True
                xyz.append(atom.pos.tolist())
                number.append(atom.element.atomic_number)
                b.append(atom.b_iso)
                occupancy.append(atom.occ)
                residue.append(len(residues))
                names.append(atom.name)
                protein.append(amino_acid)
        if kept:
            residues.append((chain.name, str(group.seqid), group.name))
    if not xyz:
        raise ValueError(
            f"{path} has no atoms"
            + (
                f" with a known element ({unknown} without). Write the elements into columns 77-78, or use mmCIF."
                if unknown
                else " except hydrogens and waters. Give a model of protein or nucleic acid."
            )
        )
    notes = (f"{path}: {unknown} atoms have no known element and are left out.",) if unknown else ()
    return Atoms(
        str(path),
        np.array(xyz),
        np.array(number),
        np.array(b),
        np.array(occupancy),
        np.array(residue),
        tuple(residues),
        tuple(names),
        np.array(protein),
        notes,
    )


def kept_atoms(structure: Structure) -> typing.Iterator[Atom]:
    """gemmi's atoms of a structure, in the order and choice of read_atoms."""
    import gemmi

    for _, group in _groups(structure):
        yield from (a for a in group.first_conformer() if not a.is_hydrogen() and a.element != gemmi.Element("X"))


def _groups(structure: Structure) -> typing.Iterator[tuple[Chain, Residue]]:
    """(chain, residue) of the first model and conformation, without waters."""
    for chain in structure[0]:
        for group in chain.first_conformer():
            if not group.is_water():
                yield chain, group


def check_overlap(volume: Volume, atoms: Atoms) -> list[str]:
    """Raises ValueError if most atoms lie outside of the map, or where it has no density; says how far they are off."""
    positions = volume.positions(atoms.xyz)
    inside = ((positions >= 0) & (positions <= np.array(volume.data.shape) - 1)).all(axis=1)
    centre = atoms.xyz.mean(axis=0)
    middle = (volume.origin_zyx + volume.voxels_zyx * (np.array(volume.data.shape) - 1) / 2)[::-1]
    offset = ", ".join(f"{d:.1f}" for d in centre - middle)
    if inside.mean() < 0.5:
        raise ValueError(
            f"Map and model do not overlap: {inside.mean():.0%} of the {len(atoms)} atoms of {atoms.path} lie inside "
            f"the map {volume.path}. The model's centre is ({offset}) Å (x, y, z) from the map's centre. Fit the "
            "model into the map, or correct the map's origin."
        )
    from scipy.ndimage import map_coordinates

    density = map_coordinates(volume.data, positions[inside].T, order=1)
    if not density.mean() > volume.data.mean() + 0.05 * volume.data.std():
        raise ValueError(
            f"Map and model do not overlap: the density of {volume.path} at the atoms of {atoms.path} is not higher "
            f"than elsewhere. The model's centre is ({offset}) Å (x, y, z) from the map's centre. Fit the model into "
            "the map; the map may also be mirrored or inverted."
        )
    if inside.all():
        return []
    return [
        f"{int((~inside).sum())} of the {len(atoms)} atoms of {atoms.path} lie outside {volume.path} and are not "
        "counted."
    ]
