# SPDX-License-Identifier: GPL-3.0-or-later
"""request.json: which command to run with which values. Written by whoever starts the engine."""

import dataclasses
import json
import os
import typing

from . import version_0_1_0
from .command import Command
from .commands import COMMANDS, EVERY_COMMAND
from .fields import Paths, names_field, seed_field
from .params import ParamInfo, check, check_value, config_from_dict, config_to_dict, describe, param
from .reading import reader
from .result import CONTRACT_VERSION, write_json


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
        default=None,
        none_means="auto",
    )
    threads: typing.Optional[int] = param(
        "Number of CPU threads.", default=None, label="CPU threads", minimum=0, none_means="all"
    )
    seed: int = seed_field()
    names: Paths = names_field()

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
    @reader
    def read(cls, path: str) -> "Request":
        """Read and check a request. Raises ValueError that names the file and its problem."""
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is not a request: it is not valid JSON ({error}).") from None
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
