# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that denoises tomograms: a small 3-D U-net (Çiçek et al. 2016) that corrects a Wiener filter's output."""

import typing

import torch
from torch import nn

from ...learning.networks import UNetLevels, folded, unfolded

# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    (
        "tomogram_denoiser",
        0,
        "unet3d",
        "DenoisingUNet3D",
        "a small 3-D U-Net that corrects a Wiener filter",
        ("Cicek2016",),
    ),
    ("tomogram_denoiser", 1, "unet3d_wide", "WideUNet3D", "a 3-D U-Net that corrects a Wiener filter", ("Cicek2016",)),
)

WIDTHS = (16, 32, 48)
FOLD = 2  # cubes of 2 x 2 x 2 voxels become channels, so that all is done on an eighth of the positions


class VolumeCorrection(UNetLevels):
    """(b, 2, z, y, x): a volume, and the volume after its Wiener filter -> (b, 1, z, y, x): what is to be added to the
    second. Sides are multiples of FOLD * 2 ** (levels - 1). Untrained it answers 0, so that training can only gain."""

    def __init__(self, widths: typing.Sequence[int] = WIDTHS) -> None:
        super().__init__(2 * FOLD**3, widths, FOLD**3, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return unfolded(self.head(self.levels(folded(x, FOLD).contiguous(memory_format=torch.channels_last_3d))), FOLD)


class DenoisingUNet3D:
    """How the network is built and trained. name: word on the command line. granularity: sides that it is given are
    multiples of it. overlap: px of context on each side of a tile. bytes_per_voxel: of memory for each voxel of a tile,
    the network in bfloat16 (measured, with a margin). learning_rate: peak. decay, ema: as schedule.Schedule's. crop,
    batch_size: cubes of a step."""

    name = "unet3d"
    widths = WIDTHS
    bytes_per_voxel = 48
    granularity = FOLD * 2 ** (len(WIDTHS) - 1)
    overlap, crop, batch_size = 16, 48, 4
    learning_rate, decay, ema = 0.003, None, 0.98

    def build(self) -> nn.Module:
        """The network, untrained."""
        return VolumeCorrection(self.widths)

    def default_steps(self, fill_wedge: bool) -> int:
        """Training steps where the user asks for none."""
        return 2000 if fill_wedge else 1000


class WideUNet3D(DenoisingUNet3D):
    """The same with half as many channels again: it costs twice as much."""

    name = "unet3d_wide"
    widths = (24, 40, 64)
    bytes_per_voxel = 60
