# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated class averages, good and bad, as `cryodl classify-2d` makes them: what its ranker learns from.

A good average shows one view of one molecule, centred. Bad ones: molecules or views mixed, noise, off-centre, two
particles, ice, the edge of carbon.
"""

import sys

import numpy as np
from classes2d_data import random_optics, structure_file
from common import ROOT

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
import torch  # noqa: E402

from cryodl.core.fourier import on_grid, radial_mean  # noqa: E402
from cryodl.core.optics import ctf_of_optics  # noqa: E402
from cryodl.core.projections import random_angles  # noqa: E402
from cryodl.particles.classes2d.averages import wiener_averages  # noqa: E402
from cryodl.particles.classes2d.features import curve_numbers, small_images  # noqa: E402
from cryodl.simulate.particle_images import load_projector  # noqa: E402

BOX = 64
BAD = ("mixed molecules", "mixed views", "noise", "off-centre", "two particles", "ice", "carbon")
PIXEL_SIZE = 6.0  # Å: of the projections; averages are then made larger at random
VIEWS = 6  # projections of which the signal of an average is the mean


class Molecule:
    """A structure at PIXEL_SIZE, ready to be projected."""

    def __init__(self, name):
        self.projector, diameter, _ = load_projector(structure_file(name), PIXEL_SIZE, BOX)
        self.diameter_px = diameter / PIXEL_SIZE
        sample = self.projector.project(random_angles(16, np.random.default_rng(0)))
        self.scale = 1 / float(sample.var(dim=(1, 2)).mean()) ** 0.5

    def mean(self, spread, rotation, wander, rng, centre=(0, 0)):
        """(box, box) mean of projections about a random view. spread, rotation: degrees between views and in the plane.
        wander: px. centre: px."""
        angles = np.repeat(random_angles(1, rng), VIEWS, 0)
        if spread >= 180:
            angles = random_angles(VIEWS, rng)
        else:
            angles += rng.standard_normal((VIEWS, 3)) * (spread, spread, rotation)
            away = max(0.2, abs(np.sin(np.radians(angles[0, 1]))))  # near the poles, rot moves the view but little
            angles[:, 0] = angles[0, 0] + (angles[:, 0] - angles[0, 0]) / away
        shifts = rng.standard_normal((VIEWS, 2)) * wander + centre
        return self.scale * self.projector.project(angles, shifts).mean(0)


def good_signal(first, second, rng):
    """The signal of a good average."""
    centre = rng.uniform(-0.06, 0.06, 2) * first.diameter_px
    return first.mean(rng.uniform(1, 9), rng.uniform(1, 5), rng.uniform(0.2, 1.0), rng, centre)


def bad_signal(kind, first, second, rng):
    """The signal of a bad average of a kind."""
    if kind == "mixed molecules":
        part = rng.uniform(0.35, 0.65)
        one, two = (m.mean(rng.choice([8, 180]), 5, 1.0, rng) for m in (first, second))
        return part * one + (1 - part) * two
    if kind == "mixed views":
        return first.mean(rng.choice([60, 180]), rng.uniform(5, 60), rng.uniform(0.5, 3), rng)
    if kind == "noise":
        return _field(rng.uniform(1, 6), rng) * rng.uniform(0.02, 0.25)
    direction = rng.uniform(0, 2 * np.pi)
    along = np.array([np.sin(direction), np.cos(direction)]) * first.diameter_px
    if kind == "off-centre":
        return first.mean(rng.uniform(2, 12), 4, 1, rng, along * rng.uniform(0.3, 0.6))
    if kind == "two particles":
        gap = rng.uniform(0.3, 0.55)
        other = rng.choice([first, second])
        return first.mean(rng.choice([8, 40]), 5, 1, rng, along * gap) + other.mean(
            rng.choice([8, 40, 180]), 10, 2, rng, -along * gap * rng.uniform(0.7, 1.2)
        )
    return _ice(rng) if kind == "ice" else _carbon(rng)


def _field(sigma, rng):
    """A smooth random field of deviation 1 within a circle."""
    white = torch.from_numpy(rng.standard_normal((BOX, BOX), dtype="float32"))
    axis = torch.fft.fftfreq(BOX)
    damp = torch.exp(-2 * (np.pi * sigma) ** 2 * (axis[:, None] ** 2 + axis[None] ** 2))
    field = torch.fft.ifft2(torch.fft.fft2(white) * damp).real
    y, x = _axes()
    return field / field.std() * (0.5 + (29 - (y**2 + x**2).sqrt()) / 2).clamp(0, 1)


def _axes():
    axis = torch.arange(BOX).float() - BOX // 2
    return axis[:, None], axis[None]


def _ice(rng):
    """Blobs and facets of high contrast, of either sign."""
    image, (y, x) = torch.zeros(BOX, BOX), _axes()
    for _ in range(rng.integers(1, 5)):
        cy, cx = rng.uniform(-20, 20, 2)
        size = rng.uniform(3, 16)
        sides = rng.choice([0, 6])
        radius = ((y - cy) ** 2 + (x - cx) ** 2).sqrt()
        if sides:
            angle = torch.atan2(y - cy, x - cx) + rng.uniform(0, 1)
            radius = radius * torch.cos((angle % (np.pi / 3)) - np.pi / 6)
        image = image + rng.uniform(0.5, 3) * (0.5 + (size - radius) / rng.uniform(1, 6)).clamp(0, 1)
    return image * rng.choice([-1, 1, 1]) * rng.uniform(0.5, 3) + 0.2 * _field(2, rng)


def _carbon(rng):
    """A curved edge between two levels, with texture on one side."""
    y, x = _axes()
    direction, offset, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-20, 20), rng.uniform(-0.008, 0.008)
    along, across = x * np.cos(direction) + y * np.sin(direction), y * np.cos(direction) - x * np.sin(direction)
    side = (0.5 + (along - offset - bend * across**2) / rng.uniform(2, 10)).clamp(0, 1)
    return rng.uniform(0.5, 3) * rng.choice([-1, 1]) * (side + rng.uniform(0, 0.4) * side * _field(1.5, rng))


def zoomed(image, factor):
    """An image with its contents larger by a factor, about its middle."""
    axis = _axes()[1][0] / factor + BOX // 2
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")[::-1], -1) * 2 / (BOX - 1) - 1
    return torch.nn.functional.grid_sample(image[None, None], grid[None], mode="bicubic", align_corners=True)[0, 0]


def make_average(signal, first, rng):
    """Small image (40, 40) and two numbers of an average: noise of its members, CTF, and the filter, as in a run."""
    members, snr = np.exp(rng.uniform(np.log(15), np.log(600))), np.exp(rng.uniform(np.log(0.02), np.log(0.2)))
    filled = rng.uniform(0.45, 0.75) * BOX  # px that the particle is wide
    zoom = filled / first.diameter_px
    pixel_size = PIXEL_SIZE / zoom
    signal = zoomed(signal, zoom)
    ctf = ctf_of_optics([random_optics(rng) for _ in range(6)], BOX, pixel_size)
    weights = radial_mean(ctf.square(), BOX).mean(0) * members / 2
    strength = (snr / 0.3) ** 0.5  # of the variance, the CTF leaves about 0.3
    white = torch.from_numpy(rng.standard_normal((2, BOX, BOX), dtype="float32"))
    transform = strength * torch.fft.rfft2(signal) * on_grid(weights, BOX)
    sums = torch.fft.irfft2(transform + torch.fft.rfft2(white) * on_grid(weights.sqrt(), BOX), s=(BOX, BOX))
    mask_px = min(0.45 * BOX, filled / 2 * rng.uniform(1.05, 1.5))
    found = wiener_averages(sums[None], weights.expand(1, 2, -1), mask_px, pixel_size)
    return small_images(found.images, mask_px)[0], curve_numbers(found.curves)[0]


def make_set(names, count, seed):
    """Images (n, 1, 40, 40), numbers (n, 2), labels (n,) and kinds of `count` averages, half of them good."""
    rng = np.random.default_rng(seed)
    molecules = [Molecule(name) for name in names]
    images, numbers, labels, kinds = [], [], [], []
    for number in range(count):
        first, second = (molecules[i] for i in rng.choice(len(molecules), 2, replace=False))
        kind = "good" if number % 2 else BAD[(number // 2) % len(BAD)]
        signal = good_signal(first, second, rng) if kind == "good" else bad_signal(kind, first, second, rng)
        image, pair = make_average(signal, first, rng)
        images.append(image), numbers.append(pair), labels.append(float(kind == "good")), kinds.append(kind)
    return torch.stack(images), torch.stack(numbers), torch.tensor(labels), kinds


def keep_real(folder, name, good, bad, use):
    """Add the averages of a classification of real particles to real_classes/, with labels given by eye.

    folder: of `cryodl classify-2d`. name: of the set. good, bad: class numbers; others are kept as 'uncertain'. use:
    'train' or 'test'.
    """
    import csv
    from pathlib import Path

    from cryodl.io.particle_sets import StackWriter, read_particles
    from cryodl.particles.classes2d.averages import average_classes

    target, particles = Path(__file__).resolve().parent / "real_classes", read_particles(f"{folder}/particles.star")
    rows = np.nonzero(particles.classes)[0]
    origins = np.array([[float(v) for v in particles.columns[f"rlnOrigin{axis}Angst"]] for axis in "YX"]).T
    psi = np.array(particles.columns["rlnAnglePsi"], float)
    mask_px, count = 0.45 * particles.box, int(particles.classes.max())
    found = average_classes(
        particles,
        rows,
        particles.classes[rows] - 1,
        -origins[rows] / particles.pixel_size,
        -np.radians(psi[rows]),
        count,
        1.0,
        mask_px,
        torch.device("cpu"),
        lambda done: None,
    )
    small, numbers = small_images(found.images, mask_px)[:, 0], curve_numbers(found.curves)
    target.mkdir(exist_ok=True)
    with StackWriter(str(target / f"{name}.mrcs"), count, small.shape[-1], 1.0) as stack:
        stack.add(small)
    known, path = [], target / "labels.csv"
    if path.exists():
        with open(path, newline="") as file:
            known = [row for row in csv.DictReader(file) if row["set"] != name]
    words = {**dict.fromkeys(good, "good"), **dict.fromkeys(bad, "bad")}
    known += [
        dict(
            set=name,
            stack=f"{name}.mrcs",
            image=n,
            label=words.get(n, "uncertain"),
            use=use,
            mean_frc=f"{pair[0]:.4f}",
            frc_half=f"{pair[1]:.4f}",
        )
        for n, pair in enumerate(numbers.tolist(), 1)
    ]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(known[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(known)
