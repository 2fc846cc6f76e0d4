# SPDX-License-Identifier: GPL-3.0-or-later
"""The structures that varied micrographs show: files and artificial assemblies, all at the same extent in voxels."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from ..core.healpix_grid import sphere_directions
from ..io.structures import load_molecule
from .micrographs import particle_diameter

EXTENT_PX = 40  # voxels of a structure's widest extent: a little finer than the network's scale
SIZES = (60.0, 500.0)  # Å of artificial assemblies
_FIRST_LOOK = 5.0  # Å/px at which a file is read to see how large it is


@dataclasses.dataclass(frozen=True)
class PoolMember:
    """density: (d, d, d) tensor whose widest extent is EXTENT_PX voxels. extent: Å. moved: see load_molecule."""

    name: str
    density: torch.Tensor
    extent: float
    moved: float = 0.0


def procedural_assemblies(count: int, seed: int) -> list[PoolMember]:
    """Artificial assemblies, always the same for a seed."""
    members = []
    for index in range(count):
        rng = np.random.default_rng((seed, 17, index))
        kind, density = random_assembly(EXTENT_PX, rng)
        extent = float(np.exp(rng.uniform(math.log(SIZES[0]), math.log(SIZES[1]))))
        members.append(PoolMember(f"{kind}-{index}", density, extent))
    return members


def load_member(path: str | Path, across: int = EXTENT_PX) -> PoolMember:
    """The structure of a file, a map or a model. Raises as load_density. across: voxels of its widest extent."""
    pixel_size = particle_diameter(load_molecule(path, _FIRST_LOOK)[0], _FIRST_LOOK) / across
    density, moved = load_molecule(path, pixel_size)
    extent = particle_diameter(density, pixel_size)
    return PoolMember(Path(path).name.split(".")[0], cropped_density(density, across), extent, moved)


def cropped_density(density: torch.Tensor, across: int) -> torch.Tensor:
    """A density without its empty rim, its maximum 1, (e, e, e). density: (d, d, d). across: voxels of its widest
    extent; what lies further from the middle than 0.75 of it is cut off."""
    reach, middle = int(0.75 * across), density.shape[-1] // 2
    part = slice(max(0, middle - reach), middle + reach)
    density = density[part, part, part]
    return density / density.max().clamp(min=1e-12)


# must not learn which molecules exist, only what "one particle of this size" looks like, so the shapes are as
# different as nature's: globules, rings and stacks of rings, hollow shells, rods, discs, branched chains, membrane
# proteins in their micelle. All are clouds of residues (points of equal mass), of lumps and a symmetry.
POINTS = 4000  # residues of an assembly: enough that a voxel's share is smooth


def random_assembly(diameter: float, rng: np.random.Generator) -> tuple[str, torch.Tensor]:
    """A random shape of `diameter` voxels. Returns (kind, density (d, d, d) float32 tensor, positive, centred)."""
    kind = KINDS[rng.integers(len(KINDS))]
    points, mass = _SHAPES[kind](rng)
    return kind, density_of_points(points, mass, diameter, rng)


def density_of_points(points: np.ndarray, mass: np.ndarray, diameter: float, rng: np.random.Generator) -> torch.Tensor:
    """Points (n, 3) in any unit and their masses (n,), as a density whose widest extent is `diameter` voxels."""
    points = points - np.average(points, axis=0, weights=mass)
    points = points * (0.46 * diameter / np.quantile(np.linalg.norm(points, axis=1), 0.99))  # the blur adds the rest
    side = 2 * int(math.ceil(0.65 * diameter)) + 4
    edges = np.arange(side + 1) - 0.5 - side // 2
    volume = np.histogramdd(points, bins=[edges] * 3, weights=mass)[0].astype(np.float32)
    volume = gaussian_filter(volume, diameter * rng.uniform(0.015, 0.05) + 0.4)
    return torch.from_numpy(volume / volume.max())


def _lumps(
    count: int, rng: np.random.Generator, spread: float = 1.0, size: tuple[float, float] = (0.35, 0.8)
) -> np.ndarray:
    """A globular subunit: `count` ellipsoidal lumps grown onto each other, about `spread` wide."""
    centres = [np.zeros(3)]
    for _ in range(count - 1):
        centres.append(centres[rng.integers(len(centres))] + _direction(rng) * rng.uniform(0.4, 0.8) * spread)
    points = []
    for centre in centres:
        axes = spread * rng.uniform(*size, 3)
        points.append(
            centre + Rotation.random(random_state=int(rng.integers(2**31))).apply(_ball(POINTS // count, rng) * axes)
        )
    return np.vstack(points)


def _direction(rng: np.random.Generator) -> np.ndarray:
    v = rng.normal(size=3)
    return v / np.linalg.norm(v)


def _ball(count: int, rng: np.random.Generator) -> np.ndarray:
    v = rng.normal(size=(count, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True) * rng.uniform(0, 1, (count, 1)) ** (1 / 3)


def _equal(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points, np.ones(len(points))


def _rotated(points: np.ndarray, order: int) -> np.ndarray:
    return np.vstack([Rotation.from_euler("z", 360 * k / order, degrees=True).apply(points) for k in range(order)])


def _symmetric(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cn or Dn assembly of an irregular subunit."""
    order = int(rng.choice([2, 2, 3, 4, 5, 6]))
    subunit = _lumps(int(rng.integers(2, 5)), rng) + [rng.uniform(0.5, 1.1) * max(1, order / 4), 0, rng.uniform(0, 0.7)]
    points = _rotated(subunit, order)
    if rng.random() < 0.5:
        points = np.vstack([points, points * [1, -1, -1]])
    return _equal(points)


