# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise oriented by the same search as the particles: what a reference alone makes of nothing."""

import typing

import numpy as np
import torch

from ...io.particle_sets import StackWriter, write_particles_star
from ...io.particles import ANGLES
from ...io.reference_columns import noise_name
from .made_up import made_up_particles

COUNT, FEWEST = 200, 64  # images of noise: as many as particles, within these
SEED = 40


def write_noise_control(search: typing.Any, output: str, columns: dict) -> str:
    """Write NAME_noise.star and NAME_noise.mrcs beside the STAR file NAME.star; returns the first one's path.

    Parameters
    ----------
    search : assign.Search
        With its fit learnt, on raw images: what is written has their noise, and the search's answers for it.
    output : str
        The STAR file of the particles.
    columns : dict
        Columns, of one value for all, that say where the angles come from.
    """
    count = int(np.clip(len(search.source.particles), FEWEST, COUNT))
    noise = made_up_particles(search, count, SEED, torch.zeros(search.fine_disc.rings))
    found = search.like(noise).run()
    path = noise_name(output)
    stack = f"{path[: -len('.star')]}.mrcs"
    with StackWriter(stack, count, noise.box, noise.pixel_size) as writer:
        writer.add(noise.made)
    origins = -found.shifts_yx * noise.pixel_size
    write_particles_star(
        path,
        noise,
        {
            **dict(zip(ANGLES, found.angles.T)),
            "rlnOriginXAngst": origins[:, 1],
            "rlnOriginYAngst": origins[:, 0],
            "rlnRandomSubset": [1 + number % 2 for number in range(count)],
            **{name: [value] * count for name, value in columns.items()},
        },
        stack=stack,
    )
    return path
