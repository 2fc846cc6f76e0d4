# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of a command: what the contract says of it besides its config and its outputs."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the engine. It stands below its config and its outputs, in the list COMMANDS of their file.

    outputs: the Outputs class of its result, None for a command without outputs. example: for --help. kept: what a
    stopped run keeps: what an item is of which the finished ones are ('micrograph'), or a clause; empty if the same
    command begins anew. locks: the field with the path that only one run works on at a time. shared: the field with
    the items of a run, if several runs may fill one folder. form: whether a protocol runs it. dev: whether only
    those call it who make the shipped models, as `cryodl dev COMMAND`. gpu: whether it can
    compute on a GPU. several: whether several GPUs share its work. threads: whether more
    than one are of use. seeded: whether it draws random numbers. named: whether its items may be given
    other names than their files.
    """

    name: str
    config: type
    outputs: typing.Optional[type]
    example: str = ""
    kept: str = ""
    locks: str = "output"
    shared: str = ""
    form: bool = True
    dev: bool = False
    gpu: bool = False
    several: bool = False
    threads: bool = True
    seeded: bool = False
    named: bool = False

    @property
    def function(self) -> str:
        """The name of the function that executes it, and of its file in the wing's folder commands."""
        return self.name.replace("-", "_")

    @property
    def wing(self) -> str:
        """The wing that it belongs to; empty for a command of the whole program."""
        *_, folder, _ = self.config.__module__.split(".")
        return "" if folder == "contract" else folder

    @property
    def module(self) -> str:
        """The engine's module with its function."""
        return f"{self.wing}.commands.{self.function}" if self.wing else self.function

    @property
    def summary(self) -> str:
        """The first paragraph of the config's docstring."""
        return " ".join(str(self.config.__doc__).strip().split("\n\n")[0].split())

    @property
    def stopped(self) -> str:
        """What a stopped run leaves, as the end of a sentence."""
        if self.name.startswith("train-"):
            return (
                "the same command continues the training at the step that it had reached; before the first step it "
                "starts again."
            )
        if self.kept.endswith("."):
            return self.kept
        if self.kept:
            return f"finished work is kept; the same command continues after the last finished {self.kept}."
        return "the output is not complete, and the same command begins anew."
