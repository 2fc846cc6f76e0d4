# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings by several processes: one for each GPU, started by torchrun; torch and accelerate do the work."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import typing

from .contract import Failure, Request, Result


def launched() -> bool:
    """Whether this process is one of several that torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def several_devices(device: str) -> list[str]:
    """Numbers of the GPUs that a request's text names, if they are several.

    Parameters
    ----------
    device : str
        '0,1' gives ['0', '1'].

    Returns
    -------
    list of str
        Empty for one device.
    """
    numbers = device.replace("cuda:", "").replace(",", " ").split()
    return numbers if len(numbers) > 1 and all(number.isdigit() for number in numbers) else []


def run_on(devices: typing.Sequence[str], asked: Request) -> Result[typing.Any]:
    """Run a command again as one process for each device, and wait for it.

    Parameters
    ----------
    devices : sequence of str
        Numbers of GPUs.
    asked : Request
        Its device is not used.

    Raises
    ------
    RuntimeError
        If the processes fail; what went wrong they have printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, result = os.path.join(folder, "request.json"), os.path.join(folder, "result.json")
        asked.write(request)
        environment = dict(os.environ, CUDA_VISIBLE_DEVICES=",".join(devices))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                str(len(devices)),
                "-m",
                "cryodl",
                asked.command,
                "--request",
                request,
                "--result",
                result,
            ],
            env=environment,
            check=False,
        )
        if done.returncode:
            _raise_failure(os.path.join(folder, "failure.json"), asked.command, devices)
        return Result.read(result)


def _raise_failure(path: str, command: str, devices: typing.Sequence[str]) -> None:
    if os.path.exists(path) and Failure.read(path).kind == "input":
        raise ValueError(Failure.read(path).message)
    raise RuntimeError(f"{command} on the GPUs {', '.join(devices)} failed; its messages are above.")
