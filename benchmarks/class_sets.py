# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up particles of which some are bad, sorted into 2-D classes: what the choice of classes is learnt from and
measured on.

A good particle shows one molecule within a few pixels of its box's middle. A bad one shows nothing, a molecule at the
edge, two molecules, ice, or the edge of carbon. The averages are those of `cryodl classify-2d` itself, with its errors
of alignment and its mixtures.
"""

import dataclasses
import sys
import zlib
from pathlib import Path

import numpy as np
from class_ranker_data import _carbon, _ice
from classes2d_data import BOX, PER_MICROGRAPH, SHIFT, _write_star, random_optics, structure_file
from common import ROOT

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
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
        from cryodl.particles.classes2d.features import curve_numbers, small_images

        self.images, self.numbers = small_images(images, mask_px).numpy(), curve_numbers(curves).numpy()
        return self.ranker.scores(images, curves, mask_px)


def class_set(folder, name, count, classes, bad, snr, seed):
    """The ClassSet of particles made and sorted anew, or the one kept in the folder.

    name: of a structure. bad: fraction of the particles. snr: see make_particles.
    """
    path = Path(folder) / f"{name}-{count}-{classes}-{bad:g}-{snr:g}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _sorted_set(path.with_suffix(""), name, count, classes, bad, snr, seed)
        np.savez(path, **dataclasses.asdict(found))
    with np.load(path) as kept:
        return ClassSet(**{field.name: kept[field.name] for field in dataclasses.fields(ClassSet)})


def _sorted_set(folder, name, count, classes, bad, snr, seed):
    import shutil

    import torch

    from cryodl.contract import Classify2DConfig
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.classes2d.answer import finished_answer
    from cryodl.particles.classes2d.ranker import load_ranker
    from cryodl.particles.classes2d.records import load_or_make
    from cryodl.particles.classes2d.run import classify
    from cryodl.particles.classes2d.settings import class_settings

    folder.mkdir(parents=True, exist_ok=True)
    star, good = make_particles(folder, name, count, bad, snr, seed)
    config = Classify2DConfig(particles=str(star), output=str(folder / "out"), classes=classes, contrast="bright")
    particles = read_particles(str(star))
    settings = class_settings(config, particles)
    records = load_or_make(folder, particles, settings.scale, lambda done: None)
    device = torch.device("cpu")
    work, _ = classify(records, classes, settings.reach_px, config.epochs, seed, device, lambda done: None)
    seen = Seen(load_ranker())
    answer = finished_answer(work, particles, records, settings, seen, device)
    shutil.rmtree(folder)
    part = np.array([good[answer.labels == n + 1].mean() if answer.counts[n] else 0 for n in range(classes)])
    there = answer.counts > 0
    return ClassSet(*(v[there] for v in (seen.images, seen.numbers, answer.counts, part, answer.quality)))


def make_particles(folder, name, count, bad, snr, seed):
    """Write particles.star and its stack; returns its path and (n,) bool, which particles are good.

    snr: variance of the noise-free, CTF-filtered images of good particles over the whole box over the noise's.
    """
    import torch

    from cryodl.core.optics import ctf_of_optics
    from cryodl.io.particle_sets import StackWriter
    from cryodl.simulate.particle_images import noise_images

    rng = np.random.default_rng(seed)
    projector, pixel_size = projector_of(name)
    optics = [random_optics(rng) for _ in range(-(-count // PER_MICROGRAPH))]
    optics = [optics[i // PER_MICROGRAPH] for i in range(count)]
    good = rng.random(count) >= bad
    signals = torch.stack([_good(projector, rng) if one else _bad(projector, rng) for one in good])
    signals = torch.fft.irfft2(torch.fft.rfft2(signals) * ctf_of_optics(optics, BOX, pixel_size), s=(BOX, BOX))
    scale = (snr / signals[torch.from_numpy(good)].var(dim=(1, 2)).mean()) ** 0.5
    with StackWriter(str(folder / "particles.mrcs"), count, BOX, pixel_size) as stack:
        stack.add(scale * signals + noise_images(count, BOX, rng))
    _write_star(folder / "particles.star", optics, BOX, pixel_size)
    return folder / "particles.star", good


def projector_of(name):
    """Projector whose projections have a deviation of 1, and the pixel size at which the particle fills its part."""
    from cryodl.simulate.micrographs import particle_diameter
    from cryodl.simulate.particle_images import load_projector
    from cryodl.simulate.structures import load_density

    diameter = particle_diameter(load_density(str(structure_file(name)), 8.0), 8.0)
    pixel_size = diameter / (FILLED * BOX)
    return load_projector(structure_file(name), pixel_size, BOX)[0], pixel_size


def _view(projector, rng, centre=(0.0, 0.0)):
    from cryodl.core.projections import random_angles

    shift = rng.uniform(-SHIFT, SHIFT, (1, 2)) + centre
    return projector.project(random_angles(1, rng), shift)[0]


def _good(projector, rng):
    return _view(projector, rng)


def _bad(projector, rng):
    kind = rng.choice(KINDS)
    direction = rng.uniform(0, 2 * np.pi)
    along = np.array([np.sin(direction), np.cos(direction)]) * FILLED * BOX
    if kind == "nothing":
        return 0 * _view(projector, rng)
    if kind == "at the edge":
        return _view(projector, rng, along * rng.uniform(0.5, 0.9))
    if kind == "two":
        return _view(projector, rng, along * 0.5) + _view(projector, rng, -along * rng.uniform(0.4, 0.6))
    field = _ice(rng) if kind == "ice" else _carbon(rng)
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
