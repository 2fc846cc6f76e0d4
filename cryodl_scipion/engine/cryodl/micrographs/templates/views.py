# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates: projections of a structure in all orientations, or blobs."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ...core.healpix_grid import directions, in_plane_angles
from ...core.peaks import disc_normalised, disc_of
from ...core.projections import Projector
from ...simulate.pool import load_member

ACROSS = 24  # px of the particle's diameter where it is compared: coarser loses shape, finer costs time alone
RIM = 0.6  # diameters: radius of the disc that is compared, the particle and a little of what is around it
SOFT = 0.06  # diameters: how soft the blobs' edges are
BLOBS = (1.0, 0.8, 0.6)  # diameters of the blobs over the stated one


@dataclasses.dataclass(frozen=True)
class Templates:
    """images: (n, k, k) tensor of mean 0 and norm 1 in the disc (k, k), protein positive. diameter: Å, ACROSS px."""

    images: torch.Tensor
    disc: torch.Tensor
    diameter: float


def of_structure(path: str, step_deg: float) -> Templates:
    """Projections of a map or an atomic model, directions and in-plane rotations about step_deg apart.

    Raises ValueError or FileNotFoundError that names the file.
    """
    member = load_member(path, ACROSS)
    disc = disc_of(RIM * ACROSS)
    ways, rotations = directions(step_deg), in_plane_angles(step_deg)
    angles = np.column_stack([np.repeat(ways, len(rotations), 0), np.tile(rotations, len(ways))])
    # one pixel larger than the disc, an even number: the particle's middle is then the disc's
    images = Projector(member.density).project(angles, box=disc.shape[0] + 1)[:, 1:, 1:]
    return Templates(disc_normalised(images, disc), disc, member.extent)


def of_blobs(diameter: float) -> Templates:
    """Soft round blobs of some diameters up to the stated one, in Å."""
    disc = disc_of(RIM * ACROSS)
    middle = disc.shape[0] // 2
    axis = torch.arange(disc.shape[0]) - float(middle)
    radius = (axis[:, None] ** 2 + axis**2).sqrt()
    images = torch.stack([torch.sigmoid((0.5 * share * ACROSS - radius) / (SOFT * ACROSS)) for share in BLOBS])
    return Templates(disc_normalised(images, disc), disc, diameter)
