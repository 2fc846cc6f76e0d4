# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairing of the even and odd halves of tomograms by name."""

from __future__ import annotations

import dataclasses
import os
import re
import typing

from ...contract import Skipped
from ...io.files import copick_run, expand_paths, file_key, name_tomograms, names_with_runs, pair_by_name

_EVEN = re.compile(r"(?<![a-z0-9])(even|evn|half[-_]?1|half[-_]?map[-_]?1|h1)(?![a-z0-9])", re.I)
_ODD = re.compile(r"(?<![a-z0-9])(odd|half[-_]?2|half[-_]?map[-_]?2|h2)(?![a-z0-9])", re.I)
_HALVES = ("even", "odd")


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
    names, others = (
        names_with_runs(
            [copick_run(path) for path in paths], [_stem(path, pattern) or file_key(path) for path in paths]
        )
        for paths, pattern in ((even, _EVEN), (odd, _ODD))
    )
    positions, note = pair_by_name(names, others, ("even halves", "--even"), ("odd halves", "--odd"))
    named = name_tomograms(even, names)
    return [Named(name, (e, odd[k])) for (name, e), k in zip(named, positions)], [], [note] if note else []


def _by_their_names(paths: list[str], names: typing.Sequence[str]) -> tuple[list[Named], list[Skipped], list[str]]:
    """As named_tomograms, of one list of files in which halves are told apart by their names."""
    halves: dict[tuple[str, str], dict[int, str]] = {}  # of a folder and the file's own name without its half
    whole: list[str] = []
    for path in paths:
        kinds = [kind for kind, pattern in enumerate((_EVEN, _ODD)) if pattern.search(os.path.basename(path))]
        if len(kinds) != 1:
            whole.append(path)
            continue
        found = halves.setdefault((os.path.dirname(path), _stem(path, (_EVEN, _ODD)[kinds[0]])), {})
        if kinds[0] in found:
            raise ValueError(
                f"{found[kinds[0]]} and {path} are both the {_HALVES[kinds[0]]} half of one tomogram by their names "
                "(--tomograms). Give one of them, or rename one."
            )
        found[kinds[0]] = path
    groups = [tuple(found[kind] for kind in sorted(found)) for found in halves.values()] + [(path,) for path in whole]
    own = [stem or _folder_or_file(found) for (_, stem), found in zip(halves, groups)] + [file_key(p) for p in whole]
    called = list(zip(names_with_runs([copick_run(found[0]) for found in groups], own), groups))
    lonely = [
        (name, kind, path)
        for (name, _), found in zip(called, halves.values())
        if len(found) == 1
        for kind, path in found.items()
    ]
    skipped = [
        Skipped(
            name,
            path,
            f"{path} is the {_HALVES[kind]} half of {name} by its name, and its {_HALVES[1 - kind]} half "
            "is not among the tomograms (--tomograms). Give both.",
        )
        for name, kind, path in lonely
    ]
    used = [(name, found) for k, (name, found) in enumerate(called) if len(found) == 2 or k >= len(halves)]
    named = name_tomograms([found[0] for _, found in used], names or [name for name, _ in used])
    return [Named(name, found) for (name, _), (_, found) in zip(named, used)], skipped, []


def _folder_or_file(found: tuple[str, ...]) -> str:
    """The name of halves that are called even.mrc and odd.mrc: that of their folder; of one alone, the file's."""
    folder = os.path.basename(os.path.dirname(os.path.abspath(found[0])))
    return folder if len(found) == 2 and not copick_run(found[0]) else file_key(found[0])


def _stem(path: str, pattern: re.Pattern[str]) -> str:
    """A file's own name without its ending and without the word that tells its half; '' if nothing else is left."""
    bare = re.sub(r"[-_. ]*\|", "", pattern.sub("|", file_key(path)))
    return re.sub(r"^[-_. ]+|[-_. ]+$", "", bare)
