# SPDX-License-Identifier: GPL-3.0-or-later
"""A picker's network over a whole micrograph, in tiles that memory allows."""

import dataclasses
import typing

import torch

from ..core.devices import fast_dtype
from ..core.tiles import apply_tiled
from ..learning.inference import for_inference, with_less_memory
from .normalize import Measured, Prepared


@dataclasses.dataclass
class TiledNetwork:
    """Base of the dataclasses that pick with a network. method: of the registry. network: its module. device:
    torch.device. memory: GB for the network's tiles. notes: sentences about what had to be changed on the
    way. contrast: 'dark' or 'bright' protein in the micrographs. gains: between which the method's gain is kept, of a
    network that learnt a few micrographs: dirt on another one would make its particles fainter than any of theirs."""

    method: typing.Any
    network: typing.Any
    device: torch.device
    memory: float = 0.4
    notes: list[str] = dataclasses.field(default_factory=list)
    contrast: str = "dark"
    gains: tuple[float, ...] = (0.0, float("inf"))

    def prepare_network(self, network: torch.nn.Module) -> None:
        """Take a copy of a network that only predicts."""
        self.dtype = fast_dtype(self.device)
        self.network = for_inference(network, self.device, self.dtype)

    @torch.inference_mode()
    def output(self, prepared: Prepared | Measured) -> torch.Tensor:
        """What the network answers to a prepared micrograph, (c, h/stride, w/stride)."""
        stride, multiple, overlap = self.network.stride, self.network.multiple, self._overlap
        image = prepared.image.float() * min(max(self.method.gain(prepared), self.gains[0]), self.gains[1])
        return with_less_memory(
            lambda: apply_tiled(self._run, image, stride, multiple, self._tile, overlap), self._halve_memory
        )

    @property
    def _overlap(self) -> int:
        """px of context that the tiles share: the receptive radius, rounded up."""
        return -(-self.network.receptive_radius // self.network.multiple) * self.network.multiple

    @property
    def _tile(self) -> int:
        bytes_per_pixel = self.method.bytes_per_pixel * self.dtype.itemsize / 2  # it is given for bfloat16
        side = int((self.memory * 1e9 / bytes_per_pixel) ** 0.5) // self.network.multiple * self.network.multiple
        return max(side, 4 * self._overlap)

    def _halve_memory(self) -> bool:
        tile = self._tile
        if tile == 4 * self._overlap:
            return False
        self.memory /= 2
        self.notes.append(
            f"There was not enough memory for tiles of {tile} px; half of the memory limit ({self.memory:.2g} GB) is "
            "used."
        )
        print(self.notes[-1])
        return True

    def _run(self, tile: torch.Tensor) -> torch.Tensor:
        return self.network(tile.to(self.device, self.dtype, memory_format=torch.channels_last))
