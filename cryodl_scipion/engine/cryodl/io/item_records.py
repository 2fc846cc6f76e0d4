# SPDX-License-Identifier: GPL-3.0-or-later
"""<name>.json beside what a command made of one input: of what kind it is, what the input was, and with which settings
it was made."""

import json
import os
import typing
from pathlib import Path

from ..contract.result import write_json
from .stamps import stamp

REMEDY = "Choose another --output."
Record = dict[str, typing.Any]


class ItemRecords:
    """The records in one folder.

    Parameters
    ----------
    kind : str
        What they are of, as the file says it and as messages do: 'CTF fit'.
    settings : dict
        {name: value} of this run: what decides what is made.
    *patterns : str
        Files that are made of an item, {} for its name; records without the first of them do not count.
    remedy : str
        What to do about other settings, a sentence.
    absent : dict, optional
        {name: value} that records of version 0.1.0, which lack the name, were made with.
    """

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
        """The record of an earlier run; None without one. Raises ValueError if it is of another kind, or was made with
        other settings."""
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

    def unchanged(self, named: typing.Iterable[tuple[str, str]]) -> dict[str, Record]:
        """Records by name of the items that are done and have not changed; what was made of one that is gone stays."""
        found = {name: (self.read(name), path) for name, path in named}
        return {
            name: record
            for name, (record, path) in found.items()
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
