# SPDX-License-Identifier: GPL-3.0-or-later
"""Choice of the device: the one that was requested, or an error; never another one without notice."""

import contextlib
import contextvars
import os
import platform
import typing

import torch

# What the command that is running was asked to compute on: --device and --threads.
_asked: contextvars.ContextVar[tuple[str, int]] = contextvars.ContextVar("asked", default=("auto", 0))


@contextlib.contextmanager
def computing_on(device: str | None, threads: int | None) -> typing.Iterator[None]:
    """Within the block, choose_device and set_threads follow these words of the user; None: those of the block around.
    A command within another one computes where the outer one does."""
    before = _asked.get()
    token = _asked.set((before[0] if device is None else device, before[1] if threads is None else threads))
    try:
        yield
    finally:
        _asked.reset(token)


def choose_device(device: str | None = None) -> torch.device:
    """The torch.device of a user's text. device: 'auto', 'cpu', or a GPU's number ('0', 'cuda:0'); None for what the
    running command was asked for. Raises ValueError if the GPU is not there, or several are named."""
    device = _asked.get()[0] if device is None else device
    wanted = device.strip().lower()
    if wanted == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        # of several processes each takes its own
        return torch.device(f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}" if count else "cpu")
    numbers = wanted.replace("cuda:", "").replace(",", " ").split()
    if len(numbers) != 1 or not numbers[0].isdigit():
        raise ValueError(
            f"Device (--device) is {device!r}; it must be 'auto', 'cpu' or the number of one GPU. To use several "
            "GPUs, start one process for each (in Scipion, set one thread more than GPUs)."
        )
    if int(numbers[0]) >= count:
        raise ValueError(
            f"GPU {numbers[0]} was asked for (--device {device}), but {_what_is_there(count)} Choose --device cpu, "
            "or repair the driver (`cryodl doctor` shows the GPUs that torch finds)."
        )
    return torch.device(f"cuda:{numbers[0]}")


def _what_is_there(count: int) -> str:
    if count:
        return f"torch finds {count} GPU(s), numbered from 0."
    return "this environment has the CPU build of torch." if torch.version.cuda is None else "torch finds no GPU."


def set_threads(threads: int | None = None) -> int:
    """Use so many CPU threads; returns the number. threads: 0 for as many as OMP_NUM_THREADS says, or else all that the
    process may use; None for what the running command was asked for."""
    threads = _asked.get()[1] if threads is None else threads
    stated, usable = os.environ.get("OMP_NUM_THREADS", "").strip(), len(os.sched_getaffinity(0))
    number = threads or (min(int(stated), usable) if stated.isdigit() and int(stated) else usable)
    torch.set_num_threads(number)
    return number


Network = typing.TypeVar("Network", bound=torch.nn.Module)


def in_memory_format(network: Network, memory_format: torch.memory_format) -> Network:
    """The same network, its weights laid out in memory so that convolutions are fast. network is changed in place."""
    return network.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stubs know no keyword alone


def device_name(device: torch.device) -> str:
    """A device in words, for logs and results."""
    if device.type == "cuda":
        return f"GPU {device.index}: {torch.cuda.get_device_name(device)}"
    return f"CPU ({torch.get_num_threads()} threads, {platform.processor() or platform.machine()})"


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it fast, else float32. On CPUs without AVX512-BF16 bfloat16 is emulated
    and slower than float32."""
    if device.type == "cuda":
        # not torch.cuda.is_bf16_supported(): it says yes to emulation, and asks about the current GPU
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """A context in which networks compute in a device's fastest type where that is safe."""
    dtype = fast_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def cpu_has_bfloat16() -> bool:
    """True if the CPU multiplies bfloat16 natively."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())
