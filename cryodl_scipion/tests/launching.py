# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that tests launch, and the fake engine, run in forks of the test process, which has Scipion loaded.

A launch costs 0.04 s of CPU instead of 1.5 s, an answer of the fake engine as much instead of 0.6 s. The real engine is
started as always, and so are runs that a test looks at as processes: realProcesses(). Schedulers of other processes
become forks as well if they ask at a socket: serveSchedulers().
"""

import contextlib
import gc
import glob
import importlib
import json
import logging
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import traceback
from types import SimpleNamespace

from pwem.protocols import EMProtocol
from pwem.protocols import protocol as em_protocol
from pwem.protocols.protocol_import import images
from pyworkflow import Config
from pyworkflow.apps import pw_schedule_run
from pyworkflow.protocol import Protocol, executor, protocol, runProtocolMain
from pyworkflow.utils import LoggingConfigurator
from pyworkflow.utils import process as processes

from ..protocols import CryodlProtClassify2D, protocol_report
from .base import FAKE_PYTHON
from .processes import STOPPED

launch = importlib.import_module("pyworkflow.protocol.launch")  # the package has a function of this name
_run = launch._run
_LOOK = 1.0  # s between two looks for the process that is served
_POLL = 0.1  # s; Scipion looks for finished steps every 3 s, for new input every 5 s, for new files every 10 s


def install() -> None:
    """From now on this process forks the runs that it launches."""
    with _pathsOfFakeEngine():
        importlib.import_module("fake_engine")
    launch._run = _fork


@contextlib.contextmanager
def realProcesses():
    """Runs that are launched inside are processes of their own from the beginning."""
    launch._run, before = _run, launch._run
    try:
        yield
    finally:
        launch._run = before


def serveSchedulers(path, faster):
    """Fork a process that runs schedulers for those who ask at a socket of this path, as ASK does; it ends with this
    one. faster: how much less than usual they wait. Returns its id."""
    server, parent = socket.socket(socket.AF_UNIX), os.getpid()
    server.bind(path)
    server.listen()
    pid = os.fork()
    if pid == 0:
        with _lastWork():
            gc.freeze()
            _closePipes()
            server.settimeout(_LOOK)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
            while os.getppid() == parent:
                with contextlib.suppress(TimeoutError):
                    asked = server.accept()[0]
                    if os.fork() == 0:
                        with _lastWork():
                            server.close()
                            _schedule(asked, faster)
                    asked.close()
    server.close()
    return pid


# For a process of Scipion's scheduler that has just begun: what it was started with goes to the server, and it ends, as
# it does otherwise once it has forked.
ASK = """import json, os, socket
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
socket.send_fds(server, [b'.'], [1, 2])
server.sendall(json.dumps(dict(words=words[1:], folder=os.getcwd(), variables=dict(os.environ))).encode())
os._exit(0)
"""


def _schedule(asked, faster):
    """What pw_schedule_run.py does, for one who asked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked.setblocking(True)
    for number, file in enumerate(socket.recv_fds(asked, 1, 2)[1], 1):
        os.dup2(file, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    with asked.makefile() as said:
        request = json.load(said)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    for module in Config.getDomain().getPlugins().values():
        module._pluginInstance._defineVariables()  # homes of programs, from the environment
    sys.argv, script = request["words"], pw_schedule_run
    script.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / faster))
    arguments = script.parseArgs()
    LoggingConfigurator.setUpProtocolSchedulingLog(arguments.logPath)
    script.runScheduler = script.RunScheduler(arguments, logging.getLogger(script.__name__))
    script.runScheduler.schedule()


def _fork(command, wait, stdin=None, stdout=None, stderr=None):
    """In place of pyworkflow's `_run`: the id of the process that runs the command."""
    words = shlex.split(command.replace(STOPPED, ""))
    if os.path.basename(words[1]) != "pw_protocol_run.py":
        return _run(command, wait, stdin, stdout, stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        if command.startswith(STOPPED):
            os.kill(os.getpid(), signal.SIGSTOP)
        _work(*words[2:])
    if wait:
        os.waitpid(pid, 0)
    else:  # an ended process that nobody waits for counts as one that works
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
    return pid


def _work(project, database, number, stdout, stderr):
    """What pw_protocol_run.py does; the process ends here."""
    with _lastWork():
        gc.freeze()  # what the tests have open is not closed from here
        _closePipes()
        for module in (executor, protocol, em_protocol, images):
            module.time = SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(min(seconds, _POLL)))
        protocol_report.time = SimpleNamespace(
            time=time.time, monotonic=time.monotonic, sleep=lambda seconds: time.sleep(seconds / 10)
        )
        Protocol._stepsCheckSecs = _POLL
        EMProtocol._streamingSleepOnWait = _withoutLocks(EMProtocol._streamingSleepOnWait)
        CryodlProtClassify2D._sleep = _withoutLocks(CryodlProtClassify2D._sleep)
        processes.check_call = _runJob
        LoggingConfigurator.setUpProtocolRunLogging(stdout, stderr)
        runProtocolMain(project, database, int(number))


def _withoutLocks(wait):
    """A method by which a run waits for more input. Whoever holds a lock while he waits hinders the run that he waits
    for; steps that read at the moment hold one as well, but not for long."""

    def checked(run, *words):
        held, since = _locksOf(os.getpid(), run._getPath()), run.__dict__.get("_heldSince", {})
        run.__dict__["_heldSince"] = since = {path: since.get(path, time.monotonic()) for path in held}
        if any(time.monotonic() - moment > _LOOK for moment in since.values()):
            raise RuntimeError(f"{run} waits, and keeps others from writing {held}.")
        wait(run, *words)

    return checked


def _locksOf(pid, own):
    """Databases of other runs that a process keeps locked. own: folder of its run."""
    with open("/proc/locks") as file:
        locked = {int(words[5].split(":")[2]) for words in map(str.split, file) if words[4] == str(pid)}
    paths = glob.glob(os.path.join(os.path.dirname(own), "*", "*.sqlite"))
    return [path for path in paths if os.stat(path).st_ino in locked and not path.startswith(own + os.sep)]


def _runJob(command, stdout, stderr, env, **more):
    """In place of pyworkflow's `check_call` of a shell."""
    words = shlex.split(command)
    if os.path.basename(words[0]) != FAKE_PYTHON or set("$`") & set(command):
        return subprocess.check_call(command, stdout=stdout, stderr=stderr, env=env, **more)
    pid = os.fork()
    if pid == 0:
        with _lastWork():
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            # the streams of the run may be locked by a thread of it that is not here
            sys.stdout, sys.stderr, sys.argv = open(1, "w", closefd=False), open(2, "w", closefd=False), words
            os.environ.clear()
            os.environ.update(env)
            with _pathsOfFakeEngine():
                sys.modules["fake_engine"].main()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise subprocess.CalledProcessError(code, command)


@contextlib.contextmanager
def _pathsOfFakeEngine():
    """It is a script beside this file, which imports the engine's contract under the engine's own name."""
    tests = os.path.dirname(os.path.abspath(__file__))
    before, sys.path = sys.path, [*sys.path, tests, os.path.join(os.path.dirname(tests), "engine")]
    try:
        yield
    finally:
        sys.path = before


@contextlib.contextmanager
def _lastWork():
    """The process ends with what is done inside."""
    status = 0
    try:
        yield
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        status = 1
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _closePipes():
    """A run that outlives the tests must not keep their channels open."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2 and stat.S_ISFIFO(os.fstat(int(name)).st_mode):
                os.close(int(name))
