# SPDX-License-Identifier: GPL-3.0-or-later
"""Single particle images of a structure: projections, CTF and noise.

CTFs of simulated particles: from ranges, or drawn from those of a STAR file."""

import functools
import os
import typing

import numpy as np
import torch

from ..contract import SimulateParticlesConfig
from ..core import fourier, projections, volumes
from ..core.optics import Optics, ctf_of_optics
from ..io import messages, relion_tables, star
from ..io.mrc import read_header
from ..io.structures import dark_notes, is_model, load_density
from ..io.tomograms import sides_of
from . import micrographs


def draw_optics(config: SimulateParticlesConfig, rng: np.random.Generator) -> micrographs.Optics:
    """Optics of one micrograph."""
    if not config.ctf_from:
        return micrographs.random_optics(config, rng)
    found = _optics_of(config.ctf_from, os.stat(config.ctf_from).st_mtime_ns)
    return found[int(rng.integers(len(found)))]


@functools.lru_cache(maxsize=4)
def _optics_of(path: str, changed: int) -> typing.Sequence[micrographs.Optics]:
    """(n,) Optics of the particles of a STAR file. Raises ValueError without a CTF or with several microscopes."""
    optics, columns = relion_tables.modern_tables(star.read_tables(path), path)
    found = relion_tables.groups_of_particles(optics, columns, path).optics
    if found is None:
        raise ValueError(
            f"{path} (--ctf-from) has particles without a CTF (rlnDefocusU ...). Give a STAR file with CTFs."
        )
    if len({(o.voltage_kv, o.cs_mm, o.amplitude_contrast) for o in found}) > 1:
        raise ValueError(
            f"{path} (--ctf-from) has particles of several microscopes (voltage, Cs or amplitude "
            "contrast); one is expected. Give the particles of one optics group."
        )
    return found


def load_projector(
    structure: str, pixel_size: float, box: int, device: str | torch.device = "cpu"
) -> tuple[projections.Projector, float, list[str]]:
    """A structure ready to be projected into images. structure: path of a map or model. pixel_size: Å/px, of the
    images. box: px of the images. Returns diameter: Å. sentences: for the user."""
    density, diameter, notes = load_cube(structure, pixel_size, box)
    return projections.Projector(density.to(device)), diameter, notes


def load_cube(
    structure: str, pixel_size: float, box: int, centre: np.ndarray | None = None
) -> tuple[torch.Tensor, float, list[str]]:
    """The density of a structure in (box,) * 3 voxels.

    structure: path of a map or an atomic model, see structures.load_density. pixel_size: Å/px. centre: as
    load_density's. Returns the density, its diameter in Å, and sentences about what was done to it. Raises ValueError
    if the structure is larger than the box."""
    density = load_density(structure, pixel_size, centre=centre)
    diameter = micrographs.particle_diameter(density, pixel_size)
    if diameter > (box - 2) * pixel_size:
        raise ValueError(
            f"{structure} is {diameter:.0f} Å wide, but the images are {box} px x {pixel_size:g} Å/px = "
            f"{box * pixel_size:.0f} Å. A box of 1.5 times the particle's diameter is usual."
        )
    notes = voxel_notes(structure, pixel_size) + _box_notes(structure, box, density.shape[-1])
    return volumes.cube_crop(density, box), diameter, notes


def voxel_notes(structure: str, pixel_size: float) -> list[str]:
    """Sentences if a map has other voxels than the images' pixels, or if protein is negative in it. Models have none.
    structure: path. pixel_size: Å/px, of the images."""
    if is_model(structure):
        return []
    voxel = read_header(structure).voxels_zyx[2]
    if abs(voxel / pixel_size - 1) < 1e-3:
        return dark_notes(structure)
    return dark_notes(structure) + [
        messages.Line(
            f"{structure} has voxels of {voxel:.4g} Å, the images pixels of {pixel_size:.4g} Å: the map was resampled. "
            "Check both values; if one is wrong, all results are wrong."
        )
    ]


def _box_notes(structure: str, box: int, side: int) -> list[str]:
    """A sentence, in a list, if a map of `side` px, when resampled, does not fill the images' box."""
    if is_model(structure) or side == box:
        return []
    header = read_header(structure)
    return [
        f"{structure} ({sides_of(header.shape)} voxels of {header.voxels_zyx[2]:.4g} Å) does not fill the images' box "
        f"of {box} px: it was {'cut' if side > box else 'surrounded by zeros'}, its middle kept."
    ]


def particle_images(
    clean: torch.Tensor, optics: typing.Sequence[Optics], pixel_size: float, rng: np.random.Generator
) -> torch.Tensor:
    """Noisy particle images of projections, protein bright, white noise of variance 1, (n, box, box). clean: (n, box,
    box), projections, their scale such that the wanted SNR results (see states.signal_scale). pixel_size: Å/px."""
    box = clean.shape[-1]
    seen = torch.fft.rfft2(clean) * ctf_of_optics(optics, box, pixel_size, clean.device)
    return torch.fft.irfft2(seen, s=(box, box)) + noise_images(len(clean), box, rng, device=clean.device)


def noise_images(
    count: int,
    box: int,
    rng: np.random.Generator,
    power: torch.Tensor | None = None,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Gaussian noise of expected variance 1, (count, box, box). box: px. power: (..., r), at the rings of
    fourier.shells; white noise if None."""
    white = torch.from_numpy(rng.standard_normal((count, box, box), dtype="float32")).to(device)
    if power is None:
        return white

    grid = fourier.on_grid(power.to(device).float(), box)
    mean = (grid * fourier.plane_weights(box).to(device)).sum((-2, -1), keepdim=True) / box**2
    return torch.fft.irfft2(torch.fft.rfft2(white) * (grid / mean).sqrt(), s=(box, box))
