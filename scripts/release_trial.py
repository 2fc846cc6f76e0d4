# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as a user meets it: install by name, update, downgrade, uninstall; see check_release.py."""

import glob
import json
import os
import subprocess
import time
from typing import Any, List

from check_install import FINDER, NAME, TOP

# Scipion as `scipion WORDS`, but with another address of PyPI.
SCIPION = """
import runpy, sys
import scipion.install.plugin_funcs as funcs
funcs.PIP_BASE_URL = {address!r} + "/pypi"
sys.argv = ["scipion"] + {words!r}
from scipion.install.install_plugin import installPluginMethods
installPluginMethods()
"""
HELP = """
import pyworkflow as pw
pw.Config.setDomain("pwem"); domain = pw.Config.getDomain(); domain.getPlugins()
from cryodl_scipion import Plugin
ours = [c for n, c in domain.getProtocols().items() if n.startswith("CryodlProt") and c._label]
print("without a page:", sorted(c.__name__ for c in ours if not Plugin.getUrl(c)), "of", len(ours))
print("for example", Plugin.getUrl(ours[0]))
"""
DEMO = os.path.join(TOP, "data", "demo", "micrographs", "065.mrc")


def trial(run: Any, address: str, versions: List[str], engine: bool) -> List[str]:
    """Install, update, downgrade, uninstall. Returns sentences about what is wrong.

    run: Runner of the copy of Scipion. engine: with the engine's environment, which is built once.
    """
    wrong, (old, new) = [], versions
    words_last = [] if engine else ["--noBin"]

    def installer(*words: str) -> str:
        return str(run("-c", SCIPION.format(address=address, words=[*words, *words_last])))

    def installed() -> str:
        shown = run("-m", "pip", "list", "--format", "freeze")
        return next((line.split("==")[1] for line in shown.splitlines() if line.startswith(NAME + "==")), "")

    made = []
    for what, wanted, version in (("the newest by name", new, []), ("an older version", old, [old]), ("", new, [new])):
        started, what = time.time(), what or "an update"
        said = installer("installp", "-p", NAME, *version)
        print(f"{what}: {installed() or 'nothing'} is installed ({time.time() - started:.0f} s)", flush=True)
        if installed() != wanted:
            wrong.append(f"{what}: {installed() or 'nothing'} is installed, not {wanted}: {said[-600:]}")
        if engine:
            made.append(marker(run))
    found = json.loads(run("-c", FINDER).strip().splitlines()[-1])
    print(", ".join(f"{len(found[kind])} {kind}" for kind in ("protocols", "viewers", "wizards", "files")))
    said = run("-c", HELP)
    print(said.strip())
    if "without a page: [] " not in said:
        wrong.append("forms without Help")
    if engine:
        wrong += works(run)
        if not made[0] or len(set(made)) > 1:
            wrong.append("the engine's environment was not built once and then kept")
    installer("uninstallp", "-p", NAME)
    left = glob.glob(os.path.join(software(run), "cryodl-*", "env"))
    print(f"uninstalled; left of the package: {installed() or 'nothing'}, of the environment: {left or 'nothing'}")
    return wrong + ["uninstallp leaves something"] * bool(installed() or left)


def software(run: Any) -> str:
    """Folder in which Scipion has the environments of its plugins."""
    return os.path.join(run.env["SCIPION_HOME"], "software", "em")


def marker(run: Any) -> Any:
    """(path, time) of the file that the installer of the environment writes last; None without."""
    paths = glob.glob(os.path.join(software(run), "cryodl-*", "env", "cryodl-ready-*"))
    return (paths[0], os.path.getmtime(paths[0])) if paths else None


def works(run: Any) -> List[str]:
    """Pick a micrograph of the demo with the installed command `cryodl`. Returns sentences about what is wrong."""
    folder = os.path.join(run.env["SCIPION_HOME"], "picks")
    command = [
        os.path.join(os.path.dirname(run.python), "cryodl"),
        "pick",
        "--micrographs",
        DEMO,
        "--pixel-size",
        "5.36",
    ]
    command += ["--model", "ribosome", "--output", folder]
    done = subprocess.run(command, env=run.env, cwd=run.folder, capture_output=True, text=True)
    print("cryodl pick:", (done.stdout + done.stderr).strip().splitlines()[-1])
    return [] if done.returncode == 0 and os.path.exists(os.path.join(folder, "065.star")) else ["cryodl pick failed"]
