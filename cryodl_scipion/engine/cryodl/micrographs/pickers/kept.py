# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates of earlier runs on a folder of picks: whether they were made of the same file with the same parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from pathlib import Path

from ...io.stamps import stamp
from .pick_record import AVOIDED, BEFORE, BINDING, CANDIDATES

if typing.TYPE_CHECKING:
    from .pick_record import PickSettings

PICTURES, FEATURE_MAPS = "pictures", "feature_maps"  # folders beside the candidates
# Older versions wrote the file alone, and before that nothing.
_HEAD = re.compile(r"; made of (\w+)(?: with (\w+), (\w+) protein)?$")


def head_words(path: str, settings: PickSettings) -> str:
    """Words for the head of a file of candidates that tell which micrograph and parameters it was made with."""
    return f"made of {stamp(path)} with {_parameters(settings)}, {settings.contrast} protein"


def has_changed(folder: Path, name: str, path: str) -> bool:
    """Whether a folder has candidates of a micrograph whose file is another one now. Those of old versions do not tell.

    folder: Path. path: of the micrograph.
    """
    found = _head(folder, name)
    try:
        return found is not None and found.group(1) != stamp(path)
    except OSError:
        return False  # the file is gone; what was found in it is there


def made_otherwise(folder: Path, name: str, settings: PickSettings, contrast: str | None) -> bool:
    """Whether a folder has candidates of a micrograph that were made with other parameters, as --overwrite of some
    micrographs leaves them. Those of old versions do not tell.

    folder: Path. settings: that hold. contrast: the stated one, or None: an estimated one is not compared.
    """
    found = _head(folder, name)
    if found is None or found.group(2) is None:
        return False
    return found.group(2) != _parameters(settings) or contrast not in (None, found.group(3))


def forget_picks(folder: Path, name: str) -> None:
    """Remove all that an earlier run left of one micrograph. folder: Path."""
    for file in (
        f"{CANDIDATES}/{name}.star",
        f"{AVOIDED}/{name}.json",
        f"{PICTURES}/{name}.png",
        f"{FEATURE_MAPS}/{name}.png",
        f"{name}.star",
    ):
        (folder / file).unlink(missing_ok=True)


def _head(folder: Path, name: str) -> re.Match[str] | None:
    candidates = folder / CANDIDATES / f"{name}.star"
    if not candidates.exists():
        return None
    with open(candidates, encoding="utf-8", errors="replace") as file:
        return _HEAD.search(file.readline().rstrip())


def _parameters(settings: PickSettings) -> str:
    """One word for the parameters; the same where a later version has one more that was not used."""
    values = {key: value for key, value in dataclasses.asdict(settings).items() if key in BINDING}
    values = {k: float(v) if isinstance(v, int) else v for k, v in values.items() if v != BEFORE.get(k)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
