# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of what the layers of a picker's network answer to a part of a micrograph."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...core.thumbnails import grey_limits
from ...io.plots import new_figure, save_figure
from .adaptation import cut_middle
from .predict import Picker

DIAMETERS = 8  # of a particle: the side of the part that is shown
LAYERS, CHANNELS = 8, 8  # drawn at most


class Layer(typing.NamedTuple):
    """name: of the module in the network. channels: how many it has. maps: (n, h, w) those that vary most."""

    name: str
    channels: int
    maps: np.ndarray


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """What a network sees. image: (h, w) the part as the network gets it. layers: in the order in which they are
    computed. scores: (h', w') raw scores."""

    image: np.ndarray
    layers: list[Layer]
    scores: np.ndarray


@torch.inference_mode()
def feature_maps(
    picker: Picker, image: np.ndarray, pixel_size: float, diameter: float, dirt: np.ndarray | None = None
) -> FeatureMaps:
    """Feature maps of the convolutions for the middle part of a micrograph. image: (h, w) as read. pixel_size: Å/px.
    diameter: Å, that the micrograph is rescaled for. dirt: as for prepare_micrograph. Of LAYERS convolutions at most,
    evenly spread over the network."""
    wide, multiple = picker.method.working_diameter, picker.network.multiple
    prepared = picker.prepared(image, pixel_size, diameter, dirt)
    shown = cut_middle(
        prepared.image.float() * picker.method.gain(prepared), int(DIAMETERS * wide) // multiple * multiple
    )
    part = nn.functional.pad(shown, (0, -shown.shape[1] % multiple, 0, -shown.shape[0] % multiple))
    found: list[tuple[str, torch.Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: found.append((name, output[0].float().cpu())))
        for name, module in [(name, m) for name, m in picker.network.named_modules() if isinstance(m, nn.Conv2d)]
    ]
    try:
        output = picker.network(
            part[None, None].to(picker.device, picker.dtype, memory_format=torch.channels_last)
        ).float()
    finally:
        for hook in hooks:
            hook.remove()
    chosen = np.unique(np.linspace(0, len(found) - 1, min(LAYERS, len(found))).round().astype(int))
    scores = picker.method.scores(output)[0, 0].cpu().numpy()
    layers = [
        Layer(name, len(maps), maps[maps.flatten(1).std(1).argsort(descending=True)[:CHANNELS]].numpy())
        for name, maps in (found[i] for i in chosen)
    ]
    return FeatureMaps(shown.numpy(), layers, scores)


def draw_feature_maps(maps: FeatureMaps, path: str | os.PathLike[str], title: str) -> None:
    """Write FeatureMaps as a PNG: the input and the scores on top, one layer in each further row."""
    rows = 1 + len(maps.layers)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure, axes = new_figure(rows, CHANNELS, (1.25 * CHANNELS, 1.35 * rows + 0.4))
    for one in axes.flat:
        one.set_axis_off()
    _show(axes[0, 0], maps.image, "input")
    _show(axes[0, 1], maps.scores, "scores", (0.0, 1.0))
    for row, layer in zip(axes[1:], maps.layers):
        for column, (one, values) in enumerate(zip(row, layer.maps)):
            _show(one, values, f"{layer.name}: {layer.channels}" if not column else "")
    figure.suptitle(f"{title}: convolutions and their number of channels; those that vary most are drawn", fontsize=9)
    save_figure(figure, path)


def _show(axes: typing.Any, values: np.ndarray, words: str, limits: tuple[float, float] | None = None) -> None:
    low, high = limits or grey_limits(values)
    axes.imshow(values, cmap="gray", vmin=low, vmax=high)
    axes.set_title(words, fontsize=7, loc="left")
