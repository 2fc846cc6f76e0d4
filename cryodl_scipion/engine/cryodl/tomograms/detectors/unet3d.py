# SPDX-License-Identifier: GPL-3.0-or-later
"""A 3-D U-Net (Çiçek et al. 2016) that answers with a heat map of each species at twice the pixel size."""

import torch

from ...learning.networks import UNetLevels, folded

# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    (
        "detector",
        0,
        "unet3d",
        "HeatMapUNet",
        "a small 3-D U-Net that predicts a heat map of each species",
        ("Cicek2016", "Moebel2021"),
    ),
    (
        "detector",
        1,
        "wide",
        "WideHeatMapUNet",
        "a 3-D U-Net that predicts a heat map of each species",
        ("Cicek2016", "Moebel2021"),
    ),
)

STRIDE = 2  # voxels of the tomogram along each axis for each of the heat map
FEW = 0.01  # score that an untrained network gives everywhere


class HeatMaps(UNetLevels):
    """(b, 1, z, y, x) normalised voxels -> (b, species, z / 2, y / 2, x / 2) log odds of a particle's centre. z, y and
    x are multiples of STRIDE * 2 ** (levels - 1). The voxels are folded into channels first, so that most of the work
    is done at twice the pixel size."""

    def __init__(self, species: int, widths: tuple[int, ...]) -> None:
        super().__init__(STRIDE**3, widths, species, 3, torch.tensor(FEW).logit().item())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.levels(folded(x, STRIDE)))


class HeatMapUNet:
    """A detector's network, and how it is trained. granularity: sides of what the network is given are multiples of it.
    overlap: voxels, a multiple of granularity; an answer does not depend on what lies farther away. crop: side of a
    training crop. bytes_per_voxel: of memory for each voxel of a network's input while it detects in bfloat16
    (measured, with a margin)."""

    name = "unet3d"
    widths = (16, 32, 64)
    granularity = STRIDE * 4
    overlap, crop, batch_size = 40, 64, 4
    learning_rate, decay, ema = 0.003, None, 0.98
    bytes_per_voxel = 60

    def build(self, species: int) -> HeatMaps:
        """The network for a number of species."""
        return HeatMaps(species, self.widths)

    def default_steps(self, particles: int) -> int:
        """Training steps where the user asks for none. particles: number to learn from."""
        return int(min(4000, max(600, 4 * particles)))


class WideHeatMapUNet(HeatMapUNet):
    """The same with twice the channels."""

    name = "wide"
    widths = (32, 64, 128)
    learning_rate = 0.002
    bytes_per_voxel = 120
