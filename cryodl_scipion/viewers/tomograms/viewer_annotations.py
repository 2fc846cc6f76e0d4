# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of annotated tiles."""

import os
from typing import Any, List

import numpy as np

from ...convert.reading import mapped
from ...engine.cryodl.contract.annotations import DRAWINGS, IMAGES, POSITIVE, UNCERTAIN, read_tiles
from ...objects import CryodlAnnotations
from ...protocols import CryodlProtAnnotate
from .. import gallery_window, panels_viewer, plots
from .slices_window import SlicesWindow, TomogramSlices


def imageOf(folder: str, tile: Any) -> np.ndarray:
    """(size, size) float32 of the tile's slice, reflected at the tomogram's border, or its own image.

    Raises ValueError or OSError if the tomogram is not there."""
    if tile.image is not None:
        return _crop(folder, IMAGES, tile.image, tile.size)
    plane = plots.readMap(tile.path)[tile.centre_zyx[0]]
    rows, columns = (_reflected(corner, tile.size, n) for corner, n in zip(tile.corner_yx, plane.shape))
    return np.array(plane[np.ix_(rows, columns)], np.float32)


def _crop(folder: str, name: str, number: int, size: int) -> np.ndarray:
    data = mapped(os.path.join(folder, name))
    return np.array((data if data.ndim == 3 else data[None])[number][:size, :size], np.float32)


def _reflected(corner: int, size: int, count: int) -> Any:
    """(size,) positions on an axis with `count` values; beyond its border, thrown back at its first and last value."""
    around = abs(corner) + size
    return np.pad(np.arange(count), around, mode="reflect")[around + corner : around + corner + size]


_IMAGE, _DRAWING = "image", "drawing"


class TileGallery(gallery_window.Gallery):
    """Tiles of annotations beside what was drawn on them; a group is a feature, with or without it."""

    ITEM, GROUP, FILTER, UPWARDS = "Tile", "Tiles", "", True
    WORDS = {_IMAGE: "tile", _DRAWING: "drawing (white: the feature; grey: uncertain or not drawn)"}

    def __init__(self, folder: str) -> None:
        self._folder, self._tiles = folder, read_tiles(folder)
        if not self._tiles:
            raise ValueError("There are no annotated tiles yet.")
        kinds = [f"{tile.feature}: {'with' if tile.kind == POSITIVE else 'without'}" for tile in self._tiles]
        names = sorted(set(kinds))
        ids, groups = np.arange(1, len(kinds) + 1), np.array([1 + names.index(kind) for kind in kinds])
        found, pixelSize = {_IMAGE: kinds, _DRAWING: kinds}, self._tiles[0].pixel_size
        gallery_window.Gallery.__init__(self, found, ids, pixelSize, groups=groups, groupNames=names)
        self._side = max(tile.size for tile in self._tiles)

    def images(self, position: Any, resolution: Any = None, side: Any = 512) -> Any:
        """The tile and its drawing, of the side of the largest tile. Raises ValueError, OSError for a lost tomogram."""
        tile = self._tiles[position]
        image = imageOf(self._folder, tile)
        # a tile without the feature has no drawing
        drawing = (
            np.zeros_like(image) if tile.drawing is None else _crop(self._folder, DRAWINGS, tile.drawing, tile.size)
        )
        more = self._side - tile.size
        margins = (more // 2, more - more // 2)
        return [np.pad(one, margins, mode="edge") for one in (image, np.where(drawing == UNCERTAIN, 0.5, drawing))]

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
    files, diameter = {tile.tomogram: tile.path for tile in tiles}, max(tile.size for tile in tiles)
    return TomogramSlices(files, (), points, tiles[0].pixel_size, diameter)


class CryodlAnnotationsViewer(panels_viewer.ObjectViewer, name="cryodl tiles", targets=[CryodlAnnotations]):
    def show(self, obj: CryodlAnnotations) -> Any:
        return self.gallery(TileGallery(obj.getFolder()), str(obj))


class CryodlAnnotateViewer(
    panels_viewer.PanelsViewer,
    targets=[CryodlProtAnnotate],
    section="Annotations",
    wait="There are no annotations",
    until="the window is closed, or the import has finished",
    data="outputAnnotations",
):
    @panels_viewer.panel("Tiles and drawings", "The annotated tiles beside their drawings.")
    def showTiles(self, annotations: CryodlAnnotations) -> Any:
        return self.gallery(TileGallery(annotations.getFolder()), str(annotations))

    @panels_viewer.panel("Tiles in their tomograms", "Positions of the tiles; circles are as wide as a tile.")
    def showCoordinates(self, annotations: CryodlAnnotations) -> Any:
        data = tilesInTomograms(annotations.getFolder())
        if data is None:
            return self.infoMessage(
                "The tiles are from stacks, or their tomograms no longer exist, so they cannot be shown in tomograms.",
                "No tomograms",
            )
        return self.window(SlicesWindow, data, f"Tiles of {self.protocol.getRunName()}")
