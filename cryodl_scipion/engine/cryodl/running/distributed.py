# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings by several processes: one for each GPU, started by torchrun; torch and accelerate do the work."""

import os
import subprocess
import sys
import tempfile
import typing

from ..contract import PARENT_VARIABLE, Failure, Request, Result, process_name
from ..io.stopping import Stopped

END = 30.0  # seconds that processes which were asked to end may take


class Helped(Exception):
    """The work of one of several processes is done, but for the first one's."""


def launched() -> bool:
    """Whether this process is one of several that torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def helps() -> bool:
    """Whether it is one of several, and not the first, which alone writes and tells."""
    return launched() and os.environ.get("RANK", "0") != "0"


def several_devices(device: str) -> list[str]:
    """Numbers of the GPUs that a request's text names, if they are several. device: '0,1' gives ['0', '1']. Returns
    empty for one device."""
    numbers = device.replace("cuda:", "").replace(",", " ").split()
    return numbers if len(numbers) > 1 and all(number.isdigit() for number in numbers) else []


def run_on(devices: typing.Sequence[str], asked: Request) -> Result[typing.Any]:
    """Run a command again as one process for each device, and wait for it. devices: numbers of GPUs. asked: its device
    is not used; the processes have its threads together. Raises RuntimeError if the processes fail; what went wrong
    they have printed."""
    with tempfile.TemporaryDirectory() as folder:
        request, result = os.path.join(folder, "request.json"), os.path.join(folder, "result.json")
        asked.write(request)
        environment = dict(os.environ, CUDA_VISIBLE_DEVICES=",".join(devices), **{PARENT_VARIABLE: process_name()})
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(len(devices))]
        words += ["-m", "cryodl", asked.command, "--request", request, "--result", result]
        with subprocess.Popen([sys.executable, *words], env=environment) as launcher:
            try:
                code = launcher.wait()
            except Stopped:
                launcher.terminate()  # it asks the processes, of which the first one keeps a checkpoint
                launcher.wait(END)
                raise
        if code:
            path = os.path.join(folder, "failure.json")
            if os.path.exists(path) and Failure.read(path).kind == "input":
                raise ValueError(Failure.read(path).message)
            raise RuntimeError(f"{asked.command} on the GPUs {', '.join(devices)} failed; its messages are above.")
        return Result.read(result)
