# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs of every kind with what they would show without noise, for the training of a general denoiser."""

import dataclasses
import math
import typing
from pathlib import Path

import numpy as np
import torch

from ..io.structures import load_density
from . import micrographs, particles
from .artefacts import add_carbon, add_gradient, add_ice, add_specks, as_stored, film_texture
from .pool import EXTENT_PX, PoolMember, cropped_density
from .training_micrographs import exposure, paint, project_views, signal_strength, stray_pieces

SIDE = 576  # px
PIXEL_SIZES = (3.4, 7.0)  # Å/px
VOXEL_SIZE = 4.0  # Å, of structures that are read from files
SNR = (0.004, 0.8)  # variance of the particles over that of the noise, in their circles
VIEWS = 40
MADE_UP_EXTENTS = (70.0, 260.0)  # Å; their voxels would be too coarse for larger ones


@dataclasses.dataclass(frozen=True)
class DenoisingScene:
    """image: (h, w) float32 tensor, dark protein. signal: (h, w), what it shows but for the noise of solvent and
    detector: particles, dirt, carbon, gradients. pixel_size: Å/px."""

    image: torch.Tensor
    signal: torch.Tensor
    pixel_size: float


def detailed_member(path: str | Path) -> PoolMember:
    """The structure of a file in voxels of VOXEL_SIZE. path: map or model. Raises ValueError: as load_density, which
    names the file."""
    density = load_density(path, VOXEL_SIZE)
    extent = micrographs.particle_diameter(density, VOXEL_SIZE)
    return PoolMember(Path(path).name.split(".")[0], cropped_density(density, round(extent / VOXEL_SIZE)), extent)


def denoising_scene(
    member: PoolMember,
    voxel_size: float,
    other: typing.Sequence[torch.Tensor],
    rng: np.random.Generator,
    side: int = SIDE,
) -> DenoisingScene:
    """One micrograph of one structure. voxel_size: Å, of its density. other: (e, e, e) each, densities, EXTENT_PX
    voxels wide, of which stray pieces are added. side: px."""
    pixel_size = math.exp(rng.uniform(*np.log(PIXEL_SIZES)))
    shape, wide = (side, side), member.extent / pixel_size
    views = project_views(member.density, voxel_size / pixel_size, VIEWS, rng)
    centres, clumped = particles.particle_positions(shape, wide, rng)
    clean = paint(views, centres, shape, rng) + paint(views, clumped, shape, rng)
    strength = signal_strength(clean, centres if len(centres) else clumped, wide)
    stray = stray_pieces(other, wide / EXTENT_PX, shape, wide, rng) if other else 0.0
    clean = clean + stray + float(strength) * film_texture(shape, wide, rng)
    signal, noise = exposure(clean / strength, pixel_size, shape, rng, SNR)
    layer = _spoiling(shape, wide, rng)
    return DenoisingScene(as_stored(signal + noise + layer, 0.15, 0.8, rng), signal + layer, pixel_size)


def _spoiling(shape: tuple[int, int], wide: float, rng: np.random.Generator) -> torch.Tensor:
    """(h, w) what carbon, ice, dirt and a gradient add."""
    layer = torch.zeros(shape)
    if rng.random() < 0.15:
        layer, _ = add_carbon(layer, wide, rng)
    if rng.random() < 0.35:
        layer, _ = add_ice(layer, int(rng.integers(1, 8)), wide, rng)
    if rng.random() < 0.3:
        layer = add_specks(layer, wide, rng)
    if rng.random() < 0.5:
        layer = add_gradient(layer, float(rng.uniform(0.5, 6)), rng)
    return layer
