# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine's environment is, whether it, or a Python that the user names, is whole, and how it is made."""

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Dict, List

from ..engine.cryodl.contract import write_json
from ..engine.cryodl.contract.packages import NEEDED

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the plugin's folder

CRYODL_HOME = "CRYODL_HOME"
CRYODL_PYTHON = "CRYODL_PYTHON"
CRYODL_PIP_ARGS = "CRYODL_PIP_ARGS"

# Version of the engine's environment, not of the plugin: it changes when the lock does, so that most plugin updates
# need no new environment. Its folder is software/em/cryodl-<ENV_VERSION>.
ENV_VERSION = "1.0"

INSTALL_COMMAND = "scipion installb cryodl"


# Run by the Python that is asked; its first argument is the JSON list of modules. The answer begins with MARK, since a
# program that is no Python prints anything or nothing and may end well all the same.
MARK = "cryodl:"
_QUESTION = """
import importlib, json, sys, sysconfig
missing = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except Exception as error:
        missing[name] = "%s: %s" % (type(error).__name__, error)
print("cryodl:" + json.dumps([list(sys.version_info[:2]), missing, sysconfig.get_paths()["purelib"]]))
"""
OLDEST = (3, 11)


def askPython(
    python: str, modules: typing.Iterable[str]
) -> typing.Optional[typing.Tuple[typing.List[int], typing.Dict[str, str], str]]:
    """Let a program import modules. Returns its version, {module: why it does not import} and its folder of packages;
    None if the program is no Python."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    try:
        done = subprocess.run(
            [python, "-c", _QUESTION, json.dumps(list(modules))],
            env=dict(variables, PYTHONNOUSERSITE="1", OMP_NUM_THREADS="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=300,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    answers = [line[len(MARK) :] for line in done.stdout.splitlines() if line.startswith(MARK)]
    return tuple(json.loads(answers[-1])) if answers else None


def missingIn(python: str, needed: typing.Mapping[str, str]) -> typing.Optional[typing.Dict[str, str]]:
    """{distribution: why it cannot be used} in a Python; None if the program is no Python. A Python that has everything
    is asked again only when it, its folder of packages or `needed`, {distribution: module}, has changed."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cryodl")
    record = os.path.join(cache, hashlib.sha256(os.path.abspath(python).encode()).hexdigest()[:16] + ".json")
    if _isFresh(record, python, needed):
        return {}
    answer = askPython(python, needed.values())
    if answer is None:
        return None
    version, failed, packages = answer
    missing = {name: failed[module] for name, module in needed.items() if module in failed}
    if tuple(version) < OLDEST:
        missing[f"Python {OLDEST[0]}.{OLDEST[1]}"] = f"this is Python {version[0]}.{version[1]}"
    if not missing:
        _remember(record, dict(state=_state(python, packages), packages=packages, needed=sorted(needed)))
    return missing


def _state(python: str, packages: str) -> List[int]:
    """Times of the last change of the program and of its folder of packages, in nanoseconds."""
    return [os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for path in (python, packages)]


def _isFresh(record: str, python: str, needed: Any) -> bool:
    try:
        kept = json.loads(Path(record).read_text("utf-8"))
        return kept["needed"] == sorted(needed) and kept["state"] == _state(python, kept["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remember(record: str, values: Dict[str, Any]) -> None:
    """Keep an answer; where it cannot be kept the Python is asked again next time."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(record), exist_ok=True)
        write_json(record, values)


def installFile(name: str) -> str:
    return os.path.join(PACKAGE, "install", name)


def engineFolder() -> str:
    """The folder to put on PYTHONPATH so that `python -m cryodl` works."""
    return os.path.join(PACKAGE, "engine")


def pythonOf(home: str) -> str:
    return os.path.join(home, "env", "bin", "python")


def markerOf(home: str) -> str:
    """The file that install_env.sh writes last; its name holds the lock's checksum, so that a new lock is noticed."""
    checksum = hashlib.sha256(Path(installFile("requirements.lock")).read_bytes()).hexdigest()
    return os.path.join(home, "env", "cryodl-ready-" + checksum[:12])


def environmentProblems(home: str, ownPython: str) -> List[str]:
    """Sentences about what hinders the engine from running. home: CRYODL_HOME. ownPython: CRYODL_PYTHON or ''."""
    if ownPython:
        return _problemsOfOwn(ownPython)
    folder = os.path.join(home, "env")
    if os.path.exists(markerOf(home)) and os.path.exists(pythonOf(home)):
        return []
    wrong = f"in {folder} is incomplete: its installation did not finish. To build it again, run"
    if not os.path.isdir(folder):
        wrong = f"is missing: there is no folder {folder} ({CRYODL_HOME}) that you can read. Run"
    elif os.path.lexists(pythonOf(home)) and not os.path.exists(pythonOf(home)):  # pyenv, uv: often in root's home
        wrong = (
            f"in {folder} cannot be used: its Python, {os.path.realpath(pythonOf(home))}, was removed or lies where "
            "only its owner can read. Whoever installed it should remove it and, with a Python that all can read, run"
        )
    elif any(name.startswith("cryodl-ready-") for name in os.listdir(folder)):
        wrong = f"in {folder} was made for another version of cryodl. Run"
    return [f"cryodl's environment {wrong}: {INSTALL_COMMAND}"]


def _problemsOfOwn(python: str) -> List[str]:
    remedy = (
        f"Give the path of a Python that has the packages of {installFile('requirements.lock')}, or leave it empty "
        f"and run: {INSTALL_COMMAND}"
    )
    runs = os.path.isfile(python) and os.access(python, os.X_OK)
    missing = missingIn(python, NEEDED) if runs else None
    if missing is None:
        wrong = "is not a Python interpreter" if runs else "is not an executable file"
    else:
        wrong = "lacks what the engine needs: " + ", ".join(f"{name} ({why})" for name, why in missing.items())
    return [] if missing == {} else [f"{CRYODL_PYTHON} is {python}, which {wrong}. {remedy}"]


def installCommand(home: str, pipArgs: Any, activation: Any) -> str:
    """The shell command that makes the environment in `home`. pipArgs: more arguments for pip. activation: what makes
    conda known to the shell, ending with `&&`; or ''."""
    variables = {CRYODL_PIP_ARGS: pipArgs or "", "CRYODL_SCIPION_PYTHON": sys.executable}
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return activation + " ".join(words + ["bash", shlex.quote(installFile("install_env.sh")), shlex.quote(home)])
