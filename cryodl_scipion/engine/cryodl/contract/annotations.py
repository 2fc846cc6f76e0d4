# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a folder of annotations, on both sides: annotations.json, its tiles and the paths of their tomograms.

drawings.mrc and tiles.mrc beside it hold what was drawn, and the images of tiles without a tomogram."""

import dataclasses
import json
import os
import re
import struct
import typing

from .reading import reader

TABLE, DRAWINGS, IMAGES = "annotations.json", "drawings.mrc", "tiles.mrc"
VERSION = 1
WITHOUT, FEATURE, UNCERTAIN = 0, 1, 255  # values of a drawing
POSITIVE, NEGATIVE = "positive", "negative"
# They become parts of file names, <tomogram>__<feature>.mrc.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.+-]|_(?!_))*")


@dataclasses.dataclass(frozen=True)
class Tile:
    """A square of one slice of a tomogram, for one feature, as one annotator sees it.

    number: unique in its folder. tomogram: name. path: file of the tomogram, None for a tile that has its own image.
    pixel_size: Å/px. centre_zyx: px of the tomogram; the tile covers [centre - size // 2, centre - size // 2 + size).
    kind: "positive" (with the feature) or "negative". drawing: index in the stack of drawings, None for negative tiles
    without one. image: index in the stack of images, or None."""

    number: int
    tomogram: str
    path: typing.Optional[str]
    pixel_size: float
    centre_zyx: typing.Tuple[int, int, int]
    size: int
    feature: str
    annotator: str
    kind: str
    drawing: typing.Optional[int] = None
    image: typing.Optional[int] = None

    @property
    def corner_yx(self) -> typing.Tuple[int, int]:
        """First row and column of the tile, px of the tomogram; may be negative."""
        return self.centre_zyx[1] - self.size // 2, self.centre_zyx[2] - self.size // 2


class TomogramPaths:
    """Paths and shapes of tomograms by name, relative to the annotations, so that both can be moved and shared.

    folder: of the annotations. table: of the JSON, {name: {"path" relative to the folder, "absolute", "shape"}}."""

    def __init__(self, folder: str, table: typing.Any = ()) -> None:
        self.folder = folder
        self._table: typing.Dict[str, typing.Dict[str, typing.Any]] = dict(table)

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def table(self, names: typing.Container[str]) -> typing.Dict[str, typing.Any]:
        """The entries of these tomograms."""
        return {name: self._table[name] for name in self._table if name in names}

    def set(self, name: str, path: str, shape: typing.Optional[typing.Sequence[int]] = None) -> None:
        """Store the path of a tomogram. The first shape stored is kept, so that a different tomogram is noticed."""
        kept = self.shape(name) or (None if shape is None else [int(n) for n in shape])
        self._table[name] = dict(path=os.path.relpath(path, self.folder), absolute=os.path.abspath(path), shape=kept)

    def path(self, name: str) -> typing.Optional[str]:
        """Path of the tomogram relative to the folder or, if only that exists, its absolute path at annotation time;
        None for an unknown tomogram."""
        if name not in self._table:
            return None
        entry = self._table[name]
        beside = os.path.normpath(os.path.join(self.folder, entry["path"]))
        return beside if os.path.exists(beside) or not os.path.exists(entry["absolute"]) else str(entry["absolute"])

    def shape(self, name: str) -> typing.Optional[typing.List[int]]:
        """(z, y, x) of the tomogram when it was annotated, None if that is not known."""
        return self._table.get(name, {}).get("shape")


def check_name(name: str, what: str = "feature") -> None:
    """Check that the name of a feature or annotator can be part of a file name. what: what the name is of, for the
    message. Raises ValueError if the name cannot be part of a file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"The {what} is named {name!r}, which cannot be part of a file name. Use letters, digits, '.', '-', '+' "
            "and single '_', for instance 'actin-filament'."
        )


@reader
def read_table(folder: str) -> typing.Dict[str, typing.Any]:
    """The JSON of a folder of annotations. Raises FileNotFoundError if the folder or its file does not exist; the
    message says what to do. Raises ValueError if the file is damaged or of another version."""
    path = os.path.join(folder, TABLE)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"The folder of annotations {folder} does not exist.")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{folder} is not a folder of annotations: it has no {TABLE}.")
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        version = table["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}). Copy it again.") from None
    if version != VERSION:
        raise ValueError(
            f"{path} has annotation format version {version}; this version of cryodl reads version {VERSION}. Update "
            "cryodl."
        )
    return dict(table)


def tile_of(values: typing.Mapping[str, typing.Any], paths: TomogramPaths) -> Tile:
    """The Tile of an entry of the JSON. values: the entry. Raises KeyError, TypeError, ValueError for no valid tile."""
    if not isinstance(values, dict):
        raise TypeError(f"a tile is {values!r}")
    for name in ("number", "size", "drawing", "image"):
        if type(values.get(name)) is not int and not (name in ("drawing", "image") and values.get(name) is None):
            raise TypeError(f"{name} is {values[name]!r}; it must be a whole number")
        if values.get(name) is not None and values[name] < (1 if name == "size" else 0):
            raise ValueError(f"{name} is {values[name]}")
    for name in ("tomogram", "feature", "annotator", "kind"):
        if not isinstance(values[name], str):
            raise TypeError(f"{name} is {values[name]!r}; it must be a text")
    if len(values["centre_zyx"]) != 3 or any(type(value) is not int for value in values["centre_zyx"]):
        raise TypeError(f"centre_zyx is {values['centre_zyx']!r}; it must be three whole numbers")
    if not 0 < float(values["pixel_size"]) < float("inf"):
        raise ValueError(f"pixel_size is {values['pixel_size']!r}; it must be positive")
    path = None if values["image"] is not None else paths.path(values["tomogram"])
    return Tile(path=path, **dict(values, centre_zyx=tuple(values["centre_zyx"])))


@reader
def read_tiles(folder: str) -> typing.List[Tile]:
    """The tiles of a folder, in the order in which they were made. Its stacks must exist, but are not read.

    Raises FileNotFoundError, or ValueError that names the file and what is wrong with it."""
    table = read_table(folder)
    try:
        paths = TomogramPaths(folder, table["tomograms"])
        tiles = [tile_of(values, paths) for values in table["tiles"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        path = os.path.join(folder, TABLE)
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}). Copy it again.") from None
    for name, found in ((DRAWINGS, [t.drawing for t in tiles]), (IMAGES, [t.image for t in tiles])):
        _check_stack(os.path.join(folder, name), [position for position in found if position is not None])
    return tiles


def tile_counts(tiles: typing.Iterable[Tile]) -> typing.Dict[str, typing.Dict[str, int]]:
    """{feature: {"positive": n, "negative": n}}"""
    counts: typing.Dict[str, typing.Dict[str, int]] = {}
    for tile in tiles:
        counts.setdefault(tile.feature, {POSITIVE: 0, NEGATIVE: 0})[tile.kind] += 1
    return counts


def _check_stack(path: str, positions: typing.Sequence[int]) -> None:
    if not positions:
        return
    try:
        with open(path, "rb") as file:
            images = struct.unpack("<3i", file.read(12))[2]
    except (OSError, struct.error) as error:
        raise ValueError(
            f"{path} is missing, or not a readable MRC stack ({error}). Copy the whole folder again."
        ) from None
    if max(positions) >= images:
        raise ValueError(
            f"{path} does not hold all images that {TABLE} in the same folder lists. Copy the whole folder again."
        )
