# SPDX-License-Identifier: GPL-3.0-or-later
"""From the contract's parameters to a Scipion form, and from a filled form back to the contract's config."""

import functools
import re
from typing import Any, Dict, List, Sequence, Tuple, Type, TypeVar

from pwem.protocols import EMProtocol
from pyworkflow.protocol import LEVEL_ADVANCED, LEVEL_NORMAL, Form, params

from ..engine.cryodl import contract
from .names import withoutChecksum

ConfigT = TypeVar("ConfigT", bound=contract.Config)
_PARAMS = {"int": params.IntParam, "float": params.FloatParam, "bool": params.BooleanParam, "str": params.StringParam}
_PATHS = {"file": params.FileParam, "folder": params.FolderParam}


def formName(name: str) -> str:
    """The form's name of a contract field: particle_diameter -> particleDiameter."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def addConfigParams(form: Form, configClass: type, names: Sequence[str], **overrides: Any) -> None:
    """Add fields of a contract class to a form (or group, or line). names: fields of `configClass`, in the order of the
    form. overrides: {field: {argument of addParam: value}}, for what only Scipion knows: condition, important, other
    help; `more` is added to the contract's help of the field. Raises KeyError if the class has no such field."""
    former = contract.former_names(contract.command_name(configClass))
    for name in names:
        info = contract.describe(configClass, name)
        paramClass, arguments = paramOf(info)
        override = dict(overrides.get(name, {}))
        if "more" in override:
            override["help"] = info.help + override.pop("more")
        arguments.update(override)
        param = form.addParam(formName(name), paramClass, **arguments)
        param.formerNames = [formName(old) for old in former.get(name, ())]  # see PluginProtocol


def paramOf(info: contract.ParamInfo) -> Tuple[type, Dict[str, Any]]:
    # the command line's words
    help = info.help.replace("the output folder", "this run").replace("the STAR file", "the set")
    text = help + (f"\n\nEmpty: {info.none_means}." if info.optional and info.none_means else "")
    if info.minimum is not None and info.maximum is not None:
        text += f"\n\nFrom {info.minimum:g} to {info.maximum:g}{' ' + info.unit if info.unit else ''}."
    # Empty numbers are let through, and ranges are not given to pyworkflow: contract.check has better sentences.
    arguments = dict(
        label=info.label_with_unit,
        help=text,
        allowsNull=True,
        default=None if info.required else info.default,
        expertLevel=LEVEL_ADVANCED if info.expert else LEVEL_NORMAL,
    )
    if info.choices:
        return params.EnumParam, dict(arguments, choices=list(info.choices), default=info.choices.index(info.default))
    if info.kind == "str":
        return _PATHS.get(info.path, params.StringParam), dict(arguments, default=arguments["default"] or "")
    if info.kind == "paths":
        # Several words on one line; files are never typed here, pointers give them.
        return params.StringParam, dict(
            arguments,
            default=", ".join(arguments["default"] or ()),
            help=arguments["help"] + "\n\nSeparated by commas.",
        )
    return _PARAMS[info.kind], arguments


def readConfig(protocol: Any, configClass: Type[ConfigT], **values: Any) -> ConfigT:
    """The contract's config of a filled form. values: fields that are not on the form (paths, pixel size ...); they win
    over the form; names and seed may also be the request's. Fields that are neither given nor on the form keep their
    default. The config is not checked here, see problems(). Raises KeyError that names a required field that nobody
    gave, TypeError for a value that is no field of the config."""
    infos = {info.name: info for info in contract.describe_all(configClass)}
    given = {name: value for name, value in values.items() if name in infos or name not in ("names", "seed")}
    asked = [info for name, info in infos.items() if name not in given and protocol.hasAttribute(formName(name))]
    missing = [name for name, info in infos.items() if info.required and name not in given and info not in asked]
    if missing:
        raise KeyError(f"{configClass.__name__}: neither on the form of {protocol.getClassName()} nor given: {missing}")
    return configClass(**given, **{info.name: formValue(protocol, info) for info in asked})


def formValue(protocol: EMProtocol, info: contract.ParamInfo) -> Any:
    """The value of a field, that of the contract where the form does not show it: it was meant for other choices."""
    if not protocol.evalParamCondition(formName(info.name)):
        return None if info.required else info.default
    value = protocol.getAttributeValue(formName(info.name))
    if info.choices:
        return info.choices[value] if value is not None and 0 <= value < len(info.choices) else None
    if info.kind == "paths":
        return tuple(word.strip() for word in (value or "").split(",") if word.strip())
    return value or None if info.kind == "str" and info.optional else value


def sayIf(holds: Any, sentence: str) -> List[str]:
    """The sentence in a list if it holds, else no sentence. Checks are joined by `or`: the first that holds counts."""
    return [sentence] if holds else []


_COLUMNS = re.compile(r" \(rln[A-Z][^()]*\)")  # of RELION, in brackets: left out as well
_UNSEEN_BOLD = re.compile(r"\(\*([A-Z][^*()./]*)\*")  # Scipion takes it for bold only after a space
_OPTION = re.compile(r"`[^`]*`|( \()?(?<![\w/-])--([a-z][a-z0-9-]*)(?(1)\))")


def inFormWords(protocol: Any, sentence: str) -> str:
    """A sentence of the engine in the words of a protocol's form: the command line's options are called by the labels
    of their fields, and left out in brackets behind these. What stands between backticks is a command, and stays."""

    def called(found: Any) -> str:
        name = (found[2] or "").replace("-", "_")
        field = protocol.getParam(formName(name))
        label = _labels().get(name, "") if field is None else re.sub(r" \([^)]*\)$", "", field.label.get())
        if not label or not found[1]:
            return f"*{label}*" if label else str(found[0])
        return "" if found.string[: found.start()].lower().endswith(label.lower()) else f" (*{label}*)"

    # the folder of a run cannot be chosen
    plain = _COLUMNS.sub("", withoutChecksum(sentence).replace("another --output", "a copy of this run"))
    return _UNSEEN_BOLD.sub(r"(\1", _OPTION.sub(called, plain))


@functools.lru_cache(maxsize=None)
def _labels() -> Dict[str, str]:
    every = (contract.describe_all(command.config) for command in contract.EVERY_COMMAND.values())
    # no form has that field: Scipion's run mode does it
    return {**{info.name: info.label for fields in every for info in fields}, "overwrite": "Restart"}
