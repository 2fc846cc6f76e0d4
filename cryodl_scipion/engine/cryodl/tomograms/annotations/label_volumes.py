# SPDX-License-Identifier: GPL-3.0-or-later
"""Label volumes beside their tomograms: positions with a feature and without it, found slice by slice. Annotations of
several folders in one. Annotations made of label volumes, and of stacks of tiles with drawings."""

import dataclasses
import os
import typing

import numpy as np

from ...contract import UNANNOTATED, ImportAnnotationsConfig, TrainSegmenterConfig
from ...contract.annotations import FEATURE, UNCERTAIN, WITHOUT, Tile
from ...io.files import expand_paths, micrograph_key, name_micrographs, name_tomograms, pair_by_name
from ...io.stacks import read_images, stack_shape
from ...io.tomograms import Tomogram, sides_of, working_pixel_size
from ...io.volume_writer import origin_of
from .store import AnnotationStore


def add_annotations(store: AnnotationStore, other: AnnotationStore) -> int:
    """Add to a store what another one holds, but for tiles that are there already. Returns the number of new tiles.
    Nothing is on the disk before store.save(). Raises ValueError for two tomograms of one name."""
    middle = lambda tomogram: tomogram.part((tomogram.shape[0] // 2, tomogram.shape[0] // 2 + 1))
    for name, path in {t.tomogram: t.path for t in other.entries if t.path is not None}.items():
        files = [file for file in (store.tomograms.path(name), path) if file and os.path.exists(file)]
        if len(set(map(os.path.realpath, files))) > 1 and not np.array_equal(*(middle(Tomogram(f)) for f in files)):
            raise ValueError(
                f"{' and '.join(files)} are two tomograms called {name}. Leave their folders apart, or annotate under "
                "other names; if they show the same, give the one to use (--tomograms)."
            )
        store.set_path(name, [*files, path][0], other.tomograms.shape(name))
    there = {_key(store, t) for t in store.entries}
    new = [t for t in other.entries if _key(other, t) not in there]
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
    image = b"" if tile.image is None else store.image(tile).tobytes()
    return tile.tomogram, tile.centre_zyx, tile.size, tile.feature, tile.annotator, image


MIN_SLICES = 16  # looked at in each volume, so that tiles come from all over it
MIN_PART = 0.002  # of a tile that a feature takes, or it is neither with nor without: 8 of 64 x 64 px
MAX_UNANNOTATED = 0.5  # part of a tile
PLENTY = 3  # times as many positions as are wanted are looked for, to choose from


@dataclasses.dataclass(frozen=True)
class Position:
    """A tile's position. volume: its number. corner_yx: px. hard: there is another feature, too."""

    volume: int
    z: int
    corner_yx: tuple[int, int]
    hard: bool = False


class LabelVolume:
    """Labels of a tomogram. path: of the labels. otherwise: sentence for the user whose file holds other numbers than
    whole ones. Raises ValueError if their shapes differ."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        tomogram: Tomogram,
        otherwise: str = "Check that it is not a tomogram or a score volume.",
    ) -> None:
        self.path, self._volume, self._otherwise = str(path), Tomogram(path), otherwise
        self.shape = self._volume.shape
        if self.shape != tomogram.shape:
            raise ValueError(
                f"The label volume {path} has {sides_of(self.shape)} voxels (x, y, z), its tomogram {tomogram.path} "
                f"{sides_of(tomogram.shape)}. Check that they belong together, or resample the labels."
            )

    def labels(self, *ranges: tuple[int, int]) -> np.ndarray:
        """Whole numbers at the positions given as in Tomogram.labels."""
        return self._volume.labels(*ranges, otherwise=self._otherwise)

    def drawing(self, position: Position, size: int, label: int) -> np.ndarray:
        """(size, size) int16 drawing of the tile at a Position."""
        (y, x), z = position.corner_yx, position.z
        labels = self.labels((z, z + 1), (y, y + size), (x, x + size))[0]
        return np.select([labels == label, labels == UNANNOTATED], [FEATURE, UNCERTAIN], WITHOUT).astype(np.int16)


Pair = tuple[str, Tomogram, LabelVolume, float]  # name, tomogram, labels, Å/px


def open_pairs(
    config: ImportAnnotationsConfig | TrainSegmenterConfig,
    item: typing.Callable[[str, str], typing.ContextManager[None]],
) -> tuple[list[Pair], list[str]]:
    """The Pairs of a config with tomograms, labels and names, and warnings. Without names they are paired by those of
    their files, in the order of the tomograms' names. item: Run.item, which passes over a pair that cannot be used.
    Raises ValueError or FileNotFoundError for files that do not fit."""
    paths, labels = expand_paths(config.tomograms), expand_paths(config.labels)
    if len(paths) != len(labels):
        raise ValueError(
            f"{len(paths)} tomograms (--tomograms) and {len(labels)} label volumes (--labels) were given; "
            "give one label volume for each."
        )
    warnings = []
    paths = paths if config.names else sorted(paths)
    names = [name for name, _ in name_tomograms(paths, config.names)]
    if not config.names:
        positions, warning = pair_by_name(
            names,
            [name for name, _ in name_micrographs(labels, what="label volume")],
            ("tomograms", "--tomograms"),
            ("label volumes", "--labels"),
        )
        labels, warnings = [labels[position] for position in positions], [warning] if warning else []
    opened = list[Pair]()
    for name, path, labelled in zip(names, paths, labels):
        with item(name, path):
            tomogram = Tomogram(path)
            volume, (size, note) = LabelVolume(labelled, tomogram), working_pixel_size(tomogram, config.pixel_size)
            warnings += filter(
                None, [note, elsewhere(volume, tomogram), working_pixel_size(Tomogram(labelled), size)[1]]
            )
            opened.append((name, tomogram, volume, size))
    return opened, warnings


def elsewhere(volume: LabelVolume, tomogram: Tomogram) -> str:
    """What the user should know of two headers that say different places. Many programs leave the place out."""
    places = np.array([origin_of(volume.path), origin_of(tomogram.path)])
    if not places.any(axis=1).all() or np.abs(places[0] - places[1]).max() <= (tomogram.pixel_size or 1.0):
        return ""
    told = [f"({', '.join(f'{value:.1f}' for value in place)})" for place in places]
    return (
        f"By its header the label volume {volume.path} begins at {told[0]} Å, {tomogram.path} at "
        f"{told[1]}. They are laid on each other voxel by voxel, as their sizes agree; check that they show the same."
    )


def find_positions(
    volume: LabelVolume, number: int, label: int, size: int, wanted: typing.Sequence[int], rng: np.random.Generator
) -> tuple[list[Position], list[Position], set[int]]:
    """Positions with the feature and without it, two lists; and the values that were seen before it was, a set. number:
    of the volume. wanted: how many of each; the search ends when there are several times as many, which is seldom
    before a few slices and never before MIN_SLICES."""
    found, seen = (list[Position](), list[Position]()), set[int]()
    for count, z in enumerate(rng.permutation(volume.shape[0])):
        enough = [count >= MIN_SLICES and len(f) >= PLENTY * w for f, w in zip(found, wanted)]
        if all(enough):
            break
        labels = volume.labels((z, z + 1))[0]
        if not found[0]:
            # bytes are counted, which is quicker than sorting them
            known = np.flatnonzero(np.bincount(labels.ravel())) if labels.dtype == np.uint8 else np.unique(labels)
            seen.update(known.tolist())
        if enough[1] and not (labels == label).any():
            continue  # the quick way through hundreds of slices without a rare feature
        for corner in grid((slice(0, labels.shape[0]), slice(0, labels.shape[1])), size, rng):
            feature, labelled, other = parts(labels, corner, size, label)
            if labelled >= MAX_UNANNOTATED and (feature >= MIN_PART or feature == 0):
                found[int(feature == 0)].append(Position(number, int(z), corner, bool(other >= MIN_PART)))
    return (*found, seen)


def grid(area: tuple[slice, ...], size: int, rng: np.random.Generator | None = None) -> list[tuple[int, int]]:
    """Corners of tiles that cover an area: side by side from anywhere on with an rng; without one, spread evenly."""
    starts = []
    for part in area:
        room = max(0, part.stop - part.start - size)
        if rng is None:
            positions = np.linspace(part.start, part.start + room, 1 + -(-room // size))
        else:  # the first and the last are moved into the slice, so that all of it is covered
            positions = np.arange(int(rng.integers(0, size)) - size, part.stop - part.start, size)
            positions = part.start + np.unique(np.clip(positions, 0, room))
        starts.append([int(position) for position in positions])
    return [(y, x) for y in starts[0] for x in starts[1]]


def parts(labels: np.ndarray, corner: tuple[int, int], size: int, label: int) -> tuple[float, float, float]:
    """Parts of a tile of a (h, w) slice that have the feature, are annotated, and have another feature."""
    tile = labels[tuple(slice(max(c, 0), max(c, 0) + size + min(c, 0)) for c in corner)]
    feature, unannotated, nothing = ((tile == value).mean() for value in (label, UNANNOTATED, 0))
    return feature, 1 - unannotated, 1 - feature - unannotated - nothing


def choose_positions(positions: typing.Sequence[Position], number: int, rng: np.random.Generator) -> list[Position]:
    """At most `number` of the positions, of all volumes alike and of as many slices as possible, in random order."""
    taken, slices = dict[tuple[int, int], list[int]](), dict[int, dict[int, int]]()
    order = list[tuple[int, int, int, int]]()
    for index in rng.permutation(len(positions)):
        volume, z = positions[index].volume, positions[index].z
        in_slice, of_volume = taken.setdefault((volume, z), []), slices.setdefault(volume, {})
        order.append((len(in_slice), of_volume.setdefault(z, len(of_volume)), len(order), index))
        in_slice.append(index)
    return [positions[index] for *_, index in sorted(order)[:number]]


def choose_negative(positions: typing.Sequence[Position], number: int, rng: np.random.Generator) -> list[Position]:
    """As choose; half of the positions, if there are so many, hold another feature: these are the hard ones."""
    hard, easy = ([p for p in positions if p.hard is wanted] for wanted in (True, False))
    first = choose_positions(hard, max(number // 2, number - len(easy)), rng)
    return first + choose_positions(easy, number - len(first), rng)


CHUNK = 256  # tiles of a stack that are read at a time


def import_labels(
    store: AnnotationStore, config: ImportAnnotationsConfig, feature: str, label: int, pairs: typing.Sequence[Pair]
) -> list[str]:
    """Add tiles of label volumes to an AnnotationStore. label: of the feature in them. Returns warnings. Raises
    ValueError if a tile does not fit, or if the label is nowhere in them."""
    (names, tomograms, volumes, sizes), warnings = zip(*pairs), list[str]()
    narrow = min(tomograms, key=lambda tomogram: min(tomogram.shape[1:]))
    if min(narrow.shape[1:]) < config.tile:
        raise ValueError(
            f"{narrow.path} is {narrow.shape[2]} x {narrow.shape[1]} px wide, less than Tile (--tile), {config.tile} "
            "px. Choose a smaller tile."
        )
    rng = np.random.default_rng(config.seed)
    share = [-(-n // len(volumes)) for n in (config.positive_tiles, config.negative_tiles)]
    with_feature, without, seen = list[Position](), list[Position](), set[int]()
    for number, volume in enumerate(volumes):
        found = find_positions(volume, number, label, config.tile, share, rng)
        with_feature, without, seen = with_feature + found[0], without + found[1], seen | found[2]
    if not with_feature:
        raise ValueError(nothing_found(label, seen, config.tile, "Choose a smaller --tile."))
    for name, tomogram in zip(names, tomograms):
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


def nothing_found(label: int, seen: typing.Collection[int], tile: int, advice: str) -> str:
    """A sentence about label volumes that no tile with the feature could be taken from. label: its value. seen: the
    values that are there. tile: px. advice: where the value is there."""
    values = ", ".join(str(v) for v in sorted(seen)[:20]) or "none"
    if label in seen:
        return (
            f"The value {label} (--label) takes less than {MIN_PART:.1%} of every tile of {tile} px in the label "
            f"volumes, or lies where most is not annotated. {advice}"
        )
    return (
        f"No voxel of the label volumes has the value {label} (--label); the values found are {values}. Give the value "
        "of the feature."
    )


def import_stack(
    store: AnnotationStore, config: ImportAnnotationsConfig, feature: str, tiles: str, pixel_size: float
) -> None:
    """Add the tiles of a stack, and what is drawn on them, to an AnnotationStore. tiles: the stack. pixel_size: Å/px.
    Raises ValueError if the stacks do not fit each other, or were imported before."""
    count, size, _ = stack_shape(tiles)
    if config.drawings and (found := stack_shape(config.drawings)) != (count, size, size):
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
        drawings = read_images([config.drawings] * len(numbers), numbers) if config.drawings else [None] * len(numbers)
        for image, ink in zip(read_images([tiles] * len(numbers), numbers), drawings):
            values = None if ink is None else np.select([ink == UNCERTAIN, ink != 0], [UNCERTAIN, FEATURE], WITHOUT)
            store.add(name, pixel_size, (0, size // 2, size // 2), size, feature, config.annotator, values, image)
