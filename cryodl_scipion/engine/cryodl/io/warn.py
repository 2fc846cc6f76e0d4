# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings, printed when they come up, before the work; the command line prints the other warnings of a Result at
the end."""

import typing

_said: dict[str, bool] = {}  # a dict keeps the order


def warn(sentence: str) -> None:
    """Print a warning, once; it will also stand in the Result.

    Parameters
    ----------
    sentence : str
    """
    if sentence in _said:
        return
    _said[sentence] = True
    print(f"Warning: {sentence}", flush=True)


def begin() -> None:
    """Forget what an earlier command of this process said."""
    _said.clear()


def unsaid(sentences: typing.Iterable[str]) -> list[str]:
    """Warnings that were not said yet.

    Parameters
    ----------
    sentences : iterable of str

    Returns
    -------
    list of str
    """
    return [sentence for sentence in sentences if sentence not in _said]


def with_said(sentences: typing.Iterable[str]) -> tuple[str, ...]:
    """A Result's warnings and those that were said before, each once.

    Parameters
    ----------
    sentences : iterable of str

    Returns
    -------
    tuple of str
    """
    return tuple(dict.fromkeys([*sentences, *_said]))
