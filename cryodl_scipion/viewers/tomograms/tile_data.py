# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotated tiles for a gallery, and where they lie in their tomograms. No windows here."""

import os
from typing import Any, List

import numpy as np

from ...engine.cryodl.contract.annotations import POSITIVE, UNCERTAIN, read_tiles
from ..gallery_data import Gallery
from .slices_data import TomogramSlices
from .tile_images import drawingOf, imageOf

_IMAGE, _DRAWING = "image", "drawing"
_GREY = 0.5


class TileGallery(Gallery):
    """Tiles of annotations beside what was drawn on them; a group is a feature, with or without it."""

    ITEM, GROUP, FILTER, UPWARDS = "Tile", "Tiles", "", True
    WORDS = {_IMAGE: "tile", _DRAWING: "drawing (white: the feature; grey: uncertain or not drawn)"}

    def __init__(self, folder: str) -> None:
        self._folder, self._tiles = folder, read_tiles(folder)
        if not self._tiles:
            raise ValueError("There are no annotated tiles yet.")
        kinds = [f"{tile.feature}: {'with' if tile.kind == POSITIVE else 'without'}" for tile in self._tiles]
        names = sorted(set(kinds))
        Gallery.__init__(
            self,
            {_IMAGE: kinds, _DRAWING: kinds},
            np.arange(1, len(kinds) + 1),
            self._tiles[0].pixel_size,
            groups=np.array([1 + names.index(kind) for kind in kinds]),
            groupNames=names,
        )
        self._side = max(tile.size for tile in self._tiles)

    def images(self, position: Any, resolution: Any = None, side: Any = 512) -> Any:
        """The tile and its drawing, of the side of the largest tile. Raises ValueError, OSError for a lost tomogram."""
        tile = self._tiles[position]
        drawing = drawingOf(self._folder, tile)
        drawing = np.where(drawing == UNCERTAIN, _GREY, drawing)
        return [self._padded(image) for image in (imageOf(self._folder, tile), drawing)]

    def _padded(self, image: np.ndarray) -> Any:
        more = self._side - len(image)
        return np.pad(np.asarray(image, np.float32), (more // 2, more - more // 2), mode="edge") if more else image

    def _positions(self, position: int) -> List[str]:
        tile = self._tiles[position]
        return [
            f"{tile.feature} by {tile.annotator}",
            f"In {tile.tomogram} at z, y, x = {', '.join(f'{value:g}' for value in tile.centre_zyx)} px",
        ]


def tilesInTomograms(folder: str) -> Any:
    """TomogramSlices with a circle for each tile; None if no tile lies in a tomogram that is there."""
    tiles = [tile for tile in read_tiles(folder) if tile.path and os.path.exists(tile.path)]
    if not tiles:
        return None
    points = {}
    for tile in tiles:
        points.setdefault(tile.tomogram, []).append(tuple(tile.centre_zyx)[::-1])
    return TomogramSlices(
        {tile.tomogram: tile.path for tile in tiles}, (), points, tiles[0].pixel_size, max(tile.size for tile in tiles)
    )
