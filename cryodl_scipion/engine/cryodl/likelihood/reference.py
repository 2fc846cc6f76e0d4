# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections of a structure as lists of Fourier coefficients, up to a resolution.

Fit of a structure's projections to particle images: amplitude, contrast and treatment of the CTF."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from ..contract import say_if
from ..core.fourier import from_middle
from ..core.half_transforms import HalfTransform
from ..core.projections import Projector, rotation_matrices
from ..io.messages import Line
from ..io.particle_sets import ParticleSet
from .observed import SAMPLE, prepare, resample, sample_groups, sample_images


@dataclasses.dataclass(frozen=True)
class SignalFit:
    """images = amplitude x CTF x projections + noise of variance about 1. error: standard error of the amplitude.
    ctf_state: as ParticleSet's; 'flipped' also where the file does not say it, but the images show it."""

    amplitude: float
    error: float
    ctf_state: str

    @property
    def significant(self) -> bool:
        """Whether the amplitude is clearly not 0."""
        return abs(self.amplitude) > SURE * self.error


def fit_structure(
    particles: ParticleSet, projector: Projector, diameter_px: float | None = None, pixel_size: float | None = None
) -> SignalFit:
    """Fit of a structure's projections to particles with angles. particles: with angles. projector: of the structure at
    `pixel_size`; its side is the box that the images are brought to. diameter_px: px, of the particle in those pixels;
    0.8 of the box if None. pixel_size: Å/px, the particles' if None. Raises ValueError for empty images."""
    pixel_size = pixel_size or particles.pixel_size
    box, rows = projector.side, sample_images(particles)
    images, exact = resample(particles.images(rows), particles.pixel_size, pixel_size, box)
    images = prepare(images, diameter_px or 0.8 * box).to(projector.device)
    angles, shifts_yx = particles.poses(rows)
    views = torch.fft.rfft2(projector.project(angles, shifts_yx * (particles.pixel_size / exact), box))
    if particles.optics is None:
        return _fit(images, views, "none")
    ctf = particles.ctf(rows, box, exact, projector.device)
    if particles.ctf_state == "none":
        # where the CTF is negative, flipped images show the structure with the other sign than where it is positive
        positive, negative = (_fit(images, views * part, "none") for part in (ctf.clamp(min=0), ctf.clamp(max=0)))
        if positive.significant and negative.significant and positive.amplitude * negative.amplitude < 0:
            return _fit(images, views * ctf.abs(), "flipped")
    return _fit(images, views * ctf, particles.ctf_state)


def _fit(images: torch.Tensor, transforms: torch.Tensor, state: str) -> SignalFit:
    """Least squares over all images at once. One image alone leaves the error unknown: infinite."""
    match, power = image_products(images, transforms)
    total = power.sum().clamp(min=1e-30)
    amplitude = match.sum() / total
    # the spread from image to image holds all that is wrong: noise, angles, differing strengths
    error = (match - amplitude * power).square().sum().sqrt() / total if len(images) > 1 else float("inf")
    return SignalFit(float(amplitude), float(error), state)


