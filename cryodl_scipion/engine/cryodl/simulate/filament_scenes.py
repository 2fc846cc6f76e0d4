# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs of filaments of every kind, for the training of a filament picker.

A filament is a cross-section of blobs that is repeated along a smooth curve with a rise and a twist: tubes, filled
rods, ribbons that cross over, thin strands of beads. They are made at the network's own scale, as in
training_micrographs.py."""

import dataclasses
import math

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from ..core.fourier import frequencies
from . import artefacts, noise, training_micrographs

SIDE = 512
STATED = (0.65, 1.5)  # the stated diameter of a filament over its own
WIDTHS = (45.0, 350.0)  # Å: diameters of filaments
STEP = 0.5  # px from one place of a centre line to the next
BEADS = 3  # random blobs of which a subunit is made
SNR = (0.02, 4.0)  # variance within the filaments over that of the noise, in pixels of the scene
EMPTY = 0.15  # of the micrographs show no filament


@dataclasses.dataclass(frozen=True)
class FilamentScene:
    """A simulated micrograph of filaments.

    image: (h, w) float32 tensor, dark protein, noise of standard deviation about 1. lines: list of (n, 2) yx px, centre
    lines of the filaments. uncertain: (h, w) bool tensor, where nobody could say. width: px of a filament's diameter.
    pixel_size: Å/px that the scene stands for."""

    image: torch.Tensor
    lines: list
    uncertain: torch.Tensor
    width: float
    pixel_size: float


@dataclasses.dataclass(frozen=True)
class CrossSection:
    """What a filament repeats. Lengths in parts of its diameter, angles in radians. radius, angle, height: (m,) places
    of the blobs. weight: (m,). sigma: width of a blob. rise, twist: from one repeat to the next."""

    radius: np.ndarray
    angle: np.ndarray
    height: np.ndarray
    weight: np.ndarray
    sigma: float
    rise: float
    twist: float


def random_filament_scene(diameter_px: float, rng: np.random.Generator, side: int = SIDE) -> FilamentScene:
    """One micrograph of one kind of filament; some show none. diameter_px: px, of the stated diameter. rng: numpy
    Generator, source of all choices. side: of the micrograph, px."""
    width = diameter_px / float(np.exp(rng.uniform(*np.log(STATED))))
    pixel_size = float(np.exp(rng.uniform(*np.log(WIDTHS)))) / width
    section, shape = random_section(rng), (side, side)
    lines = [] if rng.random() < EMPTY else random_lines(shape, width, rng)
    clean = sum((draw_filament(line, section, width, shape, rng) for line in lines), torch.zeros(shape))
    strength = clean[_near(lines, shape, 0.5 * width)].std().clamp(min=1e-6) if lines else torch.ones(())
    clean = clean / strength + _globules(shape, width, rng)
    image = (
        training_micrographs.exposed(clean, pixel_size, shape, rng, SNR)
        if clean.std() > 0
        else torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    )
    image = artefacts.as_recorded(image + _coloured(shape, rng), 2 * width, rng)
    image, uncertain = _with_artefacts(image, width, rng)
    return FilamentScene(image, lines, uncertain, width, pixel_size)


def random_section(rng: np.random.Generator) -> CrossSection:
    """A tube, a filled rod, a ribbon or a strand of beads, with the subunits' own detail."""
    kind, rise = rng.random(), float(np.exp(rng.uniform(math.log(0.05), math.log(0.8))))
    twist = float(rng.uniform(-math.pi, math.pi))
    if kind < 0.35:  # a tube of protofilaments
        count = int(rng.integers(6, 18))
        radius, angle = np.full(count, rng.uniform(0.3, 0.42)), 2 * np.pi * np.arange(count) / count
        height = rise * int(rng.integers(0, 4)) * np.arange(count) / count
        twist = 0.0 if rng.random() < 0.5 else float(rng.uniform(-0.3, 0.3))
    elif kind < 0.6:  # a rod
        count = int(rng.integers(5, 16))
        radius = 0.4 * np.sqrt(rng.random(count))
        angle, height = rng.uniform(0, 6.3, count), rng.uniform(0, rise, count)
    elif kind < 0.8:  # a ribbon that crosses over slowly
        count = int(rng.integers(4, 10))
        along = np.linspace(-0.4, 0.4, count)
        radius, angle, height = np.abs(along), np.where(along < 0, np.pi, 0.0), np.zeros(count)
        twist = float(rng.uniform(0.01, 0.2)) * rise * rng.choice([-1, 1])
    else:  # beads, as of actin
        count = int(rng.integers(1, 4))
        radius, angle, height = np.full(count, rng.uniform(0.1, 0.28)), rng.uniform(0, 6.3, count), np.zeros(count)
    sigma = float(rng.uniform(0.05, 0.13)) if kind < 0.8 else float(rng.uniform(0.1, 0.18))
    beads = lambda values, spread: (values[:, None] + spread * rng.normal(0, 1, (len(values), BEADS))).ravel()
    weight = np.repeat(rng.uniform(0.5, 1.5, len(radius)), BEADS) * rng.uniform(0.3, 1.0, len(radius) * BEADS)
    return CrossSection(
        np.clip(np.abs(beads(radius, 0.04)), 0, 0.45),
        beads(angle, 0.1),
        beads(height, 0.1 * rise),
        weight,
        sigma,
        rise,
        twist,
    )


