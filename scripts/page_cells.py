# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rows of the documentation's tables are made of; see page_tables.py."""

import typing

Rows = typing.List[typing.List[str]]  # the first is the head


def plain(value: typing.Any) -> str:
    """A number without needless digits, or a word."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def mean(values: typing.Iterable[float]) -> float:
    """Arithmetic mean."""
    values = list(values)
    return sum(values) / len(values)


def best_and_default(scores: typing.Mapping[str, float]) -> str:
    """The three figures of a picker: best F1 / AP (F1 at the default threshold)."""
    return f"{scores['best_f1']:.3f} / {scores['ap']:.3f} ({scores['f1']:.3f})"
