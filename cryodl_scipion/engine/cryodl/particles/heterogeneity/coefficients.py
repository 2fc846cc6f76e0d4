# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier coefficients of all particle images, in units of their noise, in files that are mapped into memory.

What each image shows of the mean volume, and its derivatives by orientation, shift, contrast and CTF."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...core.fourier import radial_mean
from ...core.optics import OpticsTable, ctf_of_optics, wavelength
from ...core.projections import rotation_matrices
from ...io.memory import release_pages
from ...io.particle_sets import ParticleSet
from ...latent.cube import Cube, Seen, as_complex
from ...likelihood.observed import noise_spectrum, prepare, sample_rows
from ...likelihood.reference import HalfDisc

ERRORS = (
    "rotation_x",
    "rotation_y",
    "rotation_z",
    "shift_y",
    "shift_x",
    "contrast",
    "defocus",
    "astigmatism_0",
    "astigmatism_45",
)
# standard deviations before they are learned: radians, px, fraction, 1000 Å
FIRST_SPREAD = np.array([0.035, 0.035, 0.035, 0.5, 0.5, 0.2, 0.3, 0.15, 0.15])
KILO = 1000.0  # Å; the unit of errors of the defocus
LARGEST_STEP = 0.1  # radians that an orientation may move at a time


@dataclasses.dataclass
class ParticleViews:
    """Orientation, shift, contrast and correction of the defocus of each particle; they change while they are refined.

    matrices: (n, 3, 3), from image to density.
    shifts_yx: (n, 2), where the particle lies relative to the middle of its image, px.
    contrast: (n,), factor of the mean volume, 1 on average.
    defocus: (n, 3), correction of the mean defocus, and of the astigmatism at 0° and at 45°; 1000 Å.
    moved: (n, 9), sum of all steps away from what the file states, in the order of ERRORS."""

    matrices: np.ndarray
    shifts_yx: np.ndarray
    contrast: np.ndarray
    defocus: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, particles: ParticleSet) -> ParticleViews:
        """The ParticleViews that a ParticleSet states."""
        count = len(particles)
        angles, shifts = particles.poses(np.arange(count))
        return cls(
            rotation_matrices(angles),
            shifts.astype(float).copy(),
            np.ones(count),
            np.zeros((count, 3)),
            np.zeros((count, len(ERRORS))),
        )

    @property
    def spread(self) -> np.ndarray:
        """(9,) standard deviations of the ERRORS before they are learned."""
        return FIRST_SPREAD

    @property
    def alike(self) -> tuple[slice, ...]:
        """The ERRORS that are equally large: of the axes of rotations, of shifts, of the astigmatism."""
        return slice(0, 3), self.shift_errors, slice(7, 9)

    @property
    def shift_errors(self) -> slice:
        """Which of the ERRORS are shifts, px."""
        return slice(3, 5)

    def move(self, rows: np.ndarray, step: np.ndarray) -> None:
        """Add small errors (m, 9), in the order of ERRORS, to some rows."""
        step = step.copy()
        length = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
        step[:, :3] *= np.minimum(1, LARGEST_STEP / np.maximum(length, 1e-9))
        step[:, 5] = np.clip(self.contrast[rows] + step[:, 5], 0.2, 3.0) - self.contrast[rows]
        self.matrices[rows] = self.matrices[rows] @ Rotation.from_rotvec(step[:, :3]).as_matrix()
        self.shifts_yx[rows] += step[:, 3:5]
        self.contrast[rows] += step[:, 5]
        self.moved[rows] += step
        self.defocus[rows] += step[:, 6:]

    def angles(self) -> np.ndarray:
        """(n, 3) rot, tilt, psi in degrees."""
        return Rotation.from_matrix(self.matrices).as_euler("ZYZ", degrees=True)


CHUNK = 256  # images that are read at a time
HELD = 2.5e8  # bytes of the files that are read before their pages are released
FAINTEST = 0.05  # of a CTF by which images that were multiplied with it are divided


