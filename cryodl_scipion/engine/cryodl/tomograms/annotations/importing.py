# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations made of label volumes, and of stacks of tiles with drawings."""

from __future__ import annotations

import typing

import numpy as np

from ...contract import ImportAnnotationsConfig
from ...contract.annotations import FEATURE, UNCERTAIN, WITHOUT
from ...io.files import micrograph_key
from ...io.stacks import read_images, stack_shape
from ...io.tomograms import working_pixel_size
from .label_volumes import MIN_PART, Position, choose_negative, choose_positions, find_positions, open_pairs

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram
    from .store import AnnotationStore

CHUNK = 256  # tiles of a stack that are read at a time


def import_labels(store: AnnotationStore, config: ImportAnnotationsConfig, feature: str, label: int) -> list[str]:
    """Add tiles of label volumes to an AnnotationStore. label: of the feature in them. Returns warnings.

    Raises ValueError if volumes do not fit, or if the label is nowhere in them.
    """
    names, tomograms, volumes, warnings = open_pairs(config)
    _check_sizes(tomograms, config.tile)
    rng = np.random.default_rng(config.seed)
    share = [-(-n // len(volumes)) for n in (config.positive_tiles, config.negative_tiles)]
    with_feature, without, seen = list[Position](), list[Position](), set[int]()
    for number, volume in enumerate(volumes):
        found = find_positions(volume, number, label, config.tile, share, rng)
        with_feature, without, seen = with_feature + found[0], without + found[1], seen | found[2]
    if not with_feature:
        raise ValueError(_nothing_found(config, seen))
    sizes = []
    for name, tomogram in zip(names, tomograms):
        size, note = working_pixel_size(tomogram, config.pixel_size)
        sizes.append(size)
        warnings += [note] if note else []
        store.set_path(name, tomogram.path, tomogram.shape)
    taken = {(t.tomogram, t.centre_zyx, t.size) for t in store.tiles(feature, config.annotator)}
    for kind, positions, wanted in (
        ("with", choose_positions(with_feature, config.positive_tiles, rng), config.positive_tiles),
        ("without", choose_negative(without, config.negative_tiles, rng), config.negative_tiles),
    ):
        if len(positions) < wanted:
            warnings.append(
                f"{wanted} tiles {kind} the feature were requested, but the label volumes have only {len(positions)}."
            )
        for position in positions:
            y, x = (corner + config.tile // 2 for corner in position.corner_yx)
            centre = (position.z, y, x)
            if (names[position.volume], centre, config.tile) not in taken:  # of an earlier import of the same labels
                drawing = volumes[position.volume].drawing(position, config.tile, label)
                store.add(
                    names[position.volume],
                    sizes[position.volume],
                    centre,
                    config.tile,
                    feature,
                    config.annotator,
                    drawing if drawing.any() else None,
                )
    return warnings


def _check_sizes(tomograms: typing.Sequence[Tomogram], tile: int) -> None:
    for tomogram in tomograms:
        if min(tomogram.shape[1:]) < tile:
            raise ValueError(
                f"{tomogram.path} is {tomogram.shape[2]} x {tomogram.shape[1]} px wide, less than Tile "
                f"(--tile), {tile} px. Choose a smaller tile."
            )


def _nothing_found(config: ImportAnnotationsConfig, seen: typing.Collection[int]) -> str:
    values = ", ".join(str(v) for v in sorted(seen)[:20]) or "none"
    if config.label in seen:
        return (
            f"The value {config.label} (--label) takes less than {MIN_PART:.1%} of every tile of {config.tile} "
            "px in the label volumes, or lies where most is not annotated. Choose a smaller --tile."
        )
    return (
        f"No voxel of the label volumes has the value {config.label} (--label); the values found are {values}. Give "
        "the value of the feature."
    )


def import_stack(
    store: AnnotationStore, config: ImportAnnotationsConfig, feature: str, tiles: str, pixel_size: float
) -> list[str]:
    """Add the tiles of a stack, and what is drawn on them, to an AnnotationStore. Returns warnings.

    tiles: the stack. pixel_size: Å/px.

    Raises ValueError if the stacks do not fit each other, or were imported before.
    """
    for path in filter(None, (tiles, config.drawings)):
        if path.lower().endswith((".hdf", ".h5")):
            raise ValueError(
                f"{path} is an HDF file, which is not supported. Convert it to two MRC stacks (.mrcs), one of the "
                "tiles and one of the drawings, with the program that made it, for instance e2proc2d.py."
            )
    count, size, _ = stack_shape(tiles)
    if config.drawings and stack_shape(config.drawings) != (count, size, size):
        found = stack_shape(config.drawings)
        raise ValueError(
            f"The drawings {config.drawings} are {found[0]} of {found[2]} x {found[1]} px, the tiles {tiles} {count} "
            f"of {size} x {size} px; there must be one drawing of the same size for each tile."
        )
    name = micrograph_key(tiles)
    if any(t.image is not None for t in store.tiles(feature, config.annotator, name)):
        raise ValueError(
            f"{store.folder} already has tiles of {name} for {feature} by {config.annotator}. Give another "
            "--annotator, or another folder."
        )
    for start in range(0, count, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, count))
        images = read_images([tiles] * len(numbers), numbers)
        drawings: typing.Iterable[np.ndarray | None] = [None] * len(numbers)
        if config.drawings:
            drawings = read_images([config.drawings] * len(numbers), numbers)
        for image, drawing in zip(images, drawings):
            values = (
                None
                if drawing is None
                else np.select([drawing == UNCERTAIN, drawing != 0], [UNCERTAIN, FEATURE], WITHOUT)
            )
            store.add(name, pixel_size, (0, size // 2, size // 2), size, feature, config.annotator, values, image)
    return []
