# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions of simulated particles, alone, in a crowd and in clumps; and their extraction as in RELION."""

import math

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..core import peaks, projections
from ..core.boxes import box_corners, boxes_inside, cut_boxes, normalised

CROWDED = 0.35  # of the fields


def particle_positions(
    shape: tuple, wide: float, rng: np.random.Generator, crowded: float = CROWDED
) -> tuple[np.ndarray, np.ndarray]:
    """Centres of particles, and of particles in clumps (aggregates), which are no good picks.

    In crowded fields neighbours touch or overlap, and there is hardly a gap. shape: (h, w) px. wide: px of a particle's
    extent. crowded: probability of a crowded field. Returns two (n, 2) arrays, yx."""
    is_crowded = rng.random() < crowded
    closest = wide * (rng.uniform(0.45, 0.95) if is_crowded else rng.uniform(0.55, 1.6))
    # of the area of a close packing
    fraction = rng.uniform(0.5, 1.0) if is_crowded else float(np.exp(rng.uniform(math.log(0.03), math.log(0.75))))
    wanted = max(2, int(fraction * shape[0] * shape[1] / closest**2 * 0.9))
    tried = min((8 if is_crowded else 3) * wanted, 12000)
    proposed = rng.uniform(-0.3 * wide, np.array(shape) + 0.3 * wide, (tried, 2))
    centres, clumped = proposed[peaks.separate(proposed, closest)][:wanted], [np.zeros((0, 2))]
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            count = int(rng.integers(4, 16))
            middle, size = rng.uniform(0, 1, 2) * shape, wide * rng.uniform(0.25, 0.4) * math.sqrt(count)
            clumped.append(middle + rng.normal(0, size, (count, 2)))
    return centres, np.vstack(clumped)


def far(positions: np.ndarray, others: np.ndarray, distance: float) -> np.ndarray:
    """Which positions keep a distance from all others, (n,) bool. positions: (n, 2). others: (m, 2). distance: px."""
    return cKDTree(others).query(positions)[0] > distance


MARGIN = 0.75  # particle diameters from the edge, so that each is whole
CLUMP_DISTANCES = (0.5, 0.8)  # diameters between neighbours in an aggregate
CLUMP_SIZES = (5, 30)  # particles of an aggregate


def random_centres(
    shape: tuple[int, ...],
    count: int,
    distance: float,
    margin: float,
    rng: np.random.Generator,
    taken: np.ndarray | None = None,
    blocked: np.ndarray | None = None,
) -> np.ndarray:
    """(n, 2) yx positions at least `distance` px apart and `margin` px from the edge; n is smaller if they do not fit.

    taken: (m, 2) positions of others, to which they keep the same distance. blocked: (h, w) bool, where none is."""
    high = np.array(shape) - 1 - margin
    centres = np.zeros((0, 2)) if taken is None else np.asarray(taken, float)
    others = len(centres)
    if (high < margin).any():
        return np.zeros((0, 2))
    for _ in range(60):
        missing = count + others - len(centres)
        if not missing:
            break
        # few at a time would take many rounds, many at a time are in each other's way
        new = rng.uniform(margin, high, (count, 2))
        if blocked is not None:
            new = new[~blocked[tuple(np.rint(new).astype(int).T)]]
        new = new[cKDTree(centres).query(new)[0] >= distance]
        centres = np.vstack([centres, new[peaks.separate(new, distance)][:missing]])
    return centres[others:]


def random_clumps(shape: tuple[int, ...], count: int, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) yx positions of the particles of `count` aggregates: each grows from a place anywhere, its next particle
    beside one that is there."""
    clumps = [np.zeros((0, 2))]
    for _ in range(count):
        clump = [rng.uniform(0, 1, 2) * shape]
        for _ in range(int(rng.integers(*CLUMP_SIZES)) - 1):
            angle, step = rng.uniform(0, 2 * np.pi), rng.uniform(*CLUMP_DISTANCES) * diameter_px
            clump.append(clump[rng.integers(len(clump))] + step * np.array([np.sin(angle), np.cos(angle)]))
        clumps.append(np.array(clump))
    positions = np.vstack(clumps)
    return positions[((positions >= 0) & (positions <= np.array(shape) - 1)).all(axis=1)]


def draw_particles(
    projector: projections.Projector, centres: np.ndarray, angles: np.ndarray, shape: tuple[int, ...]
) -> torch.Tensor:
    """(h, w) sum of the projections at their positions, sub-pixel parts by a phase shift; on the projector's device."""
    d = projector.side
    canvas = torch.zeros((shape[0] + 2 * d, shape[1] + 2 * d), device=projector.device)
    for start in range(0, len(centres), 64):
        part = slice(start, start + 64)
        whole = np.floor(centres[part]).astype(int)
        for image, (y, x) in zip(projector.project(angles[part], centres[part] - whole), whole + d - d // 2):
            canvas[y : y + d, x : x + d] += image
    return canvas[d:-d, d:-d].contiguous()


def discs(shape: tuple[int, ...], centres: np.ndarray, radius: float) -> np.ndarray:
    """(h, w) bool array: within `radius` px of any of the centres (n, 2) yx."""
    mask = np.zeros(shape, bool)
    for y, x in centres:
        low = np.maximum(np.ceil([y - radius, x - radius]).astype(int), 0)
        high = np.minimum(np.floor([y + radius, x + radius]).astype(int) + 1, shape)
        if (high <= low).any():
            continue
        rows, columns = np.arange(low[0], high[0]), np.arange(low[1], high[1])
        mask[low[0] : high[0], low[1] : high[1]] |= (rows[:, None] - y) ** 2 + (columns - x) ** 2 <= radius**2
    return mask


def cut_particles(
    image: torch.Tensor, centres: np.ndarray, box: int, radius: float, dark_protein: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes around particles, as RELION's extraction makes them: protein white, mean 0 and standard deviation 1 outside
    of a circle.

    image: (h, w). centres: (n, 2), yx px. box: px. radius: px, of the circle that holds the particle. dark_protein:
    whether protein is dark in the image. Returns images: (m, box, box) float32. centres: (m, 2), the boxes' centres,
    whole px. whole: (n,) bool, particles whose box lies inside of the micrograph; of the others there is none."""
    corners, positions = box_corners(centres, box)
    whole = boxes_inside(corners, box, tuple(image.shape))
    if not whole.any():
        return np.zeros((0, box, box), np.float32), positions[whole], whole
    images, _ = normalised(cut_boxes(image, corners[whole], box), radius, dark_protein)
    return images.numpy(), positions[whole], whole
