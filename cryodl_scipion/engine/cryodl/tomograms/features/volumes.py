# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmented volumes, one after the other: what `pick-features` and `measure-membranes` do alike. Record of an output
folder: its items and parameters, so that later runs add only to outputs of the same parameters."""

import json
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import MeasureMembranesConfig, PickFeaturesConfig, config_to_dict, write_json
from ...io import stamps, tomograms
from ...io.files import expand_paths, folder_record, name_micrographs, path_within, prepare_folder
from ...io.tomogram_coordinates import join_coordinates3d
from ...running.runner import Named, Run
from .scores import SLAB, feature_names

Entry = dict[str, typing.Any]


class FolderRecord:
    """A JSON file in an output folder: settings that all its items share, and one entry for each finished item. path:
    of the file. settings: dict that JSON can hold; its keys are in words. Raises ValueError if the folder holds items
    made with other settings, or if the file is not readable."""

    def __init__(self, path: str | os.PathLike[str], settings: typing.Mapping[str, typing.Any]) -> None:
        self.path, self.settings = Path(path), json.loads(json.dumps(settings))
        self.items = {}
        if self.path.exists():
            found = folder_record(self.path)
            other = [
                f"{key} {_words(found['settings'].get(key))} (now {_words(value)})"
                for key, value in self.settings.items()
                if found["settings"].get(key) != value
            ]
            if other and found["tomograms"]:
                raise ValueError(
                    f"{self.path.parent} has tomograms made with other parameters: {'; '.join(other)}. Choose "
                    "another --output."
                )
            if not other:
                self.items = found["tomograms"]

    def has(self, name: str, sources: typing.Sequence[str | os.PathLike[str]]) -> bool:
        """True if the item is finished and its source files are still the same ones. What was made of others is
        removed: it is no part of what the folder holds together, even if the new ones cannot be used."""
        item = self.items.get(name)
        if item is None:
            return False
        files = self._files(item)
        if item["made_of"] == _stamps(sources) and files[0].exists():
            return True
        print(f"{sources[0]} has changed since {files[0]} was made of it, or that is gone: it is made again.")
        self.forget(name)
        return False

    def forget(self, name: str) -> None:
        """Remove an item and what was made of it."""
        files = self._files(self.items[name])
        del self.items[name]
        self.write()
        for file in files:
            file.unlink(missing_ok=True)

    def _files(self, item: Entry) -> list[Path]:
        return [path_within(self.path.parent, file) for file in item.get("files") or [item["file"]]]

    def prepare(self, named: Named, **marks: bytes) -> None:
        """files.prepare_folder of the tomograms' files. **marks: of each kind of them, by its ending."""
        for ending, mark in marks.items():
            prepare_folder(named, self.path.parent, f".{ending}", mark, self.items)
        if "star" in marks:
            prepare_folder(
                [("particles", "")], self.path.parent, ".star", marks["star"], ["particles"] * self.path.exists()
            )

    def put(self, name: str, sources: typing.Sequence[str | os.PathLike[str]], entry: Entry) -> None:
        """Write down a finished item. entry: dict with 'file', its name in the folder, or 'files'."""
        self.items[name] = dict(entry, made_of=_stamps(sources))
        self.write()

    def each(
        self, run: Run, named: Named, noun: str, done: str, make: typing.Callable[[str, str], Entry]
    ) -> dict[str, Entry]:
        """{name: entry} of the items that are not skipped. noun, done: see Run.each. make: name and path of one that is
        not finished to its entry."""

        def finished(name: str, path: str) -> Entry:
            if not self.has(name, [path]):
                self.put(name, [path], make(name, path))
            return self.items[name]

        return run.each(named, noun, done, finished)

    def write(self, **more: typing.Any) -> None:
        """Write the file, with more entries of the caller."""
        self._more = dict(getattr(self, "_more", {}), **more)
        write_json(self.path, dict(self._more, settings=self.settings, tomograms=self.items))


def _stamps(sources: typing.Sequence[str | os.PathLike[str]]) -> list[list[typing.Any]]:
    """[[name, bytes, time of writing]] of files and OME-Zarr folders."""
    return [[os.path.basename(path), *stamps.file_stamp(path).values()] for path in sources]