def random_lines(shape: tuple[int, int], width: float, rng: np.random.Generator) -> list:
    """Centre lines of the filaments of a micrograph, (n, 2) yx px each, STEP apart: from one to a mesh, alone, side by
    side or crossing."""
    bend = float(np.exp(rng.uniform(math.log(0.02), math.log(1.2))))  # radians over the micrograph
    aligned, heading = rng.random() < 0.3, rng.uniform(0, np.pi)
    maximum = max(2.0, 0.5 * max(shape) / width)
    lines = []
    for _ in range(int(np.exp(rng.uniform(0, math.log(maximum))))):
        lines.append(_curve(shape, heading + rng.normal(0, 0.1) if aligned else rng.uniform(0, np.pi), bend, rng))
        if rng.random() < 0.2:  # one beside it
            tangent = np.gradient(lines[-1], axis=0) / STEP
            lines.append(lines[-1] + rng.uniform(1.0, 1.8) * width * np.stack([-tangent[:, 1], tangent[:, 0]], 1))
    return [line for line in (_cut(line, shape, width, rng) for line in lines) if line is not None]


def draw_filament(
    line: np.ndarray, section: CrossSection, width: float, shape: tuple[int, int], rng: np.random.Generator
) -> torch.Tensor:
    """(h, w) projection of a filament, protein bright. line: (n, 2) yx px, STEP apart. width: px of its diameter."""
    length = STEP * (len(line) - 1)
    repeats = np.arange(int(length / (section.rise * width)) + 1)
    rotation, spin = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    phase = (section.angle[None] + spin * section.twist * repeats[:, None] + rotation).ravel()
    along = ((section.height[None] + section.rise * repeats[:, None]) * width).ravel()
    across = (section.radius[None] * np.cos(phase.reshape(len(repeats), -1))).ravel() * width
    weight, keep = np.tile(section.weight, len(repeats)) * section.rise, along <= length
    position, tangent = along[keep] / STEP, np.gradient(line, axis=0) / STEP
    at = lambda table: np.stack([np.interp(position, np.arange(len(line)), table[:, axis]) for axis in (0, 1)], 1)
    middle, direction = at(line), at(tangent)
    positions = middle + across[keep, None] * np.stack([-direction[:, 1], direction[:, 0]], 1)
    reach = int(4 * section.sigma * width) + 2
    canvas = _splat(positions + reach, weight[keep], (shape[0] + 2 * reach, shape[1] + 2 * reach))
    sigma, strength = max(0.5, section.sigma * width), math.exp(rng.uniform(-0.25, 0.25))
    return strength * torch.from_numpy(gaussian_filter(canvas, sigma)[reach:-reach, reach:-reach].astype(np.float32))


def crossings(lines: list, width: float) -> np.ndarray:
    """Positions at which two filaments cross or overlap: their centre lines come within 0.75 of a width. lines: (n, 2),
    yx px along each filament. width: px. Returns (n, 2), yx px."""
    found = [np.zeros((0, 2))]
    for index, line in enumerate(lines):
        for other in lines[:index]:
            distance, nearest = cKDTree(other).query(line, distance_upper_bound=0.75 * width)
            near = np.isfinite(distance)
            found.append(0.5 * (line[near] + other[nearest[near]]))
    return np.vstack(found)


