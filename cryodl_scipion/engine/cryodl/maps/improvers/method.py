# SPDX-License-Identifier: GPL-3.0-or-later
"""The two map improvers: their networks, and how each is trained."""

import torch

from .blocks import VolumeSwinConvUNet

# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    ("map_improver", 0, "fast", "Fast", "a small 3-D Swin-Conv-UNet", ("He2023EMReady", "Zhang2023SCUNet")),
    (
        "map_improver",
        1,
        "swinconv",
        "Published",
        "the 3-D Swin-Conv-UNet of EMReady",
        ("He2023EMReady", "Zhang2023SCUNet"),
    ),
)

FAST_BLOCKS = (3, 4, 4, 4)  # most of them where they cost little


def head_channels(width: int) -> int:
    """Channels of an attention head: 16 as published, fewer where half of the finest level has fewer."""
    return min(16, width // 2)


class ImproverMethod:
    """name: word on the command line. outputs: channels of the network's answer:
    the improved density, and, if there is a second, the logit that there is density at all. learning_rate, decay, ema,
    batch_size: of the training. lowest: values of the scaled map below it are cut off. width: channels of the finest
    level, where the user asks for no other number."""

    name, outputs = "", 1
    learning_rate, decay, ema, batch_size = 1e-3, None, 0.99, 4
    lowest = 0.0
    width = 32

    def build(self, attention: bool = True, width: int | None = None) -> VolumeSwinConvUNet:
        """The network, untrained: (b, 1, 48, 48, 48) to (b, outputs, 48, 48, 48). width: None for the method's own."""
        raise NotImplementedError

    def default_steps(self) -> int:
        """Training steps where the user asks for none."""
        raise NotImplementedError

    def optimizer(self, network: VolumeSwinConvUNet) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate."""
        return torch.optim.AdamW(
            network.parameters(), lr=self.learning_rate, weight_decay=1e-2, betas=(0.9, 0.99), fused=True
        )


class Fast(ImproverMethod):
    """Ours: cubes of 2 x 2 x 2 voxels become channels at the input, so that all is done on an eighth of the places; the
    weak negative values that tell noise from density are kept; a second output says where density is."""

    name = "fast"
    outputs = 2
    learning_rate = 2e-3
    lowest = -0.5

    def build(self, attention: bool = True, width: int | None = None) -> VolumeSwinConvUNet:
        dim = width or self.width
        return VolumeSwinConvUNet(
            dim, FAST_BLOCKS, 3, head_channels(dim), fold=2, outputs=2, attention=attention, residual=True
        )

    def default_steps(self) -> int:
        return 6000


class Published(ImproverMethod):
    """EMReady's network (He, Li and Huang 2023, Nature Communications 14:3217)."""

    name = "swinconv"
    learning_rate = 5e-4

    def build(self, attention: bool = True, width: int | None = None) -> VolumeSwinConvUNet:
        dim = width or self.width
        return VolumeSwinConvUNet(dim, (2, 2, 2, 2), 3, head_channels(dim), drop=0.2, attention=attention)

    def default_steps(self) -> int:
        return 60000
