# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on subtomograms share."""

import typing

from ..fields import CONTRASTS
from ..params import param


def subtomograms_field(help: str) -> typing.Any:
    """The parameter `subtomograms`. help: its first sentence."""
    return param(
        help + " STAR file of RELION 3.0 or 3.1 with a volume for each subtomogram (rlnImageName) and, if available, "
        "its 3-D CTF or weights (rlnCtfImage).",
        label="Subtomograms",
        path="file",
    )


def tilt_field(which: str, default: float) -> typing.Any:
    """The parameter `tilt_min` or `tilt_max` of subtomograms. which: 'Lowest' or 'Highest'. default: degrees."""
    return param(
        f"{which} tilt angle of the series, about the y axis; it defines the missing wedge. Used if the STAR file "
        "has neither volumes of weights (rlnCtfImage) nor tilt ranges (cryodlTiltMin, cryodlTiltMax).",
        default=default,
        label=f"{which} tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    )


def subtomogram_contrast_field() -> typing.Any:
    """The parameter `contrast` of subtomograms."""
    return param(
        "Whether protein is brighter or darker than its surroundings in the subtomograms. auto: determined from the "
        "subtomograms; the log and the result state it.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )


def diameter_field() -> typing.Any:
    """The parameter `diameter`."""
    return param(
        "Diameter of a sphere that contains every particle.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=10000,
        none_means="0.8 of the box size",
    )
