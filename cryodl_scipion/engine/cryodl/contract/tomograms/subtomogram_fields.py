# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on subtomograms share."""

import typing

from ..fields import CONTRASTS
from ..params import param


def subtomograms_field(help: str) -> typing.Any:
    return param(
        help + " RELION's STAR (3.0 or 3.1) with a volume for each subtomogram (rlnImageName), and its 3-D "
        "CTF or weights (rlnCtfImage) if there are such.",
        label="Subtomograms",
        path="file",
    )


def tilt_field(which: str, default: float) -> typing.Any:
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
    return param(
        "Whether protein is brighter or darker than its surroundings in the subtomograms. auto: measured; "
        "the log and the result say it.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )


def diameter_field() -> typing.Any:
    return param(
        "Diameter of a sphere that just holds every particle.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=10000,
        none_means="0.8 of the box",
    )
