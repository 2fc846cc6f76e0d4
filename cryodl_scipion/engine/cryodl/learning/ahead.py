# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that other processes do in advance, so that a GPU or many cores need not wait for one."""

import shutil
import signal
import typing

import torch.utils.data

from ..io.stopping import GRACE, SIGNALS

MOST, WAITING = 12, 2  # processes; results of each that may wait
SHARED, RESULTS = "/dev/shm", 2e8  # where results wait, and bytes of those of a process


def _go_on(worker: int) -> None:
    """Leave the process that asks this one a last step to keep, where both are told to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(int(GRACE)))


def in_order(function: typing.Any, numbers: typing.Sequence[int], processes: int) -> typing.Iterator[typing.Any]:
    """function(number) of all numbers, in their order. processes: that compute some in advance, as forks of this one
    that must not touch a GPU; 0 to compute each here when it is asked for. Results pass through shared memory: where
    there is little, as in containers, fewer are computed in advance."""
    workers = processes and min(processes, MOST, len(numbers), int(shutil.disk_usage(SHARED).free / RESULTS))
    more: typing.Any = dict(prefetch_factor=WAITING, multiprocessing_context="fork", worker_init_fn=_go_on)
    # A loader that begins draws a number: from torch's generator, a continued training would have other dropout.
    more = dict(more if workers else {}, generator=torch.Generator(), collate_fn=function, num_workers=workers)
    results = iter(torch.utils.data.DataLoader(typing.cast("typing.Any", numbers), None, **more))
    for number in numbers:
        try:
            made = next(results)
        except Exception:  # done here: it is said in its own words, and a process that was lost is not missed
            made = function(number)
        yield made
