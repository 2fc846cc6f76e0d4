# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated particles for 2-D classes: mixtures of molecules of known truth, and sets of which some are bad.

SNR: variance of the noise-free, CTF-filtered images over the whole box over the variance of the noise.
"""

import dataclasses
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
from bench import structure_file

from cryodl.contract import Classify2DConfig
from cryodl.core.optics import Optics, ctf_of_optics
from cryodl.core.projections import random_angles
from cryodl.io import structures
from cryodl.io.particle_sets import StackWriter, read_particles
from cryodl.io.particles import CTF, optics_group
from cryodl.io.star import write_tables
from cryodl.particles.classes2d.classify import classify
from cryodl.particles.classes2d.records import class_settings, load_or_make
from cryodl.particles.classes2d.results import curve_numbers, finished_answer, load_ranker, small_images
from cryodl.simulate import micrographs, particle_images

MOLECULES = ("8BK7", "1AON", "4V4R_30S", "6VXX")
BOX, PIXEL_SIZE = 64, 4.0
CHUNK = 256
SHIFT = 3.0  # px, largest distance of a particle from its box's middle along y and x
PER_MICROGRAPH = 100


def random_optics(rng: np.random.Generator):
    """A micrograph's Optics: 300 kV, 0.8 to 2.4 micrometres, astigmatism to 400 Å."""
    mean, half = rng.uniform(8000, 24000), rng.uniform(0, 400) / 2
    return Optics(mean + half, mean - half, rng.uniform(0, 180), 300.0, 2.7, 0.1)


