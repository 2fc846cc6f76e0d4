# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on subtomograms share."""

import typing

from ..fields import CONTRASTS
from ..params import param


def subtomograms_field(help: str) -> typing.Any:
    """The parameter `subtomograms`. help: its first sentence."""
    return param(
        help + " RELION's STAR (3.0 or 3.1) with a volume for each subtomogram (rlnImageName), and its 3-D "
        "CTF or weights (rlnCtfImage) if there are such.",
        label="Subtomograms",
        path="file",
    )


def tilt_field(which: str, default: float) -> typing.Any:
    """The parameter `tilt_min` or `tilt_max` of subtomograms. which: 'Lowest' or 'Highest'. default: degrees."""
    return param(
        f"{which} tilt of the series, about the y axis: what lies beyond was not measured. Used where the "
        "STAR file names no volume of weights (rlnCtfImage) and no range (cryodlTiltMin, cryodlTiltMax).",
        default=default,
        label=f"{which} tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    )


def subtomogram_contrast_field() -> typing.Any:
    """The parameter `contrast` of subtomograms."""
    return param(
        "Whether protein is brighter or darker than its surroundings in the subtomograms. auto: measured, and stated "
        "in the log and the result.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )


def diameter_field() -> typing.Any:
    """The parameter `diameter`."""
    return param(
        "Diameter of a sphere that just holds every particle.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=10000,
        none_means="0.8 of the box",
    )
