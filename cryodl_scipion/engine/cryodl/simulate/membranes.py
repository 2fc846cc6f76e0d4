# SPDX-License-Identifier: GPL-3.0-or-later
"""Lipid bilayers: closed vesicles with bumps, and open sheets that cross the tomogram."""

import typing

import numpy as np

from .cells import Part

LEAFLETS = 40.0  # Å between the head groups' middles
THICKNESS = 55.0  # Å of the bilayer, head groups and all: what is labelled
HEAD_SIGMA = 7.0  # Å
CORE = -0.25  # of the fatty tails; solvent is 0, protein and heads 1
SMALLEST, LARGEST = 200.0, 1500.0  # Å, radii of vesicles
BLUR_PX = 0.45  # as that of structures


def vesicle(shape: tuple[int, ...], pixel_size: float, rng: np.random.Generator) -> Part:
    """A Part: an ellipsoid with bumps; it may be cut by the cell's borders, its centre lies within."""
    largest = min(LARGEST, 0.3 * pixel_size * max(shape[1:]))
    radius = np.exp(rng.uniform(np.log(min(SMALLEST, largest)), np.log(largest))) / pixel_size
    axes, centre = radius * rng.uniform(0.75, 1.25, 3), rng.uniform(0, 1, 3) * np.array(shape)
    waves, phases, heights = rng.normal(0, 1.5, (4, 3)), rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.01, 0.05, 4)

    def level(places: np.ndarray) -> np.ndarray:
        """0 on the surface, negative within."""
        place = places - centre
        length = np.maximum(np.linalg.norm(place, axis=-1), 1e-6)
        direction = place / length[:, None]
        bumps = 1 + (heights * np.cos(direction @ waves.T + phases)).sum(-1)
        return length * np.linalg.norm(direction / axes, axis=-1) / bumps - 1

    reach = 1.6 * axes.max() + 2 * THICKNESS / pixel_size
    near = 1.5 * THICKNESS / pixel_size / axes.min() + 2 / axes.min()
    return _part(level, near, centre, reach, shape, pixel_size)


def sheet(shape: tuple[int, ...], pixel_size: float, rng: np.random.Generator) -> Part:
    """A Part: a wavy plane through the cell, across the plane of the tomogram more than along it."""
    turn, lean = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    normal = np.array([np.sin(lean), np.cos(lean) * np.sin(turn), np.cos(lean) * np.cos(turn)])
    across = np.linalg.svd(normal[None])[2][1:]
    size = max(shape)
    waves = (rng.normal(0, 1, (3, 2)) @ across) * (2 * np.pi / size)
    phases, heights = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.01, 0.06, 3) * size
    through = rng.uniform(0.2, 0.8, 3) * np.array(shape)

    def level(places: np.ndarray) -> np.ndarray:
        return (places - through) @ normal - (heights * np.cos(places @ waves.T + phases)).sum(-1)

    near = 2.5 * (1.5 * THICKNESS / pixel_size + 2)
    return _part(level, near, np.array(shape) / 2, size, shape, pixel_size)


def _part(
    level: typing.Callable[[np.ndarray], np.ndarray],
    near: float,
    centre: np.ndarray,
    reach: float,
    shape: tuple[int, ...],
    pixel_size: float,
) -> Part:
    """Part of the surface where `level`, a function of places (n, 3), is 0. near: values of it to look at."""
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, shape).astype(int)
    plane = np.stack(np.meshgrid(np.arange(low[1], high[1]), np.arange(low[2], high[2]), indexing="ij"), -1)
    plane, found = plane.reshape(-1, 2), [np.zeros((0, 3), int)]
    for z in range(low[0], high[0]):
        slice_places = np.column_stack([np.full(len(plane), z), plane])
        found.append(slice_places[np.abs(level(slice_places)) < near])
    places = np.concatenate(found)
    slope = np.stack([level(places + step) - level(places - step) for step in 0.5 * np.eye(3)])
    distance = level(places) / np.maximum(np.linalg.norm(slope, axis=0), 1e-9) * pixel_size
    labelled = np.abs(distance) <= THICKNESS / 2
    claimed = np.abs(distance) <= THICKNESS / 2 + pixel_size
    return Part(places[claimed], places[labelled], lambda: (places, profile(distance, pixel_size)))


def profile(distance: np.ndarray, pixel_size: float) -> np.ndarray:
    """Density of a bilayer at a distance in Å from its middle, blurred by the voxels."""
    sigma = np.hypot(HEAD_SIGMA, BLUR_PX * pixel_size)
    core_sigma = np.hypot(0.6 * HEAD_SIGMA, BLUR_PX * pixel_size)
    bell = lambda place, width: np.exp(-((distance - place) ** 2) / (2 * width**2))
    heads = HEAD_SIGMA / sigma * (bell(-LEAFLETS / 2, sigma) + bell(LEAFLETS / 2, sigma))
    return 1.5 * heads + CORE * 0.6 * HEAD_SIGMA / core_sigma * bell(0, core_sigma)
