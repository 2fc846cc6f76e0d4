# SPDX-License-Identifier: GPL-3.0-or-later
"""Lipid bilayers: closed vesicles with bumps, and open sheets that cross the tomogram."""

import dataclasses
import typing

import numpy as np

from .cells import Part, blobs

SMALLEST, LARGEST = 200.0, 1500.0  # Å, radii of vesicles
BLUR_PX = 0.45  # as that of structures
ANCHOR = 35.0  # Å from one blob of a membrane protein to the next, along the normal


@dataclasses.dataclass(frozen=True)
class Bilayer:
    """How a membrane looks. Lengths in Å; solvent has the density 0, protein 1.

    leaflets: from the middle of one layer of head groups to the other's. thickness: of the bilayer, head groups and
    all: what is labelled. head_sigma: of a layer of head groups; heads: its density. core: density of the fatty tails.
    coat: (distance, sigma, density) of a layer of protein on the inner side of a vesicle (distance below 0) or its
    outer one, or None. proteins: membrane proteins for each Å² of it; reach: (least, largest) length that they stand
    out on one side; protein_sigma: of the blobs that they are made of.
    """

    leaflets: float = 40.0
    thickness: float = 55.0
    head_sigma: float = 7.0
    heads: float = 1.5
    core: float = -0.25
    coat: tuple[float, float, float] | None = None
    proteins: float = 0.0
    reach: tuple[float, float] = (30.0, 120.0)
    protein_sigma: float = 18.0


def vesicle(
    shape: tuple[int, ...],
    pixel_size: float,
    rng: np.random.Generator,
    bilayer: Bilayer = Bilayer(),
    largest: float = LARGEST,
) -> Part:
    """A Part: an ellipsoid with bumps; it may be cut by the cell's borders, its centre lies within.

    largest: Å, of its radius; and at most 0.3 of the cell's width.
    """
    largest = min(largest, 0.3 * pixel_size * max(shape[1:]))
    radius = np.exp(rng.uniform(np.log(min(SMALLEST, largest)), np.log(largest))) / pixel_size
    axes, centre = radius * rng.uniform(0.75, 1.25, 3), rng.uniform(0, 1, 3) * np.array(shape)
    waves, phases, heights = rng.normal(0, 1.5, (4, 3)), rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.01, 0.05, 4)

    def level(positions: np.ndarray) -> np.ndarray:
        """0 on the surface, negative within."""
        position = positions - centre
        length = np.maximum(np.linalg.norm(position, axis=-1), 1e-6)
        direction = position / length[:, None]
        bumps = 1 + (heights * np.cos(direction @ waves.T + phases)).sum(-1)
        return length * np.linalg.norm(direction / axes, axis=-1) / bumps - 1

    width = _seen_width(bilayer) / pixel_size
    reach = 1.6 * axes.max() + 2 * width
    near = 1.5 * width / axes.min() + 2 / axes.min()
    return _part(level, near, (centre, reach), shape, pixel_size, bilayer, rng)


def sheet(shape: tuple[int, ...], pixel_size: float, rng: np.random.Generator, bilayer: Bilayer = Bilayer()) -> Part:
    """A Part: a wavy plane through the cell, across the plane of the tomogram more than along it."""
    rotation, lean = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    normal = np.array([np.sin(lean), np.cos(lean) * np.sin(rotation), np.cos(lean) * np.cos(rotation)])
    across = np.linalg.svd(normal[None])[2][1:]
    size = max(shape)
    waves = (rng.normal(0, 1, (3, 2)) @ across) * (2 * np.pi / size)
    phases, heights = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.01, 0.06, 3) * size
    through = rng.uniform(0.2, 0.8, 3) * np.array(shape)

    def level(positions: np.ndarray) -> np.ndarray:
        return (positions - through) @ normal - (heights * np.cos(positions @ waves.T + phases)).sum(-1)

    near = 2.5 * (1.5 * _seen_width(bilayer) / pixel_size + 2)
    return _part(level, near, (np.array(shape) / 2, size), shape, pixel_size, bilayer, rng)


