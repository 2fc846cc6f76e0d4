# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of a command: what the contract says of it besides its config and its outputs.

The outputs of a command: one frozen dataclass beside its config, checked when result.json is written and read."""

import dataclasses
import math
import typing

from .params import (  # handed on to the files of commands
    REQUIRED,
    Config,
    Paths,
    dataclass_transform,
    even_problems,
    found,
    param,
)

Numbers = typing.Dict[str, float]
Counts = typing.Dict[str, int]
Texts = typing.Dict[str, str]
Details = typing.Dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class OutputInfo:
    """Description of an output, for checks and reference pages. path: 'file' or 'folder' if the value names one."""

    name: str
    hint: typing.Any
    help: str
    unit: str
    path: str
    default: typing.Any
    becomes: str = ""

    @property
    def scipion(self) -> Texts:
        """Scipion's outputs that are made from it: {name: class}. A name with * stands for several outputs."""
        return dict(word.split(": ") for word in self.becomes.split(", ") if word)

    @property
    def required(self) -> bool:
        """Whether every result must contain it."""
        return self.default is REQUIRED


def output(help: str, unit: str = "", path: str = "", default: typing.Any = REQUIRED, becomes: str = "") -> typing.Any:
    """A field of an Outputs class. help: description of the value; required. unit: unit of a number: 'Å', 'Å/px', 'px'.
    path: 'file' or 'folder' if the value, or each value of a dict, is the name of one. default: only for outputs that
    older results do not have. becomes: Scipion's outputs that the protocol makes from it, separated by commas:
    'outputParticles: SetOfParticles'."""
    return dataclasses.field(default=default, metadata=dict(help=help, unit=unit, path=path, becomes=becomes))


Wider = typing.TypeVar("Wider", bound="Outputs")


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(output,))
class Outputs(typing.Mapping[str, typing.Any]):
    """Base of the dataclasses. `outputs.counts` and `outputs["counts"]` are the same value."""

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, eq=False)(cls)

    def __getitem__(self, name: str) -> typing.Any:
        if name not in self.__dataclass_fields__:  # type: ignore[attr-defined]
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> typing.Iterator[str]:
        return iter(self.__dataclass_fields__)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)  # type: ignore[attr-defined]

    @classmethod
    def of(cls: typing.Type[Wider], inner: "Outputs") -> Wider:
        """Those of a command that runs another one, from the outputs of that one, of which cls is a subclass. What it
        adds has a default, and is set by dataclasses.replace."""
        return cls(**inner)


class TrainingOutputs(Outputs):
    """Outputs of all trainings."""

    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    validation: Details = output("Metrics on the validation data, by name.")
    stop_reason: str = output("Why the training ended.")


class ImagesOutputs(Outputs):
    """Outputs of all that writes particles or subtomograms."""

    count: int = output("Number of particles or subtomograms.")
    pixel_size: float = output("Pixel size of their images.", "Å/px")
    box: int = output("Box size of their images.", "px")


class MapsOutputs(Outputs):
    """Outputs of all that writes maps."""

    pixel_size: float = output("Pixel size of the maps.", "Å/px")
    box: int = output("Box size of the maps.", "px")


def describe_outputs(outputs_class: type) -> typing.List[OutputInfo]:
    """OutputInfo of every field, in the order of declaration."""
    hints = typing.get_type_hints(outputs_class)
    return [
        OutputInfo(name=f.name, hint=hints[f.name], default=f.default, **f.metadata)
        for f in dataclasses.fields(outputs_class)
    ]


def output_problems(outputs_class: type, values: typing.Mapping[str, typing.Any]) -> typing.List[str]:
    """Problems of a command's outputs, a phrase each: unknown, missing or of the wrong type."""
    infos = {info.name: info for info in describe_outputs(outputs_class)}
    wrong = [f"{name} is unknown" for name in values if name not in infos]
    wrong += [f"{name} is missing" for name, info in infos.items() if info.required and name not in values]
    return wrong + [
        f"{name} is {values[name]!r:.60}, expected {type_in_words(info.hint)}"
        for name, info in infos.items()
        if name in values and not fits(values[name], info.hint)
    ]


def outputs_of(outputs_class: type, values: typing.Mapping[str, typing.Any], old: bool = False) -> typing.Any:
    """The Outputs of a mapping. outputs_class: dataclass of the command. values: as read from JSON. old: whether they
    were written by version 0.1.0, or by a run that made nothing: then missing values become None, and unknown ones are
    ignored. Raises ValueError if outputs are unknown, missing or of the wrong type; the message names them."""
    infos = describe_outputs(outputs_class)
    if old:
        defaults = {info.name: None if info.required else info.default for info in infos}
        return outputs_class(**{name: values.get(name, default) for name, default in defaults.items()})
    if problems := output_problems(outputs_class, values):
        raise ValueError(f"{outputs_class.__name__}: {'; '.join(problems)}.")
    return outputs_class(**values)


def fits(value: typing.Any, hint: typing.Any) -> bool:
    """Whether a value read from JSON is of a type: Any, None, bool, int, float, str; Union, List, Dict of them."""
    origin, arguments = _parts(hint)
    if hint is typing.Any:
        return True
    if hint is type(None):
        return value is None
    if origin is typing.Union:
        return any(fits(value, argument) for argument in arguments)
    if origin is list:
        return isinstance(value, (list, tuple)) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            isinstance(key, str) and fits(item, arguments[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def type_in_words(hint: typing.Any) -> str:
    """A type in words: 'a number', 'a list (a string each)', 'a string or null'."""
    origin, arguments = _parts(hint)
    if origin is typing.Union:
        return " or ".join(type_in_words(argument) for argument in arguments)
    if origin is list:
        return f"a list ({type_in_words(arguments[0])} each)"
    if origin is dict:
        return f"names with values ({type_in_words(arguments[1])} each)"
    words = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    return words.get(hint, "anything")


def _parts(hint: typing.Any) -> typing.Tuple[typing.Any, typing.Tuple[typing.Any, ...]]:
    union = type(hint).__name__ == "UnionType"
    return typing.Union if union else getattr(hint, "__origin__", None), getattr(hint, "__args__", None) or ()


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the engine. It stands below its config and its outputs, in the list COMMANDS of their file.

    outputs: the Outputs class of its result, None for a command without outputs. example: for --help. kept: what a
    stopped run keeps: what an item is of which the finished ones are ('micrograph'), or a clause; empty if the same
    command begins anew. locks: the field with the path that only one run works on at a time.
    fresh: what its output is, for a message, if nothing may be there before: 'Output folder'. shared: the field with
    the items of a run, if several runs may fill one folder. form: whether a protocol runs it. dev: whether only
    those call it who make the shipped models, as `cryodl dev COMMAND`. gpu: whether it can
    compute on a GPU. several: whether several GPUs share its work. threads: whether more
    than one are of use. seeded: whether it draws random numbers. named: whether its items may be given
    other names than their files."""

    name: str
    config: type
    outputs: typing.Optional[type]
    example: str = ""
    kept: str = ""
    locks: str = "output"
    fresh: str = ""
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
        return f"{self.wing}.commands.{self.function}" if self.wing else f"running.{self.function}"

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
