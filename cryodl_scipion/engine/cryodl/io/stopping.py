# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to end: Ctrl-C, and the signals of time limits, `scancel` and closed terminals. The engine ends with the
protocol that started it, however that one ends and whatever lies between the two."""

import contextlib
import os
import signal
import sys
import threading
import time
import typing

from ..contract.processes import PARENT_VARIABLE, has_ended

INTERVAL = 0.5  # seconds between two looks


def end_with_parent() -> None:
    """Watch the process that PARENT_VARIABLE names, from a thread; when it has ended, kill this one. A shell, mpirun or
    a queue's script may stand between the two, so the kernel's own signal at the death of a parent does not do. An
    engine that is started by hand has no such variable and is not watched. One that runs on another machine or in
    another container than its protocol cannot see it, and is held apart by output_lock alone."""
    name = os.environ.get(PARENT_VARIABLE, "")
    if name.count(":") == 3:
        threading.Thread(target=_watch, args=(name,), name="parent", daemon=True).start()


def _watch(name: str) -> None:
    while not has_ended(name):
        time.sleep(INTERVAL)
    try:
        print(
            "cryodl: the protocol that started this command has ended, so the command ends, too. Continue the "
            "protocol to go on.",
            file=sys.stderr,
            flush=True,
        )
    finally:  # not sys.exit: this is a thread. What a killed command leaves, the next one continues from
        if _held:  # a training keeps its last step, also where one signal has ended the protocol and asks this process
            if not _asked:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
GRACE = 8.0  # seconds that work which must not be cut gets; SLURM kills 30 s after SIGTERM by default
LIMIT = 9.5  # seconds after which a command ends whatever it does
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
def stoppable(end: typing.Callable[[int], object] = os._exit) -> typing.Iterator[None]:
    """Within it, SIGNALS raise Stopped in the main thread, but for those that are ignored, as under nohup. end: called
    with a signal's number, from another thread, when the block has not ended LIMIT seconds after it: Python hears no
    signal within one call of a library, which can take minutes."""
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

    over = threading.Event()
    heard, told = os.pipe()
    os.set_blocking(told, False)
    threading.Thread(target=_end_late, args=(heard, over, end), name="signals", daemon=True).start()
    told_before, numbers = signal.set_wakeup_fd(told, warn_on_full_buffer=False), [*before, signal.SIGALRM]
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
        over.set()
        signal.set_wakeup_fd(told_before)
        os.close(told)


os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a worker's signals are not those of its parent


def _end_late(heard: int, over: threading.Event, end: typing.Callable[[int], object]) -> None:
    # nothing is read when the block has ended without a signal
    while (number := os.read(heard, 1)) and number[0] not in SIGNALS:  # another's: of a process that has ended, say
        pass
    if number and not over.wait(LIMIT):
        end(number[0])
    os.close(heard)


@contextlib.contextmanager
def held() -> typing.Iterator[typing.Callable[[], int]]:
    """Within it, the first signal waits, for GRACE seconds at most, until the block asks for it by the function that it
    gets: the signal that came, or 0."""
    _held.append(1)
    try:
        yield lambda: _asked[0] if _asked else 0
    finally:
        _held.pop()
