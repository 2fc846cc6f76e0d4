# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoys of a structure: others of equal mass, size and power spectrum, which noise alone would match as well.

What beats noise is a particle, but not yet this one: any compact density of the right size matches to some extent. The
decoys say to what extent. A mirrored target is none for single particles: its projections are those of the target.
"""

from __future__ import annotations

import math
import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

ENVELOPE = 2.0  # voxels: width of the blur whose support is a structure's envelope
GRAIN = 1.0  # voxels: width of the blur of the scrambled density


def decoys(
    target: torch.Tensor, others: typing.Sequence[torch.Tensor], count: int, seed: int = 0
) -> list[torch.Tensor]:
    """Densities with the target's mass, radius of gyration and radial power spectrum, in its cube.

    Up to two thirds are other structures: all of them may be relatives of the target. The rest is the target's envelope
    filled with random density, which no molecule has.

    Parameters
    ----------
    target : Tensor, (d, d, d)
        Density, its solvent 0.
    others : sequence of Tensor, (e, e, e)
        Densities of other molecules with the same voxels, the hardest to tell from the target first.
    count : int
        Number of decoys.
    seed : int
        Of the random densities.
    """
    rng = np.random.default_rng(seed)
    size, used = radius_of_gyration(target), others[: 2 * count // 3]
    made = [_resized(other, size / radius_of_gyration(other), len(target)) for other in used]
    made += [_scrambled(target, rng) for _ in range(count - len(made))]
    return [_with_spectrum(volume, target) for volume in made]


def radius_of_gyration(density: torch.Tensor) -> float:
    """Voxels, from the middle of the cube."""
    axis = (torch.arange(len(density)) - len(density) // 2).double().square()
    mass = density.double().clamp(min=0)
    square = axis[:, None, None] + axis[:, None] + axis
    return math.sqrt(float((mass * square).sum() / mass.sum()))


def _resized(density: torch.Tensor, factor: float, side: int) -> torch.Tensor:
    """The density enlarged about its middle, in a cube of another side."""
    old = len(density)
    axis = (old // 2 + (torch.arange(side) - side // 2) / factor) * (2 / (old - 1)) - 1
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1)
    return F.grid_sample(density[None, None].float(), grid[None].float(), align_corners=True)[0, 0]


def _scrambled(target: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The target's envelope, filled with grains."""
    blurred = gaussian_filter(target.numpy(), ENVELOPE)
    envelope = gaussian_filter((blurred > 0.1 * blurred.max()).astype(np.float32), GRAIN)
    grains = gaussian_filter(rng.standard_normal(target.shape, dtype=np.float32), GRAIN)
    return torch.from_numpy(envelope * np.clip(1 + grains / grains.std(), 0, None))


def _with_spectrum(volume: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The volume with the target's mean amplitude in each shell; the first one is the mass."""
    axis = (torch.fft.fftfreq(len(target)) * len(target)) ** 2
    shell = (axis[:, None, None] + axis[:, None] + axis).sqrt().round().long()
    mine, wanted = torch.fft.fftn(volume), torch.fft.fftn(target.float())
    power = [torch.bincount(shell.flatten(), one.abs().square().flatten()) for one in (mine, wanted)]
    gain = (power[1] / power[0].clamp(min=1e-30)).sqrt()
    matched: torch.Tensor = torch.fft.ifftn(mine * gain[shell]).real
    return matched
