# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of processes that stay unique when process numbers are reused, and temporary files that state their owner."""

import os
import re
import socket
import typing

# Environment variable with the process_name of the protocol: the engine ends when that process ends.
PARENT_VARIABLE = "CRYODL_PARENT"
_TEMPORARY = re.compile(r"\.([^.]+)\.(\d+)\.tmp(\.[^.]*)?$")


def process_name(pid: typing.Optional[int] = None) -> str:
    """Unique name of a running process: 'boot:namespace:pid:start'. Empty if not known. pid: its number; None: this."""
    pid = os.getpid() if pid is None else pid
    start = _start_time(pid)
    return ":".join((_boot(), _namespace(), str(pid), start)) if start else ""


def has_ended(name: str) -> bool:
    """Whether a process is certain to have ended. name: as returned by process_name. False for a process of
    another machine or container."""
    boot, namespace, pid, start = name.split(":")
    return (boot, namespace) == (_boot(), _namespace()) and _start_time(int(pid)) != start


def temporary_path(path: typing.Union[str, "os.PathLike[str]"]) -> str:
    """Hidden path to write to before a rename. path: path after the rename. Returns in the same folder:
    '.name.host.pid.tmp' with the ending of `path`."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f".{name}.{_host()}.{os.getpid()}.tmp{os.path.splitext(name)[1]}")


def remove_abandoned(folder: typing.Union[str, "os.PathLike[str]"]) -> typing.List[str]:
    """Remove the temporary files that dead processes of this machine left in a folder. Returns their names."""
    removed = []
    for name in os.listdir(folder or "."):
        found = _TEMPORARY.search(name)
        if name.startswith(".") and found and found.group(1) == _host() and not _start_time(int(found.group(2))):
            try:
                os.remove(os.path.join(folder, name))
            except OSError:
                continue  # another process removed it first, or it cannot be removed by this user
            removed.append(name)
    return removed


def _host() -> str:
    return socket.gethostname().split(".")[0] or "localhost"


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").strip() or _host()


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "0"


def _start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot, as text; empty if it does not exist or has already ended."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # the name in brackets may contain any characters
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
