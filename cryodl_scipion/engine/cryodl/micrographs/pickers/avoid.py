# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates outside of carbon, ice crystals, dirt and aggregates."""

import numpy as np

from ...core.geometry import map_positions
from ..assess.assessment import assess


def outside_masks(yx: np.ndarray, image: np.ndarray, pixel_size: float, diameter: float, avoid: str) -> np.ndarray:
    """(n,) bool: positions that are not on an area to be avoided.

    Parameters
    ----------
    yx : (n, 2) px of the micrograph.
    image : (h, w) float32 as read.
    pixel_size, diameter : Å/px, and Å of a particle.
    avoid : one of contract.AVOIDABLE.

    Raises
    ------
    ValueError
        As assess.
    """
    if avoid == "nothing" or not len(yx):
        return np.ones(len(yx), bool)
    found = assess(image, pixel_size, diameter)
    spoiled = found.contaminated | found.carbon if avoid == "contamination and carbon" else found.contaminated
    positions = np.rint(map_positions(yx, image.shape, spoiled.shape))
    positions = np.clip(positions, 0, np.array(spoiled.shape) - 1).astype(int)
    return ~spoiled[positions[:, 0], positions[:, 1]]
