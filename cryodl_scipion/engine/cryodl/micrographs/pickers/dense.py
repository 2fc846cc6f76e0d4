# SPDX-License-Identifier: GPL-3.0-or-later
"""A patch classifier over a whole micrograph: the scores of the window at every position, in one pass.

Window by window, neighbouring windows compute nearly the same again. Convolutions and poolings without padding commute
with the shift of a window, so the same weights can run over the whole image; where a layer would take steps larger than
the answers' grid, it takes none, and the layers after it reach further apart instead (dilation).
"""

import typing

import torch
import torch.nn.functional as F
from torch import nn

POINTWISE = (
    nn.ReLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.LeakyReLU,
    nn.PReLU,
    nn.BatchNorm2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
)


class DenseClassifier(nn.Sequential):
    """A patch classifier's layers as a fully convolutional network, (b, 1, h, w) -> (b, c, h/stride, w/stride).

    network: Sequential of unpadded convolutions, poolings, Flatten, Linear, batch norm, dropout and activations, which
    takes windows of `window` px. Its weights are shared, not copied. stride: working px between windows; the network's
    own steps must divide it, until they exceed it. h and w are multiples of stride.
    Answer (i, j) is that of the window from (i * stride - before, j * stride - before) on, zeros outside of the image.
    Raises ValueError for layers that cannot be converted.
    """

    def __init__(self, network: nn.Sequential, window: int, stride: int) -> None:
        super().__init__(*_convert(network, window, stride))
        self.stride = self.multiple = stride
        self.before = (window - stride) // 2
        self.after = window - stride - self.before
        self.receptive_radius = window // 2 + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = (n // self.stride for n in x.shape[-2:])
        padding = (self.before, self.after, self.before, self.after)
        return super().forward(F.pad(x, padding))[..., :h, :w]


class DilatedAverage(nn.Module):
    """Mean of size x size values that lie `dilation` apart, at every position."""

    def __init__(self, size: int, dilation: int) -> None:
        super().__init__()
        self.size, self.dilation = size, dilation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = (n - (self.size - 1) * self.dilation for n in x.shape[-2:])
        starts = [i * self.dilation for i in range(self.size)]
        total = sum(x[..., y : y + h, z : z + w] for y in starts for z in starts)
        return typing.cast("torch.Tensor", total) / self.size**2


def _convert(network: nn.Sequential, window: int, stride: int) -> typing.Iterator[nn.Module]:
    """Layers of the fully convolutional network."""
    side, steps, dilation, channels = window, 1, 1, 1
    for layer in _layers(network):
        size, step = _kernel(layer), _step(layer)
        if isinstance(layer, nn.Flatten):
            continue
        if isinstance(layer, nn.Linear):
            yield _shared_linear(layer, channels, side, dilation)
            side, channels = 1, layer.out_features
            continue
        if isinstance(layer, POINTWISE):
            yield layer
            continue
        keeps = dilation == 1 and stride % (steps * step) == 0
        if not keeps and step > 1 and steps != stride:
            raise ValueError(
                f"Windows every {stride} px do not fit a layer that steps by {step} where {steps} px are one step."
            )
        yield _moved(layer, step if keeps else 1, dilation)
        steps, dilation = (steps * step, dilation) if keeps else (steps, dilation * step)
        side, channels = (side - size) // step + 1, getattr(layer, "out_channels", channels)
    if steps != stride:
        raise ValueError(f"The network steps by {steps} px only; windows every {stride} px do not fit it.")


def _layers(network: nn.Sequential) -> typing.Iterator[nn.Module]:
    for layer in network:
        if isinstance(layer, nn.Sequential):
            yield from _layers(layer)
        elif isinstance(layer, POINTWISE + (nn.Flatten, nn.Linear, nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            yield layer
        else:
            raise ValueError(f"A layer {type(layer).__name__} cannot run over a whole image.")


def _first(value: int | tuple[int, ...]) -> int:
    return value[0] if isinstance(value, tuple) else value


def _kernel(layer: typing.Any) -> int:
    return _first(getattr(layer, "kernel_size", 1))


def _step(layer: typing.Any) -> int:
    return _first(getattr(layer, "stride", 1))


def _moved(layer: typing.Any, step: int, dilation: int) -> nn.Module:
    """The same convolution or pooling with another step and dilation."""
    if isinstance(layer, nn.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, step, dilation=dilation)
    if isinstance(layer, nn.AvgPool2d):
        if dilation == 1 and step > 1:
            return nn.AvgPool2d(layer.kernel_size, step)
        return DilatedAverage(_kernel(layer), dilation)
    if _first(layer.padding):
        raise ValueError("A padded convolution sees other values at a window's edge than inside of the image.")
    return _shared(layer.weight, layer.bias, step, dilation)


def _shared_linear(layer: typing.Any, channels: int, side: int, dilation: int) -> nn.Module:
    """A fully connected layer as a convolution that sees the whole window."""
    weight = layer.weight.view(layer.out_features, channels, side, side)
    return _shared(nn.Parameter(weight.detach(), requires_grad=False), layer.bias, 1, dilation)


def _shared(weight: torch.Tensor, bias: torch.Tensor | None, step: int, dilation: int) -> nn.Conv2d:
    """A convolution that uses the memory of existing weights."""
    with torch.device("meta"):
        convolution = nn.Conv2d(
            weight.shape[1],
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            step,
            dilation=dilation,
            bias=bias is not None,
        )
    convolution.weight, convolution.bias = weight, bias
    return convolution
