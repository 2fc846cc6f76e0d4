# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of training examples: label volumes beside their tomograms, or a folder of annotations. Examples of a folder
of annotations. Tiles of label volumes to learn from: those that somebody annotated, or some of a volume that is
annotated throughout."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import find_objects
from scipy.ndimage import label as label_components

from ...contract import UNANNOTATED, TrainSegmenterConfig
from ...contract.annotations import UNCERTAIN, Tile, check_name
from ...io.files import expand_paths, name_tomograms
from ...running.runner import Run
from ..annotations.label_volumes import (
    MAX_UNANNOTATED,
    MIN_PART,
    PLENTY,
    LabelVolume,
    Position,
    choose_negative,
    choose_positions,
    grid,
    nothing_found,
    open_pairs,
    parts,
)
from ..annotations.store import AnnotationStore, read_annotations
from .examples import PATCH, TILE, Depth, Example, Gathered, cut_example, make_example
from .method import SegmenterMethod
from .working_scale import GreyValues, grey_statistics, resample_whole, values_statistics, working_sizes

LARGE = 1.5  # working tiles that a drawn tile may be wide before it is cut into several


def examples_of_annotations(config: TrainSegmenterConfig, method: SegmenterMethod, run: Run) -> Gathered:
    """Gathered of a TrainSegmenterConfig with annotations."""
    moved = dict(name_tomograms(expand_paths(config.tomograms), config.names)) if config.tomograms else {}
    store = read_annotations(typing.cast("str", config.annotations), moved)  # there are some
    feature = _chosen("feature", config.feature, store.features, config)
    annotators = list(dict.fromkeys(t.annotator for t in store.tiles(feature)))
    annotator = _chosen("annotator", config.annotator, annotators, config)
    tiles = store.tiles(feature, annotator)
    size_of = {t.tomogram: config.pixel_size or t.pixel_size for t in reversed(tiles)}
    names, notes = list(dict.fromkeys(t.tomogram for t in tiles)), list[str]()
    working, every = working_sizes([size_of[name] for name in names], config.working_pixel_size, notes)
    depth, examples = Depth.of(method), dict[int, list[Example]]()
    for name, factor in zip(names, every):
        own = {k: tile for k, tile in enumerate(tiles) if tile.tomogram == name}
        with run.item(name, next(iter(own.values())).path or name):
            grey = _statistics(store, list(own.values()), factor)
            cut = lambda tile: [
                _tile_example(store, tile, centre, size, grey, factor, depth)
                for centre, size in _tile_parts(tile, int(round(TILE / factor)))
            ]
            examples.update({k: cut(tile) for k, tile in own.items()})
    run.require_some(names, "tomogram", "learnt from")
    known = [e for k in sorted(examples) for e in examples[k] if bool(e.labelled.any())]
    files = list({t.path: 0 for t in tiles if t.path and t.tomogram not in moved})
    return Gathered(known, feature, annotator, working, max(size_of.values()), notes, [], files)


def _chosen(what: str, wanted: str | None, there: typing.Sequence[str], config: TrainSegmenterConfig) -> str:
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


def _statistics(store: AnnotationStore, tiles: typing.Sequence[Tile], factor: float) -> GreyValues:
    if tiles[0].image is None:
        return grey_statistics(store.tomograms.open(tiles[0].tomogram), factor, flat=True)
    images = [torch.from_numpy(store.image(tile)) for tile in tiles]
    shape = lambda image: (1, *(max(1, int(round(n * factor))) for n in image.shape[1:]))
    return values_statistics(np.concatenate([resample_whole(i, shape(i)).numpy().ravel() for i in images]))


