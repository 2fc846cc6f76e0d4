# SPDX-License-Identifier: GPL-3.0-or-later
"""The two map improvers: the 3-D Swin-Conv-UNet (He, Li and Huang 2023; Zhang et al. 2022 in two dimensions) and its
blocks, and how each is trained."""

import abc

import torch
from torch import nn

from ...learning.networks import SwinConvBlock, WindowAttention, folded, of_whole_batch, unfolded


class FilterResponseNorm(nn.Module):
    """Filter response normalisation with its thresholded activation (Singh and Krishnan 2020): each channel over its
    own root mean square; no batch, no mean, so that boxes are independent and empty solvent stays empty."""

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.threshold = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, 1, 1, 1)
        x = x * torch.rsqrt(x.float().square().mean(dim=(2, 3, 4), keepdim=True) + self.epsilon).to(x.dtype)
        return torch.maximum(x * self.scale.reshape(shape) + self.shift.reshape(shape), self.threshold.reshape(shape))


class VolumeAttention(WindowAttention):
    """Window attention on a (b, d, h, w, c) tensor, whose sides are multiples of the window's."""

    def __init__(self, channels: int, window: int, head_channels: int, shifted: bool) -> None:
        heads = channels // head_channels
        super().__init__(channels, heads, window, nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 3)), shifted)
        nn.init.trunc_normal_(self.bias, std=0.02)


class VolumeSwinConvBlock(SwinConvBlock):
    """Half of the channels through a residual convolution, half through window attention; of (b, c, d, h, w) tensors.
    attention: False leaves the second half out: all channels go through the convolution (for comparison). drop: part of
    the training examples for which a half is skipped (drop path)."""

    def __init__(
        self, channels: int, window: int, head_channels: int, shifted: bool, drop: float = 0.0, attention: bool = True
    ) -> None:
        super().__init__()
        self.near_channels = near = channels // 2 if attention else channels
        far = channels - near
        self.drop = drop
        self.split = nn.Conv3d(channels, channels, 1)
        self.convolution = nn.Sequential(
            nn.Conv3d(near, near, 3, padding=1, bias=False),
            FilterResponseNorm(near),
            nn.Conv3d(near, near, 3, padding=1, bias=False),
        )
        if far:
            self.first_norm, self.second_norm = nn.LayerNorm(far), nn.LayerNorm(far)
            self.attention = VolumeAttention(far, window, head_channels, shifted)
            self.feed = nn.Sequential(nn.Linear(far, 4 * far), nn.GELU(), nn.Linear(4 * far, far))
        self.join = nn.Conv3d(channels, channels, 1)

    def near(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.convolution(x)

    def far(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self._dropped(self.attention(self.first_norm(x)))
        return x + self._dropped(self.feed(self.second_norm(x)))

    def _dropped(self, x: torch.Tensor) -> torch.Tensor:
        """Drop path: the branch is left out for some examples while training, and compensated in the others."""
        if not self.training or self.drop == 0:
            return x
        one = (1,) * (x.dim() - 1)
        keep = of_whole_batch(lambda whole: torch.rand((len(whole), *one), device=x.device), x) >= self.drop
        return x * (keep / (1 - self.drop)).to(x.dtype)


MIDDLE = 5.0  # Å; a network counts the resolution that it is told from here, in parts of it


class VolumeSwinConvUNet(nn.Module):
    """(b, 1, n, n, n) to (b, outputs, n, n, n), n a multiple of fold * 8 * window. dim: channels of the finest level;
    they double at each of three strided convolutions. blocks: numbers of them in a stage of each of the four levels,
    the finest first. fold: voxels along an axis that become channels at the input, and come back at the output. drop:
    drop path of the last block; it rises evenly to there. residual: the first output is a change of the input, none
    before training. told: it also takes the resolution (b,) in Å, 0 if unknown; it adds to all places at the input."""

    def __init__(
        self,
        dim: int,
        blocks: tuple[int, int, int, int],
        window: int,
        head_channels: int,
        fold: int = 1,
        outputs: int = 1,
        drop: float = 0.0,
        attention: bool = True,
        residual: bool = False,
        told: bool = False,
    ) -> None:
        super().__init__()
        self.fold, self.residual = fold, residual
        self.told = nn.Parameter(torch.zeros(dim)) if told else None
        total = 2 * sum(blocks[:3]) + blocks[3]
        rates = iter([drop * k / max(1, total - 1) for k in range(total)])
        widths = [dim, 2 * dim, 4 * dim, 8 * dim]
        stage = lambda channels: nn.Sequential(
            *[
                VolumeSwinConvBlock(channels, window, head_channels, bool(k % 2), next(rates), attention)
                for k in range(blocks[widths.index(channels)])
            ]
        )
        self.head = nn.Conv3d(fold**3, dim, 3, padding=1, bias=False)
        self.down = nn.ModuleList(stage(w) for w in widths[:3])
        self.coarser = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2, bias=False) for a, b in zip(widths, widths[1:]))
        self.body = stage(widths[3])
        self.finer = nn.ModuleList(
            nn.ConvTranspose3d(b, a, 2, stride=2, bias=False) for a, b in reversed(list(zip(widths, widths[1:])))
        )
        self.up = nn.ModuleList(stage(w) for w in reversed(widths[:3]))
        self.tail = nn.Conv3d(dim, outputs * fold**3, 3, padding=1, bias=False)
        if residual:
            nn.init.zeros_(self.tail.weight)

    def forward(self, data: torch.Tensor, resolution: torch.Tensor | None = None) -> torch.Tensor:
        x = self.head(folded(data, self.fold))
        if self.told is not None and resolution is not None:
            known = torch.where(resolution > 0, resolution / MIDDLE - 1, 0)
            x = x + (known[:, None] * self.told).to(x.dtype)[..., None, None, None]
        skips = [x]
        for blocks, coarser in zip(self.down, self.coarser):
            skips.append(coarser(blocks(skips[-1])))
        x = self.body(skips[-1])
        for finer, blocks in zip(self.finer, self.up):
            x = blocks(finer(x + skips.pop()))
        output = unfolded(self.tail(x + skips.pop()), self.fold)
        return torch.cat([output[:, :1] + data, output[:, 1:]], dim=1) if self.residual else output


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


