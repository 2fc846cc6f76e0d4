# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles simulated from the user's structure, CTFs and noise, with known orientations."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.projections import random_angles
from ...io.particle_sets import ParticleSet
from ...simulate.particle_images import noise_images

if typing.TYPE_CHECKING:
    from .assign import Search


@dataclasses.dataclass(frozen=True)
class SimulatedSet(ParticleSet):
    """Particles of a ParticleSet, with their CTFs, and images that are made: (n, box, box)."""

    made: torch.Tensor = dataclasses.field(kw_only=True)

    def images(self, indices: slice | typing.Sequence[int]) -> torch.Tensor:
        """(m, box, box) images of some rows."""
        return self.made[indices]

    @classmethod
    def of(cls, particles: ParticleSet, made: torch.Tensor) -> SimulatedSet:
        """A ParticleSet with other images, (n, box, box)."""
        values = {field.name: getattr(particles, field.name) for field in dataclasses.fields(ParticleSet)}
        return cls(**values, made=made)


def simulate_alike(search: Search, count: int, seed: int, gain: torch.Tensor | None = None) -> SimulatedSet:
    """Images like those of a Search, of its structure in random orientations.

    Parameters
    ----------
    search : assign.Search
        With its source and fit learnt; the source holds raw images.
    count : int
        Number of particles; their CTFs are those of random ones of the set.
    seed : int
        Of the random numbers.
    gain : Tensor, (rings,), optional
        Factors of the structure's amplitudes; the fit's if None, zero for noise alone.

    Returns
    -------
    SimulatedSet
        With the true angles and shifts.
    """
    rng = np.random.default_rng(seed)
    source, disc = search.source, search.fine_disc
    base = source.particles.subset(rng.integers(len(source.particles), size=count))
    angles, shifts_yx = random_angles(count, rng), rng.normal(scale=search.fit.sigma, size=(count, 2))
    base = dataclasses.replace(base, angles=angles, shifts_yx=shifts_yx)
    gain = search.fit.gain(disc.rings, search.width) if gain is None else gain
    reference = search.fine.with_gain(gain.to(disc.device))
    shifts = torch.as_tensor(shifts_yx, dtype=torch.float32, device=disc.device)
    values = reference.at_angles(angles) * disc.ramp(shifts)
    transfer = base.ctf(slice(None))
    transfer = transfer.abs() if source.ctf_state == "flipped" else transfer
    values = values * disc.on_grid(transfer.to(disc.device))
    images = disc.to_images(values).cpu() + _noise(search, transfer, rng)
    return SimulatedSet.of(base, images if source.contrast == "bright" else -images)


def _noise(search: Search, transfer: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Noise of the measured spectrum; that of images multiplied by their CTF was multiplied as well."""
    source, box = search.source, search.source.particles.box
    power = source.power.cpu()
    variance = _variance(power, box)
    if source.ctf_state != "multiplied":
        return variance.sqrt() * noise_images(len(transfer), box, rng, power)
    from ...core.fourier import on_grid, radial_mean

    mean = radial_mean(transfer.mean(0), box)
    white = torch.fft.rfft2(noise_images(len(transfer), box, rng))
    return torch.fft.irfft2(
        white * (transfer.clamp(min=0) * on_grid(power / mean.clamp(min=1e-6), box)).sqrt(), s=(box, box)
    )


def _variance(power: torch.Tensor, box: int) -> torch.Tensor:
    """Variance of images whose noise has a radial power spectrum."""
    from ...core.fourier import on_grid, plane_weights

    return (on_grid(power.float(), box) * plane_weights(box)).sum() / box**2
