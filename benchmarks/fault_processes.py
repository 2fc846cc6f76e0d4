# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of processes, memory, permissions and input."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time

from fault_files import spoil
from fault_runs import run, same_as_undisturbed, wait_for
from trials import arguments_of, environment, start


def clock_set_back(folder):
    """Killed, then the clock is set back by a year (all files are of the future): the same command continues, and the
    result is that of an undisturbed run."""
    process = start(arguments_of("train-picker"), folder, folder.parent / "clock.log")
    wait_for(lambda: (folder / "out.partial/checkpoint.safetensors").exists() or process.poll() is not None, 300)
    process.kill()
    process.wait()
    later = time.time() + 365 * 86400
    for path in folder.rglob("*"):
        os.utime(path, (later, later))
    run("train-picker", folder)
    same_as_undisturbed("train-picker", folder)
    return "continued after the kill"


def umask_077(folder):
    """umask 077: all outputs are their owner's alone."""
    run("pick", folder, preexec_fn=lambda: os.umask(0o077))
    others = [path.name for path in (folder / "out").rglob("*") if path.stat().st_mode & 0o077]
    if others:
        raise AssertionError(f"others may read {others[:3]}")
    return "nothing is readable by others"


def little_memory(folder):
    """The address space is limited to 1.6 GB, of which the libraries take most: the parameter that helps is named."""
    limit = int(1.6e9)
    said = run(
        "train-picker",
        folder,
        2,
        ["--batch-size", "512"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    if "memory" not in said or "--batch-size" not in said:
        raise AssertionError(said)
    return said


def bad_files(folder):
    """Ten broken files among the micrographs: each is skipped, counted and named; the others are picked."""
    expected = spoil(folder)
    words = ["--result", "result.json", "--micrographs", "mics/*"]
    run("pick", folder, words=words)
    skipped = json.loads((folder / "result.json").read_text(encoding="utf-8"))["skipped"]
    if len(skipped) != expected or len(list((folder / "out").glob("*.star"))) != 2:
        raise AssertionError(f"{len(skipped)} of {expected} skipped")
    return "; ".join(item["reason"].split(": ", 1)[0].rsplit("/", 1)[-1][:60] for item in skipped)


def names_outside(folder):
    """--names ../../x: refused, nothing is written outside of the output folder."""
    said = run("pick", folder, 2, ["--micrographs", "data/map.mrc", "--names", "../../x"])
    if list(folder.parent.glob("x*")) or "output folder" not in said:
        raise AssertionError(said)
    return said


def locale_c(folder):
    """LC_ALL=C, and a stream that takes ASCII only."""
    run("pick", folder, env=environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii:strict"))
    same_as_undisturbed("pick", folder)
    return "picked as ever"


def two_at_once(folder):
    """The same command twice on one output: the second one is refused, the first one ends as ever."""
    process = start(arguments_of("train-picker"), folder, folder.parent / "first.log")
    wait_for(lambda: list(folder.glob(".*.lock")) or process.poll() is not None, 120)
    said = run("train-picker", folder, 2)
    if process.wait() or "is working on" not in said:
        raise AssertionError(said)
    same_as_undisturbed("train-picker", folder)
    return said


def protocol_killed(folder):
    """The protocol (behind it a shell and the engine) is killed: the engine ends, and Continue goes on at once."""
    code = (
        "import os, subprocess, sys; from cryodl.contract.processes import process_name; words = sys.argv[1:]\n"
        "subprocess.run('\"$PYTHON\" -m cryodl ' + ' '.join(f\"'{w}'\" for w in words) + '; true', shell=True,"
        "               env=dict(os.environ, CRYODL_PARENT=process_name(), PYTHON=sys.executable))"
    )
    protocol = subprocess.Popen(
        [sys.executable, "-c", code, *arguments_of("train-picker")],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lock = folder / ".out.lock"
    wait_for(lambda: lock.exists() and lock.stat().st_size, 120)
    engine = json.loads(lock.read_text(encoding="utf-8"))["process"]
    protocol.kill()
    protocol.wait()
    run("train-picker", folder)
    with contextlib.suppress(ProcessLookupError):
        os.kill(engine, 0)
        raise AssertionError(f"the engine {engine} is alive")
    same_as_undisturbed("train-picker", folder)
    return "the engine had ended; the continued run is that of an undisturbed one"


def control_c(folder):
    """Ctrl-C: says what is kept, and the same command continues."""
    log = folder.parent / "control-c.log"
    log.unlink(missing_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would ours
    process = start(arguments_of("train-picker"), folder, log)
    wait_for(lambda: (folder / "out.partial/checkpoint.safetensors").exists() or process.poll() is not None, 300)
    process.send_signal(signal.SIGINT)
    if process.wait() != 130:
        raise AssertionError(f"exit code {process.returncode}")
    said = log.read_text(encoding="utf-8").splitlines()[-1]
    run("train-picker", folder)
    same_as_undisturbed("train-picker", folder)
    return said
