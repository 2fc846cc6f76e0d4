# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples of a folder of annotations."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...contract import UNANNOTATED, TrainSegmenterConfig
from ...contract.annotations import UNCERTAIN, Tile
from ...io.files import expand_paths, name_tomograms
from ..annotations.store import read_annotations
from .examples import PATCH, TILE, Depth, Gathered, cut_example, make_example
from .resample import resample_whole
from .working_scale import grey_statistics, values_statistics, working_sizes

if typing.TYPE_CHECKING:
    from ..annotations.store import AnnotationStore
    from .examples import Example
    from .method import SegmenterMethod

LARGE = 1.5  # working tiles that a drawn tile may be wide before it is cut into several


def examples_of_annotations(config: TrainSegmenterConfig, method: SegmenterMethod) -> Gathered:
    """Gathered of a TrainSegmenterConfig with annotations."""
    moved = dict(name_tomograms(expand_paths(config.tomograms), config.names)) if config.tomograms else {}
    store = read_annotations(typing.cast("str", config.annotations), moved)  # there are some
    feature = _chosen("feature", config.feature, store.features, config)
    annotators = list(dict.fromkeys(t.annotator for t in store.tiles(feature)))
    annotator = _chosen("annotator", config.annotator, annotators, config)
    tiles = store.tiles(feature, annotator)
    names = list(dict.fromkeys(t.tomogram for t in tiles))
    sizes, notes = [_tile_size(tiles, name, config) for name in names], list[str]()
    working, every = working_sizes(sizes, config.working_pixel_size, notes)
    factors, depth = dict(zip(names, every)), Depth.of(method)
    statistics = {n: _statistics(store, [t for t in tiles if t.tomogram == n], factors[n]) for n in names}
    examples = []
    for tile in tiles:
        for centre, size in _parts(tile, int(round(TILE / factors[tile.tomogram]))):
            examples.append(
                _tile_example(store, tile, centre, size, statistics[tile.tomogram], factors[tile.tomogram], depth)
            )
    return Gathered([e for e in examples if bool(e.labelled.any())], feature, annotator, working, max(sizes), notes, [])


def _chosen(what: str, wanted: str | None, there: typing.Sequence[str], config: TrainSegmenterConfig) -> str:
    """The feature or annotator to learn. Raises ValueError if it is not there, or not clear which."""
    if wanted is None and len(there) == 1:
        return there[0]
    if wanted is not None and wanted in there:
        return wanted
    listed = ", ".join(there) or "nothing"
    if wanted is None:
        raise ValueError(
            f"{config.annotations} has tiles of more than one {what} ({listed}). Give the one to learn (--{what})."
        )
    raise ValueError(f"{config.annotations} has no tile with the {what} {wanted} (--{what}); there is: {listed}.")


def _tile_size(tiles: typing.Sequence[Tile], name: str, config: TrainSegmenterConfig) -> float:
    """Å/px of a tomogram's tiles."""
    return config.pixel_size or next(t.pixel_size for t in tiles if t.tomogram == name)


def _statistics(store: AnnotationStore, tiles: typing.Sequence[Tile], factor: float) -> tuple[float, float]:
    """(middle, width) of a tomogram; of tiles without one, that of all their images."""
    if tiles[0].image is None:
        return grey_statistics(store.tomogram(tiles[0].tomogram), factor)
    images = [torch.from_numpy(store.image(tile)) for tile in tiles]
    shape = lambda image: (1, *(max(1, int(round(n * factor))) for n in image.shape[1:]))
    return values_statistics(np.concatenate([resample_whole(i, shape(i)).numpy().ravel() for i in images]))


def _parts(tile: Tile, size: int) -> list[tuple[tuple[int, int, int], int]]:
    """Centres and sizes of the working tiles that a large Tile is cut into; itself if it is not large."""
    if tile.size <= LARGE * size:
        return [(tile.centre_zyx, tile.size)]
    count = -(-tile.size // size)
    positions = [int(first + size // 2) for first in np.linspace(0, tile.size - size, count)]
    z, (y, x) = tile.centre_zyx[0], tile.corner_yx
    return [((z, y + a, x + b), size) for a in positions for b in positions]


def _tile_example(
    store: AnnotationStore,
    tile: Tile,
    centre: tuple[int, int, int],
    size: int,
    statistics: tuple[float, float],
    factor: float,
    depth: Depth,
) -> Example:
    """Example of a part of a Tile."""
    drawing = store.labels(tile).astype(np.int32)
    drawing[drawing == UNCERTAIN] = UNANNOTATED
    if tile.image is not None:
        return _stored_example(store.image(tile, context=depth.image // 2), drawing, tile, centre, statistics, factor)

    def read(z: tuple[int, int], y: tuple[int, int], x: tuple[int, int]) -> np.ndarray:
        result = np.full((1, y[1] - y[0], x[1] - x[0]), UNANNOTATED, np.int32)
        if z[0] != tile.centre_zyx[0]:
            return result
        (y0, x0), n = tile.corner_yx, tile.size
        rows, columns = (slice(max(a, c), min(b, c + n)) for (a, b), c in ((y, y0), (x, x0)))
        result[0, rows.start - y[0] : rows.stop - y[0], columns.start - x[0] : columns.stop - x[0]] = drawing[
            rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0
        ]
        return result

    return cut_example(store.tomogram(tile.tomogram), read, 1, tile.tomogram, centre, size, statistics, factor, depth)


def _stored_example(
    image: np.ndarray,
    drawing: np.ndarray,
    tile: Tile,
    centre: tuple[int, int, int],
    statistics: tuple[float, float],
    factor: float,
) -> Example:
    """Example of a tile with an image of its own; around it the image is reflected."""
    side = max(2, int(round(tile.size * factor)))
    image = resample_whole(torch.from_numpy(image), (len(image), side, side)).numpy()
    feature, labelled = (
        resample_whole(torch.from_numpy(part.astype(np.float32))[None], (1, side, side)).numpy()
        for part in (drawing == 1, drawing != UNANNOTATED)
    )
    labels = np.where(labelled < 0.5, UNANNOTATED, feature >= 0.5 * np.maximum(labelled, 1e-6)).astype(np.int32)
    around = [(0, 0)] + [(PATCH // 2, PATCH // 2)] * 2
    image, labels = np.pad(image, around, mode="reflect"), np.pad(labels, around, constant_values=UNANNOTATED)
    y, x = (int(round((c - corner) * factor)) for c, corner in zip(centre[1:], tile.corner_yx))
    window = (slice(None), slice(y, y + PATCH), slice(x, x + PATCH))
    example = make_example(image[window], labels[window], 1, tile.tomogram, centre, tile.size, statistics)
    return dataclasses.replace(example, located=False)
