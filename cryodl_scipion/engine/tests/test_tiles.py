# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles change the memory, not the result."""

import pytest
import torch
import torch.nn.functional as F

from cryodl.core.tiles import apply_tiled, tile_spans

STRIDE, MULTIPLE, RADIUS = 2, 16, 12


@pytest.mark.parametrize(
    "size, tile, overlap",
    [(16, 64, 16), (64, 64, 16), (80, 64, 16), (1040, 128, 32), (4096, 1024, 96), (96, 80, 32), (128, 80, 32)],
)
def test_kept_spans_cover_the_axis_once_with_context_around(size, tile, overlap):
    spans = tile_spans(size, tile, overlap)
    assert spans[0][2] == 0 and spans[-1][3] == size
    assert all(before[3] == after[2] for before, after in zip(spans, spans[1:]))
    for start, stop, keep_start, keep_stop in spans:
        assert 0 <= start <= keep_start < keep_stop <= stop <= size and stop - start <= tile
        assert start == 0 or keep_start - start >= overlap
        assert stop == size or stop - keep_stop >= overlap


def test_an_axis_slightly_longer_than_a_tile_is_not_computed_twice():
    spans = tile_spans(1584, 1232, 96, 16)
    assert len(spans) == 2 and sum(stop - start for start, stop, _, _ in spans) <= 1584 + 2 * 96 + 2 * 16


def test_tiles_smaller_than_their_context_are_refused():
    with pytest.raises(ValueError, match="Tiles of 32 px .* 16 px"):
        tile_spans(100, 32, 16)


def smooth_and_fold(x):
    """A fully convolutional function of radius 12 px and stride 2 with two channels."""
    kernel = torch.randn(2, 1, 2 * RADIUS, 2 * RADIUS, generator=torch.Generator().manual_seed(1))
    return F.conv2d(F.pad(x, (RADIUS - 1,) * 4), kernel, stride=STRIDE)


@pytest.mark.parametrize("shape", [(160, 160), (517, 331), (333, 600), (17, 500)])
def test_tiled_equals_whole(shape):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    whole = apply_tiled(smooth_and_fold, image, STRIDE, MULTIPLE, 4096, MULTIPLE)
    tiled = apply_tiled(smooth_and_fold, image, STRIDE, MULTIPLE, 96, MULTIPLE)
    assert whole.shape == (2, -(-shape[0] // STRIDE), -(-shape[1] // STRIDE))
    assert torch.allclose(whole, tiled, atol=1e-4)


def test_no_tile_is_larger_than_asked_for():
    seen = []

    def watch(x):
        seen.append(tuple(x.shape[-2:]))
        return F.avg_pool2d(x, STRIDE)

    image = torch.randn(333, 600, generator=torch.Generator().manual_seed(0))
    result = apply_tiled(watch, image, STRIDE, MULTIPLE, 96, MULTIPLE)
    assert max(max(s) for s in seen) <= 96 and all(n % MULTIPLE == 0 for s in seen for n in s)
    # 333 is odd, so the last row of cells is half padding: compare the whole cells
    assert torch.allclose(result[0, :166, :300], F.avg_pool2d(image[None], STRIDE)[0], atol=1e-6)
