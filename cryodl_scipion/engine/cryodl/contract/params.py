# SPDX-License-Identifier: GPL-3.0-or-later
"""Declaration of parameters: a dataclass field holds type, default, unit, range, choices and help of each."""

import dataclasses
import math
import typing

REQUIRED = dataclasses.MISSING
Paths = typing.Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ParamInfo:
    """Description of a parameter, for forms and the command line.

    kind: 'int', 'float', 'str', 'bool' or 'paths' (several files: a glob, a list file, or a list).
    optional: None is allowed; `none_means` says what it does."""

    name: str
    kind: str
    optional: bool
    default: typing.Any
    label: str
    help: str
    unit: str = ""
    minimum: typing.Optional[float] = None
    maximum: typing.Optional[float] = None
    choices: typing.Tuple[str, ...] = ()
    expert: bool = False
    none_means: str = ""
    path: str = ""

    @property
    def required(self) -> bool:
        """Whether the user must set it."""
        return self.default is REQUIRED

    @property
    def label_with_unit(self) -> str:
        """The form's label, with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def flag(self) -> str:
        """The command-line option."""
        return "--" + self.name.replace("_", "-")


def param(
    help: str,
    default: typing.Any = REQUIRED,
    unit: str = "",
    limits: typing.Tuple[typing.Optional[float], typing.Optional[float]] = (None, None),
    label: str = "",
    choices: typing.Sequence[str] = (),
    expert: bool = False,
    none_means: str = "",
    path: str = "",
) -> typing.Any:
    """A dataclass field with the description of a parameter.

    help: one or more sentences for form and command line.
    limits: inclusive ones of a number, in `unit`; None for none.
    label: that of the form; without one the field's name with blanks.
    choices: allowed values; append new ones at the end, since saved workflows store positions.
    none_means: what is done when the value is None; shown in the help. Only for Optional fields.
    path: 'file', 'folder' or 'model' if the value names one; a hint for completion and wizards."""
    metadata = dict(
        help=help,
        label=label,
        unit=unit,
        minimum=limits[0],
        maximum=limits[1],
        choices=tuple(choices),
        expert=expert,
        none_means=none_means,
        path=path,
    )
    return dataclasses.field(default=default, metadata=metadata)


_KINDS = {int: "int", float: "float", str: "str", bool: "bool", typing.Tuple[str, ...]: "paths"}


if typing.TYPE_CHECKING:  # so that mypy finds a value that is never given
    from typing_extensions import dataclass_transform as dataclass_transform
else:
    dataclass_transform = lambda **words: lambda base: base


@dataclass_transform(frozen_default=True)
@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the configs, which become frozen dataclasses."""

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True)(cls)

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty. It is asked where each value is right by itself."""
        return []


def found(*problems: typing.Tuple[typing.Any, str]) -> typing.List[str]:
    """The sentences of the problems that are there, of (whether it is there, sentence)."""
    return [sentence for there, sentence in problems if there]


def even_problems(config: Config, **labels: str) -> typing.List[str]:
    """Problems of numbers of pixels that must be even. labels: {field: its label}."""
    sides = [(label, name.replace("_", "-"), getattr(config, name)) for name, label in labels.items()]
    return [f"{label} (--{flag}) is {n} px; it must be even. Give {n + 1}." for label, flag, n in sides if n % 2]


def describe(config_class: type, name: str) -> ParamInfo:
    """ParamInfo of one field. Raises KeyError if the class has no such field."""
    field = {f.name: f for f in dataclasses.fields(config_class)}[name]
    hint = typing.get_type_hints(config_class)[name]
    arguments = [a for a in getattr(hint, "__args__", ()) if a is not type(None)]
    optional = getattr(hint, "__origin__", None) is typing.Union
    kind, info = _KINDS[arguments[0] if optional else hint], dict(field.metadata)
    info["label"] = info["label"] or name.replace("_", " ").capitalize()
    return ParamInfo(name=name, kind=kind, optional=optional, default=field.default, **info)


def describe_all(config_class: type) -> typing.List[ParamInfo]:
    """ParamInfo of all fields of a config, in the order of declaration."""
    return [describe(config_class, f.name) for f in dataclasses.fields(config_class)]


def check(config: Config) -> typing.List[str]:
    """Problems of a config, a sentence each, with the parameter, the value found and what is allowed. Files are not
    checked here. Empty if there are none."""
    every = (check_value(info, getattr(config, info.name)) for info in describe_all(type(config)))
    return [problem for problems in every for problem in problems] or config.check_together()


def refuse_if(problems: typing.Sequence[str]) -> None:
    """Raises ValueError of these sentences, if there are any."""
    if problems:
        raise ValueError(" ".join(problems))


def check_value(info: ParamInfo, value: typing.Any) -> typing.List[str]:
    """Problems of one value, as `check` has them."""
    name = f"{info.label} ({info.flag})"
    if value is None:
        return [] if info.optional else [f"{name} is missing. {info.help}"]
    if info.kind == "paths":
        if not (isinstance(value, (tuple, list)) and all(isinstance(v, str) for v in value)):
            return [f"{name} is {value!r}; it must be a list of strings."]
        return [] if value or not info.required else [f"{name} is empty. {info.help}"]
    if info.kind == "bool":
        return [] if isinstance(value, bool) else [f"{name} is {value!r}; it must be true or false."]
    if info.kind == "str":
        if not isinstance(value, str):
            return [f"{name} is {value!r}; it must be a string."]
        if info.choices and value not in info.choices:
            return [f"{name} is {value!r}; choose one of: {', '.join(info.choices)}."]
        return [] if value or info.optional or not info.required else [f"{name} is empty. {info.help}"]
    return _check_number(info, name, value)


def _check_number(info: ParamInfo, name: str, value: typing.Any) -> typing.List[str]:
    wanted = (int,) if info.kind == "int" else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted) or not math.isfinite(value):
        return [f"{name} is {value!r}; it must be {'a whole number' if info.kind == 'int' else 'a number'}."]
    low, high = info.minimum, info.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        unit = f" {info.unit}" if info.unit else ""
        allowed = (
            f"between {low:g} and {high:g}{unit}"
            if low is not None and high is not None
            else f"at least {low:g}{unit}"
            if low is not None
            else f"at most {high:g}{unit}"
        )
        return [f"{name} is {value:g}{unit}; it must be {allowed}."]
    return []


def config_to_dict(config: Config) -> typing.Dict[str, typing.Any]:
    """A config as a dict that JSON can write; tuples become lists."""
    return {
        f.name: list(v) if isinstance(v := getattr(config, f.name), tuple) else v for f in dataclasses.fields(config)
    }


def config_from_dict(config_class: type, values: typing.Mapping[str, typing.Any]) -> typing.Any:
    """The config of a dict, after a check. Raises ValueError that names unknown, missing and wrong parameters."""
    infos = {i.name: i for i in describe_all(config_class)}
    unknown = sorted(set(values) - set(infos))
    missing = sorted(n for n, i in infos.items() if i.required and n not in values)
    if unknown or missing:
        raise ValueError(
            f"{config_class.__name__}: "
            + "; ".join(
                ([f"unknown parameters {unknown}"] if unknown else [])
                + ([f"missing parameters {missing}"] if missing else [])
            )
            + "."
        )
    clean = {
        n: tuple(v)
        if infos[n].kind == "paths" and isinstance(v, list)
        else float(v)
        if infos[n].kind == "float" and type(v) is int
        else v
        for n, v in values.items()
    }
    config = config_class(**clean)
    refuse_if(check(config))
    return config
