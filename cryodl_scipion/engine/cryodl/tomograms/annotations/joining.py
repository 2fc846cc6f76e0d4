# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations of several folders in one."""

from __future__ import annotations

import typing

from ...contract.annotations import Tile

if typing.TYPE_CHECKING:
    from .store import AnnotationStore


def add_annotations(store: AnnotationStore, other: AnnotationStore) -> int:
    """Add to a store what another one holds, but for tiles that are there already. Returns the number of new tiles.

    store, other: AnnotationStore. Nothing is on the disk before store.save().
    """
    there = {_key(store, t) for t in store.entries}
    new = [t for t in other.entries if _key(other, t) not in there]
    for name, path in {t.tomogram: t.path for t in new if t.path is not None}.items():
        store.set_path(name, path, other.shape(name))
    for tile in new:
        store.add(
            tile.tomogram,
            tile.pixel_size,
            tile.centre_zyx,
            tile.size,
            tile.feature,
            tile.annotator,
            None if tile.drawing is None else other.drawing(tile),
            None if tile.image is None else other.image(tile)[0],
        )
    return len(new)


def _key(store: AnnotationStore, tile: Tile) -> tuple[typing.Any, ...]:
    """What tells a tile from others. Those with an image of their own have no position: the image does."""
    image = None if tile.image is None else store.image(tile).tobytes()
    return tile.tomogram, tile.centre_zyx, tile.size, tile.feature, tile.annotator, image
