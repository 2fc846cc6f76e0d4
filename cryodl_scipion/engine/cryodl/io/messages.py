# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings and progress lines of a command, as they stand in its log."""

import contextlib
import sys
import threading
import time
import typing

HEARD: dict[str, bool] = {}  # warnings and lines of the command that runs, or that ran last; a dict keeps the order
_open: list[int] = []  # an entry for each command that is running, one within the other


class Line(str):
    """A sentence that a user may read and need not act upon: it stands in the summary, not among the warnings."""


def warn(sentence: str) -> None:
    """Print a warning, or a Line, once; it will also stand in the Result."""
    if sentence in HEARD:
        return
    HEARD[sentence] = True
    print(sentence if isinstance(sentence, Line) else f"Warning: {sentence}", flush=True)


@contextlib.contextmanager
def collected() -> typing.Iterator[typing.Callable[..., list[str]]]:
    """For one command: a function that gives the warnings since the block began or, if asked for them, takes the lines
    out. A command within another one adds its warnings to those of the outer one."""
    if not _open:
        HEARD.clear()
    start = len(HEARD)
    _open.append(start)

    def heard(lines: bool = False) -> list[str]:
        found = [one for one in list(HEARD)[start:] if isinstance(one, Line) == lines]
        for one in found if lines else ():
            del HEARD[one]
        return found

    try:
        yield heard
    finally:
        _open.pop()


@contextlib.contextmanager
def apart() -> typing.Iterator[None]:
    """For commands within another one: what is said in the block does not count as said by the outer command."""
    before = dict(HEARD)
    try:
        yield
    finally:
        HEARD.clear()
        HEARD.update(before)


LONGEST = 8.0  # s without a line
_LOOK = 0.5  # s between two looks
_doing = [""]
_waits = [False]


def doing(what: str) -> None:
    """Note what a loop is at. It is printed only if nothing else is."""
    _doing[0] = what


@contextlib.contextmanager
def for_a_person() -> typing.Iterator[None]:
    """Inside, the command waits for a person, and no line says that it works."""
    _waits[0] = True
    try:
        yield
    finally:
        _waits[0] = False


@contextlib.contextmanager
def no_long_silence(longest: float = LONGEST, json: bool = False) -> typing.Iterator[None]:
    """Print a line whenever the block has printed nothing for a while. Nothing is added on a terminal. longest: s.
    json: whether standard output is for a program, which reads it as JSON: the lines then go to standard error."""
    if sys.stderr.isatty():
        yield
        return
    before, end = (sys.stdout, sys.stderr), threading.Event()
    spoken = _Timed(sys.stdout), _Timed(sys.stderr)
    sys.stdout, sys.stderr = typing.cast(tuple[typing.TextIO, typing.TextIO], spoken)
    doing("")
    watch = threading.Thread(target=_watch, args=(spoken, longest, end, spoken[int(json)]), name="silence", daemon=True)
    watch.start()
    try:
        yield
    finally:
        end.set()
        watch.join()
        sys.stdout, sys.stderr = before


class _Timed:
    """A stream that knows when it was last written to."""

    def __init__(self, stream: typing.TextIO) -> None:
        self._stream, self.last = stream, time.monotonic()

    def write(self, text: str) -> int:
        self.last = time.monotonic()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> typing.Any:
        return getattr(self._stream, name)


def _watch(spoken: tuple[_Timed, _Timed], longest: float, end: threading.Event, log: _Timed) -> None:
    said, last = 0.0, 0.0  # when this thread wrote, and when the command did before
    while not end.wait(_LOOK):
        if _waits[0]:
            said = last = time.monotonic()
            continue
        if not said or max(stream.last for stream in spoken) > said:
            last = max(stream.last for stream in spoken)
        if time.monotonic() - max(last, said) >= longest:
            what = f", {_doing[0]}" if _doing[0] else ""
            line = f"  ... at work for {time.monotonic() - last:.0f} s since the last line{what}"
            print(line, file=typing.cast(typing.TextIO, log), flush=True)
            said = time.monotonic()
