# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the microscope, for all simulations."""

import typing

from .params import param

_OPTICS: typing.Dict[str, typing.Dict[str, typing.Any]] = dict(
    minimum_defocus=dict(
        help="Minimum mean defocus; positive is underfocus.",
        default=8000.0,
        label="Minimum defocus",
        unit="Å",
        minimum=0,
        maximum=100000,
    ),
    maximum_defocus=dict(
        help="Maximum mean defocus.", default=25000.0, label="Maximum defocus", unit="Å", minimum=0, maximum=100000
    ),
    astigmatism=dict(
        help="Maximum difference between DefocusU and DefocusV.",
        default=300.0,
        expert=True,
        label="Astigmatism",
        unit="Å",
        minimum=0,
        maximum=20000,
    ),
    voltage=dict(
        help="Acceleration voltage.", default=300.0, expert=True, label="Voltage", unit="kV", minimum=20, maximum=1000
    ),
    spherical_aberration=dict(
        help="Spherical aberration.", default=2.7, expert=True, label="Cs", unit="mm", minimum=0, maximum=10
    ),
    amplitude_contrast=dict(
        help="Amplitude contrast as a fraction of the total contrast.",
        default=0.1,
        expert=True,
        label="Amplitude contrast",
        minimum=0,
        maximum=1,
    ),
)


def optics_field(name: str) -> typing.Any:
    """The field of a microscope parameter, by its name."""
    return param(**_OPTICS[name])


def defocus_problems(config: typing.Any) -> typing.List[str]:
    """Problem if the maximum defocus is below the minimum."""
    if config.maximum_defocus >= config.minimum_defocus:
        return []
    return [
        f"Maximum defocus (--maximum-defocus) is {config.maximum_defocus:g} Å, below the minimum defocus "
        f"(--minimum-defocus) of {config.minimum_defocus:g} Å."
    ]
