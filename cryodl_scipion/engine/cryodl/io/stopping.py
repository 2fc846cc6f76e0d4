# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to end: Ctrl-C, and the signals of time limits, `scancel` and closed terminals."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import typing

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
GRACE = 8.0  # seconds that work which must not be cut gets; SLURM kills 30 s after SIGTERM by default
_held: list[int] = []  # one entry for each `held` around the present work
_asked: list[int] = []  # signals that came meanwhile


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end. number: of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def words(self) -> str:
        """Who stopped it."""
        return "the user" if self.number == signal.SIGINT else signal.Signals(self.number).name


@contextlib.contextmanager
def stoppable() -> typing.Iterator[None]:
    """Within it, SIGNALS raise Stopped in the main thread, but for those that are ignored, as under nohup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    parent = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != parent:  # a worker that was forked: it ends as if there were no handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not _held or _asked:
            raise Stopped(_asked[0] if _asked else number)
        else:
            _asked.append(number)
            signal.setitimer(signal.ITIMER_REAL, GRACE)

    numbers = [*before, signal.SIGALRM]
    before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


@contextlib.contextmanager
def held() -> typing.Iterator[typing.Callable[[], int]]:
    """Within it, the first signal waits, for GRACE seconds at most, until the block asks for it.

    Yields
    ------
    callable
        Gives the signal that came, or 0.
    """
    _held.append(1)
    try:
        yield lambda: _asked[0] if _asked else 0
    finally:
        _held.pop()
