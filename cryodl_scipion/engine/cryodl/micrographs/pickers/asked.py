# SPDX-License-Identifier: GPL-3.0-or-later
"""asked.json beside the candidates: what a run said of the micrographs that it asked for size and contrast. A run that
was stopped and is continued does not ask again, and does not forget its warnings."""

from __future__ import annotations

import json
import typing
from pathlib import Path

from ...contract.result import write_json

ASKED = "asked.json"


def earlier_notes(folder: Path, names: typing.Iterable[str]) -> list[str]:
    """Sentences that were said of these micrographs when they were asked."""
    known = set(names)
    return list(dict.fromkeys(n for one in _read(folder) if known & set(one["micrographs"]) for n in one["notes"]))


def are_asked(folder: Path, names: typing.Iterable[str]) -> bool:
    """Whether all of these micrographs belong to runs that have asked some of theirs."""
    return set(names) <= {name for one in _read(folder) for name in one["micrographs"]}


def note_asked(folder: Path, names: typing.Sequence[str], notes: typing.Sequence[str]) -> None:
    """Store the sentences of a run on these micrographs."""
    write_json(folder / ASKED, [*_read(folder), dict(micrographs=list(names), notes=list(notes))])


def _read(folder: Path) -> list[dict[str, list[str]]]:
    try:
        found = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        return [dict(micrographs=one["micrographs"], notes=one["notes"]) for one in found]
    except (OSError, ValueError, KeyError, TypeError):  # asking again costs time alone
        return []
