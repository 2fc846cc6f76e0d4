# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of annotations: tiles of several features, annotators and tomograms with what was drawn on them. The files
of an annotations folder: annotations.json, drawings.mrc and tiles.mrc. The stacks are written first, the JSON last,
each by rename. A crash in between leaves the earlier JSON with newer stacks, which is why a position in a stack that
the JSON on the disk still names is never given to another tile."""

import dataclasses
import os
import typing

import numpy as np

from ...contract.annotations import (
    DRAWINGS,
    FEATURE,
    IMAGES,
    NEGATIVE,
    POSITIVE,
    TABLE,
    UNCERTAIN,
    VERSION,
    Tile,
    TomogramPaths,
    check_name,
    read_table,
    tile_counts,
    tile_of,
)
from ...contract.result import write_json
from ...io import files, volume_writer
from ...io.mrc import read_header
from ...io.tomograms import Tomogram, sides_of
from .tiles import check_drawing, check_image, cut_tile


def read_stack(folder: str, name: str, needed: typing.Sequence[tuple[int | None, int]]) -> np.ndarray | None:
    """(n, h, w) memory map of a stack, None if there is none. needed: [(place, side)] of images that must be there; a
    place of None stands for none. Raises ValueError if one is not, or if the file cannot be read."""
    path, there = os.path.join(folder, name), [(position, side) for position, side in needed if position is not None]
    if not there and not os.path.exists(path):
        return None
    try:
        header = read_header(path)
        if header.dtype is None:
            raise ValueError(f"its mode is {header.mode}")
        data = np.memmap(path, header.dtype, "r", header.start, header.shape)
    except (ValueError, OSError, OverflowError) as error:
        raise ValueError(
            f"{path} is missing, or not a readable MRC stack ({error}). Copy the whole folder again."
        ) from None
    if any(position >= data.shape[0] or side > min(data.shape[1:]) for position, side in there):
        raise ValueError(
            f"{path} does not hold all images that {TABLE} in the same folder lists. Copy the whole folder again."
        )
    return data


def write_tile_stack(
    folder: str,
    name: str,
    images: typing.Mapping[int, np.ndarray],
    count: int,
    side: int,
    dtype: type[np.float32] | type[np.int16],
    fill: int,
) -> None:
    """Write a stack of `count` square images, whole or not at all. images: {row: (h, h) array}, h <= side. Rows without
    an image, and what lies beside smaller ones, hold `fill`."""
    with files.whole_file(os.path.join(folder, name)) as temporary:
        volume_writer.new_volume(temporary, (count, side, side), 0.0, dtype, stack=True)
        stack, complete = volume_writer.OpenVolume(temporary, (count, side, side), dtype), False
        try:
            for position in range(count):
                page = np.full((1, side, side), fill, dtype)
                if position in images:
                    image = images[position]
                    page[0, : image.shape[0], : image.shape[1]] = image
                stack.write(position, page)
            complete = True
        finally:
            stack.close(complete)


_SAVED = ("number", "tomogram", "pixel_size", "centre_zyx", "size", "feature", "annotator", "kind", "drawing", "image")


def read_annotations(
    folder: str | os.PathLike[str], tomograms: typing.Mapping[str, str] | None = None
) -> "AnnotationStore":
    """AnnotationStore of a folder. Tomograms are not opened before their images are asked for. tomograms: {name: path}
    of where tomograms lie now, for those that were moved; or None. Raises FileNotFoundError, or ValueError that names
    the file and what is wrong with it."""
    store = AnnotationStore(folder)
    store._read(read_table(str(folder)), tomograms or {})
    return store


def open_annotations(folder: str, tomograms: typing.Mapping[str, str] | None = None) -> "AnnotationStore":
    """As read_annotations; a folder that does not exist, or is empty, is a store without tiles."""
    if os.path.isdir(folder) and (os.path.exists(os.path.join(folder, TABLE)) or os.listdir(folder)):
        return read_annotations(folder, tomograms)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError(f"{folder}, where annotations should be kept, is a file. Choose another name.")
    return AnnotationStore(folder)


class AnnotationStore:
    """Tiles and their drawings. entries: in the order of their making. Nothing is on the disk before save()."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder, self.entries = str(folder), list[Tile]()
        self._drawings, self._images = dict[int, np.ndarray](), dict[int, np.ndarray]()
        self._stored_images: typing.Any = None  # by their positions in the stacks
        self.tomograms = OpenTomograms(self.folder)
        self._free, self._used, self._last, self._revision, self._changed = set[int](), 0, 0, 0, set[str]()

    def tiles(
        self,
        feature: str | None = None,
        annotator: str | None = None,
        tomogram: str | None = None,
        kind: str | None = None,
    ) -> list[Tile]:
        """The entries with these values; None stands for all."""
        asked = dict(feature=feature, annotator=annotator, tomogram=tomogram, kind=kind)
        wanted = [(name, value) for name, value in asked.items() if value is not None]
        return [t for t in self.entries if all(getattr(t, name) == value for name, value in wanted)]

    @property
    def features(self) -> list[str]:
        """Names of the features that have tiles."""
        return list(dict.fromkeys(t.feature for t in self.entries))

    @property
    def annotators(self) -> list[str]:
        """Names of those who drew tiles."""
        return list(dict.fromkeys(t.annotator for t in self.entries))

    def counts(self, annotator: str | None = None) -> dict[str, dict[str, int]]:
        """{feature: {"positive": n, "negative": n}}"""
        return tile_counts(self.tiles(annotator=annotator))

    def drawing(self, tile: Tile) -> np.ndarray:
        """(size, size) int16 as it was drawn: 0 without, 1 the feature, 255 uncertain."""
        return np.zeros((tile.size,) * 2, np.int16) if tile.drawing is None else self._drawings[tile.drawing].copy()

    def labels(self, tile: Tile) -> np.ndarray:
        """As drawing, but uncertain where overlapping tiles disagree and beyond the border: for networks."""
        unsure = overlapping(self, tile) | outside(tile, self.tomograms.shape(tile.tomogram))
        return np.where(unsure, np.int16(UNCERTAIN), self.drawing(tile))

    def image(self, tile: Tile, context: int = 0) -> np.ndarray:
        """(2 * context + 1, size, size) float32 of the tomogram, reflected at its borders; or the tile's own image.
        context: slices before and after. Raises FileNotFoundError if the tomogram is not there, ValueError if it has
        changed its shape, or if other slices are asked of a tile without tomogram."""
        if tile.image is None:
            return cut_tile(self.tomograms.open(tile.tomogram), tile.centre_zyx, tile.size, context)
        if context:
            raise ValueError(
                f"A tile of {tile.tomogram} in {self.folder} is a single image without its tomogram: neither other "
                "slices nor the surroundings are known. Choose a network for single slices (unet2d, eman2)."
            )
        image = self._images[tile.image] if tile.image in self._images else self._stored_images[tile.image]
        return np.array(image[None, : tile.size, : tile.size], np.float32)

    def set_path(self, name: str, path: str, shape: typing.Sequence[int] | None = None) -> None:
        """Say where a tomogram lies. shape: (z, y, x), so that another tomogram under its name is noticed."""
        self.tomograms.set(name, path, shape)
        self.entries = [
            dataclasses.replace(t, path=self.tomograms.path(name)) if t.tomogram == name and t.image is None else t
            for t in self.entries
        ]

    def add(
        self,
        tomogram: str,
        pixel_size: float,
        centre_zyx: tuple[int, int, int],
        size: int,
        feature: str,
        annotator: str,
        drawing: np.ndarray | None = None,
        image: np.ndarray | None = None,
    ) -> Tile:
        """The new Tile. With a drawing that holds a 1 it is positive, else negative. tomogram: name given to set_path()
        before, or any name for a tile with an image. image: (size, size) of its own. Raises ValueError for names,
        drawings or images that cannot be taken."""
        check_name(feature)
        check_name(annotator, "annotator")
        if image is None and tomogram not in self.tomograms:
            raise ValueError(f"The path of the tomogram {tomogram} is unknown.")
        if image is not None:
            position = len(self._images) + (0 if self._stored_images is None else len(self._stored_images))
            self._images[position] = check_image(image, size)
        self._last += 1
        tile = Tile(
            self._last,
            tomogram,
            None if image is not None else self.tomograms.path(tomogram),
            float(pixel_size),
            (int(centre_zyx[0]), int(centre_zyx[1]), int(centre_zyx[2])),
            int(size),
            feature,
            annotator,
            NEGATIVE,
            image=None if image is None else position,
        )
        self.entries.append(tile)
        return tile if drawing is None else self.redraw(tile, drawing)

    def redraw(self, tile: Tile, drawing: np.ndarray) -> Tile:
        """The Tile with another drawing."""
        drawing, position = check_drawing(drawing, tile.size), tile.drawing
        if position is None:
            position = self._free.pop() if self._free else self._used
            self._used = max(self._used, position + 1)
        self._drawings[position] = drawing
        self._changed.add(DRAWINGS)
        new = dataclasses.replace(tile, drawing=position, kind=POSITIVE if (drawing == FEATURE).any() else NEGATIVE)
        self.entries[self._index(tile)] = new
        return new

    def remove(self, tile: Tile) -> None:
        """Take a tile out. Its image of its own stays in the file."""
        del self.entries[self._index(tile)]  # what is drawn stays till the table on the disk no longer names it

    def save(self) -> None:
        """Write all to the folder. Raises ValueError if another program has written there since it was read."""
        os.makedirs(self.folder, exist_ok=True)
        found = read_table(self.folder)["revision"] if os.path.exists(os.path.join(self.folder, TABLE)) else 0
        if found != self._revision:
            raise ValueError(
                f"The annotations {self.folder} were changed by another program since they were opened here. Close "
                "it and open them again; drawings since the last saving are lost."
            )
        if DRAWINGS in self._changed:
            side = max(len(drawing) for drawing in self._drawings.values())
            write_tile_stack(self.folder, DRAWINGS, self._drawings, self._used, side, np.int16, UNCERTAIN)
        if self._images:
            images = dict(enumerate(() if self._stored_images is None else self._stored_images)) | self._images
            side = max(image.shape[-1] for image in images.values())
            write_tile_stack(self.folder, IMAGES, images, len(images), side, np.float32, 0)
            self._stored_images, self._images = read_stack(self.folder, IMAGES, ()), {}
        tiles = [{name: getattr(t, name) for name in _SAVED} for t in self.entries]
        tomograms = self.tomograms.table({t.tomogram for t in self.entries})
        table = dict(version=VERSION, revision=self._revision + 1, tomograms=tomograms, tiles=tiles)
        write_json(os.path.join(self.folder, TABLE), table)
        self._revision += 1
        self._changed.clear()
        self._drawings = {t.drawing: self._drawings[t.drawing] for t in self.entries if t.drawing is not None}
        self._free = set(range(self._used)) - set(self._drawings)

    def _index(self, tile: Tile) -> int:
        return next(i for i in reversed(range(len(self.entries))) if self.entries[i].number == tile.number)

    def _read(self, table: typing.Mapping[str, typing.Any], moved: typing.Mapping[typing.Any, typing.Any]) -> None:
        try:
            self._revision, self.tomograms = int(table["revision"]), OpenTomograms(self.folder, table["tomograms"])
            for name, path in moved.items():
                if name in self.tomograms:
                    self.set_path(name, path)
            self.entries = [tile_of(values, self.tomograms) for values in table["tiles"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{os.path.join(self.folder, TABLE)} is damaged ({type(error).__name__}: {error}). Copy it again."
            ) from None
        drawings = read_stack(self.folder, DRAWINGS, [(t.drawing, t.size) for t in self.entries])
        self._stored_images = read_stack(self.folder, IMAGES, [(t.image, t.size) for t in self.entries])
        self._drawings, self._used = {}, 0
        if drawings is not None:
            self._used = len(drawings)
            self._drawings = {
                t.drawing: np.array(drawings[t.drawing, : t.size, : t.size], np.int16)
                for t in self.entries
                if t.drawing is not None
            }
        self._free = set(range(self._used)) - set(self._drawings)
        self._last = max([t.number for t in self.entries], default=0)


def overlapping(store: AnnotationStore, tile: Tile) -> np.ndarray:
    """(size, size) bool: where another tile of the same feature and annotator says something else about the voxel. The
    rule for overlapping tiles: a voxel about which two of them disagree (also: one is uncertain) is uncertain."""
    differs = np.zeros((tile.size, tile.size), bool)
    if tile.path is None:
        return differs  # nobody knows where it lies
    mine = store.drawing(tile)
    for other in store.tiles(tile.feature, tile.annotator, tile.tomogram):
        if other.number == tile.number or other.path is None or other.centre_zyx[0] != tile.centre_zyx[0]:
            continue
        here, there = _common(tile, other), _common(other, tile)
        if here is not None:
            differs[here] |= mine[here] != store.drawing(other)[there]
    return differs


def outside(tile: Tile, shape: typing.Sequence[int] | None) -> np.ndarray:
    """(size, size) bool: what of a tile lies beyond its tomogram. shape: (z, y, x), or None if not known."""
    beyond = np.zeros((tile.size, tile.size), bool)
    if tile.path is None or shape is None:
        return beyond
    rows, columns = (corner + np.arange(tile.size) for corner in tile.corner_yx)
    beyond[(rows < 0) | (rows >= shape[1])] = True
    beyond[:, (columns < 0) | (columns >= shape[2])] = True
    return beyond


def _common(tile: Tile, other: Tile) -> tuple[slice, ...] | None:
    positions = []
    for mine, theirs in zip(tile.corner_yx, other.corner_yx):
        start, stop = max(theirs - mine, 0), min(theirs + other.size - mine, tile.size)
        if start >= stop:
            return None
        positions.append(slice(start, stop))
    return tuple(positions)


class OpenTomograms(TomogramPaths):
    """TomogramPaths that opens the tomograms, each once."""

    def __init__(self, folder: str, table: typing.Mapping[str, typing.Any] | typing.Sequence[typing.Any] = ()) -> None:
        super().__init__(folder, table)
        self._open: dict[str, Tomogram] = {}

    def set(self, name: str, path: str, shape: typing.Sequence[int] | None = None) -> None:
        super().set(name, path, shape)
        self._open.pop(name, None)

    def open(self, name: str) -> Tomogram:
        """The io.tomograms.Tomogram. Raises FileNotFoundError or ValueError with what to do."""
        if name in self._open:
            return self._open[name]
        path = self.path(name)
        if path is None or not os.path.exists(path):
            raise FileNotFoundError(
                f"The tomogram {name} of the annotations {self.folder} is not at {path}. Restore it, or give its "
                "present path (--tomograms); it is matched by name."
            )
        tomogram, was = Tomogram(path), self.shape(name)
        if was and list(tomogram.shape) != was:
            raise ValueError(
                f"{path} has {sides_of(tomogram.shape)} voxels; when {name} was annotated it had "
                f"{sides_of(was)}. Give the tomogram that was annotated (--tomograms)."
            )
        self._open[name] = tomogram
        return tomogram
