# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairing of the even and odd halves of tomograms by name."""

from __future__ import annotations

import dataclasses
import os
import re
import typing

from ...contract import Skipped
from ...io.files import expand_paths, micrograph_key, name_tomograms
from ...io.pairing import pair_by_name

_EVEN = re.compile(r"(?<![a-z0-9])(even|evn|half[-_]?1|half[-_]?map[-_]?1|h1)(?![a-z0-9])", re.I)
_ODD = re.compile(r"(?<![a-z0-9])(odd|half[-_]?2|half[-_]?map[-_]?2|h2)(?![a-z0-9])", re.I)


@dataclasses.dataclass(frozen=True)
class Named:
    """A tomogram by its name. paths: of its even and odd halves, or of the one file that there is."""

    name: str
    paths: tuple[str, ...]


def named_tomograms(config: typing.Any) -> tuple[list[Named], list[Skipped], list[str]]:
    """The tomograms of a DenoiseTomogramsConfig, halves without their other half, and sentences for the user.

    Raises ValueError if even and odd halves are not as many, or if two tomograms have one name.
    """
    if not config.even:
        return _by_their_names(expand_paths(config.tomograms), config.names)
    even, odd = expand_paths(config.even), expand_paths(config.odd)
    if len(even) != len(odd):
        raise ValueError(
            f"There are {len(even)} even halves (--even) and {len(odd)} odd halves (--odd). Give one of each for "
            "every tomogram."
        )
    if config.names:  # files of one tomogram may have any names
        named = name_tomograms(even, config.names)
        return [Named(name, pair) for (name, _), pair in zip(named, zip(even, odd))], [], []
    names, others = ([_stem(path, pattern) for path in paths] for paths, pattern in ((even, _EVEN), (odd, _ODD)))
    positions, note = pair_by_name(names, others, ("even halves", "--even"), ("odd halves", "--odd"))
    named = name_tomograms(even, names)
    return [Named(name, (e, odd[k])) for (name, e), k in zip(named, positions)], [], [note] if note else []


def _by_their_names(paths: list[str], names: typing.Sequence[str]) -> tuple[list[Named], list[Skipped], list[str]]:
    """As named_tomograms, of one list of files in which halves are told apart by their names."""
    halves: dict[tuple[str, str], dict[int, str]] = {}
    whole: list[str] = []
    for path in paths:
        kinds = [kind for kind, pattern in enumerate((_EVEN, _ODD)) if pattern.search(os.path.basename(path))]
        if len(kinds) == 1:
            halves.setdefault((os.path.dirname(path), _stem(path, (_EVEN, _ODD)[kinds[0]])), {})[kinds[0]] = path
        else:
            whole.append(path)
    pairs = {key[1]: (found[0], found[1]) for key, found in halves.items() if len(found) == 2}
    lonely = [(key[1], *item) for key, found in halves.items() if len(found) == 1 for item in found.items()]
    skipped = [
        Skipped(
            name,
            path,
            f"{path} is the {('even', 'odd')[kind]} half of {name} by its name, and its {('odd', 'even')[kind]} half "
            "is not among the tomograms (--tomograms). Give both.",
        )
        for name, kind, path in lonely
    ]
    files = [paths[0] for paths in pairs.values()] + whole
    named = name_tomograms(files, names or [*pairs, *(_stem(path, None) for path in whole)])
    every = [*pairs.values(), *((path,) for path in whole)]
    return [Named(name, found) for (name, _), found in zip(named, every)], skipped, []


def _stem(path: str, pattern: re.Pattern[str] | None) -> str:
    """A file's name without its ending and without the word that tells its half."""
    key = micrograph_key(path)
    bare = re.sub(r"^[-_. ]+|[-_. ]+$", "", re.sub(r"[-_. ]*\|", "", pattern.sub("|", key))) if pattern else key
    return bare or key