def _words(value: typing.Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


FREE = ("segmentations", "output", "names")  # fields of configs that may change from run to run
ALL, OF_CRYODL = "particles.star", b"# cryodl"  # and what stands in the heads of its STAR files
Found = typing.TypeVar("Found")


def one_pixel_size(items: typing.Mapping[str, Entry]) -> float | None:
    """Å/px of entries of a FolderRecord; None if they have several."""
    sizes = {item["pixel_size"] for item in items.values()}
    return sizes.pop() if len(sizes) == 1 else None


class Volumes(typing.NamedTuple):
    """What became of the volumes. record: of the folder, with the tomograms of earlier runs. items: {tomogram of this
    run: its entry in the record}."""

    folder: Path
    record: FolderRecord
    items: dict[str, typing.Any]

    @property
    def pixel_size(self) -> float | None:
        """Å/px of the volumes; None if they have several."""
        return one_pixel_size(self.items)

    def files(self, key: str = "file") -> dict[str, str]:
        """{tomogram: path of the file that its entry names}."""
        return {name: str(self.folder / item[key]) for name, item in self.items.items()}


def opened(path: str, pixel_size: float | None, run: Run) -> tuple[tomograms.Tomogram, float]:
    """A tomogram, and the Å/px to take for it, of which the user is told. pixel_size: Å/px of the request, or None."""
    tomogram = tomograms.Tomogram(path)
    size, note = tomograms.working_pixel_size(tomogram, pixel_size)
    run.warn(note)
    return tomogram, size


def each_volume(
    run: Run,
    index: str,
    find: typing.Callable[[str], Found],
    write: typing.Callable[[str, str, Found], dict[str, typing.Any]],
    **marks: bytes,
) -> Volumes:
    """Work on every volume that is not done yet, and join the points of all. index: Name of the record in the output
    folder. find: Path of a volume to what is in it. Its ValueError or FileNotFoundError: skipped. write: Name of the
    tomogram, path of the volume and what was found to the entry in the record; writes the files. **marks: see
    FolderRecord.prepare. Raises AllSkipped if no volume could be used."""
    config = run.config
    named, folder = named_volumes(config), Path(config.output)
    settings = {k.replace("_", " "): v for k, v in config_to_dict(config).items() if k not in FREE}
    record = FolderRecord(folder / index, settings)
    record.prepare(named, **marks)
    items = record.each(run, named, "volume", "used", lambda name, path: write(name, path, find(path)))
    join_points(folder, record)
    return Volumes(folder, record, items)


def refuse_name_of_all(named: Named) -> None:
    """Raises ValueError for a tomogram with the name of the file of all points."""
    if "particles" in dict(named):
        raise ValueError(
            "A tomogram has the name 'particles', which the file of all points uses. Give it another name (--names)."
        )


def named_volumes(config: PickFeaturesConfig | MeasureMembranesConfig) -> list[tuple[str, str]]:
    """(tomogram's name, volume). Scores are called <tomogram>__<feature>; the tomogram's name remains."""
    paths = expand_paths(config.segmentations)
    pairs = name_micrographs(paths, config.names, "tomogram")
    if not config.names and config.label is None:
        pairs = name_micrographs(paths, tuple(name.rpartition("__")[0] or name for name, _ in pairs), "tomogram")
    refuse_name_of_all(pairs)
    return pairs


def labels_there(config: PickFeaturesConfig | MeasureMembranesConfig, without: typing.Iterable[str]) -> str:
    """' The label volumes have 1 membrane, 2; --label is 7.', for the end of a sentence about tomograms without any
    find; '' where the label is there, and for scores. without: names of these tomograms."""
    paths, found = dict(named_volumes(config)), dict[int, str]()
    for path in map(paths.__getitem__, without) if config.label is not None else ():
        volume, names = tomograms.Tomogram(path), feature_names(path)
        for z in range(0, volume.shape[0], SLAB):
            values = np.unique(volume.labels((z, min(z + SLAB, volume.shape[0]))))
            found.update((value, f"{value} {names.get(value, '')}".rstrip()) for value in values.tolist() if value)
    there = ", ".join(found[value] for value in sorted(found))
    return f" The label volumes have {there}; --label is {config.label}." if found and config.label not in found else ""


def join_points(folder: Path, record: FolderRecord) -> None:
    """Write the points of all tomograms of a folder as one STAR file. record: its entries have file and pixel_size."""
    items = [item for _, item in sorted(record.items.items())]
    join_coordinates3d(folder / ALL, [folder / item["file"] for item in items], [item["pixel_size"] for item in items])
