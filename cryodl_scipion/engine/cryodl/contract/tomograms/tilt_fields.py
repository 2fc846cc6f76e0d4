# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that describe a tilt series."""

import typing

from ..params import param

_TILTS: typing.Dict[str, typing.Dict[str, typing.Any]] = dict(
    tilt_min=dict(
        help="Minimum tilt angle, about the y axis.",
        default=-60.0,
        label="Minimum tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    ),
    tilt_max=dict(
        help="Maximum tilt angle, about the y axis.",
        default=60.0,
        label="Maximum tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    ),
    tilt_step=dict(
        help="Angle between neighbouring tilts.", default=3.0, label="Tilt step", unit="°", minimum=0.1, maximum=30
    ),
    defocus=dict(
        help="Mean defocus; positive values are underfocus. 0: no CTF.",
        default=40000.0,
        label="Defocus",
        unit="Å",
        minimum=0,
        maximum=200000,
    ),
    defocus_spread=dict(
        help="Maximum deviation of a tomogram's or subtomogram's defocus from the mean.",
        default=5000.0,
        label="Spread of the defocus",
        unit="Å",
        minimum=0,
        maximum=100000,
    ),
)


def tilt_series_field(name: str) -> typing.Any:
    """The field of a tilt series parameter, by its name."""
    return param(**_TILTS[name])


def tilt_problems(config: typing.Any) -> typing.List[str]:
    """Problem if the maximum tilt (tilt_max) is not above the minimum (tilt_min)."""
    if config.tilt_max > config.tilt_min:
        return []
    return [
        f"Maximum tilt (--tilt-max) is {config.tilt_max:g}°, not above the minimum tilt (--tilt-min) of "
        f"{config.tilt_min:g}°."
    ]
