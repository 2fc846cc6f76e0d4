# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise-substitution control: how much of a map's FSC beyond some resolution is reference bias."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ..core.frc import resolution_at
from .reference import own_part


@dataclasses.dataclass(frozen=True)
class SubstitutionTest:
    """beyond: Å, finer detail is noise in the control. fsc: (d // 2 + 1,) of the control's halves. mean, own: mean FSC
    of the control and of the map beyond. resolution: Å where the map's FSC, less what the control has beyond, falls
    below 0.143, or None."""

    beyond: float
    fsc: torch.Tensor
    mean: float
    own: float
    resolution: float | None

    def sentence(self) -> str:
        """What the user is told."""
        reached = "nothing is resolved" if self.resolution is None else f"{self.resolution:.1f} Å are reached"
        return (
            f"With detail finer than {self.beyond:.1f} Å replaced by noise, the same images, oriented in the same "
            f"way, have a mean FSC of {self.mean:.3f} there, which is reference bias; the map has {self.own:.3f}. "
            f"Corrected for it, {reached}."
        )


def substitution_test(
    curve: torch.Tensor, control: torch.Tensor, beyond: float, pixel_size: float, box: int
) -> SubstitutionTest:
    """The SubstitutionTest of a map.

    Parameters
    ----------
    curve : Tensor, (d // 2 + 1,)
        FSC of the map's halves.
    control : Tensor, (d // 2 + 1,)
        That of as many particles with noise in place of detail finer than `beyond`.
    beyond : float, Å
    pixel_size : float, Å/px
    box : int
        px.

    References
    ----------
    Chen et al. 2013, Ultramicroscopy 135, 24-35.
    """
    # a shell of which a part is left holds signal; the images are compared in shells one apart
    first = int(np.ceil(box * pixel_size / beyond)) + 1
    own = torch.cat([curve[:first], own_part(curve[first:], control[first:])])
    mean = lambda values: float(values[first:].mean()) if first < len(values) else 0.0
    return SubstitutionTest(beyond, control, mean(control), mean(curve), resolution_at(own, 0.143, pixel_size, box))
