# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of networks that several wings share.

Random numbers that several processes draw as one does.
The block of convolutions that U-nets of several wings are made of.
Cubes of voxels as channels, and back: networks then work on fewer places (pixel unshuffle in three dimensions).
Parts that the Swin-Conv networks for images and volumes share: window attention, and the two-part block.
The levels of a small U-net with additive skips, which pickers, segmenters and detectors share.
A small U-net on folded images, which the picker and the denoiser of images share.
The network that denoises images whose structure it does not know: a small U-net (Ronneberger et al. 2015) that
corrects a Wiener filter's output."""

import abc
import typing

import torch
import torch.nn.functional as F
from torch import nn


def of_whole_batch(draw: typing.Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Random numbers for a batch's examples (b, ...) of this process. draw: makes them for such a tensor. Of several
    processes each draws them for the whole batch, as one process would, and takes those of its own part."""
    if not torch.distributed.is_initialized():
        return draw(x)
    count, start = torch.distributed.get_world_size(), len(x) * torch.distributed.get_rank()
    return draw(torch.cat([x.detach()] * count))[start : start + len(x)]


class Dropout(nn.Dropout):
    """Dropout of the same values in one process and in several that share the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not torch.distributed.is_initialized():
            return super().forward(x)
        return x * of_whole_batch(lambda whole: F.dropout(torch.ones_like(whole), self.p), x)


class ConvBlock(nn.Module):
    """Two convolutions of 3 px with batch norm and ReLU, and a shortcut. (b, c_in, h, w) -> (b, c_out, h, w), or (b,
    c_in, z, h, w) -> (b, c_out, z, h, w) with three dimensions."""

    def __init__(self, c_in: int, c_out: int, dimensions: int = 2) -> None:
        super().__init__()
        conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dimensions]
        self.first = nn.Sequential(conv(c_in, c_out, 3, padding=1, bias=False), norm(c_out), nn.ReLU(inplace=True))
        self.second = nn.Sequential(conv(c_out, c_out, 3, padding=1, bias=False), norm(c_out))
        self.shortcut = nn.Identity() if c_in == c_out else conv(c_in, c_out, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # two slices: gradients of weights in bfloat16 are then made of memory that nobody wrote (torch 2.13, CPU)
        if x.dim() == 5 and x.shape[2] == 2 and torch.is_grad_enabled() and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.forward(x.float())
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


def folded(x: torch.Tensor, n: int) -> torch.Tensor:
    """Cubes of n voxels become channels, (b, c n³, d / n, h / n, w / n). x: (b, c, d, h, w)."""
    b, c, d, h, w = x.shape
    x = x.reshape(b, c, d // n, n, h // n, n, w // n, n)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * n**3, d // n, h // n, w // n)


def unfolded(x: torch.Tensor, n: int) -> torch.Tensor:
    """The opposite of folded, (b, c, d n, h n, w n). x: (b, c n³, d, h, w)."""
    b, c, d, h, w = x.shape
    x = x.reshape(b, c // n**3, n, n, n, d, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // n**3, d * n, h * n, w * n)


def window_side(grid: int, largest: int) -> int:
    """The largest side of windows, at most `largest`, that tile a grid of this side."""
    return max(side for side in range(1, largest + 1) if grid % side == 0)


def to_windows(x: torch.Tensor, n: int) -> torch.Tensor:
    """Cut a grid into square or cubic windows, (b * number of windows, n^d, c). x: (b, *sides, c), sides are multiples
    of n. n: side of a window."""
    b, *sides, c = x.shape
    d, cut = len(sides), x.reshape(b, *[length for side in sides for length in (side // n, n)], c)
    return cut.permute((0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2), 2 * d + 1)).reshape(-1, n**d, c)


def from_windows(tokens: torch.Tensor, n: int, sides: typing.Sequence[int]) -> torch.Tensor:
    """The (b, *sides, c) grid whose windows of side n are `tokens`, (b * number of windows, n^d, c)."""
    d, c = len(sides), tokens.shape[-1]
    cut = tokens.reshape(-1, *[side // n for side in sides], *(n,) * d, c)
    return cut.permute(0, *[axis for i in range(1, d + 1) for axis in (i, i + d)], 2 * d + 1).reshape(-1, *sides, c)


def relative_positions(n: int, window: int, d: int, device: torch.device | None = None) -> torch.Tensor:
    """(n^d, n^d) numbers of the relative positions of pairs within a window of side n, out of (2 window - 1)^d."""
    positions = torch.cartesian_prod(*[torch.arange(n, device=device)] * d).reshape(-1, d)
    offset = positions[:, None] - positions[None] + window - 1
    return (offset * (2 * window - 1) ** torch.arange(d - 1, -1, -1, device=device)).sum(-1)


def border_mask(sides: typing.Sequence[int], n: int, shift: int, device: torch.device) -> torch.Tensor:
    """(number of windows, n^d, n^d): 0 for pairs of a shifted window that are neighbours, -100 for pairs that came
    together over the border."""
    region = torch.zeros(1, *sides, 1, device=device)
    for axis, side in enumerate(sides, 1):
        position = torch.arange(side, device=device)
        part, shape = (position >= side - n).long() + (position >= side - shift).long(), [1] * region.dim()
        shape[axis] = side
        region = region * 3 + part.reshape(shape)
    region = to_windows(region, n)[..., 0]
    return torch.where(region[:, :, None] == region[:, None], 0.0, -100.0)


class WindowAttention(nn.Module):
    """Self-attention within windows of a (b, *sides, c) tensor, with a learnt bias for each relative position.

    Every other layer shifts the windows by half their side (Liu et al. 2021, section 3.2), unless one window holds all.

    channels, heads: channels of the tensor, and heads that share them. window: side of the largest window. bias:
    nn.Parameter, (heads, ...), one value for each of the (2 window - 1)^d relative positions. wraps: whether places of
    opposite borders that a shift brings together see each other."""

    def __init__(
        self, channels: int, heads: int, window: int, bias: nn.Parameter, shifted: bool, wraps: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shifted, self.wraps = heads, window, shifted, wraps
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.mixed = nn.Linear(channels, channels)
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The answer of the attention, of the shape of x."""
        sides = x.shape[1:-1]
        n = window_side(min(sides), self.window)
        shift = n // 2 if self.shifted and min(sides) > n else 0
        axes = tuple(range(1, len(sides) + 1))
        tokens = to_windows(torch.roll(x, (-shift,) * len(sides), axes) if shift else x, n)
        parts = self.queries_keys_values(tokens).reshape(len(tokens), tokens.shape[1], 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        bias = self.bias.flatten(1)[:, relative_positions(n, self.window, len(sides), x.device)].to(query.dtype)[None]
        if shift and not self.wraps:
            bias = bias + border_mask(sides, n, shift, x.device).to(query.dtype).repeat(len(x), 1, 1)[:, None]
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        answer = from_windows(self.mixed(answer.transpose(1, 2).reshape(tokens.shape)), n, sides)
        return torch.roll(answer, (shift,) * len(sides), axes) if shift else answer


class SwinConvBlock(nn.Module, abc.ABC):
    """Some channels through a convolution, the others through window attention, joined again (Zhang et al. 2022).

    A subclass makes `split` and `join`, convolutions of one pixel, and says what becomes of the two parts.
    near_channels: channels of the first part; if it has all, there is no second."""

    split: nn.Module
    join: nn.Module
    near_channels: int

    @abc.abstractmethod
    def near(self, x: torch.Tensor) -> torch.Tensor:
        """The first part, (b, c, *sides), after its convolutions."""

    @abc.abstractmethod
    def far(self, x: torch.Tensor) -> torch.Tensor:
        """The second part, (b, *sides, c), after its attention."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, *sides) to the same shape."""
        near, far = self.split(x).split([self.near_channels, x.shape[1] - self.near_channels], dim=1)
        near = self.near(near)
        if far.shape[1]:
            near = torch.cat([near, self.far(far.movedim(1, -1)).movedim(-1, 1)], dim=1)
        return x + self.join(near)


class UNetLevels(nn.Module):
    """Base of U-nets (Ronneberger et al. 2015): a ConvBlock on each level of the way down and up, and a last layer.

    A subclass calls `levels` in its forward, and `head` on what that returns. Untrained, the answer is about `bias`.

    c_in: channels of the input. widths: channels of the levels, the finest first. c_out: channels of the answer.
    dimensions: 2 for images, 3 for volumes. bias: of the last layer, no unit."""

    def __init__(
        self, c_in: int, widths: typing.Sequence[int], c_out: int, dimensions: int = 2, bias: float = 0.0
    ) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.down = nn.ModuleList(ConvBlock(a, b, dimensions) for a, b in zip((c_in, *widths), widths))
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.reduce = nn.ModuleList(conv(a, b, 1, bias=False) for a, b in pairs)
        self.up = nn.ModuleList(ConvBlock(b, b, dimensions) for _, b in pairs)
        self.head = conv(widths[0], c_out, 1)
        self._pool = {2: F.max_pool2d, 3: F.max_pool3d}[dimensions]
        nn.init.constant_(typing.cast("torch.Tensor", self.head.bias), bias)

    def levels(self, x: torch.Tensor) -> torch.Tensor:
        """Down through all levels and up again. x: (b, c_in, h, w) or (b, c_in, z, h, w), sides are multiples of 2 **
        (levels - 1). Returns (b, widths[0], h, w) or (b, widths[0], z, h, w)."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self._pool(x, 2))
            skips.append(x)
        for reduce, block, skip in zip(self.reduce, self.up, skips[-2::-1]):
            x = block(skip + F.interpolate(reduce(x), scale_factor=2.0, mode="nearest"))
        return x


WIDTHS = (32, 48, 64, 64)
GENERAL_WIDTHS = (32, 56, 80, 96)  # of the general models, which have more to tell apart


class FoldedUNet(UNetLevels):
    """(b, 1, h, w) image -> (b, outputs, h/2, w/2). h and w are multiples of `multiple`. The input is folded by 2
    (pixel unshuffle) before the first convolution, so that the widest layers work on a quarter of the pixels. widths:
    channels of the levels, the finest first. outputs: channels of the answer."""

    stride = 2
    receptive_radius = 103  # px; each output looks no further (a test measures it)

    def __init__(self, widths: tuple[int, ...] = WIDTHS, outputs: int = 1) -> None:
        super().__init__(self.stride**2, widths, outputs)
        self.multiple = self.stride * 2 ** (len(widths) - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.levels(F.pixel_unshuffle(x, self.stride)))


class WienerUNet(FoldedUNet):
    """(b, 2, h, w): an image with white noise, and the image after its Wiener filter -> (b, 1, h, w) signal, in the
    filter's units. h and w are multiples of `multiple`. It begins as the filter alone, so that training can only gain.
    stride is that of its first layer; the answer has the input's size. widths: as FoldedUNet's."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(widths)
        self.down[0] = ConvBlock(2 * self.stride**2, widths[0])
        self.head = nn.Conv2d(self.head.in_channels, self.stride**2, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(typing.cast("torch.Tensor", self.head.bias))

    @classmethod
    def like(cls, weights: typing.Mapping[str, torch.Tensor]) -> "WienerUNet":
        """The network that has such weights, with new ones of its own. weights: {name: Tensor}, each of any shape."""
        return cls(tuple(weights[f"down.{i}.first.0.weight"].shape[0] for i in range(len(WIDTHS))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 1:] + F.pixel_shuffle(super().forward(x), self.stride)
