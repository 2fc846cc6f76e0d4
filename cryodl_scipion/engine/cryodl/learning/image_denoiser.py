# SPDX-License-Identifier: GPL-3.0-or-later
"""The denoiser of images whose structure is not known, micrographs and particles: a trained WienerUNet, applied."""

import typing

import torch
import torch.nn.functional as F

from ..core.tiles import apply_tiled
from . import inference, networks


class ImageDenoiser:
    """A network on a device. weights: {name: Tensor}, each of any shape: of a micrograph denoiser."""

    def __init__(self, weights: typing.Mapping[str, torch.Tensor], device: torch.device) -> None:
        network = networks.WienerUNet.like(weights)
        network.load_state_dict(weights)
        self.multiple, self.device = network.multiple, device
        self.overlap = -(-network.receptive_radius // network.multiple) * network.multiple
        # float32 everywhere: the answer is an image, and 8 bits would show as steps in flat areas
        self.network = inference.for_inference(network, device, torch.float32)

    def tiled(self, seen: torch.Tensor, tile: int) -> torch.Tensor:
        """The answer to one image of any size, tile by tile. seen: (2, h, w), what WienerUNet is given. tile: px,
        largest side at a time. Returns (h, w), on the CPU."""
        return apply_tiled(self._run, seen, 1, self.multiple, tile, self.overlap)[0]

    def batch(self, seen: torch.Tensor, margin: int) -> torch.Tensor:
        """The answers to small images, which are continued by their mirror images at the borders. seen: (b, 2, h, w),
        what WienerUNet is given. margin: px, smallest width of what is continued; less than the sides. Returns
        (b, h, w), on the CPU."""
        height, width = seen.shape[2:]
        bottom, right = (margin + -(side + 2 * margin) % self.multiple for side in (height, width))
        answer = self._run(F.pad(seen, (margin, right, margin, bottom), mode="reflect"))
        inside: torch.Tensor = answer[:, 0, margin : margin + height, margin : margin + width]
        return inside.float().cpu()

    def _run(self, seen: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.network(seen.to(self.device, memory_format=torch.channels_last))
        return answer
