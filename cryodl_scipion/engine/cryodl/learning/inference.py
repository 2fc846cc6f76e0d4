# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks made ready for inference, and what is done when memory does not suffice; the denoiser of images whose
structure is not known, micrographs and particles: a trained WienerUNet, applied."""

import typing
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..core.devices import in_memory_format
from ..core.tiles import apply_tiled
from ..io.memory import is_memory_error
from . import networks

Answer = typing.TypeVar("Answer")
_CONVOLUTIONS = (torch.nn.Conv2d, torch.nn.Conv3d)
_NORMS = (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)


def for_inference(network: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    """A copy of a network that only predicts: batch norm folded into the convolutions. dtype: of the weights."""
    copy = deepcopy(network).eval().to("cpu")
    for block in copy.modules():
        if isinstance(block, torch.nn.Sequential):
            for i, (first, second) in enumerate(zip(block, list(block)[1:])):
                if isinstance(first, _CONVOLUTIONS) and isinstance(second, _NORMS):
                    block[i], block[i + 1] = fuse_conv_bn_eval(first, second), torch.nn.Identity()
    volumes = any(isinstance(layer, torch.nn.Conv3d) for layer in copy.modules())
    return in_memory_format(copy.to(device, dtype), torch.channels_last_3d if volumes else torch.channels_last)


def with_less_memory(attempt: typing.Callable[[], Answer], shrink: typing.Callable[[], bool]) -> Answer:
    """What attempt() returns. Where memory does not suffice, shrink() is called and it is tried again. shrink: makes
    the next attempt need less memory; False if it cannot. Returns what attempt() returned. Raises RuntimeError: what
    attempt() raised, if it is another error, or nothing is left to shrink."""
    while True:
        try:
            return attempt()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_memory_error(error) or not shrink():
                raise


class ImageDenoiser:
    """A network on a device. weights: {name: Tensor}, each of any shape: of a micrograph denoiser."""

    def __init__(self, weights: typing.Mapping[str, torch.Tensor], device: torch.device) -> None:
        network = networks.WienerUNet.like(weights)
        network.load_state_dict(weights)
        self.multiple, self.device = network.multiple, device
        self.overlap = -(-network.receptive_radius // network.multiple) * network.multiple
        # float32 everywhere: the answer is an image, and 8 bits would show as steps in flat areas
        self.network = for_inference(network, device, torch.float32)

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
        return self.network(seen.to(self.device, memory_format=torch.channels_last))