def _curve(shape: tuple[int, ...], heading: float, bend: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) positions STEP apart on a smooth curve through the whole micrograph and beyond."""
    number = int(2 * math.hypot(*shape) / STEP)
    along = np.linspace(-1, 1, number)
    waves = sum(rng.normal(0, 1 / k) * np.sin(np.pi * k * along + rng.uniform(0, 6.3)) for k in (1, 2, 3, 5))
    angle = heading + bend * waves
    line = np.cumsum(STEP * np.stack([np.sin(angle), np.cos(angle)], 1), 0)
    return line - line[number // 2] + rng.uniform(0, 1, 2) * np.array(shape)


def _cut(line: np.ndarray, shape: tuple[int, ...], width: float, rng: np.random.Generator) -> np.ndarray | None:
    """The part of a line within the micrograph, or a random piece of it; None if it is shorter than three widths."""
    inside = ((line > -width) & (line < np.array(shape) + width)).all(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    if not len(edges):
        return None
    start, stop = max(edges.reshape(-1, 2), key=lambda run: run[1] - run[0])
    minimum = int(3 * width / STEP)
    if rng.random() < 0.4 and stop - start > 2 * minimum:  # an end, or two
        length = int(rng.integers(minimum, stop - start))
        start += int(rng.integers(stop - start - length + 1))
        stop = start + length
    return line[start:stop] if stop - start > minimum else None


def _splat(positions: np.ndarray, weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) sum of weights at positions (n, 2), shared out to the four nearest pixels."""
    canvas, low = np.zeros(shape), np.floor(positions).astype(int)
    part = positions - low
    for dy in (0, 1):
        for dx in (0, 1):
            at = low + (dy, dx)
            corner_weight = weight * np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            keep = ((at >= 0) & (at < shape)).all(1)
            np.add.at(canvas, tuple(at[keep].T), corner_weight[keep])
    return canvas


def _near(lines: list, shape: tuple[int, ...], distance: float) -> torch.Tensor:
    far = np.ones(shape, bool)
    for line in lines:
        at = np.rint(line).astype(int)
        at = at[((at >= 0) & (at < shape)).all(1)]
        far[tuple(at.T)] = False
    return (
        torch.from_numpy(distance_transform_edt(far) <= distance)
        if not far.all()
        else torch.zeros(shape, dtype=torch.bool)
    )


def _coloured(shape: tuple[int, int], rng: np.random.Generator) -> torch.Tensor:
    """(h, w) noise that falls with frequency, as of ice, up to twice as strong as that of the detector; or none."""
    extent, power = float(np.exp(rng.uniform(math.log(3), math.log(40)))), float(rng.uniform(0.6, 1.6))
    strength = float(rng.uniform(-1, 2))
    return max(0.0, strength) * noise.shaped_noise((1 + (extent * frequencies(shape)) ** 2) ** -power, shape, rng)


def _globules(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> torch.Tensor:
    """Single particles beside the filaments: clusters of blobs of 0.3 to 3 widths, as strong as filaments or more."""
    if rng.random() < 0.4:
        return torch.zeros(shape)

    extent = width * float(np.exp(rng.uniform(math.log(0.3), math.log(3.0))))
    count = int(np.exp(rng.uniform(0, math.log(max(3.0, 0.5 * shape[0] * shape[1] / (extent + width) ** 2)))))
    blobs, centres = int(rng.integers(1, 9)), rng.uniform(0, 1, (count, 1, 2)) * shape
    offsets = rng.normal(0, 0.25 * extent, (count, blobs, 2)) if blobs > 1 else np.zeros((count, 1, 2))
    positions = (centres + offsets).reshape(-1, 2)
    image = gaussian_filter(_splat(positions, np.ones(len(positions)), shape), max(0.6, extent * rng.uniform(0.1, 0.2)))
    strength = float(np.exp(rng.uniform(math.log(0.5), math.log(5.0))))
    return torch.from_numpy((image / max(image.max(), 1e-9)).astype(np.float32)) * strength


def _with_artefacts(image: torch.Tensor, width: float, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Carbon, ice, specks, gradients. Filaments on carbon are marked by some people and not by others."""
    uncertain = torch.zeros(image.shape, dtype=torch.bool)
    if rng.random() < 0.3:
        image, uncertain = artefacts.add_carbon(image, 3 * width, rng)
    if rng.random() < 0.4:
        image, ice = artefacts.add_ice(image, int(rng.integers(1, 10)), 3 * width, rng)
        uncertain = uncertain | ice
    return artefacts.add_some_dirt(image, 2 * width, rng), uncertain