@dataclasses.dataclass
class Coefficients:
    """Whitened coefficients of n images on d places of a half disc, low frequencies first.

    Real and imaginary part of the noise have variance 1. An image is data = sine x slice + noise.

    disc: likelihood.reference.HalfDisc, its positions are sorted by frequency.
    data: (n, d) complex64.
    sine, cosine: (n, d) float32, the CTF sin(chi), and cos(chi), over the standard deviation of the noise.
    wave: (d,) float64, phase that one Å of defocus adds at a wavelength of one Å, radians.
    wavelength: (n,) float64, of each image's electrons, Å.
    azimuth: (d,) float64, direction of each position from the x axis, radians.
    scale: (rings,), corrections of the noise's standard deviation, ring by ring; data and CTF are divided by it when
        read."""

    disc: HalfDisc
    data: np.ndarray
    sine: np.ndarray
    cosine: np.ndarray
    wave: np.ndarray
    wavelength: np.ndarray
    azimuth: np.ndarray
    scale: np.ndarray
    _read: int = dataclasses.field(default=0, init=False)  # bytes since pages were released

    def __len__(self) -> int:
        return len(self.data)

    def count(self, radius: float) -> int:
        """Number of positions up to a frequency in waves per box."""
        return int(np.searchsorted(np.hypot(self.disc.y.numpy(), self.disc.x.numpy()), radius, side="right"))

    @property
    def ring(self) -> np.ndarray:
        """(d,) ring of each position."""
        return self.disc.ring.numpy()

    @property
    def rings(self) -> int:
        """Number of rings."""
        return self.disc.rings

    def look(self, views: typing.Any, rows: np.ndarray, cube: Cube, mean_table: np.ndarray, count: int) -> Seen:
        """The Seen of some rows. mean_table: (side³, 8), table and gradient_tables of the mean volume, side by side.
        count: positions of the half disc that are used."""
        disc, box = self.disc, self.disc.box
        y, x = disc.y.numpy()[:count].astype(np.float32), disc.x.numpy()[:count].astype(np.float32)
        data, sine, cosine = self.read(rows, count)
        data = data * np.exp(1j * ((views.shifts_yx[rows] @ np.stack([y, x])) * (2 * np.pi / box))).astype(np.complex64)
        wave, azimuth = self.wave[:count] * KILO, self.azimuth[:count]
        along = wave * np.stack([np.ones(count), np.cos(2 * azimuth), np.sin(2 * azimuth)])  # 3, d
        wavelength = self.wavelength[rows]
        phase = wavelength[:, None] * (views.defocus[rows] @ along)
        transfer = (sine * np.cos(phase) + cosine * np.sin(phase)).astype(np.float32)
        slope = (cosine * np.cos(phase) - sine * np.sin(phase)).astype(np.float32)
        matrix = cube.interpolation(views.matrices[rows], np.stack([x, y]))
        values = as_complex(matrix @ mean_table).reshape(len(rows), count, -1)
        slices = values[..., 0]
        gradient = np.einsum("mdi,mij->mdj", values[..., 1:], views.matrices[rows].astype(np.float32))
        seen = transfer * views.contrast[rows, None].astype(np.float32)
        errors = np.empty((len(rows), count, len(ERRORS)), np.complex64)
        errors[..., 0] = seen * (y * gradient[..., 2])
        errors[..., 1] = seen * (-x * gradient[..., 2])
        errors[..., 2] = seen * (x * gradient[..., 1] - y * gradient[..., 0])
        errors[..., 3] = seen * slices * (-2j * np.pi / box * y)
        errors[..., 4] = seen * slices * (-2j * np.pi / box * x)
        errors[..., 5] = transfer * slices
        shown = slope * (wavelength * views.contrast[rows])[:, None].astype(np.float32) * slices
        errors[..., 6:] = shown[..., None] * along.T.astype(np.float32)
        return Seen(data, transfer, slices, errors, matrix)

    def shown(self, views: typing.Any, rows: np.ndarray, cube: Cube, table: np.ndarray, count: int) -> np.ndarray:
        """(m, count) what the images of some rows show of a volume's table, with the CTF of their files."""
        plane = np.stack([self.disc.x.numpy()[:count], self.disc.y.numpy()[:count]]).astype(np.float32)
        slices = as_complex(cube.interpolation(views.matrices[rows], plane) @ table).reshape(len(rows), count)
        return slices * self.read(rows, count)[1]

    def read(self, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """data, sine and cosine, (m, count) each, of some rows."""
        factor = (1 / self.scale[self.disc.ring.numpy()[:count]]).astype(np.float32)
        files = (self.data, self.sine, self.cosine)
        found = tuple(array[rows, :count] * factor for array in files)
        self._read += sum(array[0].nbytes for array in files) * len(rows)
        if self._read > HELD:
            for array in files:
                release_pages(array)
            self._read = 0
        return found


def load_coefficients(
    particles: ParticleSet, radius: float, diameter_px: float, contrast: str, folder: Path
) -> Coefficients:
    """Read all images once and write their coefficients into `folder`.

    particles: io.particle_sets.ParticleSet, with a CTF.
    radius: highest frequency, waves per box.
    diameter_px: of the circle outside of which the noise is measured, px.
    contrast: 'bright' or 'dark'.
    folder: of data.npy, sine.npy and cosine.npy; memory does not grow with the number of particles.
    Raises ValueError: an image holds values that are not finite numbers, or one value all over."""
    disc = sorted_disc(particles.box, radius)
    deviation = (_noise(particles, diameter_px, contrast)[disc.ring] * particles.box**2 / 2).sqrt()
    shape, kinds = (len(particles), len(disc)), dict(data=np.complex64, sine=np.float32, cosine=np.float32)
    files = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape) for name, kind in kinds.items()}
    for start in range(0, len(particles), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(particles)))
        images = particles.images(rows)
        same = (images == images[:, :1, :1]).all(dim=2).all(dim=1).numpy()
        if same.any():
            row = rows[int(np.argmax(same))]
            raise ValueError(
                f"Image {particles.numbers[row] + 1} of {particles.files[row]} is constant. Extract it again, or "
                "remove it from the particles."
            )
        images = prepare(images, diameter_px, contrast)
        for name, value in zip(kinds, _chunk(particles, rows, disc.of_images(images), disc, deviation)):
            files[name][rows] = value.numpy()
            release_pages(files[name])
    wave, wavelength, azimuth = _defocus_phase(particles, disc)
    return Coefficients(disc, **files, wave=wave, wavelength=wavelength, azimuth=azimuth, scale=np.ones(disc.rings))