class ImproverMethod(abc.ABC):
    """name: word on the command line. learning_rate, decay, ema, batch_size: of the training. lowest: values of the
    scaled map below it are cut off. width: channels of the finest level, and default_steps: of the training, where the
    user asks for no other number."""

    name = ""
    learning_rate, decay, ema, batch_size = 1e-3, None, 0.99, 4
    lowest = 0.0
    width, default_steps = 32, 6000

    @abc.abstractmethod
    def build(self, attention: bool = True, width: int | None = None) -> VolumeSwinConvUNet:
        """The network, untrained: (b, 1, 48, 48, 48) to (b, outputs, 48, 48, 48). width: None for the method's own."""


class Fast(ImproverMethod):
    """Ours: cubes of 2 x 2 x 2 voxels become channels at the input, so that all is done on an eighth of the places; the
    weak negative values that tell noise from density are kept. Models have a second output, which nothing uses."""

    name = "fast"
    learning_rate = 2e-3
    lowest = -0.5

    def build(self, attention: bool = True, width: int | None = None) -> VolumeSwinConvUNet:
        dim = width or self.width
        return VolumeSwinConvUNet(
            dim, FAST_BLOCKS, 3, head_channels(dim), fold=2, outputs=2, attention=attention, residual=True, told=True
        )


class Published(ImproverMethod):
    """EMReady's network (He, Li and Huang 2023, Nature Communications 14:3217)."""

    name = "swinconv"
    learning_rate, default_steps = 5e-4, 60000

    def build(self, attention: bool = True, width: int | None = None) -> VolumeSwinConvUNet:
        dim = width or self.width
        return VolumeSwinConvUNet(dim, (2, 2, 2, 2), 3, head_channels(dim), drop=0.2, attention=attention)
