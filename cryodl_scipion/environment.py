# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine's environment is, whether it is whole, and the command that makes it."""

import hashlib
import os
import shlex
import sys
from typing import Any, List

from . import own_python
from .constants import CRYODL_HOME, CRYODL_PIP_ARGS, CRYODL_PYTHON, INSTALL_COMMAND
from .engine.cryodl.contract.needed import NEEDED


def installFile(name: str) -> str:
    """Path of a file in install/."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "install", name)


def engineFolder() -> str:
    """The folder to put on PYTHONPATH so that `python -m cryodl` works."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "engine")


def pythonOf(home: str) -> str:
    """The environment's Python."""
    return os.path.join(home, "env", "bin", "python")


def markerOf(home: str) -> str:
    """The file that install_env.sh writes last; its name holds the lock's checksum, so that a new lock is noticed."""
    with open(installFile("requirements.lock"), "rb") as lock:
        checksum = hashlib.sha256(lock.read()).hexdigest()
    return os.path.join(home, "env", "cryodl-ready-" + checksum[:12])


def environmentProblems(home: str, ownPython: str) -> List[str]:
    """Sentences about what hinders the engine from running; empty if nothing does.

    home: CRYODL_HOME. ownPython: CRYODL_PYTHON or ''.
    """
    if ownPython:
        return _problemsOfOwn(ownPython)
    folder = os.path.join(home, "env")
    if not os.path.isdir(folder):
        return [
            f"cryodl's environment is missing: the folder {folder} ({CRYODL_HOME}) does not exist. Run: "
            f"{INSTALL_COMMAND}"
        ]
    if os.path.exists(markerOf(home)) and os.path.exists(pythonOf(home)):
        return []
    if any(name.startswith("cryodl-ready-") for name in os.listdir(folder)):
        return [f"cryodl's environment in {folder} was made for another version of cryodl. Run: {INSTALL_COMMAND}"]
    return [
        f"cryodl's environment in {folder} is incomplete: its installation did not finish. To build it again, run: "
        f"{INSTALL_COMMAND}"
    ]


def isPython(program: str) -> bool:
    """Whether a file is a Python that starts."""
    return own_python.askPython(program, ()) is not None


def _problemsOfOwn(python: str) -> List[str]:
    remedy = (
        f"Give the path of a Python that has the packages of {installFile('requirements.lock')}, or leave it empty "
        f"and run: {INSTALL_COMMAND}"
    )
    if not (os.path.isfile(python) and os.access(python, os.X_OK)):
        return [f"{CRYODL_PYTHON} is {python}, which is not an executable file. {remedy}"]
    missing = own_python.missingIn(python, NEEDED)
    if missing is None:
        return [f"{CRYODL_PYTHON} is {python}, which is not a Python interpreter. {remedy}"]
    if missing:
        words = ", ".join(f"{name} ({why})" for name, why in missing.items())
        return [f"{CRYODL_PYTHON} is {python}, which lacks what the engine needs: {words}. {remedy}"]
    return []


def installCommand(home: str, pipArgs: Any, activation: Any) -> str:
    """The shell command that makes the environment in `home`.

    pipArgs: more arguments for pip. activation: what makes conda known to the shell, ending with `&&`; or ''.
    """
    variables = {CRYODL_PIP_ARGS: pipArgs or "", "CRYODL_SCIPION_PYTHON": sys.executable}
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return activation + " ".join(words + ["bash", shlex.quote(installFile("install_env.sh")), shlex.quote(home)])
