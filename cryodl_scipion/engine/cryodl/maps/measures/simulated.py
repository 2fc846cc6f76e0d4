# SPDX-License-Identifier: GPL-3.0-or-later
"""Half-maps of an atomic model with the faults of reconstructed ones: blur, flexible parts, solvent, noise, views."""

import dataclasses

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from .atoms import Atoms, model_density, soft_mask
from .shells import amplitudes, guinier_b_factor, sharpened, shell_correlation, volume_frequencies
from .volume import Volume

MARGIN = 20.0  # Å of solvent on each side
FSC_AT_RESOLUTION = 0.143
MIN_SEEN = 0.05  # of the mean: sampling of the direction that preferred orientations miss most
MASK = 5.0  # Å around the atoms: where the resolution is defined
HEAVY_ATOM = 20.0  # Å3 of protein for each atom that is no hydrogen
WATER = 1.3  # Å; what is nearer to an atom holds no solvent, whose edge is as soft
FAR_ATOMS = {letter: bonds for bonds, letter in enumerate("BGDEZH", 1)}  # of a side chain: Greek letter of their names
CHARGED = {("ASP", "OD1"), ("ASP", "OD2"), ("GLU", "OE1"), ("GLU", "OE2")}
DETERGENT, BELT, THICKNESS = 0.7, 30.0, 18.0  # density over protein's; height and depth of a belt in Å


@dataclasses.dataclass(frozen=True)
class Faults:
    """What a reconstruction does to a molecule. Fields as those of SimulateHalfMapsConfig; Å, Å²."""

    resolution: float
    b_factor: float = 100.0
    flexibility: float = 100.0
    anisotropy: float = 0.2
    detergent: bool = False
    side_chains: float = 30.0
    solvent: float = 0.6
    carboxylates: float = 0.3


@dataclasses.dataclass(frozen=True)
class HalfMaps:
    """grid: Volume whose data is the truth, without blur and noise. half1, half2: (z, y, x) arrays. b_factors: (n,) Å²
    of the atoms. mask: where the resolution is defined. views: (3,) xyz unit vector, the direction seen least."""

    grid: Volume
    half1: np.ndarray
    half2: np.ndarray
    b_factors: np.ndarray
    mask: np.ndarray
    views: np.ndarray

    @property
    def full(self) -> np.ndarray:
        """(z, y, x) mean of the half-maps."""
        return 0.5 * (self.half1 + self.half2)


