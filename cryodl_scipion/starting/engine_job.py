# SPDX-License-Identifier: GPL-3.0-or-later
"""One command of the engine as a job of a protocol: run it, read its result or say why there is none."""

import logging
import os
import shlex
import subprocess
from typing import Any, Optional

from pyworkflow.constants import RUN_JOB_GPU_PARAM_SEARCH
from pyworkflow.exceptions import PyworkflowException
from pyworkflow.utils import Environ

from ..engine.cryodl import contract


class EngineFailed(PyworkflowException, RuntimeError):
    """Why a command stopped. Of a PyworkflowException, pyworkflow logs the sentence and no traceback."""


class InputRefused(PyworkflowException, ValueError):
    """What the user can correct, in the engine's words."""


class NothingUsed(PyworkflowException, contract.AllSkipped):
    """The engine's AllSkipped."""


def _withoutTraceback(record: logging.LogRecord) -> bool:
    """Filter of logged records: of a PyworkflowException the sentence alone is kept."""
    error = (record.exc_info or (None, None))[1]
    if isinstance(error, PyworkflowException):
        record.msg, record.args, record.exc_info = str(error), (), None
    return True


# Steps that run in threads log every exception with its traceback.
logging.getLogger("pyworkflow.protocol.executor").addFilter(_withoutTraceback)


def run(
    protocol: Any, python: str, environ: Environ, command: str, requestPath: str, resultPath: str, useGpu: bool
) -> contract.Result:
    failurePath = os.path.join(os.path.dirname(resultPath), "failure.json")
    for path in (resultPath, failurePath):
        if os.path.exists(path):
            os.remove(path)
    arguments = ["-m", "cryodl", command, "--request", jobPath(requestPath), "--result", jobPath(resultPath)]
    if contract.EVERY_COMMAND[command].gpu:
        arguments += ["--device", _device(protocol, command) if useGpu else "cpu"]
    # The engine ends when this process does, whatever shell, mpirun or queue script stands between the two.
    environ = type(environ)(environ)
    environ[contract.PARENT_VARIABLE] = contract.process_name()
    exitCode = None  # a queue's job gives none
    try:
        # One process: mpirun would start the same command several times.
        protocol.runJob(shlex.quote(python), arguments, env=environ, numberOfMpi=1, numberOfThreads=1)
    except subprocess.CalledProcessError as error:
        exitCode = error.returncode
    if exitCode is not None or not os.path.exists(resultPath):
        raiseFailure(command, failurePath, exitCode, useGpu)
    return contract.Result.read(resultPath)


def _device(protocol: Any, command: str) -> str:
    """What Scipion replaces by the GPUs of the step; a command that shares no work takes the first."""
    gpus = protocol.getGpuList()
    shares = contract.EVERY_COMMAND[command].several or protocol.modeParallel() or len(gpus) < 2
    return str(RUN_JOB_GPU_PARAM_SEARCH if shares else gpus[0])


def jobPath(path: str) -> str:
    """A path as it can stand in pyworkflow's command line, which is a %-format and then a shell's text. Protocols run
    in the project's folder; relative paths keep the project's own name, with whatever %, quotes and spaces it has, out
    of the line. What remains is put between double quotes by pyworkflow. Raises ValueError for a path outside the
    project that cannot be protected."""
    relative = os.path.relpath(path)
    if "%" in relative:
        raise ValueError(f"The path {path} contains a % sign, which Scipion's command lines do not allow. Rename it.")
    for character in ("\\", '"', "$", "`"):
        relative = relative.replace(character, "\\" + character)
    return relative


def raiseFailure(command: str, failurePath: str, exitCode: Optional[int], useGpu: bool = False) -> None:
    """Raise the engine's own message as NothingUsed, InputRefused or EngineFailed."""
    if os.path.exists(failurePath):
        failure, kinds = contract.Failure.read(failurePath), {"input": InputRefused, "all skipped": NothingUsed}
        # the form's way to follow its advice about the command line's --device
        inForm = ' In the form: set "GPU IDs" to No.' if useGpu and "--device" in failure.message else ""
        warned = "".join(f" Warning: {warning}" for warning in failure.warnings)
        error: Any = kinds.get(failure.kind, EngineFailed)(failure.message + inForm + warned)
        error.reasons, error.warnings = failure.reasons, failure.warnings
        raise error
    code = exitCode or 0  # pyworkflow's shell gives -n or 128 + n for a signal
    signal = -code if code < 0 else code - 128 if code > 128 else 0
    ending = "in the queue" if exitCode is None else f"by signal {signal}" if signal else f"with exit code {exitCode}"
    advice = "Run `cryodl doctor` to check the installation, then continue the run; finished work is kept."
    if signal == 9:
        advice = "Signal 9 usually means that the machine ran out of memory, or that the job was killed."
    raise EngineFailed(
        f"cryodl {command} stopped {ending} without a result. {advice} The run's logs show its last messages."
    )
