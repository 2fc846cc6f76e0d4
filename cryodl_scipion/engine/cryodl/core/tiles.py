# SPDX-License-Identifier: GPL-3.0-or-later
"""A network over an image of any size, in overlapping tiles when it is large, so that memory is bounded."""

import typing

import torch
import torch.nn.functional as F


def resized_image(image: torch.Tensor, shape: typing.Sequence[int]) -> torch.Tensor:
    """An (h, w) image of another shape over the same area, averaged where it becomes smaller."""
    return F.interpolate(image[None, None], size=shape, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def tile_spans(size: int, tile: int, overlap: int, granularity: int = 1) -> list[tuple[int, int, int, int]]:
    """How one axis is cut into tiles that overlap.

    The kept spans lie side by side and cover the axis once. All lengths are multiples of the granularity, and so are
    the spans.

    size: length of the axis. tile: largest length of a tile. overlap: context on each inner side, not kept. Returns
    list of (start, stop, keep_start, keep_stop). Raises ValueError if tile <= 2 * overlap."""
    if size <= tile:
        return [(0, size, 0, size)]
    if tile <= 2 * overlap:
        raise ValueError(f"Tiles of {tile} px are too small for a context of {overlap} px on each side.")
    count = -(-(size - 2 * overlap) // (tile - 2 * overlap))
    step = -(-(size - 2 * overlap) // count)  # all tiles alike: a last one shifted back would be computed mostly twice
    step = min(tile - 2 * overlap, -(-step // granularity) * granularity)
    spans, kept = [], 0
    while kept < size:
        start = max(0, kept - overlap)
        stop = start + step + 2 * overlap
        keep_stop = size if stop >= size else stop - overlap
        spans.append((start, min(stop, size), kept, keep_stop))
        kept = keep_stop
    return spans


def apply_tiled(
    function: typing.Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    stride: int,
    multiple: int,
    tile: int,
    overlap: int,
) -> torch.Tensor:
    """Run a fully convolutional function over an image.

    With an overlap of at least the receptive radius the result does not depend on the tiling.

    function: (1, n, h, w) -> (1, c, h/stride, w/stride), h and w multiples of `multiple`.
    image: (h, w) or (n, h, w), n is 1 without the first axis.
    stride: px of the image per px of the answer.
    multiple: px.
    tile: px, a multiple of `multiple`.
    overlap: px, a multiple of `multiple`; a tile's outer `overlap` px are only context.
    Returns (c, ceil(h/stride), ceil(w/stride)) float32, on the CPU."""
    h, w = image.shape[-2:]
    padded = F.pad(image.reshape(1, -1, h, w), (0, -w % multiple, 0, -h % multiple))
    rows, columns = (tile_spans(n, tile, overlap, multiple) for n in padded.shape[-2:])
    result = torch.empty(0)
    for y0, y1, ky0, ky1 in rows:
        for x0, x1, kx0, kx1 in columns:
            out = function(padded[:, :, y0:y1, x0:x1])[0].float().cpu()
            if not len(result):
                result = torch.empty((out.shape[0],) + tuple(n // stride for n in padded.shape[-2:]))
            result[:, ky0 // stride : ky1 // stride, kx0 // stride : kx1 // stride] = out[
                :, (ky0 - y0) // stride : (ky1 - y0) // stride, (kx0 - x0) // stride : (kx1 - x0) // stride
            ]
    return result[:, : -(-h // stride), : -(-w // stride)]
