# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking the filaments of one micrograph with a trained network."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, map_coordinates

from ...contract import particle_size_problem
from ...core.geometry import map_positions
from ..assess.carbon import GRID, find_carbon
from ..normalize import Prepared, prepare_rescaled, rescale_micrograph
from ..tiled import TiledNetwork
from .trace import Trace, trace_lines

if typing.TYPE_CHECKING:
    pass


GAP = 3.0  # diameters: as wide as a crossing that is left out, and a little more


@dataclasses.dataclass
class FilamentPicker(TiledNetwork):
    """A network ready to pick.

    method: of the registry. network: its module. device: torch.device. memory: GB for the network's tiles. contrast:
    'dark' or 'bright' protein. notes: sentences about what had to be changed on the way.
    """

    method: typing.Any
    network: typing.Any
    device: torch.device
    memory: float = 0.4
    contrast: str = "dark"
    notes: list = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.prepare_network(self.network)

    def lines(
        self,
        image: np.ndarray,
        pixel_size: float,
        diameter: float,
        threshold: float,
        shortest: float,
        keep_edges: bool = False,
    ) -> tuple[list, int]:
        """Filaments of a micrograph, longest first, and how many were left out because they run along an edge.

        Parameters
        ----------
        image
            (h, w) float32 as read.
        pixel_size
            In Å.
        diameter
            Of the filament, in Å.
        threshold
            Mean score of a filament at least, 0 to 1.
        shortest
            Length of a filament at least, in Å.
        keep_edges
            Keep those that run along the edge of a carbon film or of a filled margin.

        Returns
        -------
        list of Trace, int
            In px of the micrograph; the number left out.

        Raises
        ------
        ValueError
            The image cannot be picked.
        """
        problem = particle_size_problem(diameter, pixel_size, min(image.shape))
        if problem:
            raise ValueError(problem)
        factor = self.method.working_diameter * pixel_size / diameter
        small, valid = rescale_micrograph(image, factor)
        prepared = prepare_rescaled(small, valid, image.shape, self.method.working_diameter, self.contrast == "dark")
        traces = found = self.lines_prepared(prepared, threshold, shortest / pixel_size * factor)
        if found and not keep_edges:
            edges = at_edges(found, small.double().numpy(), valid.numpy(), self.method.working_diameter)
            traces = [trace for trace, edge in zip(found, edges) if not edge]
        back = lambda positions: map_positions(positions, prepared.image.shape, prepared.shape)
        lines = [dataclasses.replace(trace, positions=back(trace.positions)) for trace in traces]
        return lines, len(found) - len(lines)

    def lines_prepared(self, prepared: Prepared, threshold: float, shortest: float) -> list:
        """The same for a Prepared micrograph; shortest and the places of the Traces in working px."""
        output, stride = self.output(prepared), self.network.stride
        score = torch.sigmoid(output[0]).numpy()
        direction = 0.5 * np.arctan2(output[2].numpy(), output[1].numpy())
        cells = _valid_cells(prepared.valid, score.shape, stride)
        diameter = self.method.working_diameter / stride
        traces = trace_lines(score, direction, threshold, shortest / stride, GAP * diameter, cells)
        return [Trace(trace.positions * stride + (stride - 1) / 2, trace.score, trace.fragments) for trace in traces]


def _valid_cells(valid: torch.Tensor, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """(h, w) bool: cells all of whose pixels are valid; what lies beyond the image is not."""
    padded = np.zeros(tuple(n * stride for n in shape), bool)
    padded[: valid.shape[0], : valid.shape[1]] = valid.numpy()[: padded.shape[0], : padded.shape[1]]
    return np.asarray(padded.reshape(shape[0], stride, shape[1], stride).all((1, 3)))


# ----- Traces along the rim of a carbon film or of a filled margin, which look like filaments to a network that
# sees a few diameters.
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
