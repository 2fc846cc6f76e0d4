# SPDX-License-Identifier: GPL-3.0-or-later
"""The structures that varied micrographs show: files and artificial assemblies, all at the same extent in voxels."""

from __future__ import annotations

import dataclasses
import math
import typing
from pathlib import Path

import numpy as np
import torch

from .assemblies import random_assembly
from .micrographs import particle_diameter
from .structures import load_density

EXTENT_PX = 40  # voxels of a structure's widest extent: a little finer than the network's scale
SIZES = (60.0, 500.0)  # Å of artificial assemblies
_FIRST_LOOK = 5.0  # Å/px at which a file is read to see how large it is


@dataclasses.dataclass(frozen=True)
class PoolMember:
    """density: (d, d, d) tensor whose widest extent is EXTENT_PX voxels. extent: Å."""

    name: str
    density: torch.Tensor
    extent: float


def procedural_assemblies(count: int, seed: int) -> list[PoolMember]:
    """Artificial assemblies, always the same for a seed."""
    members = []
    for index in range(count):
        rng = np.random.default_rng((seed, 17, index))
        kind, density = random_assembly(EXTENT_PX, rng)
        extent = float(np.exp(rng.uniform(math.log(SIZES[0]), math.log(SIZES[1]))))
        members.append(PoolMember(f"{kind}-{index}", density, extent))
    return members


def of_files(paths: typing.Iterable[str | Path], leave_out: typing.Collection[str] = ()) -> list[PoolMember]:
    """Structures of files (maps or models).

    Parameters
    ----------
    leave_out : collection of str
        File names without extensions.

    Raises
    ------
    ValueError
        As load_density, which names the file.
    """
    members = []
    for path in map(Path, paths):
        if path.name.split(".")[0] not in leave_out:
            members.append(load_member(path))
    return members


def load_member(path: str | Path, across: int = EXTENT_PX) -> PoolMember:
    """The structure of a file, a map or a model. Raises as load_density.

    Parameters
    ----------
    across : int
        Voxels of its widest extent.
    """
    rough = particle_diameter(load_density(path, _FIRST_LOOK), _FIRST_LOOK)
    pixel_size = rough / across
    density = load_density(path, pixel_size)
    extent = particle_diameter(density, pixel_size)
    return PoolMember(Path(path).name.split(".")[0], cropped_density(density, across), extent)


def cropped_density(density: torch.Tensor, across: int) -> torch.Tensor:
    """A density without its empty rim, its maximum 1.

    Parameters
    ----------
    density : Tensor, (d, d, d)
    across : int
        Voxels of its widest extent; what lies further from the middle than 0.75 of it is cut off.

    Returns
    -------
    Tensor, (e, e, e)
    """
    reach = int(0.75 * across)
    middle = density.shape[-1] // 2
    part = slice(max(0, middle - reach), middle + reach)
    density = density[part, part, part]
    return density / density.max().clamp(min=1e-12)
