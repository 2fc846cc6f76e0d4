# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings, printed when they come up, before the work; the command line prints the other warnings of a Result at
the end."""

import contextlib
import typing

_said: dict[str, bool] = {}  # a dict keeps the order
_open: list[int] = []  # an entry for each command that is running, one within the other


def warn(sentence: str) -> None:
    """Print a warning, once; it will also stand in the Result."""
    if sentence in _said:
        return
    _said[sentence] = True
    print(f"Warning: {sentence}", flush=True)


@contextlib.contextmanager
def collected() -> typing.Iterator[typing.Callable[[], list[str]]]:
    """For one command: a function that gives the warnings since the block began. A command within another one adds to
    those of the outer one.
    """
    if not _open:
        _said.clear()
    start = len(_said)
    _open.append(start)
    try:
        yield lambda: list(_said)[start:]
    finally:
        _open.pop()


@contextlib.contextmanager
def apart() -> typing.Iterator[None]:
    """For commands within another one: what is said in the block does not count as said by the outer command."""
    before = dict(_said)
    try:
        yield
    finally:
        _said.clear()
        _said.update(before)
