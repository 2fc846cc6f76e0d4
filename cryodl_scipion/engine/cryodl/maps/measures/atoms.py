# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic models as arrays, which maps are compared with; their density on the grid of a map, and a soft mask."""

import dataclasses
import os
import typing

import gemmi
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from ...contract.reading import reader
from ...io import files, structures
from .volume import Volume


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
def read_atoms(path: str | os.PathLike[str]) -> Atoms:
    """Atoms of a .pdb or .cif file (also .gz), as deposited: no assembly is built, since it lies in its map's frame.
    Hydrogens, waters, and all but the first alternative place of an atom are left out. Raises ValueError if nothing is
    left, or atoms have no element."""
    rows, residues, unknown = list[tuple[typing.Any, ...]](), list[tuple[str, str, str]](), 0
    for chain, group in _groups(structures.read_structure(path)):
        amino_acid, kept = gemmi.find_tabulated_residue(group.name).is_amino_acid(), False
        for atom in group.first_conformer():
            if atom.element == gemmi.Element("X"):
                unknown += 1
            elif not atom.is_hydrogen():
                kept, own = True, (atom.b_iso, atom.occ, len(residues), atom.name, amino_acid)
                rows.append((atom.pos.tolist(), atom.element.atomic_number, *own))
        if kept:
            residues.append((chain.name, str(group.seqid), group.name))
    if not rows:
        raise ValueError(
            f"{path} has no atoms"
            + (
                f" with a known element ({unknown} without). Write the elements into columns 77-78, or use mmCIF."
                if unknown
                else " except hydrogens and waters. Give a model of protein or nucleic acid."
            )
        )
    notes = (f"{path}: {unknown} atoms have no known element and are left out.",) if unknown else ()
    xyz, number, b, occupancy, residue, names, protein = zip(*rows)
    arrays = dict(xyz=xyz, number=number, b=b, occupancy=occupancy, residue=residue, protein=protein)
    columns: dict[str, typing.Any] = {name: np.array(values) for name, values in arrays.items()}
    return Atoms(str(path), **columns, residues=tuple(residues), atom_names=names, notes=notes)


def kept_atoms(structure: gemmi.Structure) -> typing.Iterator[gemmi.Atom]:
    """gemmi's atoms of a structure, in the order and choice of read_atoms."""
    for _, group in _groups(structure):
        yield from (a for a in group.first_conformer() if not a.is_hydrogen() and a.element != gemmi.Element("X"))


def _groups(structure: gemmi.Structure) -> typing.Iterator[tuple[gemmi.Chain, gemmi.Residue]]:
    """(chain, residue) of the first model and conformation, without waters."""
    for chain in structure[0]:
        yield from ((chain, group) for group in chain.first_conformer() if not group.is_water())


def check_overlap(volume: Volume, atoms: Atoms) -> list[str]:
    """Raises ValueError if most atoms lie outside of the map, or where it has no density; says how far they are off."""
    inside, centre = volume.holds(atoms.xyz), atoms.xyz.mean(axis=0)
    middle = (volume.origin_zyx + volume.voxels_zyx * (np.array(volume.data.shape) - 1) / 2)[::-1]
    offset = ", ".join(f"{d:.1f}" for d in centre - middle)
    if inside.mean() < 0.5:
        raise ValueError(
            f"Map and model do not overlap: {inside.mean():.0%} of the {len(atoms)} atoms of {atoms.path} lie inside "
            f"the map {volume.path}. The model's centre is ({offset}) Å (x, y, z) from the map's centre. Fit the "
            "model into the map, or correct the map's origin."
        )
    density = map_coordinates(volume.data, volume.positions(atoms.xyz[inside]).T, order=1)
    if not density.mean() > volume.data.mean() + 0.05 * volume.data.std():
        raise ValueError(
            f"Map and model do not overlap: the density of {volume.path} at the atoms of {atoms.path} is not higher "
            f"than elsewhere. The model's centre is ({offset}) Å (x, y, z) from the map's centre. Fit the model into "
            "the map, or check the pixel size; the map may also be mirrored or inverted."
        )
    if inside.all():
        return []
    return [
        f"{int((~inside).sum())} of the {len(atoms)} atoms of {atoms.path} lie outside {volume.path} and are not "
        "counted."
    ]


SLAB = 48  # slices that are looked at together
REACH = 4.0  # widths of a Gaussian beyond which it is nothing
BLUR, MARGIN, EDGE = 5.0, 4.0, 8.0  # Å: of what a mask without a model is made from, and around it


