# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the plugin in each of the four ways, in copies of Scipion's environment, and look what Scipion then finds.

    python scripts/check_install.py --scipion .cryodl/scipion --python ENGINE_PYTHON --work FOLDER [--ways plain ...]

Ways: plain (pip install .), editable (pip install -e .), wheel (sdist, then a wheel of it), installp (Scipion's
own installer on a checkout). Exits 1 and names what is missing if one of them does not find everything.
"""

import argparse
import ast
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAME = "scipion-em-cryodl"  # installp takes the folder's name for the distribution's
NOT_COPIED = (".git", ".cryodl", "build", "dist", "*.egg-info", "__pycache__", ".pytest_cache")
# Run by Scipion's Python after each installation: what is found, as JSON on the last line.
FINDER = """
import json, os, pyworkflow as pw
pw.Config.setDomain('pwem'); domain = pw.Config.getDomain(); domain.getPlugins()
from scipion.install.plugin_funcs import PluginInfo
import cryodl_scipion
ours = lambda classes: sorted(c.__name__ for c in classes if c.__module__.startswith('cryodl_scipion'))
engine = cryodl_scipion.Plugin.getEngineFolder()
files = sorted(os.path.relpath(os.path.join(folder, name), engine) for folder, _, names in os.walk(engine)
               for name in names if '__pycache__' not in folder and 'egg-info' not in folder)
print(json.dumps(dict(
    where=cryodl_scipion.__file__, version=cryodl_scipion.__version__, engine=engine, files=files,
    protocols=ours(domain.getProtocols().values()), viewers=ours(domain.getViewers().values()),
    wizards=ours(domain.getWizards().values()),
    binaries=PluginInfo(pipName='scipion-em-cryodl', name='cryodl_scipion', remote=False).binVersions)))
"""


# Code that builds an sdist of a folder into a new one, and the words of pip for a wheel.
SDIST = """import os; os.chdir({0!r})
from setuptools import build_meta
os.makedirs({1!r})
build_meta.build_sdist({1!r})"""
WHEEL = ("pip", "wheel", "-q", "--no-deps", "-w")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scipion", required=True, help="Scipion's environment (a venv); it is not changed")
    parser.add_argument("--python", required=True, help="the engine's Python")
    parser.add_argument("--work", required=True, help="folder for the copies; on the file system of --scipion")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    os.makedirs(options.work)
    wrong = []
    for way in options.ways:
        started = time.time()
        found, problems = check(way, options)
        counts = ", ".join(f"{len(found[kind])} {kind}" for kind in ("protocols", "viewers", "wizards"))
        print(f"{way:<9} {counts}: {'; '.join(problems) or 'all is there'} ({time.time() - started:.0f} s)", flush=True)
        wrong += problems
    shutil.rmtree(options.work)
    sys.exit(bool(wrong))


def check(way: Any, options: Any) -> Any:
    """What an installation finds, and sentences about what it lacks."""
    folder = os.path.join(os.path.abspath(options.work), way)
    source = os.path.join(folder, NAME)
    shutil.copytree(TOP, source, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
    scipion = os.path.join(folder, "scipion")
    # Links instead of copies: pip replaces files, it does not write into them.
    subprocess.check_call(["cp", "-al", os.path.abspath(options.scipion), scipion])
    run = Runner(scipion, folder)
    run("-m", "pip", "uninstall", "-q", "-y", NAME)
    WAYS[way](run, source)
    found, wanted = json.loads(run("-c", FINDER).strip().splitlines()[-1]), expected(source)
    problems = compare(found, wanted, source, way)
    return found, problems + checkCommands(run, wanted["protocols"], found["engine"], options.python)


class Runner:
    """Runs the copy's Python, away from the checkout, and returns what it prints."""

    def __init__(self, scipion: Any, folder: str) -> None:
        self.python = os.path.join(scipion, "bin", "python")
        self.folder = os.path.join(folder, "elsewhere")
        home = os.path.join(folder, "home")
        os.makedirs(os.path.join(home, "software", "em"))
        os.makedirs(self.folder)
        self.env = dict(
            os.environ,
            PATH=os.path.dirname(self.python) + os.pathsep + os.environ["PATH"],
            VIRTUAL_ENV=scipion,
            SCIPION_HOME=home,
            SCIPION_USER_DATA=os.path.join(folder, "userdata"),
            SCIPION_LOCAL_CONFIG=os.path.join(home, "scipion.conf"),
            PYTHONNOUSERSITE="1",
        )
        self.env.pop("PYTHONPATH", None)

    def __call__(self, *words: Any) -> Any:
        pipes: Dict[str, Any] = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        done = subprocess.run([self.python, *words], cwd=self.folder, env=self.env, **pipes)
        if done.returncode:
            sys.exit(f"FAILED: python {' '.join(words)}\n{done.stdout[-4000:]}")
        return done.stdout


