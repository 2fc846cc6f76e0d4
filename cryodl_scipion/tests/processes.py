# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a Linux machine: their children, their memory, and whether they are there."""

import contextlib
import os
import signal
import subprocess
import time

STOPPED = "kill -STOP $$; exec "  # before a command of a shell: it waits for SIGCONT before it begins
_MB = 1024.0  # kB


def isThere(pid):
    """True for a process that lives, or whose end the system has not yet noted."""
    try:
        os.waitpid(pid, os.WNOHANG)  # one of ours would stay as a zombie
    except ChildProcessError:
        pass
    return os.path.exists(f"/proc/{pid}")


def childrenByParent():
    """{process id: [ids of its children]} of this machine."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue  # it has just ended
            children.setdefault(parent, []).append(int(name))
    return children


def describeProcess(pid):
    """(command line with zeros between words, {VmRSS and VmHWM: MB}); empty if it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            command = file.read()
        with open(f"/proc/{pid}/status") as file:
            lines = [line.split() for line in file if line.startswith(("VmRSS", "VmHWM"))]
    except OSError:
        return "", {}
    return command, {words[0].rstrip(":"): int(words[1]) / _MB for words in lines}


def treeOf(pid):
    """Ids of a process and of all that it started, those that are there."""
    found, children = [pid], childrenByParent()
    for parent in found:
        found += children.get(parent, [])
    return [number for number in found if os.path.exists(f"/proc/{number}")]


def killTree(pid):
    """End a process and all that it started at once, by SIGKILL. Returns when they are gone."""
    processes = treeOf(pid)
    for sent in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none can react to the death of another
        for number in processes:
            with contextlib.suppress(ProcessLookupError):  # it has ended of itself
                os.kill(number, sent)
    while any(isThere(number) for number in processes):
        time.sleep(0.1)


def runToEnd(command, seconds, **more):
    """As subprocess.run, with all output as text; after so many seconds what the command itself started ends as well:
    that would hold its pipes, and be waited for without end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more) as process:
        try:
            said = process.communicate(timeout=seconds)
        except BaseException as error:
            killTree(process.pid)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            said = "\n".join(process.communicate())
            raise AssertionError(f"{command} hangs, or the machine is slow, after {seconds} s:\n{said}") from error
    return subprocess.CompletedProcess(command, process.returncode, *said)
