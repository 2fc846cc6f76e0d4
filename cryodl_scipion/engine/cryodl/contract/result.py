# SPDX-License-Identifier: GPL-3.0-or-later
"""result.json: what a command made. Written last, by rename: no result.json, no result."""

import dataclasses
import json
import os
import typing

from .words import counted

CONTRACT_VERSION = 1


def write_json(path, data):
    """Write JSON under a temporary name, then rename."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """An input that was left out, and why. `item` is the name that the request gave it, `path` its file."""

    item: str
    path: str
    reason: str


def in_words(skipped):
    """One Skipped as a sentence that names its file once."""
    return skipped.reason if skipped.path in skipped.reason else f"{skipped.path}: {skipped.reason}"


def said_skipped(skipped, noun):
    """Sentences for Result.warnings: that something was skipped. What and why is said when it happens, and stands in
    Result.skipped."""
    if not skipped:
        return []
    one = len(skipped) == 1
    return [f"{counted(len(skipped), noun)} {'was' if one else 'were'} skipped, as said above."]


@dataclasses.dataclass(frozen=True)
class Result:
    """All that the caller may know of a finished command.

    outputs: names to files, folders or figures, as each command's docstring lists them.
    skipped: inputs left out. warnings: sentences for the user.
    device: what was really used, in words. seconds: wall time.
    """

    command: str
    outputs: typing.Dict[str, typing.Any]
    device: str = ""
    seconds: float = 0.0
    skipped: typing.Tuple[Skipped, ...] = ()
    warnings: typing.Tuple[str, ...] = ()
    versions: typing.Dict[str, str] = dataclasses.field(default_factory=dict)

    def write(self, path):
        data = dataclasses.asdict(self)
        write_json(path, dict(contract_version=CONTRACT_VERSION, **data))

    @classmethod
    def read(cls, path):
        """Raises FileNotFoundError if there is none, ValueError if it is of another contract version."""
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        version = data.pop("contract_version", None)
        if version != CONTRACT_VERSION:
            raise ValueError(f"{path} has contract version {version}; expected {CONTRACT_VERSION}.")
        data["skipped"] = tuple(Skipped(**s) for s in data["skipped"])
        data["warnings"] = tuple(data["warnings"])
        return cls(**data)


class AllSkipped(ValueError):
    """Not one input could be used. A caller that works in batches may go on with the others."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """failure.json: why a command stopped. kind: 'input' (the user can mend it), 'all skipped' (AllSkipped) or
    'internal'."""

    command: str
    kind: str
    message: str

    def write(self, path):
        write_json(path, dict(contract_version=CONTRACT_VERSION, **dataclasses.asdict(self)))

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        data.pop("contract_version", None)
        return cls(**data)
