# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking the filaments of one micrograph with a trained network."""

import dataclasses
import typing

import numpy as np
import torch

from ...contract import particle_size_problem
from ...core.devices import fast_dtype
from ...core.geometry import map_positions
from ...core.tiles import apply_tiled
from ...learning.inference import for_inference, is_out_of_memory
from ..normalize import Prepared, prepare_micrograph
from .trace import Trace, trace_lines

GAP = 3.0  # diameters: as wide as a crossing that is left out, and a little more


@dataclasses.dataclass
class FilamentPicker:
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
        self.dtype = fast_dtype(self.device)
        self.network = for_inference(self.network, self.device, self.dtype)

    def lines(self, image: np.ndarray, pixel_size: float, diameter: float, threshold: float, shortest: float) -> list:
        """Filaments of a micrograph, longest first.

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

        Returns
        -------
        list of Trace
            In px of the micrograph.

        Raises
        ------
        ValueError
            The image cannot be picked.
        """
        problem = particle_size_problem(diameter, pixel_size, min(image.shape))
        if problem:
            raise ValueError(problem)
        factor = self.method.working_diameter * pixel_size / diameter
        prepared = prepare_micrograph(image, factor, self.method.working_diameter, self.contrast == "dark")
        traces = self.lines_prepared(prepared, threshold, shortest / pixel_size * factor)
        back = lambda places: map_positions(places, prepared.image.shape, prepared.shape)
        return [dataclasses.replace(trace, places=back(trace.places)) for trace in traces]

    def lines_prepared(self, prepared: Prepared, threshold: float, shortest: float) -> list:
        """The same for a Prepared micrograph; shortest and the places of the Traces in working px."""
        output, stride = self.output(prepared), self.network.stride
        score = torch.sigmoid(output[0]).numpy()
        direction = 0.5 * np.arctan2(output[2].numpy(), output[1].numpy())
        cells = _valid_cells(prepared.valid, score.shape, stride)
        diameter = self.method.working_diameter / stride
        traces = trace_lines(score, direction, threshold, shortest / stride, GAP * diameter, cells)
        return [Trace(trace.places * stride + (stride - 1) / 2, trace.score, trace.pieces) for trace in traces]

    @torch.inference_mode()
    def output(self, prepared: Prepared) -> torch.Tensor:
        """What the network answers to a prepared micrograph, (3, h/2, w/2)."""
        stride, multiple = self.network.stride, self.network.multiple
        overlap = -(-self.network.receptive_radius // multiple) * multiple
        image = prepared.image.float() * self.method.gain(prepared)
        while True:
            bytes_per_pixel = self.method.bytes_per_pixel * self.dtype.itemsize / 2  # it is given for bfloat16
            tile = max(int((self.memory * 1e9 / bytes_per_pixel) ** 0.5) // multiple * multiple, 4 * overlap)
            try:
                return apply_tiled(self._run, image, stride, multiple, tile, overlap)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or tile == 4 * overlap:
                    raise
            self.memory /= 2
            self.notes.append(
                f"Memory was too small for tiles of {tile} px; half of it ({self.memory:.2g} GB) is used."
            )

    def _run(self, tile: torch.Tensor) -> torch.Tensor:
        return self.network(tile.to(self.device, self.dtype, memory_format=torch.channels_last))


def _valid_cells(valid: torch.Tensor, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """(h, w) bool: cells all of whose pixels are valid; what lies beyond the image is not."""
    padded = np.zeros(tuple(n * stride for n in shape), bool)
    padded[: valid.shape[0], : valid.shape[1]] = valid.numpy()[: padded.shape[0], : padded.shape[1]]
    return np.asarray(padded.reshape(shape[0], stride, shape[1], stride).all((1, 3)))
