# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of a heterogeneity fit of subtomograms, and their checks."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ...contract import SUBTOMOGRAMS_PER_DIMENSION, FitHeterogeneityConfig
from ...io.subtomograms import read_subtomograms
from ...latent.masks import copy_notes, read_focus_mask
from ..classifiers.prepare import find_subtomogram_contrast, resolution_notes, subtomogram_diameter

if typing.TYPE_CHECKING:
    from ...io.subtomograms import SubtomogramSet

PIXELS = 4.0  # in the finest detail, where none is asked for
LARGEST = 24  # waves per box: the finest detail that is ever used
MINIMUM = 4  # waves per box: the coarsest that tells shapes apart


@dataclasses.dataclass
class SubtomogramInputs:
    """subtomograms : SubtomogramSet. radius : waves per box. box : side of the working volumes, px. diameter : Å.
    contrast : 'bright' or 'dark'. notes : sentences for the user. seed : of all that is drawn."""

    subtomograms: SubtomogramSet
    radius: float
    box: int
    diameter: float
    contrast: str
    notes: list[str]
    seed: int = 0

    @property
    def voxel(self) -> float:
        """Å of the working volumes."""
        return self.subtomograms.box * self.subtomograms.pixel_size / self.box


def load_subtomogram_inputs(config: FitHeterogeneityConfig, seed: int = 0) -> SubtomogramInputs:
    """The SubtomogramInputs of a config.

    Raises FileNotFoundError for a mask that is not there, and ValueError for one that is no map, for subtomograms that
    are not aligned, of several sizes or too few for the latent space, and for copies of one volume in both halves.
    """
    found = read_subtomograms(config.particles, ("angles",), config.tilt_min, config.tilt_max)
    if not np.any(found.angles):
        raise ValueError(
            f"All angles of {found.path} are zero, so the subtomograms are not aligned. Align them first, with "
            "cryodl cluster-subtomograms --align search --classes 1 or another program."
        )
    needed = SUBTOMOGRAMS_PER_DIMENSION * config.latent
    if len(found) < needed:
        raise ValueError(
            f"{found.path} has {len(found)} subtomograms; {config.latent} latent dimensions (--latent) need at least "
            f"{needed}. Give more subtomograms or fewer dimensions."
        )
    if len(found) < config.clusters:
        raise ValueError(
            f"{found.path} has {len(found)} subtomograms for {config.clusters} clusters (--clusters). Choose "
            f"{len(found)} clusters or fewer."
        )
    diameter = subtomogram_diameter(found, config.particle_diameter)
    resolution_notes(found, diameter, config.resolution)  # refuses one that is too coarse; too fine ones are said below
    notes = copy_notes(found, "subtomograms", "volume")
    width = found.box * found.pixel_size
    asked = width / (config.resolution or PIXELS * found.pixel_size)
    radius = max(MINIMUM, min(asked, found.box / 2 - 2, LARGEST))
    if abs(asked - radius) > 0.5:
        limit = f"1/{LARGEST} of the box size" if radius == LARGEST else "the pixel size"
        if radius > asked:
            limit = f"1/{MINIMUM} of the box size"
        notes.append(
            f"Subtomograms are compared to {width / radius:.1f} Å, not to {width / asked:.1f} Å: the limit is {limit}."
        )
    box = 2 * int(np.ceil(radius)) + 4
    if config.mask is not None:
        read_focus_mask(config.mask, width / box, box)  # a file that is no mask is an error before the work
    contrast, said, warning = find_subtomogram_contrast(found, diameter, config.contrast)
    if said:
        print(said)
    notes += [warning] if warning else []
    return SubtomogramInputs(found, radius, box, diameter, contrast, notes, seed)