def sorted_disc(box: int, radius: float) -> HalfDisc:
    """A HalfDisc whose positions are sorted by frequency."""
    disc = HalfDisc(box, radius)
    order = torch.argsort(disc.y.square() + disc.x.square(), stable=True)
    disc.y, disc.x, disc.ring = disc.y[order], disc.x[order], disc.ring[order]
    return disc


def _noise(particles: ParticleSet, diameter_px: float, contrast: str) -> torch.Tensor:
    """(rings,) power of the noise of the images, before they are divided by a CTF that they were multiplied with."""
    rows = sample_rows(len(particles))
    noise = noise_spectrum(prepare(particles.images(rows), diameter_px, contrast), diameter_px)
    if particles.ctf_state == "multiplied":
        noise = noise / radial_mean(particles.ctf(rows).mean(0), particles.box).clamp(min=1e-3)
    return noise.clamp(min=1e-6 * float(noise.max()))


def _chunk(
    particles: ParticleSet, rows: np.ndarray, values: torch.Tensor, disc: HalfDisc, deviation: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """data, sine and cosine of some images' coefficients `values`, (m, d)."""
    sine = disc.on_grid(_ctf(particles, rows, 0.0))
    cosine = disc.on_grid(_ctf(particles, rows, 90.0))
    if particles.ctf_state != "none":  # the images show the absolute value
        sign = torch.where(sine < 0, -1.0, 1.0)
        sine, cosine = sine * sign, cosine * sign
    if particles.ctf_state == "multiplied":
        seen = sine > FAINTEST
        values = torch.where(seen, values / sine.clamp(min=FAINTEST), torch.zeros_like(values))
        sine, cosine = sine * seen, cosine * seen
    return values / deviation, sine / deviation, cosine / deviation


def _optics(particles: ParticleSet) -> OpticsTable:
    """Of particles that were read with their CTF."""
    return typing.cast("OpticsTable", particles.optics)


def _ctf(particles: ParticleSet, rows: np.ndarray, phase: float) -> torch.Tensor:
    """(m, box, box // 2 + 1) sin(chi + phase), whatever was done to the images. phase: degrees."""
    optics = [dataclasses.replace(o, phase_shift=o.phase_shift + phase) for o in _optics(particles)[rows]]
    return ctf_of_optics(optics, particles.box, particles.pixel_size)


def _defocus_phase(particles: ParticleSet, disc: HalfDisc) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`wave`, `wavelength` and `azimuth` of Coefficients."""
    length = wavelength(np.array([optics.voltage_kv for optics in _optics(particles)]))
    y, x = disc.y.numpy().astype(float), disc.x.numpy().astype(float)
    return np.pi * (y**2 + x**2) / (particles.box * particles.pixel_size) ** 2, length, np.arctan2(y, x)