def _seen_width(bilayer: Bilayer) -> float:
    """Å, twice as far from the middle as a membrane has density: its proteins do not count."""
    return max(bilayer.thickness, 2 * (abs(bilayer.coat[0]) + 2 * bilayer.coat[1]) if bilayer.coat else 0.0)


def _part(
    level: typing.Callable[[np.ndarray], np.ndarray],
    near: float,
    ball: tuple[np.ndarray, float],
    shape: tuple[int, ...],
    pixel_size: float,
    bilayer: Bilayer,
    rng: np.random.Generator,
) -> Part:
    """Part of the surface where `level`, a function of positions (n, 3), is 0. near: values of it to look at. ball:
    centre and radius of what holds all of it, px."""
    centre, reach = ball
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, shape).astype(int)
    plane = np.stack(np.meshgrid(np.arange(low[1], high[1]), np.arange(low[2], high[2]), indexing="ij"), -1)
    plane, found = plane.reshape(-1, 2), [np.zeros((0, 3), int)]
    for z in range(low[0], high[0]):
        slice_positions = np.column_stack([np.full(len(plane), z), plane])
        found.append(slice_positions[np.abs(level(slice_positions)) < near])
    positions = np.concatenate(found)
    slope = np.stack([level(positions + step) - level(positions - step) for step in 0.5 * np.eye(3)])
    distance = level(positions) / np.maximum(np.linalg.norm(slope, axis=0), 1e-9) * pixel_size
    labelled = np.abs(distance) <= bilayer.thickness / 2
    claimed = np.abs(distance) <= bilayer.thickness / 2 + pixel_size

    def density() -> tuple[np.ndarray, np.ndarray]:
        middle = np.abs(distance) <= pixel_size / 2
        more, values = _proteins(positions[middle], slope[:, middle].T, pixel_size, bilayer, rng)
        return np.concatenate([positions, more]), np.concatenate([profile(distance, pixel_size, bilayer), values])

    return Part(positions[claimed], positions[labelled], density)


def profile(distance: np.ndarray, pixel_size: float, bilayer: Bilayer = Bilayer()) -> np.ndarray:
    """Density of a bilayer at a distance in Å from its middle, blurred by the voxels."""
    sigma = np.hypot(bilayer.head_sigma, BLUR_PX * pixel_size)
    core_sigma = np.hypot(0.6 * bilayer.head_sigma, BLUR_PX * pixel_size)
    bell = lambda position, width: np.exp(-((distance - position) ** 2) / (2 * width**2))
    half = bilayer.leaflets / 2
    heads = bilayer.head_sigma / sigma * (bell(-half, sigma) + bell(half, sigma))
    result = bilayer.heads * heads + bilayer.core * 0.6 * bilayer.head_sigma / core_sigma * bell(0, core_sigma)
    if bilayer.coat:
        position, width, value = bilayer.coat
        blurred = np.hypot(width, BLUR_PX * pixel_size)
        result = result + value * width / blurred * bell(position, blurred)
    return result


def _proteins(
    middles: np.ndarray, normals: np.ndarray, pixel_size: float, bilayer: Bilayer, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) and densities (n,) of the proteins of a membrane.

    middles: (m, 3) voxels in its middle, about one for each voxel's face. normals: (m, 3) of any length, outwards.
    """
    number = rng.poisson(bilayer.proteins * len(middles) * pixel_size**2) if bilayer.proteins else 0
    if not number or not len(middles):
        return np.zeros((0, 3), int), np.zeros(0)
    chosen = rng.integers(len(middles), size=number)
    normal = normals[chosen] / np.maximum(np.linalg.norm(normals[chosen], axis=1, keepdims=True), 1e-9)
    side, reach = rng.choice([-1.0, 1.0]), rng.uniform(*bilayer.reach, number)
    centres = [
        (middles[chosen] + side * normal * height / pixel_size)[reach >= height]
        for height in np.arange(0, bilayer.reach[1] + 1, ANCHOR)
    ]
    sigma = bilayer.protein_sigma
    mass = (2 * np.pi) ** 1.5 * sigma**3 * 0.8 / pixel_size**3  # 0.8 in the middle of a blob
    return blobs(np.concatenate(centres), float(np.hypot(sigma / pixel_size, BLUR_PX)), mass)
