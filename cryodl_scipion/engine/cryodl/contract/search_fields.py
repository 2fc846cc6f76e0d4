# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of searches that several commands share: limits and steps."""

import typing

from .params import param


def symmetry_field() -> typing.Any:
    """The parameter `symmetry`."""
    return param(
        "Point group of the structure: C1, C4, D2, T, O, I ... (RELION's axes).", default="C1", label="Symmetry"
    )


def resolution_field(
    help: str,
    none_means: str,
    minimum: float = 2,
    maximum: float = 200,
    label: str = "Resolution",
    expert: bool = False,
) -> typing.Any:
    """Resolution limit. none_means: the limit without one."""
    return param(
        help,
        default=None,
        label=label,
        unit="Å",
        minimum=minimum,
        maximum=maximum,
        none_means=none_means,
        expert=expert,
    )


def max_shift_field(help: str, default: typing.Optional[float] = None, none_means: str = "") -> typing.Any:
    """Maximum shift of a particle. none_means: the maximum without one."""
    return param(help, default=default, label="Maximum shift", unit="Å", minimum=0, maximum=1000, none_means=none_means)


def mask_diameter_field(help: str, minimum: float = 10, maximum: float = 10000) -> typing.Any:
    """Diameter of the mask within which images or maps are compared."""
    return param(
        help,
        default=None,
        label="Mask diameter",
        unit="Å",
        minimum=minimum,
        maximum=maximum,
        none_means="0.9 of the box size",
    )


def angular_step_field(help: str, expert: bool = False) -> typing.Any:
    """Angle between neighbouring directions of a search."""
    return param(help, default=7.5, label="Angular step", unit="°", minimum=1, maximum=30, expert=expert)


def correct_ctf_field(help: str) -> typing.Any:
    """Whether averages and maps are corrected for the CTF."""
    return param(help, default=True, label="Correct the CTF", expert=True)