def _rings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One to four stacked rings with a hole, as of AAA proteins, proteasomes, chaperonins."""
    order, layers = int(rng.integers(5, 10)), int(rng.integers(1, 5))
    radius = rng.uniform(0.7, 1.2) * order / 6
    layer = _rotated(_lumps(2, rng, size=(0.5, 0.9)) * 0.8 + [radius, 0, 0], order)
    height = rng.uniform(0.6, 0.95)
    rotated = lambda: Rotation.from_euler("z", rng.uniform(0, 60), degrees=True).apply(layer)
    return _equal(np.vstack([rotated() + [0, 0, height * k] for k in range(layers)]))


def _shell(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hollow shell: ferritin, capsids, vaults; some bumpy, some with content."""
    order = int(rng.choice([12, 24, 60, 180]))
    v = np.array([_direction(rng) for _ in range(order)]) if rng.random() < 0.3 else sphere_directions(order)
    thick = rng.uniform(0.06, 0.3)
    lump = _ball(max(20, POINTS // order), rng) * [1.6 / math.sqrt(order)] * np.array([1, 1, 1])
    points = np.vstack([d * (1 + thick * lump[:, :1]) + (lump - np.outer(lump @ d, d)) for d in v])
    if rng.random() < 0.4:
        smooth = rng.normal(size=(2 * POINTS, 3))
        points = np.vstack(
            [
                points,
                smooth
                / np.linalg.norm(smooth, axis=1, keepdims=True)
                * (1 + thick * rng.uniform(-0.5, 0.5, (2 * POINTS, 1))),
            ]
        )
    mass = np.ones(len(points))
    if rng.random() < 0.35:
        points = np.vstack([points, _ball(POINTS, rng) * (1 - 1.5 * thick)])
        mass = np.r_[mass, np.full(POINTS, rng.uniform(0.2, 2) * mass.sum() / POINTS / 3)]
    return points * [1, 1, rng.choice([1.0, 1.0, rng.uniform(0.6, 1.6)])], mass


def _rod(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rods and short pieces of filaments, twisted."""
    units, rise = int(rng.integers(4, 14)), rng.uniform(0.5, 0.8)
    unit, twist = _lumps(2, rng) * 0.8 + [rng.uniform(0, 0.6), 0, 0], rng.uniform(20, 180)
    return _equal(
        np.vstack(
            [Rotation.from_euler("z", twist * k, degrees=True).apply(unit) + [0, 0, rise * k] for k in range(units)]
        )
    )


def _branched(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Domains on thin linkers: antibodies, multi-domain enzymes, complexes with a long arm."""
    middle = _lumps(2, rng) * rng.uniform(0.5, 1.2)
    arms = []
    for _ in range(int(rng.integers(2, 5))):
        way, length = _direction(rng), rng.uniform(1.0, 2.2)
        arms.append(_lumps(2, rng) * rng.uniform(0.4, 0.9) + way * length)
        arms.append(way * rng.uniform(0, length, (300, 1)) + rng.normal(0, 0.08, (300, 3)))
    return _equal(np.vstack([middle] + arms))


def _disc(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Flat particles: nucleosomes, discs, single layers."""
    points = _ball(POINTS, rng) * [1, rng.uniform(0.7, 1), rng.uniform(0.25, 0.5)]
    return _equal(np.vstack([points, points[np.linalg.norm(points[:, :2], axis=1) > rng.uniform(0, 0.7)]]))


def _membrane_protein(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A protein through a micelle or nanodisc of less density, with domains on one or both sides."""
    order = int(rng.choice([1, 1, 2, 3, 4, 5]))
    protein = _rotated(
        _lumps(3, rng) * [0.8, 0.8, rng.uniform(1, 1.6)] + [rng.uniform(0.1, 0.6) * order / 2, 0, 0], order
    )
    domains = [
        _rotated(_lumps(3, rng) + [rng.uniform(0.1, 0.5) * order / 2, 0, side * rng.uniform(1.0, 1.7)], order)
        for side in ([1] if rng.random() < 0.6 else [1, -1])
    ]
    inner = np.quantile(np.linalg.norm(protein[:, :2], axis=1), 0.9)
    belt = _ball(2 * POINTS, rng) * [inner + 0.8, inner + 0.8, rng.uniform(0.5, 0.7)]
    points = np.vstack([protein] + domains + [belt])
    mass = np.ones(len(points))
    mass[-len(belt) :] = rng.uniform(0.3, 0.9) * (len(points) - len(belt)) / len(belt)
    return points, mass


_SHAPES = dict(
    globule=lambda rng: _equal(_lumps(int(rng.integers(1, 7)), rng)),
    symmetric=_symmetric,
    rings=_rings,
    shell=_shell,
    rod=_rod,
    branched=_branched,
    disc=_disc,
    membrane=_membrane_protein,
)
KINDS = tuple(_SHAPES)
