# SPDX-License-Identifier: GPL-3.0-or-later
"""Every long command, asked to end at some moment of its work: it says so within ten seconds and ends with 128 + n, and
a second start leaves the files of an undisturbed run. The commands on tiny data are those of the benchmark of kills."""

import contextlib
import functools
import json
import signal
import subprocess
import sys
import zlib

import pytest
from synthetic import ENGINE, environment
from tiny_trials import trials

from cryodl.contract import EVERY_COMMAND

WINDOWS = {"pick-by-hand", "annotate"}  # they wait for a user, and keep every change when it is made
# What works on items, computes or draws random numbers: all but what only reads and writes tables, and `doctor`.
LONG = {n for n, row in EVERY_COMMAND.items() if row.outputs and (row.gpu or row.kept or row.seeded or row.threads)}
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
QUICK = ("estimate-ctf", "extract-particles", "pick-filaments", "reconstruct", "simulate-particles")
DATA_OF_QUICK = ("sim", "rings", "particles.star")  # and the maps
LAST = 0.85  # of the CPU time of an undisturbed run, by which the signal comes


def command_of(trial):
    return trials.COMMANDS[trial][0].split()[0]


TRIALS = [trial for trial in trials.COMMANDS if command_of(trial) in LONG]


def test_every_long_command_has_a_trial():
    assert LONG - WINDOWS == {command_of(trial) for trial in TRIALS}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Function that starts a process with some of the data. It gives a function of a trial, a signal and a moment,
    which gives what `tried` of stopping_runs.py says of it."""
    with contextlib.ExitStack() as stack:

        def start(*data):
            words = [sys.executable, ENGINE / "tests/stopping_runs.py", str(tmp_path_factory.mktemp("stopped")), *data]
            piped = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            process = stack.enter_context(subprocess.Popen(words, env=environment(), **piped))

            def ask(*question):
                print(*question, file=process.stdin, flush=True)
                return json.loads(process.stdout.readline())

            return ask

        yield functools.cache(start)


def check(trial, number, server):
    """The moment is another for each trial and signal, and the same in each run; SIGUSR1 waits for a checkpoint."""
    command, chance = command_of(trial), zlib.crc32(f"{trial} {number}".encode()) / 2**32
    learns = command.startswith("train-")
    found = server(trial, int(number), -1 if learns and number == signal.SIGUSR1 else LAST * (0.1 + 0.9 * chance))
    assert found["code"] == 128 + number and found["seconds"] < 10, found["said"]
    assert f"cryodl: error: stopped by {number.name}; {EVERY_COMMAND[command].stopped}" in found["said"].splitlines()
    assert "Traceback" not in found["said"]
    assert found["second"] == 0 and not found["others"] and not found["left"], found
    if learns:
        assert found["kept"] == ("\nContinuing the training at step " in found["said"])


def test_quick_commands_that_are_asked_to_end_do_so_and_end_the_same_afterwards(server):
    for trial in QUICK:
        check(trial, signal.SIGTERM, server(*DATA_OF_QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("trial", TRIALS)
def test_commands_that_are_asked_to_end_do_so_and_end_the_same_afterwards(trial, number, server):
    check(trial, number, server())