def image_products(images: torch.Tensor, transforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(m,) products of images (m, h, w) with the images of transforms (m, h, w // 2 + 1), and squares of the latter,
    their means left out."""
    seen = torch.fft.irfft2(transforms, s=images.shape[-2:])
    seen = seen - seen.mean((1, 2), keepdim=True)
    return (images * seen).sum((1, 2)).double(), seen.square().sum((1, 2)).double()


SURE = 5.0  # standard errors
DIRTY = 10  # images, of one or several optics groups, that may all be of one dirty place: so few decide nothing


def find_contrast(particles: ParticleSet, diameter_px: float | None = None) -> tuple[str, bool, str]:
    """Whether protein is bright or dark in particle images, which are compared with a ball.

    diameter_px: px, of the ball; 0.6 of the box if None.
    Returns contrast: 'bright' or 'dark'; what is not sure is taken as bright.
    significant: beyond 5 standard errors.
    Raises ValueError for empty images."""
    matches = _ball_matches(particles, sample_images(particles, 4 * SAMPLE), diameter_px)
    error = float(matches.std() / len(matches) ** 0.5) if len(matches) > 1 else float("inf")
    return contrast_of(float(matches.mean()), error, "a sphere of the particle's size")


def _ball_matches(particles: ParticleSet, rows: np.ndarray, diameter_px: float | None = None) -> np.ndarray:
    """(m,) mean products of the images of rows (m,) with a ball as their CTF shows it. diameter_px: see
    find_contrast."""
    matches, box = list[torch.Tensor](), particles.box
    diameter_px = diameter_px or 0.6 * box
    ball = torch.fft.rfft2(((diameter_px / 2) ** 2 - from_middle(box).square()).clamp(min=0).sqrt())
    for part in np.array_split(rows, -(-len(rows) // SAMPLE)):
        # multiplied images have their CTF as a weight already: twice, detail in which a ball's sign is chance wins
        seen = ball if particles.optics is None or particles.ctf_state == "multiplied" else ball * particles.ctf(part)
        template = torch.fft.irfft2(seen.expand(len(part), -1, -1), s=(box, box))
        template = template - template.mean((1, 2), keepdim=True)
        matches.append((prepare(particles.images(part), diameter_px) * template).mean((1, 2)))
    return torch.cat(matches).double().numpy()


def group_notes(particles: ParticleSet) -> list[str]:
    """A sentence, in a list, if optics groups have opposite contrast, by comparison with a ball."""
    rows, several = sample_groups(particles, 4 * SAMPLE), len(set(particles.columns["rlnOpticsGroup"])) > 1
    return opposite_groups(particles, rows, _ball_matches(particles, rows)) if several else []


def opposite_groups(particles: ParticleSet, rows: np.ndarray, matches: np.ndarray) -> list[str]:
    """A sentence, in a list, if protein is surely bright in some optics groups and dark in others. matches: (m,)
    products of images of some rows with what bright protein shows; up to 3 deviations count, or dirt decided."""
    groups = np.array(particles.columns["rlnOpticsGroup"])[rows]
    names, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(group, matches.clip(-3 * matches.std(), 3 * matches.std())) / counts
    spread = np.sqrt(((matches - means[group]) ** 2).sum() / max(len(matches) - len(names), 1)) or np.inf
    sure = [sign * means * np.sqrt(counts) > SURE * spread for sign in (-1, 1)]
    dark, bright = (names[one] for one in sure)
    return say_if(
        all(counts[one].sum() > DIRTY for one in sure),
        f"{particles.path}: protein is bright in the images of optics group {', '.join(bright)}, dark in those of "
        f"{', '.join(dark)}. Multiply the images of either by -1.",
    )


def contrast_of(value: float, error: float, compared: str) -> tuple[str, bool, str]:
    """As find_contrast; images for which it is not significant cannot be told from noise. value, error: no unit, mean
    product of the images with what they were compared with, and its standard error."""
    if abs(value) <= SURE * error:
        said = f"The contrast could not be determined by comparing the images with {compared}; protein is assumed "
        return "bright", False, f"{said}to be bright, as after RELION's extraction. If it is dark, set --contrast dark."
    contrast, compared = "bright" if value > 0 else "dark", f"{compared}, {abs(value) / error:.0f} standard errors"
    return contrast, True, Line(f"Protein is {contrast} in the images (compared with {compared}).")


class Reference:
    """Central slices of a structure on a half disc, or all of it on a half ball.

    projector: core.projections.Projector of the structure. gain: (rings,) factors of the
    rings' amplitudes (1 if None): how strongly the images show the structure. zoom: the projector's pixel size over
    that of the images."""

    def __init__(
        self, projector: Projector, disc: HalfTransform, gain: torch.Tensor | None = None, zoom: float = 1.0
    ) -> None:
        self.disc, self.scale = disc, projector.padded * zoom / disc.box
        self.radius = int(np.ceil(disc.radius * self.scale)) + 1
        self.cube = middle_of(projector.transform, self.radius).to(disc.device)
        self.gain = torch.ones(disc.rings, device=disc.device) if gain is None else gain.to(disc.device, torch.float32)
        self.turn = torch.eye(3, device=disc.device)

    def with_gain(self, gain: torch.Tensor, disc: HalfTransform | None = None) -> "Reference":
        """The same structure shown with other strengths (rings,), on a part of its disc; its transform is shared."""
        other = object.__new__(Reference)
        other.__dict__.update(self.__dict__, gain=gain.to(self.disc.device, torch.float32), disc=disc or self.disc)
        return other

    def turned(self, matrix: torch.Tensor) -> "Reference":
        """The same structure, turned so that its density at x is what it was at M x, matrix (3, 3); not resampled."""
        other = self.with_gain(self.gain)
        other.turn = matrix.to(self.disc.device)
        return other

    def at_angles(self, angles: np.ndarray) -> torch.Tensor:
        """(n, d) complex64 projections at (n, 3) rot, tilt, psi in degrees."""
        return self.at(torch.as_tensor(rotation_matrices(angles), dtype=torch.float32, device=self.disc.device))

    def at(self, matrices: torch.Tensor) -> torch.Tensor:
        """(..., d) complex64 projections, or transforms of the density at M x, at rotation matrices M (..., 3, 3), a
        tensor: from image to density, as core.projections.rotation_matrices gives them."""
        points = self.disc.waves.flip(0).float() * (self.scale / self.radius)  # x, y, or x, y, z
        # for each coefficient all orientations, often near to each other in memory: up to four times as quick
        positions = (self.turn @ matrices.reshape(-1, 3, 3)[:, :, : len(points)] @ points).permute(2, 0, 1)  # d, n, xyz
        real, imag = F.grid_sample(self.cube, positions[None, None], align_corners=True)[0, :, 0].transpose(1, 2)
        return (torch.complex(real, imag) * self.gain[self.disc.ring]).reshape(*matrices.shape[:-2], -1)


def middle_of(transform: torch.Tensor, radius: int) -> torch.Tensor:
    """(1, 2, s, s, s) real and imaginary part of the frequencies up to `radius` of a half transform (n, n, n // 2 + 1)
    whose frequency 0 lies in the middle of axes 0 and 1; s = 2 radius + 1. Beyond the transform it is zero."""
    size = transform.shape[0]
    radius_there = min(radius, size // 2 - 1)
    middle = slice(size // 2 - radius_there, size // 2 + radius_there + 1)
    half = transform[middle, middle, : radius_there + 1]
    # both parts of a frequency lie side by side in memory: interpolation then takes two thirds of the time
    whole = transform.new_zeros((2 * radius + 1,) * 3)
    inside = whole[(slice(radius - radius_there, radius + radius_there + 1),) * 3]
    inside[:, :, radius_there:] = half
    inside[:, :, :radius_there] = half[:, :, 1:].conj().flip(0, 1, 2)
    return torch.view_as_real(whole).permute(3, 0, 1, 2)[None]