def _tile_parts(tile: Tile, size: int) -> list[tuple[tuple[int, int, int], int]]:
    """Centres and sizes of the working tiles that a large Tile is cut into; itself if it is not large."""
    if tile.size <= LARGE * size:
        return [(tile.centre_zyx, tile.size)]
    positions = [int(first + size // 2) for first in np.linspace(0, tile.size - size, -(-tile.size // size))]
    z, (y, x) = tile.centre_zyx[0], tile.corner_yx
    return [((z, y + a, x + b), size) for a in positions for b in positions]


def _tile_example(
    store: AnnotationStore,
    tile: Tile,
    centre: tuple[int, int, int],
    size: int,
    statistics: GreyValues,
    factor: float,
    depth: Depth,
) -> Example:
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

    tomogram = store.tomograms.open(tile.tomogram)
    return cut_example(tomogram, read, 1, tile.tomogram, centre, size, statistics, factor, depth)


def _stored_example(
    image: np.ndarray,
    drawing: np.ndarray,
    tile: Tile,
    centre: tuple[int, int, int],
    statistics: GreyValues,
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


CELLS = 8  # for each tile side: how finely annotated areas are told apart
MAX_AROUND = 12  # tiles around voxels of a feature, in a slice that is labelled throughout
LARGER = 1.5  # sides up to which an annotated area is one tile


def find_tiles(
    volume: LabelVolume, number: int, label: int, size: int, wanted: int, rng: np.random.Generator
) -> tuple[list[Position], list[Position], set[int]]:
    """Positions with the feature and without it, two lists of annotations.label_volumes.Position; and the values seen,
    a set without UNANNOTATED. Every slice is looked at, in random order, until there are several times as many tiles of
    both kinds as wanted: tiles that were annotated one by one are all found. number: of the volume, for Position. size:
    of a tile, px. wanted: tiles of each kind."""
    found, seen = (list[Position](), list[Position]()), set[int]()
    for z in rng.permutation(volume.shape[0]):
        if min(len(positions) for positions in found) >= PLENTY * wanted:
            break
        labels = volume.labels((z, z + 1))[0]
        labelled = labels != UNANNOTATED
        seen.update(np.unique(labels[labelled]).tolist())
        corners = _corners(labelled, size, rng)
        if labelled.all():  # somebody labelled all of it: a grid alone would leave most of a rare feature out
            corners += [(corner, False) for corner in _around(labels == label, size, rng)]
        for corner, small in dict.fromkeys(corners):
            feature, labelled, other = parts(labels, corner, size, label)
            if feature > 0 and (small or feature >= MIN_PART):
                found[0].append(Position(number, int(z), corner))
            elif feature == 0 and labelled > 0 and (small or labelled >= MAX_UNANNOTATED):
                found[1].append(Position(number, int(z), corner, bool(other >= MIN_PART)))
    return (*found, seen)


def _corners(labelled: np.ndarray, size: int, rng: np.random.Generator) -> typing.Any:
    """Corners (y, x) of tiles that cover what is annotated in a slice, and whether each is an area of its own.
    labelled: (h, w) bool. A corner may lie up to half a tile beyond the border."""
    if labelled.all():
        return [(corner, False) for corner in grid(tuple(slice(0, n) for n in labelled.shape), size, rng)]
    corners = []
    for area in _areas(labelled, max(1, size // CELLS)):
        height, width = (part.stop - part.start for part in area)
        if max(height, width) <= LARGER * size:
            middle = [(part.start + part.stop) // 2 for part in area]
            corners.append(((middle[0] - size // 2, middle[1] - size // 2), True))
        else:
            corners += [(corner, False) for corner in grid(area, size)]
    return corners


def _around(feature: np.ndarray, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Corners (y, x) of tiles around random voxels of the feature, one for each eighth of a tile's area
    that it takes; at most MAX_AROUND. feature: (h, w) bool."""
    positions = np.argwhere(feature)
    count = min(MAX_AROUND, -(-8 * len(positions) // size**2), len(positions))
    maximum = [max(0, n - size) for n in feature.shape]
    chosen = positions[rng.choice(len(positions), count, replace=False)] if count else positions
    return [(int(y), int(x)) for y, x in np.clip(chosen - size // 2, 0, maximum)]


def _areas(labelled: np.ndarray, cell: int) -> list[tuple[slice, ...]]:
    """Rows and columns, two slices each, of the connected annotated areas. What is nearer than a cell is connected."""
    padded = np.pad(labelled, [(0, -n % cell) for n in labelled.shape])
    coarse = padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell).any(axis=(1, 3))
    numbered = label_components(coarse, np.ones((3, 3)))[0].repeat(cell, axis=0).repeat(cell, axis=1)
    return find_objects(numbered[tuple(map(slice, labelled.shape))] * labelled)


FEW = 20  # tiles without the feature, below which a network hardly learns what it does not look like


def gather(config: TrainSegmenterConfig, method: SegmenterMethod, run: Run) -> Gathered:
    """All of a training, from those tomograms that can be read. Raises ValueError for inputs that do not fit, or from
    which nothing can be learnt."""
    gathered = (_from_labels if config.labels else examples_of_annotations)(config, method, run)
    source = config.annotations or "the label volumes"
    if not any(e.positive for e in gathered.examples):
        raise ValueError(
            f"There is no tile with the feature {gathered.feature} in {source}. Draw it on at least one "
            "tile; ten are better."
        )
    if not any(bool((e.labelled & (e.target < 0.5)).any()) for e in gathered.examples):
        raise ValueError(
            f"There are only annotations of {gathered.feature} itself in {source}, so the network cannot learn the "
            "background. Mark tiles without the feature; a hundred are recommended."
        )
    negative = sum(not e.positive for e in gathered.examples)
    if 0 < negative < FEW:
        gathered.warnings.append(
            f"There {'is' if negative == 1 else 'are'} only {negative} tile{'' if negative == 1 else 's'} without "
            f"{gathered.feature}. The network learns the background from them; at least {FEW} are needed, and a "
            "hundred are recommended."
        )
    if not negative:
        gathered.warnings.append(
            f"There are no tiles without {gathered.feature}: the network knows only the background of the drawn "
            "tiles and may find the feature elsewhere. Mark tiles without it."
        )
    return gathered


def _from_labels(config: TrainSegmenterConfig, method: SegmenterMethod, run: Run) -> Gathered:
    feature, annotator = _checked_names(config)
    given, label = expand_paths(config.tomograms), typing.cast("int", config.label)  # its check asks for one
    pairs, warnings = open_pairs(config, run.item)
    run.require_some(given, "tomogram", "learnt from")
    notes, sizes = list[str](), [size for *_, size in pairs]
    working, factors = working_sizes(sizes, config.working_pixel_size, notes)
    rng, found, seen = np.random.default_rng(config.seed), (list[Position](), list[Position]()), set[int]()
    statistics, examples, depth = dict[int, GreyValues](), dict[int, Example](), Depth.of(method)
    for number, ((name, tomogram, volume, _), factor) in enumerate(zip(pairs, factors)):
        size, wanted = int(round(TILE / factor)), -(-config.tiles // len(pairs))
        with run.item(name, tomogram.path):
            statistics[number] = grey_statistics(tomogram, factor, flat=True)
            *positions, values = find_tiles(volume, number, label, size, wanted, rng)
            seen |= values
            for kind, new in zip(found, positions):
                kind.extend(new)
    run.require_some(given, "tomogram", "learnt from")
    if not found[0]:
        raise ValueError(nothing_found(label, seen, size, "Give a smaller --working-pixel-size, or label more."))
    chosen = choose_positions(found[0], config.tiles, rng) + choose_negative(found[1], config.tiles, rng)
    for n, ((name, tomogram, volume, _), factor) in enumerate(zip(pairs, factors)):
        own, size = {k: one for k, one in enumerate(chosen) if one.volume == n}, int(round(TILE / factor))
        with run.item(name, tomogram.path):
            for k, position in own.items():
                z, (y, x), grey = position.z, position.corner_yx, statistics[n]
                centre = (z, y + size // 2, x + size // 2)
                examples[k] = cut_example(tomogram, volume.labels, label, name, centre, size, grey, factor, depth)
    run.require_some(given, "tomogram", "learnt from")
    bad = {each.item for each in run.skipped}  # also what was cut out of them before
    kept = [examples[k] for k in sorted(examples) if examples[k].tomogram not in bad]
    return Gathered(kept, feature, annotator, working, max(sizes), notes, warnings)


def _checked_names(config: TrainSegmenterConfig) -> tuple[str, str]:
    """Names of the feature, otherwise that of the model, and of the annotator. Raises ValueError for those that could
    not stand in the names of score volumes."""
    feature, annotator = config.feature or Path(config.output).name, config.annotator or "unknown"
    try:
        check_name(feature)
    except ValueError as error:
        raise ValueError(f"{error} Give the name with --feature.") from None
    check_name(annotator, "annotator")
    return feature, annotator
