# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates outside of carbon, ice crystals, dirt and aggregates."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...core.geometry import map_positions
from ...io.files import whole_file
from ..assess.assessment import area_rows, assess

_BESIDE_CARBON = 0.25  # diameters from the found edge: the film's rim is rough, and the arc through it is smooth


@dataclasses.dataclass(frozen=True)
class AvoidedAreas:
    """Areas of a micrograph where nothing is picked.

    mask : (h, w) bool, of the micrograph on a coarser grid. shape: (rows, columns) px of the micrograph. rows: a text
    for each row of a still coarser picture, see area_rows.
    """

    mask: np.ndarray
    shape: tuple[int, ...]
    rows: list[str]

    def outside(self, yx: np.ndarray) -> np.ndarray:
        """(n,) bool: which of the positions are not on these areas. yx: (n, 2) px of the micrograph."""
        positions = np.rint(map_positions(yx, self.shape, self.mask.shape))
        positions = np.clip(positions, 0, np.array(self.mask.shape) - 1).astype(int)
        return ~self.mask[positions[:, 0], positions[:, 1]]

    def write(self, path: Path) -> None:
        """As JSON, with the same `areas` as the record of an assessed micrograph. path: of the file."""
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps({"areas": self.rows}, indent=1), encoding="utf-8")


def avoided_areas(image: np.ndarray, pixel_size: float, diameter: float, avoid: str) -> AvoidedAreas:
    """Find what is to be avoided on a micrograph.

    Parameters
    ----------
    image : (h, w) float32 as read, with dark protein.
    pixel_size, diameter : Å/px, and Å of a particle.
    avoid : one of contract.AVOIDABLE but "nothing".

    Raises
    ------
    ValueError
        As assess.
    """
    found = assess(image, pixel_size, diameter)
    carbon = np.zeros_like(found.carbon)
    if avoid != "contamination" and found.carbon.any():
        diameter_px = diameter / pixel_size * found.image.shape[0] / image.shape[0]
        carbon = ndimage.binary_dilation(found.carbon, iterations=max(1, round(_BESIDE_CARBON * diameter_px)))
    found = dataclasses.replace(found, carbon=carbon)
    return AvoidedAreas(found.contaminated | found.carbon, image.shape, area_rows(found))