def wheel(run: Any, source: str) -> None:
    """As a release: sdist from the checkout, wheel from the sdist."""
    dist = os.path.join(os.path.dirname(source), "dist")
    run("-c", SDIST.format(source, dist))
    run("-m", *WHEEL, dist, os.path.join(dist, os.listdir(dist)[0]))
    run("-m", "pip", "install", "-q", *glob.glob(os.path.join(dist, "*.whl")))


WAYS: Dict[str, Callable[[Any, str], Any]] = {
    "plain": lambda run, source: run("-m", "pip", "install", "-q", source),
    "editable": lambda run, source: run("-m", "pip", "install", "-q", "-e", source),
    "wheel": wheel,
    "installp": lambda run, source: run("-m", "scipion", "installp", "-p", source, "--devel", "--noBin"),
}


def expected(source: str) -> Dict[str, Any]:
    """The same keys as FINDER's, read from the checkout's text."""
    package = os.path.join(source, "cryodl_scipion")
    engine = os.path.join(package, "engine")
    walked = [os.path.join(folder, name) for folder, _, names in os.walk(engine) for name in names]
    with open(os.path.join(package, "starting", "environment.py"), encoding="utf-8") as file:
        version = re.search(r'ENV_VERSION = "(.+)"', file.read()).group(1)
    return dict(
        files=sorted(os.path.relpath(path, engine) for path in walked if "__pycache__" not in path),
        protocols=classes(package, "protocols", "_label"),
        viewers=classes(package, "viewers", "_targets"),
        wizards=classes(package, "wizards", "_targets"),
        binaries=["cryodl-" + version],
    )


def classes(package: Any, module: Any, attribute: str) -> List[str]:
    """Names of the classes in a module or folder that set an attribute, in their body or as a keyword of their head,
    which makes Scipion show them."""
    path = os.path.join(package, module)
    paths = glob.glob(os.path.join(path, "**", "*.py"), recursive=True) or [path + ".py"]
    return sorted(
        node.name
        for path in paths
        for node in ast.walk(ast.parse(open(path, encoding="utf-8").read()))
        if isinstance(node, ast.ClassDef)
        and (
            any(word.arg == attribute.lstrip("_") for word in node.keywords)
            or any(
                isinstance(line, ast.Assign)
                and getattr(line.targets[0], "id", None) == attribute
                and not (isinstance(line.value, ast.List) and not line.value.elts)
                for line in node.body
            )
        )
    )


def compare(found: Any, wanted: Any, source: str, way: Any) -> Any:
    problems = [
        f"{key}: lacks {', '.join(sorted(set(wanted[key]) - set(found[key])))}"
        for key in wanted
        if set(wanted[key]) - set(found[key])
    ]
    if not found["protocols"] or not found["viewers"] or not found["wizards"]:
        problems.append("no protocols, viewers or wizards at all")
    inCheckout = os.path.realpath(found["where"]).startswith(os.path.realpath(source) + os.sep)
    if inCheckout != (way in ("editable", "installp")):
        problems.append(f"the package is taken from {found['where']}")
    return problems


def checkCommands(run: Any, protocols: List[str], engineFolder: str, python: str) -> List[str]:
    """Scipion's own listings, which leave names of 0.1.0 out, and the engine as this installation holds it."""
    listed = run("-m", "scipion", "protocols")
    problems = ["`scipion protocols` lacks " + name for name in protocols if name not in listed]
    if "cryodl_scipion.tests" not in run("-m", "scipion", "tests", "--grep", "cryodl_scipion"):
        problems.append("`scipion tests` lacks ours")
    if "error" in run("-m", "scipion", "inspect", "cryodl_scipion").lower():
        problems.append("`scipion inspect` shows errors")
    engine = subprocess.run(
        [python, "-m", "cryodl", "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, PYTHONPATH=engineFolder),
    )
    if engine.returncode:
        problems.append("the engine does not run: " + engine.stdout[-500:])
    return problems


if __name__ == "__main__":
    main()
