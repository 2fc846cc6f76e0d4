# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that this process may still take, and messages for when it does not suffice."""

import contextlib
import ctypes
import mmap
import os
import re
import resource
import typing
from pathlib import Path

from ..contract.params import describe_all

GIGABYTE = 1e9
WORKING_MEMORY = 1.5  # GB that the work on one tomogram takes, in addition to the libraries
_ALLOCATORS = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
    "Cannot allocate memory",
    "failed to map segment",
)
# {controllers of a group in /proc/self/cgroup: where it is mounted, its files of limit and use, and what begins the
# totals of memory.stat}, of versions 2 and 1
_GROUPS = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", ""),
    "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
# Parameters that make a command take less, best first, and what to do with them.
_HELPFUL = (("batch_size", "a smaller"), ("box", "a smaller"))


class TooLittleMemory(ValueError):
    """What is needed is known to be more than there is."""


def available_memory() -> float:
    """Memory that this process may still take: bytes, the least of the machine's, its group's and its own."""
    import psutil  # doctor works without it

    free = float(psutil.virtual_memory().available)
    return min(limit for limit in [free, _group(), _own()] if limit is not None)


def require_memory(needed: float, what: str, advice: str) -> None:
    """Raises TooLittleMemory if less than `needed` bytes are free. what: beginning of the sentence: what needs them.
    advice: what the user can do, a sentence."""
    there = available_memory()
    if needed > there:
        raise TooLittleMemory(
            f"{what} needs {needed / GIGABYTE:.3g} GB of memory, but {there / GIGABYTE:.3g} GB are free. {advice}"
        )


def release_pages(array: typing.Any) -> None:
    """Take the pages of a memory-mapped file out of this process's memory; the file keeps what was written. Others than
    numpy.memmap are left as they are, and so are private copies (mode "c"), which would lose what was written."""
    mapped = None if getattr(array, "mode", None) == "c" else getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def give_back_freed_memory() -> None:
    """Have glibc give the pages of freed memory back to the system: between arrays that come and go holes stay, of 250
    MB after some slabs of a tomogram of 1000 x 1000. Other C libraries stay as they are."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def keep_freed_memory() -> None:
    """Have glibc keep memory that is freed, up to a gigabyte, for the next arrays: asking the system for new pages took
    a sixth of the time in which a few micrographs are picked. Other C libraries stay as they are."""
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):
        for option, value in ((-1, 1 << 30), (-4, 0)):  # M_TRIM_THRESHOLD, and M_MMAP_MAX: no pages of their own
            set_option(option, value)


@contextlib.contextmanager
def one_item(path: str) -> typing.Iterator[None]:
    """Turn a memory error of the block into TooLittleMemory that names the file: a run leaves it out and goes on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        raise TooLittleMemory(
            f"{path} is too large for the memory ({available_memory() / GIGABYTE:.3g} GB are free). "
            "Bin it, or use a machine with more memory."
        ) from None


def is_memory_error(error: BaseException) -> bool:
    """Whether an error, of Python or of torch's allocators, says that there was too little memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(words in str(error) for words in _ALLOCATORS)


def memory_sentence(error: BaseException, command: typing.Any) -> str:
    """Sentence for a memory error, with the parameters of the command that help. Empty for other errors. command:
    Command of the contract."""
    if not is_memory_error(error):
        return ""
    asked = re.search(r"(?:allocate|of) ([\d.]+ ?(?:[KMGT]i?B|bytes))", str(error))
    infos = {info.name: info for info in describe_all(command.config)}
    helps = [f"{much} {infos[name].label.lower()} ({infos[name].flag})" for name, much in _HELPFUL if name in infos]
    return (
        f"too little memory{f' (a part of {asked.group(1)} was refused)' if asked else ''}. "
        + (f"Try {' or '.join(helps)}, or use" if helps else "Use")
        + " a machine, queue or GPU with more memory; stop other programs that use memory."
    )


def _group() -> float | None:
    """Room in the control group of a container or a queue's job, or in one around it: the least of all."""
    rooms = list[float]()
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            kind, place = line.split(":", 2)[1:]
            top, limit, used, prefix = _GROUPS.get(kind, ("", "", "", ""))
            for folder in (Path(top + place), *Path(top + place).parents) if top else ():
                with contextlib.suppress(OSError, ValueError):  # "max" is no number
                    room = float((folder / limit).read_text("ascii")) - float((folder / used).read_text("ascii"))
                    rooms.append(max(0.0, room + _file_cache(f"{folder}/memory.stat", prefix)))
    return min(rooms, default=None)


def _file_cache(path: str, prefix: str) -> float:
    """Bytes of cached files that a control group counts as used: the system gives them back when memory is needed."""
    try:
        values = dict(line.split() for line in Path(path).read_text("ascii").splitlines())
        return sum(float(values.get(f"{prefix}{name}", 0)) for name in ("inactive_file", "active_file"))
    except (OSError, ValueError):
        return 0.0


def _own() -> float | None:
    """Room in the address space of this process, where `ulimit -v` limits it."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    return max(0.0, float(limit) - pages * os.sysconf("SC_PAGE_SIZE"))
