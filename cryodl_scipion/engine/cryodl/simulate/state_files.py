# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground truth of a simulated mixture in files: maps of its states, and columns of its particles."""

from __future__ import annotations

import typing

import numpy as np

from ..contract import SimulateParticlesConfig
from ..io.maps import write_map

if typing.TYPE_CHECKING:
    from .states import States

STATE, LATENT = "cryodlTrueState", "cryodlTrueLatent"  # 1-based; degrees of a hinge


def state_files(output: str, count: int) -> list[str]:
    """Paths of the maps of `count` states beside the STAR file `output`; none of a single state."""
    stem = output[: -len(".star")]
    return [f"{stem}_state{number:03d}.mrc" for number in range(1, count + 1)] if count > 1 else []


def write_states(config: SimulateParticlesConfig, states: States, scale: float) -> list[str]:
    """Write the maps of all states.

    Parameters
    ----------
    scale : float, no unit
        Factor of the densities.

    Returns
    -------
    list of str
        Paths.
    """
    paths = state_files(config.output, len(states))
    for path, density in zip(paths, states.densities):
        write_map(path, scale * density, config.pixel_size)
    return paths


def state_columns(states: States, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the particle table; none of a single state.

    Parameters
    ----------
    numbers : ndarray, (n,)
        State of each particle, 0-based.

    Returns
    -------
    dict of ndarray, (n,) each
    """
    if len(states) == 1:
        return {}
    columns = {STATE: numbers + 1}
    if np.ptp(states.coordinates) > 0:
        columns[LATENT] = states.coordinates[numbers]
    return columns
