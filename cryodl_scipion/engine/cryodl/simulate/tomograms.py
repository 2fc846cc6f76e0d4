# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated tomograms: their content, tilt images and reconstruction."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ..contract import SimulateTomogramsConfig
from ..core import projections, volumes
from ..io.structures import is_model, load_density, mass_and_centre
from . import cells, micrographs, rotations, subtomograms
from .cells import Cell, Part, balls, put_many
from .tilt_series import back_projected, exposures, image_width, imaged, moved, noise, seen_on_slope, tilt_images

BEAD_RADIUS, BEAD_DENSITY = 50.0, 12.0  # Å; gold, protein being 1
TRIES = 300  # positions that are tried for each copy of a structure
HOPELESS = 5  # copies, one after the other, without room: there is none left
EMPTY = 0.02  # densities below are left out
CROWD_RADII = (22.0, 32.0)  # Å, of proteins of 37 and 110 kDa
ENVELOPE = 0.5  # of the threshold: where nothing else may be labelled
OTHERS = ("membrane", "microtubule", "filament", "fiducial")


@dataclasses.dataclass(frozen=True)
class Particle:
    """A structure to position: density (d, d, d), FINER times sampled, about 1 inside; threshold of its own volume."""

    name: str
    density: torch.Tensor
    side: int
    threshold: float


@dataclasses.dataclass(frozen=True)
class Placed:
    """Structures in a tomogram: names (n,), centres_zyx (n, 3) px, angles (n, 3) degrees."""

    names: list[str]
    centres_zyx: np.ndarray
    angles: np.ndarray


def load_particle(path: str, name: str, config: SimulateTomogramsConfig) -> Particle:
    """The Particle of a file. name: of its feature. Raises ValueError if it is larger than the tomogram."""
    density = load_density(path, config.pixel_size)
    diameter = micrographs.particle_diameter(density, config.pixel_size)
    for side, option in ((config.thickness, "thickness"), (config.size, "size")):
        if diameter > side * config.pixel_size:
            raise ValueError(
                f"{path} is {diameter:.0f} Å wide, but the tomogram's {option} (--{option}) is "
                f"{side} px x {config.pixel_size:g} Å/px = {side * config.pixel_size:.0f} Å. Choose a "
                "larger one."
            )
    scale = float(density.square().sum() / density.sum())
    side = 2 * int(np.ceil(diameter / config.pixel_size / 2)) + 4
    threshold = molecular_threshold(density, path, config.pixel_size) / scale
    part = rotations.finer(volumes.cube_crop(density, side), subtomograms.FINER)
    return Particle(name, part / scale, side, threshold)


def molecular_threshold(density: torch.Tensor, path: str, pixel_size: float) -> float:
    """The density above which a structure's own volume lies.

    Of models the volume follows from their mass: 2.16 Da per atomic number without hydrogens
    (of an average residue, 110 Da), 1.21 Å³ per Da (a partial specific volume of 0.73 cm³/g). Of maps, whose scale is
    unknown, it is 0.9 of the mean density that mass finds itself in: for models at 10 to 20 Å/px their volume within 10
    % or so. density: of load_density(path, pixel_size)."""
    if not is_model(path):
        return 0.9 * float(density.square().sum() / density.sum())
    voxels = mass_and_centre(path)[0] * 2.16 * 1.21 / pixel_size**3
    return float(density.flatten().sort(descending=True).values[min(max(round(voxels), 1), density.numel() - 1)])


def features_of(config: SimulateTomogramsConfig, particles: typing.Sequence[Particle]) -> list[str]:
    """Names of the features, in the order of their labels 1, 2, ..."""
    wanted = (config.vesicles + config.membranes, config.microtubules, config.filaments, config.fiducials)
    return [p.name for p in particles] + [name for name, count in zip(OTHERS, wanted) if count]


@dataclasses.dataclass(frozen=True)
class Appearance:
    """How what is no structure looks: bilayer() gives the next membrane's Bilayer; filaments.Kind of the others.
    tries: see cells.put_many."""

    bilayer: typing.Callable[[], cells.Bilayer]
    microtubule: cells.Kind = cells.MICROTUBULE
    filament: cells.Kind = cells.FILAMENT
    tries: int = 60


