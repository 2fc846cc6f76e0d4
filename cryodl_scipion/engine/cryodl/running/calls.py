# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as functions, for notebooks and scripts."""

import csv
import difflib
import os
import re
import typing

from ..contract import EVERY_COMMAND, Command, Request, Result, describe_all, refuse_if, settings_of
from ..contract.reading import reader


def function_of(name: str) -> typing.Callable[..., Result[typing.Any]]:
    """The function of a command, by its name with _ in the place of -. Raises AttributeError for other names."""
    command = {command.function: command for command in EVERY_COMMAND.values() if command.wing}.get(name)
    if command is None:
        raise AttributeError(f"module 'cryodl' has no attribute {name!r}{did_you_mean(name, dir_of_commands())}")

    def call(**options: typing.Any) -> Result[typing.Any]:
        from .cli import result_of

        return typing.cast("Result[typing.Any]", result_of(command, _request(command, options)))

    call.__name__ = call.__qualname__ = name
    lines = [f"{i.name}: {i.help}" for i in [*describe_all(command.config), *settings_of(command)]]
    call.__doc__ = "\n\n".join([command.summary, *lines])
    return call


@reader
def table(path: str | os.PathLike[str], name: str = "", pandas: bool = False) -> typing.Any:
    """A table that a command has written, by column. path: .csv, .star or .cs. name: of the table in a STAR file;
    without it the longest one. pandas: a pandas.DataFrame instead of arrays; pandas is not part of the engine's
    environment. Returns {column: ndarray (n,)}; numbers where all values are, NaN where a cell is empty, else texts."""
    import numpy as np

    columns: dict[str, typing.Any]
    if os.fspath(path).lower().endswith(".csv"):
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        columns = {title: [row[k] for row in rows[1:]] for k, title in enumerate(rows[0])} if rows else {}
    else:
        from ..io.star import read_tables

        tables = read_tables(path)
        if name and name not in tables:
            raise ValueError(f"{path} has no table {name!r}; it has {', '.join(map(repr, tables))}.")
        columns = dict(tables[name or max(tables, key=lambda one: len(next(iter(tables[one].values()), ())))])
    arrays: dict[str, np.ndarray] = {}
    for title, values in columns.items():
        texts = np.array([str(value) for value in values])
        try:
            if any("_" in text or text[:1] == "0" and text[1:].isdigit() for text in texts):
                raise ValueError  # 1_063 and 063 are names, which float would take
            arrays[title] = np.array([float(text or "nan") for text in texts])
        except ValueError:
            arrays[title] = texts
    if pandas:
        from pandas import DataFrame

        return DataFrame(arrays)
    return arrays


def dir_of_commands() -> list[str]:
    """Names of the functions; `doctor` is none: it prints, and gives no result."""
    return [command.function for command in EVERY_COMMAND.values() if command.wing]


def _request(command: Command, options: typing.Mapping[str, typing.Any]) -> Request:
    """The checked request of keyword arguments. Raises TypeError for names that the command does not have, ValueError
    for values that it does not take, with the sentences of the command line."""
    settings = settings_of(command)
    infos = {info.name: info for info in [*describe_all(command.config), *settings]}
    if unknown := sorted(set(options) - set(infos)):
        raise TypeError(f"{command.function}() has no parameter {unknown[0]}{did_you_mean(unknown[0], list(infos))}")
    if missing := [name for name, info in infos.items() if info.required and name not in options]:
        raise TypeError(f"{command.function}() needs {', '.join(missing)}")
    given = {name: _plain(value, infos[name].kind) for name, value in options.items()}
    beside = {info.name: given.pop(info.name) for info in settings if info.name in given}
    request = Request(command.name, command.config(**given), **beside)
    refuse_if(request.problems())
    return request


def _plain(value: typing.Any, kind: str) -> typing.Any:
    """A value as configs hold it: paths as texts, one path of several as a tuple, whole numbers as floats."""
    if kind == "paths":
        return tuple(os.fspath(one) for one in ([value] if isinstance(value, (str, os.PathLike)) else value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind in ("float", "int", "bool") and hasattr(value, "item"):
        value = value.item()  # numpy's number
    return float(value) if kind == "float" and type(value) is int else value


def did_you_mean(name: str, names: typing.Sequence[str], prefix: str = "") -> str:
    """'; did you mean X?': of the name spelt nearly so, those with its words, or one that resembles it; else ''."""
    words = lambda text: set(re.split("[-_]", text))
    shared = [n for n in names if words(name) < words(n) or words(n) < words(name)]
    resembling = difflib.get_close_matches(name, names, 1, 0.6 if prefix else 0.7)  # template-match is not evaluate-map
    near = difflib.get_close_matches(name, names, 1, 0.9) or shared or resembling
    return f"; did you mean {' or '.join(prefix + n for n in near)}?" if near else ""