def microscopes(count, rng):
    """Optics of each particle, PER_MICROGRAPH of which lie on a micrograph."""
    optics = [random_optics(rng) for _ in range(-(-count // PER_MICROGRAPH))]
    return [optics[i // PER_MICROGRAPH] for i in range(count)]


def make_mixture(folder, names, count, snr, box=BOX, pixel_size=PIXEL_SIZE, seed=1):
    """Write particles.star, its stack and truth.npz (molecule, angles, shifts_yx) into a folder, once.

    names: structures, which the particles show with equal weight, in random order. snr: variance of the noise-free,
    CTF-filtered images over the whole box over the variance of the noise, the mean of each molecule's particles.
    Returns the path of particles.star.
    """
    if (folder / "particles.star").exists():
        return folder / "particles.star"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    optics = microscopes(count, rng)
    molecule, angles = rng.integers(len(names), size=count), random_angles(count, rng)
    shifts = rng.uniform(-SHIFT, SHIFT, (count, 2))
    projectors = [particle_images.load_projector(structure_file(name), pixel_size, box)[0] for name in names]

    def seen(rows):
        views = torch.zeros(len(rows), box, box)
        for number, projector in enumerate(projectors):
            mine = np.nonzero(molecule[rows] == number)[0]
            if len(mine):
                views[mine] = projector.project(angles[rows[mine]], shifts[rows[mine]])
        ctf = ctf_of_optics([optics[i] for i in rows], box, pixel_size)
        return torch.fft.irfft2(torch.fft.rfft2(views) * ctf, s=(box, box))

    sample = np.arange(min(count, 600))
    variance = seen(sample).var(dim=(1, 2)).numpy()
    scale = np.array([(snr / variance[molecule[sample] == n].mean()) ** 0.5 for n in range(len(names))])
    with StackWriter(str(folder / "particles.mrcs"), count, box, pixel_size) as stack:
        for start in range(0, count, CHUNK):
            rows = np.arange(start, min(start + CHUNK, count))
            images = seen(rows) * torch.from_numpy(scale[molecule[rows]]).float()[:, None, None]
            stack.add(images + particle_images.noise_images(len(rows), box, rng))
    np.savez(folder / "truth.npz", molecule=molecule, angles=angles, shifts_yx=shifts)
    write_star(folder / "particles.star", optics, box, pixel_size)
    return folder / "particles.star"


def write_star(path, optics, box, pixel_size):
    count = len(optics)
    write_tables(
        path,
        {
            "optics": {name: [value] for name, value in optics_group(optics[0], pixel_size, box).items()},
            "particles": {
                "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(count)],
                "rlnMicrographName": [f"simulated_{i // PER_MICROGRAPH + 1:06d}.mrc" for i in range(count)],
                **dict(zip(CTF, zip(*((o.defocus_u, o.defocus_v, o.defocus_angle) for o in optics)))),
                "rlnOpticsGroup": np.ones(count, int),
            },
        },
    )


def field(sigma, rng):
    """A smooth random field of deviation 1 within a circle."""
    white, axis = torch.from_numpy(rng.standard_normal((BOX, BOX), dtype="float32")), torch.fft.fftfreq(BOX)
    damp = torch.exp(-2 * (np.pi * sigma) ** 2 * (axis[:, None] ** 2 + axis[None] ** 2))
    field = torch.fft.ifft2(torch.fft.fft2(white) * damp).real
    y, x = axes()
    return field / field.std() * (0.5 + (29 - (y**2 + x**2).sqrt()) / 2).clamp(0, 1)


def axes():
    axis = torch.arange(BOX).float() - BOX // 2
    return axis[:, None], axis[None]


def ice(rng):
    """Blobs and facets of high contrast, of either sign."""
    image, (y, x) = torch.zeros(BOX, BOX), axes()
    for _ in range(rng.integers(1, 5)):
        cy, cx = rng.uniform(-20, 20, 2)
        size, sides = rng.uniform(3, 16), rng.choice([0, 6])
        radius = ((y - cy) ** 2 + (x - cx) ** 2).sqrt()
        if sides:
            angle = torch.atan2(y - cy, x - cx) + rng.uniform(0, 1)
            radius = radius * torch.cos((angle % (np.pi / 3)) - np.pi / 6)
        image = image + rng.uniform(0.5, 3) * (0.5 + (size - radius) / rng.uniform(1, 6)).clamp(0, 1)
    return image * rng.choice([-1, 1, 1]) * rng.uniform(0.5, 3) + 0.2 * field(2, rng)


def carbon(rng):
    """A curved edge between two levels, with texture on one side."""
    y, x = axes()
    direction, offset, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-20, 20), rng.uniform(-0.008, 0.008)
    along, across = x * np.cos(direction) + y * np.sin(direction), y * np.cos(direction) - x * np.sin(direction)
    side = (0.5 + (along - offset - bend * across**2) / rng.uniform(2, 10)).clamp(0, 1)
    return rng.uniform(0.5, 3) * rng.choice([-1, 1]) * (side + rng.uniform(0, 0.4) * side * field(1.5, rng))


KINDS = ("nothing", "at the edge", "two", "ice", "carbon")  # of bad particles
FILLED = 0.62  # of the box: the particle's diameter
ICE = 3.0  # deviations of the signal that ice has, about


@dataclasses.dataclass(frozen=True)
class ClassSet:
    """Averages of one classification as the ranker sees them.

    images: (k, 1, 40, 40). numbers: (k, 2). counts: (k,) particles. good: (k,) fraction of them that is good.
    scores: (k,) of the shipped ranker.
    """

    images: np.ndarray
    numbers: np.ndarray
    counts: np.ndarray
    good: np.ndarray
    scores: np.ndarray


class Seen:
    """A ranker that keeps what it is shown."""

    def __init__(self, ranker):
        self.ranker = ranker

    def scores(self, images, curves, mask_px):
        self.images, self.numbers = small_images(images, mask_px).numpy(), curve_numbers(curves).numpy()
        return self.ranker.scores(images, curves, mask_px)


def class_set(folder, name, count, classes, bad, snr, seed):
    """The ClassSet of particles made and sorted anew, or the one kept in the folder.

    name: of a structure. bad: fraction of the particles. snr: see make_particles.
    """
    path = Path(folder) / f"{name}-{count}-{classes}-{bad:g}-{snr:g}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **dataclasses.asdict(_sorted_set(path.with_suffix(""), name, count, classes, bad, snr, seed)))
    with np.load(path) as kept:
        return ClassSet(**{field.name: kept[field.name] for field in dataclasses.fields(ClassSet)})


def _sorted_set(folder, name, count, classes, bad, snr, seed):
    folder.mkdir(parents=True, exist_ok=True)
    star, good = make_particles(folder, name, count, bad, snr, seed)
    config = Classify2DConfig(particles=str(star), output=str(folder / "out"), classes=classes, contrast="bright")
    particles = read_particles(str(star))
    settings = class_settings(config, particles)
    records = load_or_make(folder, particles, settings.scale, lambda done: None)
    device = torch.device("cpu")
    work, _ = classify(records, classes, settings.reach_px, config.epochs, seed, device, lambda *_: None)
    seen = Seen(load_ranker())
    answer = finished_answer(work, particles, settings, seen)
    shutil.rmtree(folder)
    part = np.array([good[answer.labels == n + 1].mean() if answer.counts[n] else 0 for n in range(classes)])
    there = answer.counts > 0
    return ClassSet(*(v[there] for v in (seen.images, seen.numbers, answer.counts, part, answer.quality)))


def make_particles(folder, name, count, bad, snr, seed):
    """Write particles.star and its stack; returns its path and (n,) bool, which particles are good.

    snr: variance of the noise-free, CTF-filtered images of good particles over the whole box over the noise's.
    """
    rng = np.random.default_rng(seed)
    projector, pixel_size = projector_of(name)
    optics, good = microscopes(count, rng), rng.random(count) >= bad
    signals = torch.stack([_view(projector, rng) if one else _bad(projector, rng) for one in good])
    signals = torch.fft.irfft2(torch.fft.rfft2(signals) * ctf_of_optics(optics, BOX, pixel_size), s=(BOX, BOX))
    scale = (snr / signals[torch.from_numpy(good)].var(dim=(1, 2)).mean()) ** 0.5
    with StackWriter(str(folder / "particles.mrcs"), count, BOX, pixel_size) as stack:
        stack.add(scale * signals + particle_images.noise_images(count, BOX, rng))
    write_star(folder / "particles.star", optics, BOX, pixel_size)
    return folder / "particles.star", good


def projector_of(name):
    """Projector whose projections have a deviation of 1, and the pixel size at which the particle fills its part."""
    diameter = micrographs.particle_diameter(structures.load_density(str(structure_file(name)), 8.0), 8.0)
    pixel_size = diameter / (FILLED * BOX)
    return particle_images.load_projector(structure_file(name), pixel_size, BOX)[0], pixel_size


def _view(projector, rng, centre=(0.0, 0.0)):
    shift = rng.uniform(-SHIFT, SHIFT, (1, 2)) + centre
    return projector.project(random_angles(1, rng), shift)[0]


def _bad(projector, rng):
    kind, direction = rng.choice(KINDS), rng.uniform(0, 2 * np.pi)
    along = np.array([np.sin(direction), np.cos(direction)]) * FILLED * BOX
    if kind == "nothing":
        return 0 * _view(projector, rng)
    if kind == "at the edge":
        return _view(projector, rng, along * rng.uniform(0.5, 0.9))
    if kind == "two":
        return _view(projector, rng, along * 0.5) + _view(projector, rng, -along * rng.uniform(0.4, 0.6))
    field = ice(rng) if kind == "ice" else carbon(rng)
    return field * float(_view(projector, rng).std()) * ICE / max(float(field.std()), 1e-6)


def random_sets(folder, names, seed):
    """A ClassSet of each structure: 20 to 200 particles for each of 4 to 10 classes, no to many bad ones, SNR 0.02 to
    0.15, all drawn."""
    sets = []
    for name in names:
        rng = np.random.default_rng((zlib.crc32(name.encode()), seed))
        classes = int(rng.integers(4, 11))
        count = classes * int(np.exp(rng.uniform(np.log(20), np.log(200))))
        bad = float(rng.choice((0.0, 0.1, 0.2, 0.4, 0.7)))
        snr = round(float(np.exp(rng.uniform(np.log(0.02), np.log(0.15)))), 4)
        sets.append(class_set(folder, name, count, classes, bad, snr, seed))
    return sets