def fill_cell(
    config: SimulateTomogramsConfig,
    particles: typing.Sequence[Particle],
    copies: typing.Sequence[int],
    rng: np.random.Generator,
    appearance: Appearance | None = None,
) -> tuple[Cell, Placed, dict[str, tuple[int, int]]]:
    """A Cell with all that a config asks for. copies: of each particle. appearance: how what is no particle looks; the
    usual if None. Returns counts: {feature: (placed, wanted)}."""
    cell = Cell((config.thickness, config.size, config.size))
    labels = {name: label for label, name in enumerate(features_of(config, particles), 1)}
    # all membranes alike, with the proteins that the config asks for
    bilayer = cells.Bilayer(proteins=config.membrane_proteins / 1e4)
    appearance = appearance or Appearance(lambda: bilayer)
    pixel, counts = config.pixel_size, dict[str, tuple[int, int]]()
    makers = (
        ("membrane", config.membranes, lambda: cells.sheet(cell.shape, pixel, rng, appearance.bilayer())),
        ("membrane", config.vesicles, lambda: cells.vesicle(cell.shape, pixel, rng, appearance.bilayer())),
        ("microtubule", config.microtubules, lambda: cells.filament(cell, appearance.microtubule, pixel, rng)),
        ("filament", config.filaments, lambda: cells.filament(cell, appearance.filament, pixel, rng)),
        ("fiducial", config.fiducials, lambda: _bead(cell.shape, pixel, rng)),
    )
    for name, wanted, make in makers:
        if wanted:
            fitting = put_many(cell, make, wanted, labels[name], appearance.tries)
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + fitting, before[1] + wanted)
    found = {}
    for particle, wanted in sorted(zip(particles, copies), key=lambda pair: -pair[0].side):  # large ones first
        found[particle.name] = _position(cell, particle, wanted, labels[particle.name], rng)
        counts[particle.name] = (len(found[particle.name]), wanted)
    if config.crowding:
        add_crowd(cell, config.crowding, pixel, rng)
    rows = [(p.name, *row) for p in particles for row in found[p.name]]
    placed = Placed(
        [row[0] for row in rows],
        np.array([row[1] for row in rows]).reshape(-1, 3),
        np.array([row[2] for row in rows]).reshape(-1, 3),
    )
    return cell, placed, {name: counts[name] for name in labels}


