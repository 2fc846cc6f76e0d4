# SPDX-License-Identifier: GPL-3.0-or-later
"""result.json: what a command made. It is written last, by rename; a run without it has no result.

request.json: which command to run with which values. Written by whoever starts the engine."""

import dataclasses
import json
import os
import typing
from pathlib import Path

from . import fields, processes, reading, version_0_1_0
from .command import Command, output_problems, outputs_of
from .commands import COMMANDS, EVERY_COMMAND
from .params import ParamInfo, Paths, check, check_value, config_from_dict, config_to_dict, describe, param
from .wording import counted

CONTRACT_VERSION = 1  # of requests
RESULT_VERSION = 2


def write_json(path: typing.Union[str, "os.PathLike[str]"], data: typing.Any) -> None:
    """Write JSON under a temporary name, then rename. File names that are not UTF-8 are preserved. Raises OSError: disk
    full, or no permission; with the name of the file."""
    temporary = processes.temporary_path(path)
    try:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(data, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """An input that was left out, and why. `item` is its name in the request, `path` its file."""

    item: str
    path: str
    reason: str


def in_words(skipped: Skipped) -> str:
    """A skipped item as a sentence that names its file once."""
    return skipped.reason if skipped.path in skipped.reason else f"{skipped.path}: {skipped.reason}"


def said_skipped(skipped: typing.Sequence[Skipped], noun: str) -> typing.List[str]:
    """Sentences for Result.warnings about the number of skipped items. Each item is logged when it is skipped; details
    are in Result.skipped. noun: of the items, in the singular."""
    if not skipped:
        return []
    return [f"{counted(len(skipped), noun)} {'was' if len(skipped) == 1 else 'were'} skipped, for the reasons above."]


Made = typing.TypeVar("Made", covariant=True)


@dataclasses.dataclass(frozen=True)
class Result(typing.Generic[Made]):
    """The result of a finished command. outputs: the Outputs declared beside the command's config, or a dict of the
    same names. skipped: inputs left out. warnings: sentences for the user. device: the device that was actually used,
    in words. seconds: wall time. nothing_made: all inputs were skipped; then a dict with some of the outputs is enough,
    and missing ones are read as None. summary: sentences about what was made. methods: sentences for a paper."""

    command: str
    outputs: Made
    device: str = ""
    seconds: float = 0.0
    skipped: typing.Tuple[Skipped, ...] = ()
    warnings: typing.Tuple[str, ...] = ()
    versions: typing.Dict[str, str] = dataclasses.field(default_factory=dict)
    nothing_made: bool = False
    summary: typing.Tuple[str, ...] = ()
    methods: typing.Tuple[str, ...] = ()

    def write(self, path: str) -> None:
        """Write result.json, completely or not at all. Raises TypeError if the outputs are not those that the command
        declares."""
        write_json(path, dict(contract_version=RESULT_VERSION, **self.as_dict()))

    def as_dict(self) -> typing.Dict[str, typing.Any]:
        """The result as JSON holds it. Raises TypeError if the outputs are not those that the command declares."""
        declared = (
            None if self.nothing_made or self.command not in EVERY_COMMAND else EVERY_COMMAND[self.command].outputs
        )
        outputs = dict(typing.cast("typing.Mapping[str, typing.Any]", self.outputs))
        problems = output_problems(declared, outputs) if declared else []
        if declared and problems:
            raise TypeError(f"The outputs of {self.command} do not match {declared.__name__}: {'; '.join(problems)}.")
        return dict(
            {field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            outputs=outputs,
            skipped=[dataclasses.asdict(skipped) for skipped in self.skipped],
        )

    @classmethod
    @reading.reader
    def read(cls, path: str) -> "Result[typing.Any]":
        """Read a result, with the Outputs of its command. Raises FileNotFoundError if there is none, and ValueError
        that names the file if it has another contract version or its outputs are not those of the command."""
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        version = data.pop("contract_version", None)
        if version != RESULT_VERSION:
            raise ValueError(f"{path} has contract version {version}; expected {RESULT_VERSION}.")
        data["skipped"] = tuple(Skipped(**s) for s in data["skipped"])
        for name in ("warnings", "summary", "methods"):
            data[name] = tuple(data.get(name, ()))
        old, then = data.get("versions", {}).get("cryodl") == version_0_1_0.VERSION, data["command"]
        data["command"] = version_0_1_0.COMMANDS.get(then, then) if old else then
        declared = EVERY_COMMAND[data["command"]].outputs if data["command"] in EVERY_COMMAND else None
        if declared:
            partial = old or data.get("nothing_made", False)
            if old:
                renamed = version_0_1_0.OUTPUTS.get(then, {}).get
                data["outputs"] = {renamed(name, name): value for name, value in data["outputs"].items()}
            try:
                data["outputs"] = outputs_of(declared, data["outputs"], old=partial)
            except ValueError as error:
                raise ValueError(f"{path} is not a result of this version of {data['command']}: {error}") from None
        return cls(**data)


class AllSkipped(ValueError):
    """No input could be used. A caller that works in batches may continue with the others. reasons: {item: why}.
    warnings: sentences for the user."""

    reasons: typing.Mapping[str, str] = {}
    warnings: typing.Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Failure:
    """failure.json: why a command stopped. kind: 'input' (the user can correct it), 'all skipped' (AllSkipped, and its
    reasons) or 'internal'. warnings: said before it stopped."""

    command: str
    kind: str
    message: str
    reasons: typing.Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: typing.Sequence[str] = dataclasses.field(default_factory=list)

    def write(self, path: str) -> None:
        """Write failure.json."""
        write_json(path, dict(contract_version=CONTRACT_VERSION, **dataclasses.asdict(self)))

    @classmethod
    def read(cls, path: str) -> "Failure":
        """Read failure.json."""
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        data.pop("contract_version", None)
        return cls(**data)


@dataclasses.dataclass(frozen=True)
class Request:
    """A command's name, its config, and what the runner gives to every command. warnings: about a request of version
    0.1.0."""

    command: str
    config: typing.Any
    warnings: typing.Tuple[str, ...] = ()
    device: typing.Optional[str] = param(
        "Device to compute on: 'auto' (the first GPU, or else the CPU; the log says which), 'cpu', or the number of a "
        "GPU. A GPU that is not there is an error.",
        None,
        none_means="auto",
    )
    threads: typing.Optional[int] = param(
        "Number of CPU threads.", None, label="CPU threads", limits=(0, None), none_means="all"
    )
    seed: int = fields.seed()
    names: Paths = fields.names()

    def problems(self) -> typing.List[str]:
        """Problems of the config and the settings, a sentence each."""
        settings = settings_of(EVERY_COMMAND[self.command])
        return check(self.config) + [s for info in settings for s in check_value(info, getattr(self, info.name))]

    def decisive(self) -> typing.Dict[str, typing.Any]:
        """All that decides what is made: the config, seed and names."""
        return dict(config_to_dict(self.config), **drawn_and_named(self.command, self.seed, self.names))

    def write(self, path: str) -> None:
        """Write request.json, whole or not at all."""
        data = {"contract_version": CONTRACT_VERSION, "command": self.command, "config": config_to_dict(self.config)}
        where = {name: getattr(self, name) for name in ("device", "threads") if getattr(self, name) is not None}
        write_json(path, dict(data, **where, **drawn_and_named(self.command, self.seed, self.names)))

    @classmethod
    @reading.reader
    def read(cls, path: str) -> "Request":
        """Read and check a request. Raises ValueError that names the file and its problem."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a request: {reading.fault_of(error)}. Write it again.") from None
        try:
            json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogateescape")  # as names of files are
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise ValueError(f"{path} holds {half}, half of a character, which no name has. Correct it.") from None
        if not isinstance(data, dict) or data.get("contract_version") != CONTRACT_VERSION:
            found = data.get("contract_version") if isinstance(data, dict) else None
            raise ValueError(
                f"{path} has contract version {found}; this engine reads version {CONTRACT_VERSION}. "
                "Use the engine that came with the plugin."
            )
        name = str(data.get("command"))
        command = EVERY_COMMAND.get(version_0_1_0.COMMANDS.get(name, name))
        if command is None:
            raise ValueError(
                f"{os.path.basename(path)} requests the command {data.get('command')!r}, which is unknown; choose "
                f"one of: {', '.join(COMMANDS)}."
            )
        values, warnings = version_0_1_0.present_options(name, data.get("config", {}))
        settings = {"device", "threads", *(info.name for info in settings_of(command))}
        given = {one: values.pop(one) for one in settings if one in values}  # where 0.1.0 has them
        given.update((one, data[one]) for one in settings if one in data)
        if "json" not in [field.name for field in dataclasses.fields(command.config)]:
            values.pop("json", None)  # of the command line now
        given["names"] = tuple(given.get("names", ()))
        return cls(command.name, config_from_dict(command.config, values), tuple(warnings), **given)


def settings_of(command: Command) -> typing.List[ParamInfo]:
    """What the runner gives to a command beside its config; a field of the config of the same name counts instead."""
    taken = dict(device=command.gpu, threads=True, seed=command.seeded, names=command.named)
    own = {field.name for field in dataclasses.fields(command.config)}
    return [describe(Request, name) for name, takes in taken.items() if takes and name not in own]


def drawn_and_named(command: str, seed: int, names: typing.Sequence[str]) -> typing.Dict[str, typing.Any]:
    """The settings that change what a command makes, as JSON holds them: seed and names, of those that it takes."""
    given = dict(seed=seed, names=list(names))
    return {info.name: given[info.name] for info in settings_of(EVERY_COMMAND[command]) if info.name in given}
