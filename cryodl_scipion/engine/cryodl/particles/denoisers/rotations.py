# SPDX-License-Identifier: GPL-3.0-or-later
"""The eight rotations and reflections of a square image about pixel box // 2. None interpolates, and each belongs to a
projection of the same molecule: the mirror image is the view from behind."""

from __future__ import annotations

import dataclasses
import typing

if typing.TYPE_CHECKING:
    import torch

    from ...core.optics import Optics

ROTATIONS = tuple(range(8))
LEFT_RIGHT = (0, 4)  # as it is, or columns reversed


def rotated_images(images: torch.Tensor, rotation: int) -> torch.Tensor:
    """(..., box, box) images, rotated. rotation: 0 to 7."""
    if rotation & 1:
        images = images.transpose(-2, -1)
    for axis, flips in ((-2, rotation & 2), (-1, rotation & 4)):
        if flips:
            # with an even side the first row has no counterpart: it stays, and so does pixel box // 2
            images = images.flip(axis).roll(1 - images.shape[axis] % 2, axis)
    return images


def rotated_optics(optics: Optics, rotation: int) -> Optics:
    """The Optics of a rotated image: only the direction of its astigmatism changes."""
    angle = 90 - optics.defocus_angle if rotation & 1 else optics.defocus_angle
    mirrored = bool(rotation & 2) != bool(rotation & 4)
    return dataclasses.replace(optics, defocus_angle=-angle if mirrored else angle)
