# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs at the found particle size, for the calibration and validation of a general model."""

import math
import typing

import numpy as np

from ...core.geometry import inside, map_positions
from ...core.optics import Optics
from ...core.projections import Projector
from ...simulate.micrographs import Surroundings, simulate_micrograph
from ...simulate.pool import EXTENT_PX, PoolMember
from ..normalize import prepare_micrograph
from .crops import LabelledImage
from .method import PickerMethod

SIDE = 640
SNRS = (0.02, 0.5)
STATED = (0.9, 1.15)  # the diameter that is picked at, over the extent: what finding it leaves open
DEFOCUS = (8000.0, 25000.0)  # Å


def plain_images(
    members: typing.Sequence[PoolMember], count: int, method: PickerMethod, seed: int
) -> typing.Iterator[LabelledImage]:
    """LabelledImages of `count` micrographs of the structures in turn, with ice, gradients, some carbon and clumps."""
    for index in range(count):
        rng = np.random.default_rng((seed, 9, index))
        yield _plain_image(members[index % len(members)], method, rng)


def _plain_image(member: PoolMember, method: PickerMethod, rng: np.random.Generator) -> LabelledImage:
    around = Surroundings(
        minimum_distance=float(rng.choice([0.7, 0.9, 1.15])), ice=2.0, carbon=0.2, gradient=1.0, aggregates=0.3
    )
    pixel_size, mean = member.extent / EXTENT_PX, rng.uniform(*DEFOCUS)
    optics = Optics(mean + 100, mean - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
    count = int(rng.uniform(0.05, 0.55) * (SIDE / EXTENT_PX) ** 2)
    snr = float(np.exp(rng.uniform(*np.log(SNRS))))
    made = simulate_micrograph(
        Projector(member.density), pixel_size, (SIDE, SIDE), count, snr, optics, rng, EXTENT_PX, around
    )
    stated = float(np.exp(rng.uniform(math.log(STATED[0]), math.log(STATED[1]))))
    wide = method.working_diameter
    prepared = prepare_micrograph(made.image.numpy(), wide / (EXTENT_PX * stated), wide)
    positions = map_positions(made.centres_yx, (SIDE, SIDE), prepared.image.shape)
    return LabelledImage(
        member.name,
        prepared.image,
        prepared.valid,
        positions[inside(positions, prepared.image.shape)],
        np.zeros((0, 2)),
        "complete",
        size=1 / stated,
    )
