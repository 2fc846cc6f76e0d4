# SPDX-License-Identifier: GPL-3.0-or-later
"""Record of an output folder: its items and parameters, so that later runs add only to outputs of the same
parameters."""

import json
import os
import typing
from pathlib import Path

from ...contract.result import write_json
from ...io.stamps import file_stamp


class FolderRecord:
    """A JSON file in an output folder: settings that all its items share, and one entry for each finished item.

    path: of the file. settings: dict that JSON can hold; its keys are in words. Raises ValueError if the folder holds
    items made with other settings, or if the file is not readable.
    """

    def __init__(self, path: str | os.PathLike[str], settings: typing.Mapping[str, typing.Any]) -> None:
        self.path, self.settings = Path(path), json.loads(json.dumps(settings))
        self.items = {}
        if self.path.exists():
            found = self._read()
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

    def _read(self) -> dict[str, typing.Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return dict(settings=dict(found["settings"]), tomograms=dict(found["tomograms"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} is not readable ({error!r}). Remove it, or choose another --output."
            ) from None

    def has(self, name: str, sources: typing.Sequence[str | os.PathLike[str]]) -> bool:
        """True if the item is finished and its source files are still the same ones."""
        item = self.items.get(name) or {}
        return bool(item) and item["made_of"] == _stamps(sources) and (self.path.parent / item["file"]).exists()

    def put(self, name: str, sources: typing.Sequence[str | os.PathLike[str]], entry: dict[str, typing.Any]) -> None:
        """Write down a finished item. entry: dict with 'file', its name in the folder."""
        self.items[name] = dict(entry, made_of=_stamps(sources))
        self.write()

    def write(self, **more: typing.Any) -> None:
        """Write the file, with more entries of the caller."""
        self._more = dict(getattr(self, "_more", {}), **more)
        write_json(self.path, dict(self._more, settings=self.settings, tomograms=self.items))


def _stamps(sources: typing.Sequence[str | os.PathLike[str]]) -> list[list[typing.Any]]:
    """[[name, bytes, time of writing]] of files and OME-Zarr folders."""
    return [[os.path.basename(path), *file_stamp(path).values()] for path in sources]


def _words(value: typing.Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
