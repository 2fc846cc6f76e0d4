# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces along the rim of a carbon film or of a filled margin, which look like filaments to a network that sees a few
diameters."""

from __future__ import annotations

import typing

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from ..assess.carbon import GRID, find_carbon

if typing.TYPE_CHECKING:
    from .trace import Trace

ALONG = 0.6  # part of a trace's length that lies at the edge: one that crosses an edge stays
RIM = 1.5  # diameters on both sides of the found rim: fringes reach that far, and the found arc is not exact
MARGIN = 1.0  # diameters from what is not really there


def at_edges(traces: typing.Sequence[Trace], image: np.ndarray, valid: np.ndarray, width: float) -> np.ndarray:
    """Which traces run along an edge of carbon (or gold) film, or of a filled margin.

    Parameters
    ----------
    traces : sequence of Trace
        In px of the image.
    image : ndarray, (h, w)
        As rescale_micrograph gives it: the background not removed.
    valid : ndarray, (h, w), bool
        What of it is really there.
    width : float, px
        Diameter of a filament.

    Returns
    -------
    ndarray, (n,), bool
    """
    if not traces:
        return np.zeros(0, bool)
    near = np.zeros(image.shape, bool)
    if not valid.all():
        near |= distance_transform_edt(valid) <= MARGIN * width
    film = find_carbon(image, valid, width)
    if film.any():
        reach = max(RIM * width, max(image.shape) / GRID)  # the rim is known to a cell of the grid
        near |= np.where(film, distance_transform_edt(film), distance_transform_edt(~film)) <= reach
    parts = [map_coordinates(near.astype(np.float32), t.positions.T, order=0, mode="nearest") for t in traces]
    return np.array([part.mean() >= ALONG for part in parts])
