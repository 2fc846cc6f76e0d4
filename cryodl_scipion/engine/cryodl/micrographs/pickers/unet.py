# SPDX-License-Identifier: GPL-3.0-or-later
"""This project's picker: a small U-net (Ronneberger et al. 2015) that predicts a soft spot at the centre of every
particle. Ours: the input is folded by 2 (pixel unshuffle) before the first convolution, so that the widest layers work
on a quarter of the pixels; additive skips; batch norm, which costs nothing at inference; 0.3 million weights. Fully
convolutional."""

import typing

import torch

from ...learning.networks import GENERAL_WIDTHS, WIDTHS, FoldedUNet
from ..normalize import Measured
from .heatmap import HeatmapPicker

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("picker", 0, "unet", "UNetPicker", "a U-Net", ("Ronneberger2015",)),)

STRENGTH = 0.5  # what feature_strength becomes: noise keeps a standard deviation near 1 in common micrographs


class PickerUNet(FoldedUNet):
    """(b, 1, h, w) normalised micrograph -> (b, 1, h/2, w/2) logits. h and w are multiples of `multiple`. outputs: 2
    adds the logarithm of the particles' size, their widest extent over the stated diameter."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, outputs: int = 1) -> None:
        super().__init__(widths, outputs)
        with torch.no_grad():
            typing.cast("torch.Tensor", self.head.bias)[0] = -4.0  # centres are rare: start by saying "none"


class UNetPicker(HeatmapPicker):
    """Small U-net with a heat map of particle centres."""

    name = "unet"
    working_diameter = 32.0
    scales = 0.8, 1.0, 1.25

    def gain(self, item: Measured) -> float:
        """Brings the strongest particle-sized features of every micrograph to the same height. A network that sees
        three particles' width cannot tell a faint particle among its like from dirt beside stronger particles
        (measured: docs/how_general_model.md)."""
        return STRENGTH / item.strength(self.working_diameter)

    def build(self) -> PickerUNet:
        return PickerUNet()

    def build_general(self) -> PickerUNet:
        """Wider, and it tells the particles' size."""
        return PickerUNet(GENERAL_WIDTHS, outputs=2)

    def build_like(self, weights: typing.Mapping[str, torch.Tensor]) -> PickerUNet:
        names = *(f"down.{i}.first.0.weight" for i in range(len(WIDTHS))), "head.weight"
        if not weights.keys() >= {*names}:
            return self.build()  # they are of another network, which is said when they are put into this one
        *widths, outputs = (weights[name].shape[0] for name in names)
        return PickerUNet(tuple(widths), outputs=outputs)
