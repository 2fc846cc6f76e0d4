# SPDX-License-Identifier: GPL-3.0-or-later
"""request.json: which command to run with which values. Written by whoever starts the engine."""

import dataclasses
import json
import os
import typing

from .commands import COMMANDS
from .params import config_from_dict, config_to_dict
from .result import CONTRACT_VERSION, write_json


@dataclasses.dataclass(frozen=True)
class Request:
    """A command's name and its config object."""

    command: str
    config: typing.Any

    def write(self, path: str) -> None:
        """Write request.json, whole or not at all."""
        write_json(
            path, {"contract_version": CONTRACT_VERSION, "command": self.command, "config": config_to_dict(self.config)}
        )

    @classmethod
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
        command = COMMANDS.get(str(data.get("command")))
        if command is None:
            raise ValueError(
                f"{os.path.basename(path)} requests the command {data.get('command')!r}, which is unknown; choose "
                f"one of: {', '.join(COMMANDS)}."
            )
        return cls(command.name, config_from_dict(command.config, data.get("config", {})))
