# SPDX-License-Identifier: GPL-3.0-or-later
"""request.json: which command to run with which values. Written by whoever starts the engine."""

import dataclasses
import json
import os
import typing

from . import version_0_1_0
from .commands import COMMANDS
from .params import config_from_dict, config_to_dict
from .reading import reader
from .result import CONTRACT_VERSION, write_json


@dataclasses.dataclass(frozen=True)
class Request:
    """A command's name and its config object. device, threads: as --device and --threads, if the request says them.
    warnings: about a request of version 0.1.0."""

    command: str
    config: typing.Any
    warnings: typing.Tuple[str, ...] = ()
    device: typing.Optional[str] = None
    threads: typing.Optional[int] = None

    def write(self, path: str) -> None:
        """Write request.json, whole or not at all."""
        data = {"contract_version": CONTRACT_VERSION, "command": self.command, "config": config_to_dict(self.config)}
        where = {name: getattr(self, name) for name in ("device", "threads") if getattr(self, name) is not None}
        write_json(path, dict(data, **where))

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
        command = COMMANDS.get(version_0_1_0.COMMANDS.get(name, name))
        if command is None:
            raise ValueError(
                f"{os.path.basename(path)} requests the command {data.get('command')!r}, which is unknown; choose "
                f"one of: {', '.join(COMMANDS)}."
            )
        values, warnings = version_0_1_0.present_options(command.name, data.get("config", {}))
        in_config = {name: values.pop(name, None) for name in ("device", "threads")}  # where 0.1.0 has them
        device, threads = (data.get(name, value) for name, value in in_config.items())
        return cls(command.name, config_from_dict(command.config, values), tuple(warnings), device, threads)
