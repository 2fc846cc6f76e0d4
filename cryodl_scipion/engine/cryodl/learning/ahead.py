# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that other processes do in advance, so that a GPU or many cores need not wait for one."""

import signal
import typing

from torch.utils.data import DataLoader

from ..io.stopping import GRACE, SIGNALS

MOST, WAITING = 12, 2  # processes; results of each that may wait


def _go_on(worker: int) -> None:
    """Leave the process that asks this one a last step to keep, where both are told to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(int(GRACE)))


def in_order(function: typing.Any, numbers: typing.Sequence[int], processes: int) -> typing.Iterator[typing.Any]:
    """function(number) of all numbers, in their order. processes: that compute some in advance, as forks of this one
    that must not touch a GPU; 0 to compute each here when it is asked for."""
    workers = min(processes, MOST, len(numbers))
    more: typing.Any = dict(prefetch_factor=WAITING, multiprocessing_context="fork", worker_init_fn=_go_on)
    rows = typing.cast("typing.Any", numbers)
    return iter(DataLoader(rows, None, num_workers=workers, collate_fn=function, **(more if workers else {})))
