# SPDX-License-Identifier: GPL-3.0-or-later
"""Stamps of input files (size, time, content): a stopped command continues only with unchanged inputs."""

import glob
import hashlib
import json
import os
import typing

from ..contract import describe_all
from .files import name_and_path
from .zarr_arrays import is_zarr

SMALL = 1 << 20  # bytes; smaller files are known by what they hold, for a protocol may write its lists again


def file_stamp(path: typing.Union[str, "os.PathLike[str]"]) -> dict[str, int]:
    """Size and time of the last change (ns) of a file; of a folder (an OME-Zarr) those of all its files together.

    Raises
    ------
    OSError
        If there is no such file.
    """
    states = [os.stat(path)]
    if os.path.isdir(path):
        states = [os.stat(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names]
    return dict(bytes=sum(state.st_size for state in states), changed=max((s.st_mtime_ns for s in states), default=0))


def stamp(*paths: typing.Union[str, "os.PathLike[str]"]) -> str:
    """One word for the sizes and times of some files; another one when any of them was made anew.

    Raises
    ------
    OSError
        If one of them is not there.
    """
    return _digest([sorted(file_stamp(path).items()) for path in paths])


def input_stamps(config: typing.Any) -> dict[str, str]:
    """{parameter: word} of the files that a config's inputs name; parameters that name none are left out.

    Folders count with the files in them, models with their cards (which have the checksum of the weights). Large files
    and OME-Zarr folders are known by size and time, small files by what they hold.
    """
    found = {}
    for info in describe_all(type(config)):
        value = getattr(config, info.name)
        if info.name == "output" or not value or info.kind not in ("paths", "str"):
            continue
        files = [file for text in ([value] if isinstance(value, str) else value) for file in _files(text)]
        if files:
            found[info.name] = _digest([[os.path.basename(file), _content(file)] for file in files])
    return found


def _files(text: str) -> typing.Iterator[str]:
    """Files that a text of a config names; none if it is a word."""
    if not os.path.exists(text) and not glob.glob(text):
        text = name_and_path(text)[1]  # a set of picks with a name: 'topaz=picks/topaz'
    paths = [text] if os.path.exists(text) else sorted(glob.glob(text))
    for path in paths:
        if os.path.isdir(path) and not is_zarr(path):
            yield from sorted(
                entry.path for entry in os.scandir(path) if entry.is_file() and not entry.name.startswith(".")
            )
        else:
            yield path


def _content(path: str) -> list[tuple[str, int]] | str:
    if os.path.isdir(path) or os.path.getsize(path) > SMALL:
        return sorted(file_stamp(path).items())
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _digest(values: typing.Sequence[list[list[tuple[str, int]] | str | tuple[str, int]]]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
