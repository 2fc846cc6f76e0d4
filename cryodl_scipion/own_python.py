# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a Python that the user names fit for the engine? The answer is kept while nothing changes."""

import hashlib
import json
import os
import subprocess
import tempfile
import typing
from typing import Any, Dict, List

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
    """Let a program import modules.

    Returns
    -------
    Its version, {module: why it does not import} and its folder of packages; None if the program is no Python.
    """
    variables = dict(os.environ, PYTHONNOUSERSITE="1", OMP_NUM_THREADS="1")
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        variables.pop(name, None)
    try:
        done = subprocess.run(
            [python, "-c", _QUESTION, json.dumps(list(modules))],
            env=variables,
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
    """{distribution: why it cannot be used} in a Python; None if the program is no Python.

    A Python that has everything is asked again only when it, its folder of packages or `needed` has changed.

    Parameters
    ----------
    needed
        {distribution: module}.
    """
    record = os.path.join(_cacheFolder(), hashlib.sha256(os.path.abspath(python).encode()).hexdigest()[:16] + ".json")
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
        with open(record, encoding="utf-8") as file:
            kept = json.load(file)
        return kept["needed"] == sorted(needed) and kept["state"] == _state(python, kept["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remember(record: str, values: Dict[str, Any]) -> None:
    """Keep an answer; where it cannot be kept the Python is asked again next time."""
    try:
        os.makedirs(os.path.dirname(record), exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(record), delete=False, encoding="utf-8") as file:
            json.dump(values, file)
        os.replace(file.name, record)
    except OSError:
        pass


def _cacheFolder() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cryodl")
