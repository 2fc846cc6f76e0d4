# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs with known positions, orientations and CTF."""

import dataclasses
import typing

import numpy as np
import torch

from ..contract import SimulateMicrographsConfig, SimulateParticlesConfig
from ..core.optics import Optics
from ..core.projections import Projector, phase_ramp, random_angles
from . import artefacts, particles
from .noise import MeasuredNoise, MicroscopeNoise

REFERENCE_DOSE = 40.0  # e/Å² to which an SNR belongs
SETTLING = 3.0  # a drift slows down by exp(-3) over a movie
JITTER = 1.0  # of the mean step between frames: the random part


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What micrographs show besides single particles in random orientations.

    minimum_distance: of two particles, in diameters; below 1 they overlap. orientations: (n, 3) rot, tilt, psi in
    degrees to draw from, None for uniform ones. ice, aggregates: their mean number. carbon: part of the micrographs
    that has an edge. gradient: range of the ice gradient in standard deviations of the noise. noise: a source, see
    noise.py."""

    minimum_distance: float = 1.15  # single particles side by side, hardly overlapping
    orientations: np.ndarray | None = None
    ice: float = 0.0
    aggregates: float = 0.0
    carbon: float = 0.0
    gradient: float = 0.0
    dark_protein: bool = True
    noise: MicroscopeNoise | MeasuredNoise = MicroscopeNoise()


@dataclasses.dataclass(frozen=True)
class SimulatedMicrograph:
    """image: (h, w) float32 tensor on the CPU, noise of standard deviation 1. shown: (h, w) the same without noise.
    centres_yx: (n, 2) px. angles: (n, 3) rot, tilt, psi in degrees. contaminated: (h, w) bool tensor, ice, carbon and
    aggregates. noise: its source."""

    image: torch.Tensor
    shown: torch.Tensor
    centres_yx: np.ndarray
    angles: np.ndarray
    optics: Optics
    contaminated: torch.Tensor
    noise: MicroscopeNoise | MeasuredNoise


def particle_diameter(density: torch.Tensor, pixel_size: float) -> float:
    """Å of the sphere around the middle that holds 99 % of a density. density: (d, d, d). pixel_size: Å/px."""
    d, steps = density.shape[-1], 8  # per px of radius
    grid = torch.arange(d, device=density.device, dtype=torch.float32) - d // 2
    mass = torch.zeros(steps * d, dtype=torch.float64, device=density.device)
    for z, plane in zip(grid, density):  # plane by plane: radii of the whole cube would take more memory than it
        radius = (z**2 + grid[:, None] ** 2 + grid**2).sqrt()
        mass += torch.bincount((steps * radius).long().flatten(), plane.double().clamp(min=0).flatten(), steps * d)
    mass = mass.cumsum(0)
    return 2 * (float(torch.searchsorted(mass, 0.99 * mass[-1])) + 0.5) / steps * pixel_size


def random_optics(config: SimulateMicrographsConfig | SimulateParticlesConfig, rng: np.random.Generator) -> Optics:
    """Optics within the ranges of a config."""
    mean = rng.uniform(config.minimum_defocus, config.maximum_defocus)
    half = rng.uniform(0, config.astigmatism) / 2
    return Optics(
        mean + half,
        mean - half,
        rng.uniform(0, 180),
        config.voltage,
        config.spherical_aberration,
        config.amplitude_contrast,
    )


def simulate_micrograph(
    density: Projector | torch.Tensor,
    pixel_size: float,
    shape: tuple[int, ...],
    count: int,
    snr: float,
    optics: Optics,
    rng: np.random.Generator,
    diameter_px: float,
    surroundings: Surroundings = Surroundings(),
) -> SimulatedMicrograph:
    """One micrograph of randomly rotated and placed particles.

    density: (d, d, d), or Projector, protein positive; a Projector of it is quicker for several micrographs. All is
    computed on its device. pixel_size: Å/px. shape: (h, w), px. count: particles wanted; fewer if they do not fit
    beside each other, ice and carbon. snr: mean square of the particles without noise, within their diameter, over
    the variance of the noise; their variance there is a tenth less or so. diameter_px: px, of the particles."""
    projector = density if isinstance(density, Projector) else Projector(density)
    spoils = np.random.default_rng(rng.integers(2**62))  # of their own, so that the rest does not depend on them
    layer, contaminated = _spoiling_layer(shape, diameter_px, surroundings, spoils)
    clumped = particles.random_clumps(shape, spoils.poisson(surroundings.aggregates), diameter_px, spoils)
    centres = particles.random_centres(
        shape,
        count,
        surroundings.minimum_distance * diameter_px,
        particles.MARGIN * diameter_px,
        rng,
        clumped,
        None if contaminated is None else contaminated.numpy(),
    )
    angles, noise = _angles(len(centres), surroundings.orientations, rng), surroundings.noise.chosen(rng)
    image = noise(shape, pixel_size, optics, rng, projector.device)
    shown, everywhere = torch.zeros_like(image), np.vstack([centres, clumped])
    if len(everywhere):
        both = np.vstack([angles, _angles(len(clumped), surroundings.orientations, spoils)])
        clean = apply_ctf(
            particles.draw_particles(projector, everywhere, both, shape),
            pixel_size,
            optics,
            noise.damping(shape, projector.device),
        )
        clean = clean - clean.mean()
        measured = particles.discs(shape, centres if len(centres) else clumped, diameter_px / 2)
        shown = clean * -(snr / clean[torch.from_numpy(measured).to(clean.device)].square().mean()).sqrt()
    shown, image = shown.cpu(), (image + shown).cpu()
    if layer is not None:
        shown, image = shown + layer, image + layer
    ruined = torch.from_numpy(particles.discs(shape, clumped, diameter_px / 2))
    return SimulatedMicrograph(
        image if surroundings.dark_protein else -image,
        shown if surroundings.dark_protein else -shown,
        centres,
        angles,
        optics,
        ruined if contaminated is None else ruined | contaminated,
        noise,
    )


def drift_path(frames: int, drift_px: float, rng: np.random.Generator) -> np.ndarray:
    """(frames, 2) yx px of a specimen in the frames of a movie, 0 in the first: fast at first, then slowly, with a step
    at random in each. drift_px: px, from the first frame to the last."""
    angle, time = rng.uniform(0, 2 * np.pi), np.linspace(0, 1, frames)
    along = (1 - np.exp(-SETTLING * time)) / (1 - np.exp(-SETTLING))
    steps = rng.normal(0, JITTER * drift_px / frames, (frames, 2)).cumsum(axis=0)
    path: np.ndarray = drift_px * along[:, None] * [np.sin(angle), np.cos(angle)] + steps
    return path - path[0]


def movie(
    micrograph: SimulatedMicrograph, path: np.ndarray, pixel_size: float, rng: np.random.Generator
) -> typing.Iterator[torch.Tensor]:
    """(h, w) frames of a movie whose specimen moves along a path (frames, 2) yx px. Solvent moves with the particles,
    the detector's noise is each frame's own; the sum of all, brought back, is as noisy as it. pixel_size: Å/px."""
    shape = tuple(micrograph.shown.shape)
    solvent, rest = micrograph.noise.of_specimen(shape, pixel_size, micrograph.optics, rng)
    specimen = torch.fft.rfft2(micrograph.shown + solvent)
    for shift in path:
        moved = torch.fft.irfft2(specimen * phase_ramp(shape, shift[None], "cpu")[0], s=shape)
        yield moved / len(path) + rest(rng) / len(path) ** 0.5


def apply_ctf(
    image: torch.Tensor, pixel_size: float, optics: Optics, damping: torch.Tensor | None = None
) -> torch.Tensor:
    """A projection as the microscope sees it, protein still bright. (h, w) tensor. damping: (h, w // 2 + 1) amplitude
    that is left, or None."""
    transfer = optics.transfer(image.shape[-2:], pixel_size, image.device)
    transfer = transfer if damping is None else transfer * damping
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=image.shape[-2:])


def _spoiling_layer(
    shape: tuple[int, ...], diameter_px: float, surroundings: Surroundings, rng: np.random.Generator
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """What ice, carbon and a gradient add to a micrograph, and where ice and carbon are: (h, w) tensors, or None."""
    fragments, film = rng.poisson(surroundings.ice), rng.random() < surroundings.carbon
    if not (fragments or film or surroundings.gradient):
        return None, None
    layer, contaminated = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
    if film:
        layer, contaminated = artefacts.add_carbon(layer, diameter_px, rng)
    if fragments:
        layer, ice = artefacts.add_ice(layer, fragments, diameter_px, rng)
        contaminated = contaminated | ice
    if surroundings.gradient:
        layer = artefacts.add_gradient(layer, surroundings.gradient, rng)
    return layer, contaminated


def _angles(count: int, orientations: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    if orientations is None:
        return random_angles(count, rng)
    return np.asarray(orientations, float)[rng.integers(len(orientations), size=count)]
