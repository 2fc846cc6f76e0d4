# SPDX-License-Identifier: GPL-3.0-or-later
"""What `python -m scipion tests` sets up by itself, for plain pytest. Variables that are set already are kept."""

import atexit
import importlib.util
import json
import os
import shutil
import sys
import tempfile

import matplotlib
import pytest
import pyworkflow as pw

# Their protocols are left out where the plugin tomo is not installed, see tomography.py.
collect_ignore_glob = [] if importlib.util.find_spec("tomo") else ["tomograms/*.py"]

# Windows are never wanted in tests; those that need a display start their own process.
matplotlib.use("Agg")


def _setUp():
    import scipion

    folder = tempfile.mkdtemp(prefix="cryodl-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    values = {
        "SCIPION_HOME": folder,
        "SCIPION_USER_DATA": os.path.join(folder, "userdata"),
        "SCIPION_TESTS_OUTPUT": os.path.join(folder, "userdata", "Tests"),
        "SCIPION_NOTIFY": "False",
        "SCIPION_HOSTS": os.path.join(os.path.dirname(scipion.__file__), "templates", "hosts.template"),
    }
    # Two processes that share the tests of a class must not share its project.
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and "SCIPION_USER_DATA" in os.environ:
        values["SCIPION_USER_DATA"] = os.path.join(os.environ.pop("SCIPION_USER_DATA"), worker)
    for name, value in values.items():
        if name not in os.environ:
            os.environ[name] = value
            # pyworkflow has read its variables already: pytest imports the package before this file.
            setattr(pw.Config, name, value)
    # Protocols are started as `python3`, which must be this one.
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    pw.Config.setDomain("pwem")


_setUp()


@pytest.fixture(scope="session", autouse=True)
def runsAreForks():
    """Under Scipion's own command for tests they are processes of their own."""
    from . import launching

    launching.install()


# ----- that every protocol's run lost its outputs once, and had them again: last_second.py
_raced = set()


def _racedHere():
    return getattr(sys.modules.get("cryodl_scipion.tests.last_second"), "RACED", {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Of one process of several (pytest-xdist)."""
    _raced.update(getattr(node, "workeroutput", {}).get("raced", ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Of all tests but those of windows, as scripts/test starts them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["raced"] = sorted(_racedHere())
        return
    raced = _raced.union(_racedHere())
    if "CRYODL_LOSSES_FILE" in os.environ:  # benchmarks/scipion_kills.py
        with open(os.environ["CRYODL_LOSSES_FILE"], "w") as file:
            json.dump(_racedHere(), file)
    whole = session.config.args in (
        ["cryodl_scipion/tests"],
        [str(session.config.rootpath / "cryodl_scipion" / "tests")],
    )
    if whole and not session.config.option.keyword and session.exitstatus == 0 and raced:
        names = {n for n, c in pw.Config.getDomain().getProtocols().items() if n.startswith("CryodlProt")}
        if names - raced:
            print(f"\nNo test takes the outputs from: {', '.join(sorted(names - raced))} (last_second.py)")


# Classes of a minute or more come first, so that two processes end together.
_LONG = (
    "TestCryodlScheduler",
    "TestCryodlRealTemplate",
    "TestCryodlScreens",
    "TestCryodlChain",
    "TestCryodlFilledForms",
)


def pytest_collection_modifyitems(items):
    first = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: first.get(getattr(getattr(item, "cls", None), "__name__", ""), len(first)))


def pytest_itemcollected(item):
    if getattr(getattr(item, "cls", None), "_SLOW", False):
        item.add_marker("slow")
