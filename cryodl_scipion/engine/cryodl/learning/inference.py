# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks made ready for inference, and what is done when memory does not suffice."""

import typing
from copy import deepcopy

import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..core.devices import in_memory_format
from ..io.memory import is_memory_error

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