def grid_around(atoms: Atoms, pixel_size: float, box: int | None = None) -> Volume:
    """Volume of zeros, a cube with the atoms in its middle. box: px, or None for MARGIN on each side. Raises ValueError
    if the atoms do not fit into the box."""
    low, high = atoms.xyz.min(axis=0), atoms.xyz.max(axis=0)
    needed = 2 * int(np.ceil(((high - low).max() / 2 + 4) / pixel_size))
    if box is not None and box < needed:
        raise ValueError(
            f"Box size (--box) is {box} px, {box * pixel_size:g} Å; {atoms.path} is "
            f"{(high - low).max():.0f} Å wide and needs at least {needed} px."
        )
    side = box or 2 * int(np.ceil(((high - low).max() / 2 + MARGIN) / pixel_size))
    origin = ((low + high) / 2 - pixel_size * (side // 2))[::-1]
    return Volume(atoms.path, np.zeros((side,) * 3, np.float32), np.full(3, float(pixel_size)), origin)


def simulate(atoms: Atoms, grid: Volume, faults: Faults, rng: np.random.Generator) -> HalfMaps:
    """HalfMaps of Atoms on the grid of a Volume. The blur is a B-factor for each atom, which rises along side chains.
    Solvent fills what is no molecule; carboxyl groups are weaker than what they are made of, for their charge and their
    damage by the beam. With 30 Å² per bond of side chains, solvent of 0.6 of protein's density and carboxylates of 0.3
    the FSC of simulated maps with their models is that of real ones between 15 and 4 Å, and so are their Q-scores
    (docs/bench_maps.md). The noise is white, up to what preferred orientations do to it, and so strong that the FSC of
    the half-maps within MASK Å of the atoms falls to 0.143 at faults.resolution. It is independent in the halves; blur
    and detergent are the same in both."""
    side_chain = atoms.protein & (np.array(atoms.atom_names) != "CA")
    bonds = [FAR_ATOMS.get(name[1:2], 0) for name in atoms.atom_names] * side_chain  # from each atom to the backbone
    b_factors = faults.b_factor + faults.flexibility * _flexibility(atoms, rng) + faults.side_chains * bonds
    finest = max(0.4, 0.55 * float(grid.voxels_zyx.max()))
    blurred = model_density(
        atoms, grid, np.sqrt(b_factors / (8 * np.pi**2) + finest**2), _weights(atoms, faults.carboxylates)
    )
    if faults.solvent:
        blurred -= faults.solvent * _protein(atoms) * _molecule(atoms, grid)
    mask = soft_mask(atoms.xyz, grid, MASK)
    if faults.detergent:
        blurred += _belt(atoms, grid, mask, rng)
    views = rng.normal(size=3)
    views /= np.linalg.norm(views)
    spread = _noise_spread(grid, faults.anisotropy, views)
    halves = [_noise(grid, spread, rng).astype(np.float32) for _ in range(2)]
    strength = _strength(blurred, halves[0], mask, grid, faults.resolution)
    return HalfMaps(
        dataclasses.replace(grid, data=model_density(atoms, grid, finest)),
        blurred + strength * halves[0],
        blurred + strength * halves[1],
        b_factors,
        mask,
        views,
    )


def deposited(maps: HalfMaps, resolution: float, b_factor: float | None = None) -> tuple[np.ndarray, float]:
    """The mean of two half-maps, weighed by their FSC and sharpened, as maps are deposited; and the B-factor used (Å²).
    b_factor: None takes the slope of the amplitudes up to the resolution (Rosenthal and Henderson 2003)."""
    voxels = maps.grid.voxels_zyx
    curve = shell_correlation(maps.half1 * maps.mask, maps.half2 * maps.mask, voxels)
    value = np.clip(curve.value, 0, 1)
    below = np.nonzero(curve.value[1:] < FSC_AT_RESOLUTION)[0]
    if len(below):
        value[below[0] + 1 :] = 0  # beyond its resolution the curve is chance
    weight = np.sqrt(2 * value / (1 + value))
    gain = np.interp(volume_frequencies(maps.half1.shape, voxels), curve.frequency, weight).astype(np.float32)
    full = scipy.fft.irfftn(scipy.fft.rfftn(maps.full) * gain, s=maps.half1.shape)
    if b_factor is None:
        b_factor = max(0.0, guinier_b_factor(maps.full * maps.mask, voxels, resolution) or 0.0)
    return sharpened(full, voxels, b_factor, resolution).astype(np.float32), b_factor


def _flexibility(atoms: Atoms, rng: np.random.Generator) -> np.ndarray:
    """(n,) 0 to 1: rises from the middle to the surface, and differs between domains."""
    radius = np.linalg.norm(atoms.xyz - atoms.xyz.mean(axis=0), axis=1)
    outward = (radius / max(radius.max(), 1e-6)) ** 2
    residues = (
        np.stack([np.bincount(atoms.residue, atoms.xyz[:, k]) for k in range(3)], 1)
        / np.bincount(atoms.residue)[:, None]
    )
    crowd = np.array([len(n) for n in cKDTree(residues).query_ball_point(residues, 12.0)], float)
    exposed = 1 - crowd / crowd.max()
    seeds = residues[rng.choice(len(residues), min(12, len(residues)), replace=False)]
    level = rng.uniform(0, 1, len(seeds))
    near = np.exp(-0.5 * (np.linalg.norm(residues[:, None] - seeds, axis=2) / 20.0) ** 2) + 1e-6
    level = 0.4 * outward + (0.3 * exposed + 0.5 * ((near * level).sum(1) / near.sum(1)) ** 2)[atoms.residue]
    low, high = np.percentile(level, [5, 95])
    return np.clip((level - low) / max(high - low, 1e-6), 0, 1)


def _weights(atoms: Atoms, carboxylates: float) -> np.ndarray:
    charged = np.array([(atoms.residues[k][2], name) in CHARGED for k, name in zip(atoms.residue, atoms.atom_names)])
    return atoms.number * atoms.occupancy * np.where(charged, carboxylates, 1.0)


def _protein(atoms: Atoms) -> float:
    """Density within the molecule, in electrons per Å3."""
    return atoms.number.sum() / (len(atoms) * HEAVY_ATOM)


def _molecule(atoms: Atoms, grid: Volume) -> np.ndarray:
    """(z, y, x) part of each voxel that the molecule fills, where there is no solvent."""
    width = max(WATER, 0.5 * float(grid.voxels_zyx.max()))
    filled = np.clip(HEAVY_ATOM * model_density(atoms, grid, width, np.ones(len(atoms))), 0, 1)
    return gaussian_filter(filled, WATER / grid.voxels_zyx)


def _belt(atoms: Atoms, grid: Volume, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Detergent or lipid: a lumpy ring about the molecule's longest axis, outside of the protein."""
    offset = atoms.xyz - atoms.xyz.mean(axis=0)
    axis = np.linalg.eigh(offset.T @ offset)[1][:, -1]
    centre = grid.positions(atoms.xyz.mean(axis=0)[None])[0]
    zyx = np.meshgrid(
        *[(np.arange(n) - c) * v for n, c, v in zip(grid.data.shape, centre, grid.voxels_zyx)],
        indexing="ij",
        sparse=True,
    )
    along = sum(a * x for a, x in zip(axis[::-1], zyx))
    across, slab = np.sqrt(np.maximum(sum(x**2 for x in zyx) - along**2, 0)), np.abs(offset @ axis) < BELT / 2
    reach = np.linalg.norm(np.cross(offset[slab], axis), axis=1).max() if slab.any() else 20.0
    shape = 1 / (1 + np.exp((np.abs(along) - BELT / 2) / 3)) / (1 + np.exp((across - reach - THICKNESS) / 3))
    lumps = gaussian_filter(rng.normal(size=grid.data.shape).astype(np.float32), 4.0 / float(grid.pixel_size))
    return (DETERGENT * _protein(atoms) * shape * (1 - mask) * (1 + 0.3 * lumps / lumps.std())).astype(np.float32)


def _noise_spread(grid: Volume, anisotropy: float, views: np.ndarray) -> np.ndarray | None:
    """Factor of the noise at each coefficient of rfftn: directions along `views` are seen more rarely."""
    if anisotropy == 0:
        return None
    z, y = (np.fft.fftfreq(n, v) for n, v in zip(grid.data.shape[:2], grid.voxels_zyx[:2]))
    x = np.fft.rfftfreq(grid.data.shape[2], grid.voxels_zyx[2])
    along = views[2] * z[:, None, None] + views[1] * y[:, None] + views[0] * x
    cosine = np.abs(along) / np.maximum(volume_frequencies(grid.data.shape, grid.voxels_zyx), 1e-9)
    return (1 / np.sqrt(np.maximum(1 - anisotropy * cosine**2, MIN_SEEN))).astype(np.float32)


def _noise(grid: Volume, spread: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    white = rng.standard_normal(grid.data.shape, np.float32)
    return white if spread is None else scipy.fft.irfftn(scipy.fft.rfftn(white) * spread, s=white.shape)


def _strength(signal: np.ndarray, noise: np.ndarray, mask: np.ndarray, grid: Volume, resolution: float) -> float:
    """Factor of the noise that makes the FSC of the halves, in the mask, 0.143 at the resolution."""
    curves = [amplitudes(data * mask, grid.voxels_zyx) for data in (signal, noise)]
    powers = [np.convolve(curve.value**2, np.ones(3) / 3, mode="same") for curve in curves]
    of_signal, of_noise = (np.interp(1 / resolution, curves[0].frequency, np.sqrt(power)) for power in powers)
    # a FSC of c is that of signal over noise of c / (1 - c), in power
    return float(of_signal / (of_noise * (FSC_AT_RESOLUTION / (1 - FSC_AT_RESOLUTION)) ** 0.5))
