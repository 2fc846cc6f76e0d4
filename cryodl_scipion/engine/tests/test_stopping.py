# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGTERM, SIGHUP, SIGUSR1 and Ctrl-C: a sentence, 128 + n, and a checkpoint of the step that was reached."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from synthetic import blob_project, environment, start_cryodl
from test_training import Line, train

from cryodl.io import stopping
from cryodl.learning import ahead
from cryodl.learning.ahead import in_order


class Signalled(Line):
    """Line that a signal reaches in its 14th step."""

    def train_step(self, batch, accelerator):
        if self.steps == 13:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().train_step(batch, accelerator)


def test_a_training_that_is_asked_to_end_goes_on_at_its_last_step_and_ends_the_same(tmp_path):
    whole, _ = train(tmp_path / "whole")
    with pytest.raises(stopping.Stopped) as stopped, stopping.stoppable():
        train(tmp_path / "stopped", Signalled())
    assert stopped.value.number == signal.SIGTERM
    said = []
    again, report = train(tmp_path / "stopped", log=said.append)
    assert said[0] == "Continuing the training at step 14 of 60." and report.steps == 60
    weights = [dict(task.networks.state_dict()) for task in (whole, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    rows = [
        [line.split(",")[0:1] + line.split(",")[2:] for line in (tmp_path / name / "metrics.csv").read_text().split()]
        for name in ("whole", "stopped")
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 7  # all but the seconds, also the mean loss since the validation


def test_outside_a_command_signals_are_as_they_were():
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with stopping.stoppable():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_what_is_drawn_ahead_goes_on_while_a_step_is_kept():
    """A queue tells all processes of a job to end, and those that draw batches too."""
    drawn = in_order(lambda number: number * 3, range(200), 2)
    assert [next(drawn) for _ in range(3)] == [0, 3, 6]
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    assert list(drawn) == [3 * number for number in range(3, 200)]


def test_where_nothing_is_drawn_ahead_no_shared_memory_is_needed(monkeypatch):
    monkeypatch.setattr(ahead, "SHARED", "/nowhere")
    assert list(in_order(str, [5, 2], 0)) == ["5", "2"]


def test_what_fails_in_another_process_is_said_in_its_own_words():
    def made(number):
        if number == 2:
            raise ValueError("this structure has no atoms")
        return number

    drawn = in_order(made, range(4), 2)
    assert [next(drawn), next(drawn)] == [0, 1]
    with pytest.raises(ValueError, match="^this structure has no atoms$"):
        next(drawn)


def test_the_end_of_another_process_ends_no_command(monkeypatch):
    monkeypatch.setattr(stopping, "LIMIT", 0.05)
    before, ended = signal.signal(signal.SIGCHLD, lambda *_: None), []
    try:
        with stopping.stoppable(ended.append):
            os.kill(os.getpid(), signal.SIGCHLD)
            time.sleep(0.3)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert not ended


def test_a_second_signal_does_not_wait_for_the_step():
    """In a process of its own: threads of other tests, which a worker has, may not survive a signal."""
    code = """if True:
        import os, signal, time
        from cryodl.io import stopping
        try:
            with stopping.stoppable(), stopping.held() as asked:
                for _ in range(2):  # Python hears of it a little later
                    os.kill(os.getpid(), signal.SIGUSR1)
                    time.sleep(0.5)
                    assert asked() == signal.SIGUSR1
        except stopping.Stopped as stopped:
            print(stopped.words)
    """
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("SIGUSR1\n", "")


def test_work_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(stopping, "GRACE", 0.05)
    began = time.monotonic()
    with pytest.raises(stopping.Stopped), stopping.stoppable(), stopping.held():
        os.kill(os.getpid(), signal.SIGTERM)
        while time.monotonic() < began + 5:
            time.sleep(0.01)
    assert time.monotonic() < began + 5


def test_a_long_call_of_a_library_does_not_outlive_a_signal(tmp_path):
    code = """if True:
        import ctypes, os, signal, sys, threading
        from cryodl.running import cli
        from cryodl.io import stopping
        def call(*given):  # no Python runs in this thread until it is over; the signal comes meanwhile
            signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
            ctypes.CDLL(None).sleep(60)
        stopping.LIMIT, cli._run = 0.3, call
        sys.exit(cli.main("segment --tomograms a.mrc --model membrane --output out --result out.json".split()))
    """
    began = time.monotonic()
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM and time.monotonic() - began < 30
    sentence = "stopped by SIGTERM; finished work is kept; the same command continues after the last finished tomogram."
    assert done.stderr == f"cryodl: error: {sentence}\n"
    assert json.loads((tmp_path / "failure.json").read_text())["message"] == sentence


def test_a_worker_that_is_ended_does_not_end_its_parent(monkeypatch):
    monkeypatch.setattr(stopping, "LIMIT", 0.1)
    ended = []
    with stopping.stoppable(ended.append):
        worker = os.fork()
        if not worker:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM
        time.sleep(0.5)
    assert ended == []


def test_sighup_stays_ignored_where_it_was(tmp_path):
    code = "import os, signal; from cryodl.io.stopping import stoppable\n"
    code += "with stoppable(): os.kill(os.getpid(), signal.SIGHUP)"
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert subprocess.run([sys.executable, "-c", code], env=environment(), preexec_fn=ignore).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_command_that_is_asked_to_end_says_so_within_ten_seconds(tmp_path, number):
    blob_project(tmp_path)
    words = "train-picker --micrographs mics/*.mrc --coordinates coordinates --pixel-size 4 --particle-diameter 120"
    words += " --output out --device cpu --threads 1 --steps 50 --result out.json"
    process = start_cryodl(words.split(), tmp_path)
    end = time.monotonic() + 120
    while not (tmp_path / "out.partial" / "metrics.csv").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (tmp_path / "out.partial" / "metrics.csv").exists()  # after the tenth step
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    busy = max(1, os.getloadavg()[0] / os.cpu_count())  # a process on a burdened machine gets that part of its time
    assert process.returncode == 128 + number and time.monotonic() - sent < 10 * busy
    assert f"stopped by {number.name}; the same command continues" in err and "Traceback" not in err
    assert "stopped by" in json.loads((tmp_path / "failure.json").read_text())["message"]
    assert (tmp_path / "out.partial" / "checkpoint.safetensors").exists()
