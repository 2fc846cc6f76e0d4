# SPDX-License-Identifier: GPL-3.0-or-later
"""Stamps of input files (size, time, content): a stopped command continues only with unchanged inputs.

<name>.json beside what a command made of one input: of what kind it is, of what input, and made with which settings."""

import glob
import hashlib
import json
import os
import typing
from pathlib import Path

from ..contract import Config, describe_all, write_json
from .files import name_and_path, prepare_folder
from .zarr_arrays import is_zarr

SMALL = 1 << 20  # bytes; smaller files are known by what they hold, for a protocol may write its lists again


def file_stamp(path: typing.Union[str, "os.PathLike[str]"]) -> dict[str, int]:
    """Size and time of the last change (ns) of a file; of a folder (an OME-Zarr) those of all its files together.
    Raises OSError if there is no such file."""
    states = [os.stat(path)]
    if os.path.isdir(path):
        states = [os.stat(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names]
    return dict(bytes=sum(state.st_size for state in states), changed=max((s.st_mtime_ns for s in states), default=0))


def changed_since(entry: typing.Mapping[str, typing.Any], path: typing.Union[str, "os.PathLike[str]"]) -> bool:
    """Whether a file is another one than when an entry with its file_stamp was made. Raises OSError without the file.
    Entries of early versions, without a stamp, say nothing."""
    return any(entry.get(key, now) != now for key, now in file_stamp(path).items())


def stamp(*paths: typing.Union[str, "os.PathLike[str]"]) -> str:
    """One word for the sizes and times of some files; another one when any of them was made anew. Raises OSError if one
    of them is not there."""
    return _digest([sorted(file_stamp(path).items()) for path in paths])


def content_stamp(path: typing.Union[str, "os.PathLike[str]"]) -> str:
    """One word for what a file holds, the same for its copies: up to 1 MB from its middle on."""
    with open(path, "rb") as file:
        file.seek(os.path.getsize(path) // 2)
        return hashlib.sha256(file.read(SMALL)).hexdigest()[:16]


def input_stamps(config: Config) -> dict[str, str]:
    """{parameter: word} of the files that a config's inputs name; parameters that name none are left out. Folders count
    with the files in them, models with their cards (which have the checksum of the weights). Large files and OME-Zarr
    folders are known by size and time, small files by what they hold."""
    found = {}
    for info in describe_all(type(config)):
        value = getattr(config, info.name)
        if info.name == "output" or not value or info.kind not in ("paths", "str"):
            continue
        if files := [file for text in ([value] if isinstance(value, str) else value) for file in _files(text)]:
            found[info.name] = _digest([[os.path.basename(file), _content(file)] for file in files])
    return found


def _files(text: str) -> typing.Iterator[str]:
    """Files that a text of a config names; none if it is a word."""
    if not os.path.exists(text) and not glob.glob(text):
        text = name_and_path(text)[1]  # a set of picks with a name: 'topaz=picks/topaz'
    for path in [text] if os.path.exists(text) else filter(os.path.exists, sorted(glob.glob(text))):  # no dead links
        if os.path.isdir(path) and not is_zarr(path):
            yield from sorted(e.path for e in os.scandir(path) if e.is_file() and not e.name.startswith("."))
        else:
            yield path


def _content(path: str) -> list[tuple[str, int]] | str:
    if os.path.isdir(path) or os.path.getsize(path) > SMALL:
        return sorted(file_stamp(path).items())
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _digest(values: typing.Sequence[list[list[tuple[str, int]] | str | tuple[str, int]]]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


REMEDY = "Choose another --output."
Record = dict[str, typing.Any]


class ItemRecords:
    """The records in one folder. kind: what they are of, as the file says it and as messages do: 'CTF fit'. settings:
    {name: value} of this run: what decides what is made. *patterns: files that are made of an item, {} for its name;
    records without the first of them do not count. remedy: what to do about other settings, a sentence. absent: {name:
    value} that records of version 0.1.0, which lack the name, were made with."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        settings: typing.Mapping[str, typing.Any],
        *patterns: str,
        remedy: str = REMEDY,
        absent: typing.Mapping[str, typing.Any] | None = None,
    ) -> None:
        self.folder, self.kind, self.settings, self.patterns = folder, kind, dict(settings), patterns
        self._remedy, self._absent = remedy, dict(absent or {})

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def read(self, name: str) -> Record | None:
        """The record of an earlier run; None without one. Raises ValueError for one of another kind or settings."""
        file = self._file(name)
        if not file.exists():
            return None
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            record = None
        if not isinstance(record, dict) or record.get("kind") != self.kind:
            raise ValueError(f"{file} is not a record of this command ({self.kind}). {REMEDY}")
        before = {**self._absent, **record["settings"]}
        other = [
            f"{key.replace('_', ' ')} {before.get(key)} (now {value})"
            for key, value in self.settings.items()
            if before.get(key) != value
        ]
        if other:
            raise ValueError(
                f"{self.folder} holds results ({self.kind}) made with other parameters: {'; '.join(other)}. "
                f"{self._remedy}"
            )
        return record

    def prepare(self, named: typing.Sequence[tuple[str, str]], mark: bytes, table: Path | None = None) -> None:
        """files.prepare_folder of the items' files. table: of all items."""
        records = [path.stem for path in self.folder.glob("*.json")]
        prepare_folder(named, self.folder, self.patterns[0][2:], mark, records)
        if table and table.exists() and not records:
            raise ValueError(f"{table} is there, and not of this command: it is not replaced. {REMEDY}")

    def unchanged(self, named: typing.Iterable[tuple[str, str]]) -> dict[str, Record]:
        """Records by name of the items that are done and have not changed; what was made of one that is gone stays."""
        return {
            name: record
            for name, (record, path) in {name: (self.read(name), path) for name, path in named}.items()
            if record is not None
            and (self.folder / self.patterns[0].format(name)).exists()
            and (not os.path.exists(path) or record["stamp"] == stamp(path))
        }

    def write(self, name: str, made_of: typing.Any, /, **values: typing.Any) -> Record:
        """Write and return the record of an item, whose files must be there. made_of: stamp of what was read."""
        record = dict(kind=self.kind, stamp=made_of, settings=self.settings, **values)
        write_json(self._file(name), record)
        return record

    def forget(self, name: str) -> None:
        """Remove what was made of an item."""
        for file in (self._file(name), *(self.folder / pattern.format(name) for pattern in self.patterns)):
            file.unlink(missing_ok=True)


def stamp_of(path: str) -> str | None:
    """The stamp of an input, taken before it is read; None if it is not there."""
    return stamp(path) if os.path.exists(path) else None
