# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the engine as children of a process that has loaded the program already: thousands of short runs."""

import importlib
import multiprocessing
import os
import pkgutil
import sys
from pathlib import Path

from trials import ENGINE

SLOW_TO_IMPORT = ("accelerate", "matplotlib.pyplot", "torch._dynamo")  # and imported by commands at work
FORK = multiprocessing.get_context("fork")


def load_program() -> None:
    """Import all modules of the engine. No thread is started, so that this process can be forked."""
    sys.path.insert(0, str(ENGINE))
    os.environ.update(PYTHONPATH=str(ENGINE), OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1", MPLBACKEND="Agg")
    package = importlib.import_module("cryodl")
    for module in pkgutil.walk_packages(package.__path__, "cryodl."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)


def start_forked(arguments: list, folder: Path, log: Path) -> multiprocessing.Process:
    """A running command in a folder, its words in a log. It has is_alive(), kill(), join() and exitcode."""
    process = FORK.Process(target=_run, args=(arguments, folder, log))
    process.start()
    return process


def _run(arguments, folder, log):
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(folder)
    sys.argv = ["cryodl", *arguments]
    sys.exit(importlib.import_module("cryodl.cli").main(arguments))
