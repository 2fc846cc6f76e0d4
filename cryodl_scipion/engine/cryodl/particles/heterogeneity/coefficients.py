# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier coefficients of all particle images, in units of their noise, in files that are mapped into memory."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...core.half_transforms import HalfDisc
from ...core.optics import OpticsTable, ctf_of_optics, wavelength
from ...io.memory import release_pages
from ...io.particle_sets import FAINTEST, ParticleSet
from ...latent.cube import Observations, Views
from ...likelihood.observed import SAMPLE, noise_spectra, prepare, sample_groups

# Standard deviations of the errors before they are learned: rotations about x, y and z, radians; shifts along y and x,
# px; contrast; defocus, and the astigmatism at 0° and at 45°, 1000 Å.
FIRST_SPREAD = np.array([0.035, 0.035, 0.035, 0.5, 0.5, 0.2, 0.3, 0.15, 0.15])
KILO = 1000.0  # Å; the unit of errors of the defocus


def particle_views(particles: ParticleSet) -> Views:
    """The Views that a ParticleSet states; the further unknowns are corrections of the defocus, see FIRST_SPREAD."""
    return Views.of(*particles.poses(np.arange(len(particles))), FIRST_SPREAD, (slice(7, 9),))


FEW = 10  # images of a group, for which those of all count as much
CHUNK = 256  # images that are read at a time


@dataclasses.dataclass
class Coefficients(Observations):
    """Those of images, on a half disc. Their files are the data, and the CTF sin(chi) and cos(chi).

    disc: likelihood.HalfDisc.
    along: (3, d), phase that 1000 Å of the defocus, and of the astigmatism at 0° and 45°, add at a wavelength of 1 Å.
    wavelength: (n,) float64, of each image's electrons, Å."""

    disc: HalfDisc
    along: np.ndarray
    wavelength: np.ndarray

    def transfer(self, further: np.ndarray, rows: np.ndarray, *known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As in Observations, by corrections of the defocus."""
        sine, cosine = known
        along, wavelength = self.along[:, : sine.shape[1]], self.wavelength[rows, None]
        phase = wavelength * (further @ along)
        slope = ((cosine * np.cos(phase) - sine * np.sin(phase)) * wavelength).astype(np.float32)
        seen = (sine * np.cos(phase) + cosine * np.sin(phase)).astype(np.float32)
        return seen, slope[..., None] * along.T.astype(np.float32)


def load_coefficients(
    particles: ParticleSet, radius: float, diameter_px: float, contrast: str, folder: Path
) -> Coefficients:
    """Read all images once and write their coefficients into `folder`.

    particles: io.particle_sets.ParticleSet, with a CTF. radius: highest frequency, waves per box. diameter_px: of the
    circle outside of which the noise is measured, px. contrast: 'bright' or 'dark'. folder: of data.npy, sine.npy and
    cosine.npy; memory does not grow with the number of particles."""
    disc, particles = HalfDisc(particles.box, radius), particles.divided()
    group = np.unique(particles.columns["rlnOpticsGroup"], return_inverse=True)[1]
    some = sample_groups(particles, SAMPLE)
    each = noise_spectra(prepare(particles.images(some), diameter_px, contrast), diameter_px)
    # of each group: where it shows more of the molecule, noise of another one would look like changes
    parts = (each[group[some] == number] for number in range(group.max() + 1))
    noise = torch.stack([(part.sum(0) + FEW * each.mean(0)) / (len(part) + FEW) for part in parts])
    deviation = (noise.clamp(min=1e-6 * float(noise.max()))[:, disc.ring] * particles.box**2 / 2).sqrt()
    shape, kinds = (len(particles), len(disc)), dict(data=np.complex64, sine=np.float32, cosine=np.float32)
    files = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape) for name, kind in kinds.items()}
    for rows in particles.parts(CHUNK):
        images = prepare(particles.images(rows), diameter_px, contrast)
        for name, value in zip(kinds, _chunk(particles, rows, disc.coefficients(images), disc, deviation[group[rows]])):
            files[name][rows] = value.numpy()
            release_pages(files[name])
    length = wavelength(np.array([optics.voltage_kv for optics in typing.cast("OpticsTable", particles.optics)]))
    y, x = yx = disc.waves.numpy().astype(float)
    wave, azimuth = KILO * np.pi * (y**2 + x**2) / (disc.box * particles.pixel_size) ** 2, np.arctan2(y, x)
    along = wave * np.stack([np.ones(len(y)), np.cos(2 * azimuth), np.sin(2 * azimuth)])
    return Coefficients(
        disc.box, yx, disc.ring.numpy(), tuple(files.values()), np.ones(disc.rings), disc, along, length
    )


def _chunk(
    particles: ParticleSet, rows: np.ndarray, values: torch.Tensor, disc: HalfDisc, deviation: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """data, sine and cosine of some images' coefficients `values`, (m, d)."""
    sine, cosine = (disc.on_grid(_ctf(particles, rows, phase)) for phase in (0.0, 90.0))
    if particles.ctf_state != "none":  # the images show the absolute value
        sign = torch.where(sine < 0, -1.0, 1.0)
        sine, cosine = sine * sign, cosine * sign
    if particles.ctf_state == "divided":
        values, sine, cosine = (part * (sine > FAINTEST) for part in (values, sine, cosine))
    return values / deviation, sine / deviation, cosine / deviation


def _ctf(particles: ParticleSet, rows: np.ndarray, phase: float) -> torch.Tensor:
    """(m, box, box // 2 + 1) sin(chi + phase), whatever was done to the images. phase: degrees."""
    stated = typing.cast("OpticsTable", particles.optics)[rows]
    optics = [dataclasses.replace(o, phase_shift=o.phase_shift + phase) for o in stated]
    return ctf_of_optics(optics, particles.box, particles.pixel_size)