def model_density(
    atoms: Atoms, volume: Volume, width: float | np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Sum of Gaussians at the atoms: (z, y, x) float32 array on the grid of a Volume. width: Å, standard deviation, a
    number or (n,). weights: (n,), the integral of each; atomic number x occupancy if None. A Gaussian is integrated
    nowhere, it is sampled: widths below half a voxel would be lost between grid points, and are refused with
    ValueError."""
    width = np.broadcast_to(np.asarray(width, float), len(atoms))
    if width.min() < 0.5 * volume.voxels_zyx.max():
        raise ValueError(
            f"Gaussians of {width.min():.3g} Å cannot be drawn on voxels of {volume.voxels_zyx.max():.3g} Å."
        )
    weights = atoms.number * atoms.occupancy if weights is None else np.asarray(weights, float)
    peaks = weights / (2 * np.pi * width**2) ** 1.5
    result, positions = np.zeros(volume.data.shape, np.float32), volume.positions(atoms.xyz)
    reach = REACH * width[:, None] / volume.voxels_zyx
    low = np.maximum(np.ceil(positions - reach), 0).astype(int)
    high = np.minimum(np.floor(positions + reach) + 1, volume.data.shape).astype(int)
    for position, start, stop, sigma, peak in zip(positions, low, high, width, peaks):
        if (start < stop).all():
            z, y, x = (
                np.exp(-0.5 * ((np.arange(a, b) - p) * v / sigma) ** 2)
                for a, b, p, v in zip(start, stop, position, volume.voxels_zyx)
            )
            patch = (peak * z)[:, None, None] * (y[:, None] * x)
            result[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] += patch
    return result


def soft_mask(xyz: np.ndarray, volume: Volume, radius: float, edge: float | None = None) -> np.ndarray:
    """1 within `radius` Å of the positions (n, 3), falling as a cosine over `edge` Å (None: the radius): (z, y, x)
    float32."""
    positions = np.rint(volume.positions(xyz)).astype(int)
    inside = ((positions >= 0) & (positions < volume.data.shape)).all(axis=1)
    empty = np.ones(volume.data.shape, bool)
    empty[tuple(positions[inside].T)] = False
    return _softened(empty, volume.voxels_zyx, radius, edge or radius)


def dense_mask(data: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """A soft mask around what is dense in a map without a model: (z, y, x) float32, 0 to 1. The blurred map is cut
    where Otsu's threshold tells molecule from solvent; MARGIN Å around it belong to the molecule, and over EDGE Å the
    mask falls to 0 as a cosine. It is 0 where all voxels are equal."""
    from skimage.filters import threshold_otsu

    blurred = gaussian_filter(np.asarray(data, np.float32), BLUR / np.asarray(voxels_zyx))
    return _softened(blurred <= threshold_otsu(blurred), np.asarray(voxels_zyx), MARGIN, EDGE)


def _softened(outside: np.ndarray, voxels_zyx: np.ndarray, radius: float, edge: float) -> np.ndarray:
    """1 within `radius` Å of what is not outside, falling as a cosine over `edge` Å. outside: (z, y, x) bool."""
    mask, reach = np.zeros(outside.shape, np.float32), int(np.ceil((radius + edge) / voxels_zyx[0])) + 1
    for start in range(0, len(mask), SLAB):  # the distances of all voxels would take much memory
        low, stop = max(start - reach, 0), start + SLAB
        if not (around := outside[low : stop + reach]).all():  # where nothing is dense, distances are those to a corner
            distance = distance_transform_edt(around, sampling=tuple(voxels_zyx))[start - low : stop - low]
            mask[start:stop] = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - radius) / edge, 0, 1))
    return mask


def write_blurred_model(path: str, b_factors: np.ndarray, prefix: str) -> str:
    """Write PREFIX_model.pdb (.cif if it is too large): a model as deposited, with the B-factors (Å²) by which its kept
    atoms were blurred. Returns its path."""
    structure = structures.read_structure(path)
    for atom, b_factor in zip(kept_atoms(structure), b_factors):
        atom.b_iso = float(b_factor)
    structure.assemblies.clear()  # what was simulated is what is here
    structure.cell = gemmi.UnitCell()
    large = sum(1 for _ in structure[0].all()) > 99999 or any(len(chain.name) > 1 for chain in structure[0])
    written = f"{prefix}_model.{'cif' if large else 'pdb'}"
    with files.whole_file(written) as temporary:
        write = structure.make_mmcif_document().write_file if large else structure.write_pdb
        write(str(temporary))
    return written
