# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of a particle's size in its micrograph, for both forms and engine."""

# A smaller particle is a spot without shape; nearly always its pixel size is wrong.
SMALLEST_PX = 8


def particle_size_problem(diameter: float, pixel_size: float, side: int) -> str:
    """The problem if a particle cannot be picked at this size.

    Parameters
    ----------
    diameter : float, Å
    pixel_size : float, Å/px
    side : int
        Shorter side of the micrograph, px.

    Returns
    -------
    str
        Empty if it can be picked.
    """
    pixels = diameter / pixel_size
    if pixels > side / 2:
        return (
            f"The particle diameter of {diameter:g} Å is more than half of the micrograph's shorter side "
            f"({side} px x {pixel_size:g} Å/px = {side * pixel_size:g} Å). Check pixel size and diameter."
        )
    if pixels < SMALLEST_PX:
        return (
            f"The particle diameter of {diameter:g} Å is only {pixels:.1f} px at {pixel_size:g} Å/px; at least "
            f"{SMALLEST_PX} px are needed. Check pixel size and diameter."
        )
    return ""