def _position(
    cell: Cell, particle: Particle, wanted: int, label: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Centres and angles of the copies of a structure that found room; whole ones only."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    failures = 0
    while len(found) < wanted and failures < HOPELESS:
        angles, shift = projections.random_angles(1, rng), rng.uniform(-0.5, 0.5, 3)
        density = rotations.rotated(particle.density, angles, shift[None], particle.side, subtomograms.FINER)[0].numpy()
        corner = _room(cell, density, particle.threshold, label, rng)
        if corner is None:
            failures += 1
        else:
            found.append((corner + particle.side // 2 + shift, angles[0]))
            failures = 0
    return found


def _room(cell: Cell, density: np.ndarray, threshold: float, label: int, rng: np.random.Generator) -> np.ndarray | None:
    """Put a rotated structure, whole, into a free position. Returns the place of its voxel 0, or None without room."""
    around, body, all_of_it = (np.argwhere(density > level) for level in (ENVELOPE * threshold, threshold, EMPTY))
    low, high = -body.min(0), np.array(cell.shape) - body.max(0)
    if (high <= low).any():
        return None
    values = density[tuple(all_of_it.T)]
    for _ in range(TRIES):
        corner = rng.integers(low, high)
        if cell.put(Part(around + corner, body + corner, lambda: (all_of_it + corner, values)), label):
            return corner
    return None


def add_crowd(cell: Cell, part: float, pixel_size: float, rng: np.random.Generator) -> None:
    """Small proteins everywhere but in what is labelled: globules of CROWD_RADII, which fill this part of the space."""
    for radius in CROWD_RADII:
        volume = 4 / 3 * np.pi * (radius / pixel_size) ** 3
        number = rng.poisson(part / len(CROWD_RADII) / volume, cell.shape).astype(np.float32)
        number[cell.labels > 0] = 0
        spread = radius / pixel_size / np.sqrt(5)  # of a ball's positions, along an axis
        cell.density += volume * gaussian_filter(number, float(np.hypot(spread, cells.BLUR_PX)))


def _bead(shape: tuple[int, ...], pixel_size: float, rng: np.random.Generator) -> Part | None:
    radius = BEAD_RADIUS / pixel_size
    if 2 * radius > min(shape) - 2:
        return None
    centre = rng.uniform(radius, np.array(shape) - 1 - radius)
    around = balls(centre[None], radius + 1)
    distance = np.linalg.norm(around - centre, axis=1)
    return Part(
        around, around[distance <= radius], lambda: (around, BEAD_DENSITY * np.clip(radius - distance + 0.5, 0, 1))
    )


def photograph(
    density: np.ndarray,
    config: SimulateTomogramsConfig,
    tilts: typing.Sequence[float],
    rng: np.random.Generator,
    device: torch.device,
    microscope: tuple[float, ...] = (),
) -> torch.Tensor:
    """Noisy tilt images of a cell's density, protein dark or bright as the config says. density: (z, y, x). tilts:
    degrees. microscope: voltage in kV and amplitude contrast, if not the usual ones. Returns (tilts, y, w), w is such
    that every voxel is in every image. The noise has variance 1, the same in all images."""
    width = image_width(density.shape[0], density.shape[2], tilts)
    images = tilt_images(torch.from_numpy(density).to(device), tilts, width)
    optics = subtomograms.random_defocus(config, rng, *microscope) if config.defocus else None
    exposure = exposures(tilts, config.dose, *microscope[:1]) if config.dose else None
    for i, tilt in enumerate(tilts):
        seen_for = None if exposure is None else exposure[i : i + 1]
        if config.ctf_gradient and optics is not None:
            images[i] = seen_on_slope(images[i], config.pixel_size, [optics], seen_for, tilt)
        else:
            images[i] = imaged(images[i][None, None], config.pixel_size, [optics] if optics else None, seen_for)[0, 0]
    if config.alignment_error:
        images = moved(images, rng.normal(0, config.alignment_error / config.pixel_size, (len(tilts), 2)))
    variance = images.var(dim=(1, 2)).mean()
    images *= (1 if config.contrast == "bright" else -1) * ((config.snr / variance).sqrt() if variance > 0 else 1.0)
    for image in images:
        image += noise(image.shape, rng, device)
    return images


def reconstruct_tomogram(
    images: torch.Tensor, config: SimulateTomogramsConfig, tilts: typing.Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tomogram of tilt images, its mean 0 and its standard deviation 1. images: (tilts, y, w), of photograph.
    tilts: degrees. Returns tomogram: (z, y, x). scale: no axes, what it was divided by."""
    volume = back_projected(images, tilts, config.thickness, config.size)
    scale = volume.std().clamp(min=1e-12)
    return (volume - volume.mean()) / scale, scale


def reconstruct_halves(
    images: torch.Tensor,
    tomogram: torch.Tensor,
    scale: torch.Tensor,
    config: SimulateTomogramsConfig,
    tilts: typing.Sequence[float],
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tomograms as of the even and the odd frames, whose mean is the tomogram.

    The noise n of the images has variance 1. With another noise m of the same strength, n + m and n - m are
    independent, and each has the noise of half of the exposure.

    images: (tilts, y, w), of photograph. tomogram: (z, y, x), reconstruct's of them. scale: no axes, reconstruct's of
    them. tilts: degrees. Returns even, odd: (z, y, x) each."""
    other = torch.stack([noise(image.shape, rng, image.device) for image in images])
    difference = back_projected(other, tilts, config.thickness, config.size) / scale
    return tomogram + difference, tomogram - difference
