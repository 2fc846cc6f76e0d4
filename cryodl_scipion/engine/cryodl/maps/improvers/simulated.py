# SPDX-License-Identifier: GPL-3.0-or-later
"""Training pairs from atomic models alone: a part of a simulated map, and what its atoms look like there."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from ...contract import TrainMapImproverConfig
from ..measures.atoms import Atoms, model_density, read_atoms, soft_mask
from ..measures.shells import guinier_b_factor, sharpened
from ..measures.simulated import Faults, deposited, simulate
from ..measures.volume import Volume
from .working_grid import map_scale, scaled_map, to_grid, without_background

SIDE = 96.0  # Å; of the part of a molecule that one simulated map shows
AROUND = 10.0  # Å beyond it from where atoms still reach in
MINIMUM = 300  # atoms in a part
FILTERED, MASKED, BOXED, CUT = 0.2, 0.5, 0.3, 0.25  # parts of the maps, as people deposit them; of a side, at most
COARSEST = 1.9  # of the working pixel size: largest pixel size of maps that are worth improving


@dataclasses.dataclass(frozen=True)
class MapPair:
    """map, target: (z, y, x) float16 arrays at the working pixel size, scaled for the network. atoms: (n, 3) float32,
    their zyx voxels. name: of the molecule. resolution: Å."""

    map: np.ndarray
    target: np.ndarray
    atoms: np.ndarray
    name: str
    resolution: float


def target_for(atoms: Atoms, grid: Volume, resolution: float) -> np.ndarray:
    """The target density of Atoms on a Volume's grid, its highest values 1: (z, y, x) float32. Gaussians of a width for
    a resolution R (Å): exp(-k r²), k = (pi / (1.2 + 0.6 R))² (He, Li and Huang 2023)."""
    width = max((1.2 + 0.6 * resolution) / (np.pi * 2**0.5), 0.5 * float(grid.voxels_zyx.max()))
    density = model_density(atoms, grid, np.full(len(atoms), width))
    return density / map_scale(density)


def simulated_pair(path: str, config: TrainMapImproverConfig, lowest: float, rng: np.random.Generator) -> MapPair:
    """A Pair of a random part of a molecule, at a random orientation, pixel size and resolution, with random faults.
    lowest: of the method."""
    atoms = _rotated(read_atoms(path), rng)
    resolution = rng.uniform(config.resolution_min, config.resolution_max)
    pixel_size = config.working_pixel_size * rng.uniform(
        0.85, min(COARSEST, max(1.0, resolution / config.working_pixel_size / 2.4))
    )
    atoms, grid = _part(atoms, pixel_size, rng)
    b_factor = rng.uniform(12, 30) * resolution  # coarse maps are those of more blurred molecules
    faults = Faults(
        resolution,
        b_factor,
        b_factor * rng.uniform(0.2, 2.0),
        rng.uniform(0, 0.6),
        rng.random() < 0.15,
        rng.uniform(5, 55),
        rng.uniform(0.2, 0.8),
        rng.uniform(0.1, 0.7),
    )
    maps = simulate(atoms, grid, faults, rng)
    data = maps.full
    if rng.random() < 0.8:  # as deposited; the others as they come out of a refinement
        slope = max(0.0, guinier_b_factor(maps.full * maps.mask, maps.grid.voxels_zyx, resolution) or 0.0)
        data, _ = deposited(maps, resolution, slope * rng.uniform(0.4, 1.3))
    if rng.random() < FILTERED:
        data = sharpened(data, maps.grid.voxels_zyx, 0, resolution * rng.uniform(1, 1.25))
    if rng.random() < MASKED:
        data = data * soft_mask(atoms.xyz, grid, rng.uniform(2, 9), rng.uniform(1, 8))
    data = to_grid(data, grid.voxels_zyx, config.working_pixel_size)
    fine = dataclasses.replace(grid, data=data, voxels_zyx=np.full(3, config.working_pixel_size))
    target = target_for(atoms, fine, config.target_resolution or resolution)
    positions, kept = fine.positions(atoms.xyz), np.ones(data.shape, bool)
    if rng.random() < BOXED:  # nothing beyond the faces of a box
        low, high = (
            (rng.uniform(0, CUT, 3) * data.shape).astype(int),
            (rng.uniform(1 - CUT, 1, 3) * data.shape).astype(int),
        )
        kept[:] = False
        kept[tuple(slice(a, b) for a, b in zip(low, high))] = True
        positions = positions[((positions >= low) & (positions <= high - 1)).all(axis=1)]
    return MapPair(
        (scaled_map(data, map_scale(data), lowest) * kept).astype(np.float16),
        (np.clip(target, 0, None) * kept).astype(np.float16),
        positions.astype(np.float32),
        str(path),
        resolution,
    )


def real_pair(
    volume: Volume, atoms: Atoms, resolution: float, config: TrainMapImproverConfig, lowest: float
) -> MapPair:
    """Pair of a whole map that the user has, at the working pixel size. atoms: Atoms in its frame."""
    data = to_grid(without_background(volume.data, volume.voxels_zyx), volume.voxels_zyx, config.working_pixel_size)
    fine = dataclasses.replace(volume, data=data, voxels_zyx=np.full(3, config.working_pixel_size))
    return MapPair(
        scaled_map(data, map_scale(data), lowest).astype(np.float16),
        target_for(atoms, fine, config.target_resolution or resolution).astype(np.float16),
        fine.positions(atoms.xyz).astype(np.float32),
        volume.path,
        resolution,
    )


def _rotated(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    rotation = Rotation.random(random_state=int(rng.integers(2**31)))
    return dataclasses.replace(atoms, xyz=rotation.apply(atoms.xyz - atoms.xyz.mean(axis=0)))


def _part(atoms: Atoms, pixel_size: float, rng: np.random.Generator) -> tuple[Atoms, Volume]:
    side = 2 * int(np.ceil(SIDE / 2 / pixel_size))
    for _ in range(20):
        centre = atoms.xyz[rng.integers(len(atoms))] + rng.uniform(-15, 15, 3)
        near = (np.abs(atoms.xyz - centre) < SIDE / 2 + AROUND).all(axis=1)
        if near.sum() >= min(MINIMUM, len(atoms)):
            break
    grid = Volume(
        atoms.path, np.zeros((side,) * 3, np.float32), np.full(3, pixel_size), (centre - pixel_size * (side // 2))[::-1]
    )
    return chosen_atoms(atoms, near), grid


def chosen_atoms(atoms: Atoms, rows: np.ndarray) -> Atoms:
    """The Atoms of rows, (n,) bool, their residues numbered anew."""
    kept, residue = np.unique(atoms.residue[rows], return_inverse=True)
    return dataclasses.replace(
        atoms,
        xyz=atoms.xyz[rows],
        number=atoms.number[rows],
        b=atoms.b[rows],
        occupancy=atoms.occupancy[rows],
        residue=residue,
        residues=tuple(atoms.residues[k] for k in kept),
        atom_names=tuple(name for name, row in zip(atoms.atom_names, rows) if row),
        protein=atoms.protein[rows],
    )
