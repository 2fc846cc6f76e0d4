# SPDX-License-Identifier: GPL-3.0-or-later
"""One command at a time on one output: a lock that the system frees when its process ends, however it ends. Commands
whose runs share a folder (Command.shared) lock their own micrographs or tomograms; all others lock all of it."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import struct
import time
import typing
from pathlib import Path

from ..contract import Command, Config, DenoiseMicrographsConfig
from ..contract.processes import remove_abandoned, temporary_path

WAIT = 3.0  # seconds: a killed run may need a moment to end
# Environment variable: paths of locks, a line each, for commands within the holder and the processes that it starts.
HELD = "CRYODL_HELD_LOCK"
PROBE = 1 << 16  # bytes that must find room beside the output before the work begins
_BUSY = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def output_lock(
    command: Command, config: Config, wait: float = WAIT, names: typing.Sequence[str] = ()
) -> typing.Iterator[None]:
    """Hold the output of a command until the block ends. Does nothing for commands without an output. wait: s, for
    another process. names: of its items, where they are not those of their files. Raises ValueError if another process
    works on the same output; OSError if nothing can be written there: read-only, or no room."""
    field = command.locks
    output = Path(os.path.realpath(getattr(config, field, None) or ""))
    path, held = lock_path(output), os.environ.get(HELD, "")
    if not getattr(config, field, None) or os.environ.get("RANK", "0") != "0" or str(path) in held.split("\n"):
        yield  # no output, or one process of a training by several: the first one holds the lock
        return
    _check_writable(output, field, bool(command.shared))
    handle = _lock(path, _items(command, config, names, output), command.name, wait, field)
    try:
        os.environ[HELD] = f"{held}\n{path}"
        yield
    except OSError as error:
        if error.errno in _FULL and not error.filename:  # of a file that was open
            error.filename = str(output)
        raise
    finally:
        os.environ[HELD] = held
        _release(handle, path)


def lock_path(output: Path) -> Path:
    """The lock's file: hidden, beside the output, since many outputs must not exist before they are whole."""
    return output.with_name(f".{output.name}.lock")


def _check_writable(output: Path, field: str, shared: bool) -> None:
    """Write a little where the output will be and remove it again. Makes the folder above the output. shared: the
    output is a folder, which may be there."""
    nearest = next(path for path in [output, *output.parents][not shared :] if path.exists())
    if not nearest.is_dir():
        raise ValueError(f"{nearest} (--{field}) is a file, and a folder is needed there. Choose another name.")
    output.parent.mkdir(parents=True, exist_ok=True)
    for folder in {output.parent, output if output.is_dir() else output.parent}:
        remove_abandoned(folder)
        temporary = temporary_path(folder / "room")
        try:
            Path(temporary).write_bytes(b"\0" * PROBE)
        except OSError as error:
            if error.errno == errno.EFBIG:  # a limit on the size of files: small outputs may keep below it
                continue
            if error.errno in _READ_ONLY and folder == output.parent and output.is_dir():
                continue  # all goes into the output's own folder
            raise OSError(
                error.errno,
                f"Cannot write to {folder} (--{field}): {error.strerror}. Free disk space or change permissions, or "
                "choose another folder.",
            ) from None
        finally:
            with contextlib.suppress(OSError):
                os.remove(temporary)


def _items(command: Command, config: Config, given: typing.Sequence[str], output: Path) -> list[str] | None:
    """Names that this run works on in a shared folder; None for all of it."""
    field = command.shared
    if not field:
        return None
    from .files import expand_paths, name_micrographs

    names = [name for name, _ in name_micrographs(expand_paths(getattr(config, field), given), given, field[:-1])]
    learns = (
        isinstance(config, DenoiseMicrographsConfig) and not config.model and not (output / "model/card.json").exists()
    )
    return ["the model", *names] if learns else names


def _lock(path: Path, items: typing.Sequence[str] | None, command: str, wait: float, field: str) -> int | None:
    """Open and lock the file. Returns its handle, None where the file system knows no locks."""
    end = time.monotonic() + wait
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno in _READ_ONLY:  # the folder above is not ours, its output folder is (_check_writable)
                return None
            raise
        try:
            busy = _take(handle, items)
            if busy is None and _same(handle, path):
                _sign(handle, items, command)
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                return None
            raise
        owner = _owner(handle)
        os.close(handle)
        if busy is not None and time.monotonic() > end:
            raise ValueError(_sentence(path, busy, owner, field))
        if busy is not None:
            time.sleep(0.1)


def _take(handle: int, items: typing.Sequence[str] | None) -> str | None:
    """Lock the items. Returns None, or the first that another process holds ("" is the whole output)."""
    for name in items if items is not None else [""]:
        # the byte of the file that stands for a name; nothing is written there
        place = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7], "big")
        start, length = (place, 1) if items is not None else (0, 0)
        try:
            _set(handle, fcntl.F_WRLCK, start, length)
        except OSError as error:
            if error.errno not in _BUSY:
                raise
            return name
    return None


def _set(handle: int, kind: int, start: int, length: int) -> None:
    """A lock of an open file, not of a process: closing another handle of the same file does not free it."""
    fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack("@hhqqi4x", kind, os.SEEK_SET, start, length, 0))


def _same(handle: int, path: Path) -> bool:
    """Whether the file is still the one under its name: the run before may have removed it in the meantime."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(handle: int, items: typing.Sequence[str] | None, command: str) -> None:
    if items is None:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(dict(command=command, process=os.getpid(), host=socket.gethostname())).encode(), 0)


def _owner(handle: int) -> str:
    try:
        owner = json.loads(os.pread(handle, 4096, 0))
        return f"cryodl {owner['command']} (process {owner['process']} on {owner['host']})"
    except (ValueError, KeyError, TypeError):
        return "Another cryodl command"


def _sentence(path: Path, name: str, owner: str, field: str) -> str:
    output = path.with_name(path.name[1 : -len(".lock")])
    what = f"{name} in {output}" if name else str(output)
    return (
        f"{owner if not name else 'Another cryodl command'} is working on {what} (--{field}). Wait until it "
        "has ended, or choose another folder."
    )


def _release(handle: int | None, path: Path) -> None:
    if handle is None:
        return
    with contextlib.suppress(OSError):
        _set(handle, fcntl.F_WRLCK, 0, 0)
        if _same(handle, path):
            os.unlink(path)
    os.close(handle)
