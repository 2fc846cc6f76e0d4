# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the STAR files that the engine writes."""

import shlex
from typing import Any, Callable, List, Sequence, Tuple, Union


def readColumns(path: str, columns: Any, kinds: Any, table: str = "") -> Any:
    """[(value, ...)] of a table's rows, see iterColumns."""
    return list(iterColumns(path, columns, kinds, table))


def iterColumns(
    path: str, columns: Sequence[str], kinds: Sequence[Union[Callable[..., Any], type]], table: str = ""
) -> Any:
    """(value, ...) of each row of a table, in the file's order; nothing is held, the table may have a million rows.

    columns: names without underscore, in the order wanted. kinds: str or float, one for each. table: what follows
    `data_`. Raises FileNotFoundError, or ValueError that names the file and the line without these columns.
    """
    names, inside = [], False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            # only texts with spaces have quotes, and splitting by them takes ten times as long
            words = shlex.split(line) if '"' in line or "'" in line else line.split()
            if not words or line.startswith("#") or line.strip() == "loop_":
                continue
            if line.startswith("data_"):  # of the line, not of the words: a name in quotes may begin so, too
                names, inside = [], words[0] == "data_" + table
            elif line.startswith("_"):
                names.append(words[0][1:])
            elif inside:
                yield _values(path, number, words, names, columns, kinds)


def columnsOf(path: str, table: str = "") -> List[str]:
    """Names of a table's columns, without underscores, in the file's order."""
    names, inside = [], False
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("data_"):
                inside = line.strip() == "data_" + table
            elif inside and line.startswith("_"):
                names.append(line.split()[0][1:])
            elif names and inside:
                break
    return names


def tableWith(path: str, column: str) -> str:
    """Name of the first table that has a column, what follows `data_`. Raises ValueError if none has."""
    table = ""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("data_"):
                table = line.strip()[5:]
            elif line.startswith("_" + column) and line.split()[0] == "_" + column:
                return table
    raise ValueError(f"{path} has no column {column}.")


def _values(
    path: str,
    number: int,
    words: Sequence[str],
    names: Sequence[str],
    columns: Sequence[str],
    kinds: Sequence[Union[Callable[..., Any], type]],
) -> Tuple[Any, ...]:
    try:
        return tuple(kind(words[names.index(column)]) for column, kind in zip(columns, kinds))
    except (ValueError, IndexError):
        raise ValueError(f"{path}, line {number}: the columns {', '.join(columns)} are needed.") from None
