# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several simulations share."""

import typing

from .params import REQUIRED, param


def new_pixel_size_field(
    help: str, default: typing.Any = REQUIRED, minimum: float = 0.05, maximum: float = 100
) -> typing.Any:
    """Pixel size of simulated data."""
    return param(help, default=default, label="Pixel size", unit="Å/px", minimum=minimum, maximum=maximum)


def snr_field(help: str, default: typing.Any = REQUIRED, maximum: float = 1000000) -> typing.Any:
    """Signal-to-noise ratio. help: its definition."""
    return param(help, default=default, label="SNR", minimum=1e-6, maximum=maximum)


def protein_contrast_field(default: str) -> typing.Any:
    """Contrast of simulated protein."""
    return param(
        "Whether protein is darker or brighter than its surroundings.",
        default=default,
        label="Contrast",
        choices=("dark", "bright"),
    )


def orientations_field() -> typing.Any:
    """Source of the orientations of simulated particles."""
    return param(
        "STAR file with rlnAngleRot, rlnAngleTilt and rlnAnglePsi to draw the particles' orientations from.",
        default=None,
        label="Orientations",
        path="file",
        none_means="uniform over all orientations",
    )


def box_size_field(help: str, maximum: int, default: typing.Any = REQUIRED, none_means: str = "") -> typing.Any:
    """Box size of simulated images or volumes."""
    return param(help, default=default, label="Box size", unit="px", minimum=16, maximum=maximum, none_means=none_means)


def cache_field(help: str, what: str, none_means: str) -> typing.Any:
    """Folder in which simulated training data are kept. what: their name, such as cells or micrographs."""
    return param(
        help, default=None, label=f"Keep simulated {what} in", path="folder", none_means=none_means, expert=True
    )


def leave_out_field(help: str) -> typing.Any:
    """Structures that are held out from a training on simulated data."""
    return param(help, default=(), label="Hold out")
