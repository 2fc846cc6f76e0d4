# SPDX-License-Identifier: GPL-3.0-or-later
"""asked.json beside the candidates: what a run said of the micrographs that it asked for size and contrast. A run that
was stopped and is continued does not ask again, and does not forget its warnings."""

from __future__ import annotations

import json
import typing
from pathlib import Path

from ...contract.result import write_json
from ...io.stamps import stamp

ASKED = "asked.json"


def earlier_notes(folder: Path, named: typing.Iterable[tuple[str, str]]) -> list[str]:
    """Sentences that were said of these micrographs when they were asked. named: (name, file)."""
    known = _stamps(named)
    return list(dict.fromkeys(n for one in _read(folder) if _unchanged(one, known) for n in one["notes"]))


def are_asked(folder: Path, named: typing.Iterable[tuple[str, str]]) -> bool:
    """Whether all of these micrographs, with their files as they are, belong to runs that have asked some of theirs."""
    known = _stamps(named)
    return set(known) <= {name for one in _read(folder) for name in _unchanged(one, known)}


def note_asked(folder: Path, named: typing.Iterable[tuple[str, str]], notes: typing.Sequence[str]) -> None:
    """Store the sentences of a run on these micrographs."""
    stamps = _stamps(named)
    write_json(folder / ASKED, [*_read(folder), dict(micrographs=list(stamps), stamps=stamps, notes=list(notes))])


def _stamps(named: typing.Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """{name: stamp of the file}, None for one that is not there."""
    found: dict[str, str | None] = {}
    for name, path in named:
        try:
            found[name] = stamp(path)
        except OSError:
            found[name] = None
    return found


def _unchanged(one: dict[str, typing.Any], known: dict[str, str | None]) -> set[str]:
    """The known micrographs of one entry whose files are the same. Older entries do not tell; a file that is gone has
    not changed."""
    return {
        name
        for name in known.keys() & set(one["micrographs"])
        if known[name] is None or one["stamps"].get(name) in (None, known[name])
    }


def _read(folder: Path) -> list[dict[str, typing.Any]]:
    try:
        found = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        return [
            dict(micrographs=one["micrographs"], stamps=dict(one.get("stamps", {})), notes=one["notes"])
            for one in found
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # asking again costs time alone
        return []
