# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls oriented by the same search as the particles: noise, and particles whose fine detail is noise."""

from __future__ import annotations

import dataclasses
import typing
import zlib
from pathlib import Path

import numpy as np
import torch

from ...io.particle_sets import ParticleSet, StackWriter, write_particles_star
from ...io.particles import ANGLES, BEYOND, SUBSTITUTED, control_name
from .simulated_set import simulate_alike

if typing.TYPE_CHECKING:
    from ...contract import AssignOrientationsConfig

COUNT, MINIMUM = 200, 64  # images of noise: as many as particles, within these
SEED = 40
CHUNK = 256  # images written at a time


@dataclasses.dataclass(frozen=True)
class Substituted(ParticleSet):
    """Particles of which detail finer than `beyond` Å has its amplitudes, but the phases of noise; those of one image
    are always the same."""

    beyond: float = dataclasses.field(kw_only=True)

    def images(self, indices: typing.Any) -> torch.Tensor:
        """(m, box, box) images of some rows."""
        rows = np.arange(len(self))[indices].reshape(-1)
        images, noise = super().images(rows), torch.empty((len(rows), self.box, self.box))
        for position, row in enumerate(rows):
            seed = zlib.crc32(f"{Path(str(self.files[row])).name}:{self.numbers[row]}".encode())
            noise[position] = torch.randn(self.box, self.box, generator=torch.Generator().manual_seed(seed))
        values, phases = torch.fft.rfft2(images), torch.fft.rfft2(noise)
        phases = phases / phases.abs().clamp(min=1e-12)
        along = torch.fft.fftfreq(self.box, self.pixel_size), torch.fft.rfftfreq(self.box, self.pixel_size)
        fine = along[0][:, None].square() + along[1].square() > self.beyond**-2
        changed: torch.Tensor = torch.fft.irfft2(
            torch.where(fine, values.abs() * phases, values), s=(self.box, self.box)
        )
        return changed


def check_substitution(config: AssignOrientationsConfig, particles: ParticleSet) -> None:
    """Whether fine detail of particles can be replaced by noise as the config asks; if not, an error.

    Raises
    ------
    ValueError
        For denoised images, and for detail that the pixels do not hold.
    """
    beyond, finest = config.noise_substitution, 2 * particles.pixel_size
    if beyond is None:
        return
    if config.model or particles.denoiser:
        raise ValueError(
            "Noise substitution (--noise-substitution) needs raw images, but a denoiser is given. Leave one of them "
            "out."
        )
    if beyond <= finest:
        raise ValueError(
            f"Noise substitution (--noise-substitution) is {beyond:g} Å, but the Nyquist limit of {particles.path} "
            f"is {finest:.3g} Å. Choose a lower resolution, such as that at an FSC of 0.5."
        )


def write_noise_control(search: typing.Any, output: str, columns: dict) -> str:
    """Write NAME_noise.star and NAME_noise.mrcs beside the STAR file NAME.star; returns the first one's path.

    Parameters
    ----------
    search : assign.Search
        With its fit learnt, on raw images: what is written has their noise, and the search's answers for it.
    output : str
        The STAR file of the particles.
    columns : dict
        Columns, of one value for all, that say where the angles come from.
    """
    count = int(np.clip(len(search.source.particles), MINIMUM, COUNT))
    noise = simulate_alike(search, count, SEED, torch.zeros(search.fine_disc.rings))
    subsets = [1 + number % 2 for number in range(count)]
    changes = {"rlnRandomSubset": subsets, **{name: [value] * count for name, value in columns.items()}}
    return _write(control_name(output), noise, search.like(noise).run(), changes)


def write_substituted(search: typing.Any, output: str, columns: dict, beyond: float, folder: Path) -> str:
    """Write NAME_substituted.star and .mrcs beside the STAR file NAME.star; returns the first one's path.

    Parameters
    ----------
    search : assign.Search
        With its fit learnt, on raw images.
    output : str
        The STAR file of the particles.
    columns : dict
        Columns, of one value for all, that say where the angles come from.
    beyond : float, Å
        Detail finer than that is replaced by noise.
    folder : Path
        Where parts of the work are kept, so that a stopped run goes on.

    References
    ----------
    Chen et al. 2013, Ultramicroscopy 135, 24-35.
    """
    particles = search.source.particles
    values = {field.name: getattr(particles, field.name) for field in dataclasses.fields(ParticleSet)}
    changed = Substituted(**values, beyond=beyond)
    folder.mkdir(parents=True, exist_ok=True)
    found = search.like(changed).run(folder=folder)
    same = {name: [value] * len(changed) for name, value in {**columns, BEYOND: round(beyond, 3)}.items()}
    return _write(control_name(output, SUBSTITUTED), changed, found, same)


def _write(path: str, particles: ParticleSet, found: typing.Any, changes: dict) -> str:
    """A STAR file of images that are in no file yet, with their stack beside it and the orientations found."""
    stack, count = f"{path[: -len('.star')]}.mrcs", len(particles)
    with StackWriter(stack, count, particles.box, particles.pixel_size) as writer:
        for start in range(0, count, CHUNK):
            writer.add(particles.images(np.arange(start, min(start + CHUNK, count))))
    origins = -found.shifts_yx * particles.pixel_size
    angles = dict(zip(ANGLES, found.angles.T))
    positions = {"rlnOriginXAngst": origins[:, 1], "rlnOriginYAngst": origins[:, 0]}
    write_particles_star(path, particles, {**angles, **positions, **changes}, stack=stack)
    return path
