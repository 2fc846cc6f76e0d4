# SPDX-License-Identifier: GPL-3.0-or-later
"""Build a release, and install it by name from an index on this machine, with Scipion's own installer.

    python scripts/check_release.py --scipion .cryodl/scipion --work FOLDER [--twine TWINE] [--engine]

Builds sdist and wheel of the checkout and of the same with the next version; checks them with twine; serves both on
localhost; and in a copy of Scipion's environment: `scipion installp -p scipion-em-cryodl`, the form's Help, update,
downgrade, uninstall; with --engine the engine's environment is built, a micrograph is picked with it, and it goes with
the plugin. Scipion asks PyPI which releases there are; its address of PyPI, a constant in its code, is this
index for the trial, and nothing else of Scipion is changed. Exits 1 if something is wrong.
"""

import argparse
import functools
import glob
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, List

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from check_install import FINDER, NAME, NOT_COPIED, SDIST, TOP, WHEEL, Runner

VERSION_FILE = os.path.join("cryodl_scipion", "engine", "cryodl", "__init__.py")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scipion", required=True, help="Scipion's environment (a venv); it is not changed")
    parser.add_argument("--work", required=True, help="folder for the copies; on the file system of --scipion")
    parser.add_argument("--twine", help="the program twine; without it nothing is checked by it")
    parser.add_argument("--engine", action="store_true", help="build the engine's environment, too (1 to 8 GB)")
    options = parser.parse_args()
    work = Path(options.work).absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    files = release(work, os.path.join(options.scipion, "bin", "python"))
    if options.twine:
        subprocess.check_call([options.twine, "check", "--strict", *files])
    versions = list(dict.fromkeys(path.parent.name for path in files))
    address, scipion = serve(work / "index", files, versions), str(work / "scipion")
    subprocess.check_call(["cp", "-al", os.path.abspath(options.scipion), scipion])
    run = Runner(scipion, str(work))
    for name in ("CRYODL_PYTHON", "CRYODL_HOME"):  # an engine that is there already
        run.env.pop(name, None)
    index = f"{address}/simple/ {indexes(run.python)}"
    run.env.update(SCIPION_PLUGIN_JSON=address + "/plugins.json", PIP_EXTRA_INDEX_URL=index, SCIPION_DOMAIN="pwem")
    run("-m", "pip", "uninstall", "-q", "-y", NAME)
    wrong = trial(run, address, versions, options.engine)
    print("; ".join(wrong) or "all is well")
    shutil.rmtree(work)
    sys.exit(bool(wrong))


def indexes(python: str) -> str:
    """The further indexes that pip is set to ask on this machine; the variable that adds ours would hide them."""
    words = [python, "-m", "pip", "config", "get", "global.extra-index-url"]
    asked = subprocess.run(words, capture_output=True, text=True)
    return os.environ.get("PIP_EXTRA_INDEX_URL") or asked.stdout.strip().replace("\n", " ")


def release(work: Path, python: str) -> List[Path]:
    """Build the checkout, and once more with the next version. Returns the files, each in a folder of its version."""
    source, usual = work / "source" / NAME, shutil.ignore_patterns(*NOT_COPIED)

    def ignored(folder: str, names: List[str]) -> Any:  # of .cryodl the built site alone is copied
        skipped = {name for name in names if name != "site"} if folder.endswith(".cryodl") else usual(folder, names)
        return skipped - {".cryodl"}

    shutil.copytree(TOP, source, symlinks=True, ignore=ignored)
    text = (source / VERSION_FILE).read_text(encoding="utf-8")
    first = re.search(r'__version__ = "(.+)"', text).group(1)
    for version in (first, first + ".post1"):
        (source / VERSION_FILE).write_text(text.replace(f'"{first}"', f'"{version}"'), encoding="utf-8")
        dist = str(work / "dist" / version)
        for words in (["-c", SDIST.format(str(source), dist)], ["-m", *WHEEL, dist, str(source)]):
            done = subprocess.run([python, *words], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(words)}: {done.stderr[-2000:]}")
    files = sorted((work / "dist").glob("*/*"))
    print("\n".join(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB" for path in files))
    return files


def serve(top: Path, files: List[Path], versions: List[str]) -> str:
    """An index as pip and Scipion ask for it, on a free port of this machine. Returns its address."""
    simple, pypi = top / "simple" / NAME, top / "pypi" / NAME
    for folder in (simple, pypi):
        folder.mkdir(parents=True)
    for path in files:
        shutil.copy(path, simple)
    (simple / "index.html").write_text("".join(f'<a href="{path.name}">{path.name}</a>\n' for path in files))
    releases = {version: [dict(comment_text="scipion-3.0", upload_time="2026")] for version in versions}
    (pypi / "json").write_text(json.dumps(dict(info=dict(summary="", author=""), releases=releases)))
    (top / "plugins.json").write_text(json.dumps({NAME: dict(pipName=NAME, name="cryodl_scipion", pluginSourceUrl="")}))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(top))
    handler.func.log_message = lambda *words: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def trial(run: Any, address: str, versions: List[str], engine: bool) -> List[str]:
    """Install, update, downgrade, uninstall. Returns sentences about what is wrong.

    run: Runner of the copy of Scipion. engine: with the engine's environment, which is built once.
    """
    wrong, made, (old, new) = [], [], versions
    last = [] if engine else ["--noBin"]
    installer = lambda *words: run("-c", SCIPION.format(address=address, words=[*words, *last]))

    def installed() -> str:
        shown = run("-m", "pip", "list", "--format", "freeze")
        return next((line.split("==")[1] for line in shown.splitlines() if line.startswith(NAME + "==")), "")

    for what, wanted, version in (("the newest by name", new, []), ("an older version", old, [old]), ("", new, [new])):
        started, what = time.time(), what or "an update"
        said = installer("installp", "-p", NAME, *version)
        print(f"{what}: {installed() or 'nothing'} is installed ({time.time() - started:.0f} s)", flush=True)
        if installed() != wanted:
            wrong.append(f"{what}: {installed() or 'nothing'} is installed, not {wanted}: {said[-600:]}")
        if engine:
            made.append([(path, os.path.getmtime(path)) for path in environments(run, "cryodl-ready-*")])
    found = json.loads(run("-c", FINDER).strip().splitlines()[-1])
    print(", ".join(f"{len(found[kind])} {kind}" for kind in ("protocols", "viewers", "wizards", "files")))
    said = run("-c", HELP)
    print(said.strip())
    if "without a page: [] " not in said:
        wrong.append("forms without Help")
    if engine:
        wrong += works(run)
        if not made[0] or any(one != made[0] for one in made):  # what the installer of the environment writes last
            wrong.append("the engine's environment was not built once and then kept")
    installer("uninstallp", "-p", NAME)
    left = environments(run)
    print(f"uninstalled; left of the package: {installed() or 'nothing'}, of the environment: {left or 'nothing'}")
    return wrong + ["uninstallp leaves something"] * bool(installed() or left)


def environments(run: Any, *inner: str) -> List[str]:
    """Paths of the engine's environments among those of Scipion's plugins, or in them."""
    return glob.glob(os.path.join(run.env["SCIPION_HOME"], "software", "em", "cryodl-*", "env", *inner))


def works(run: Any) -> List[str]:
    """Pick a micrograph of the demo with the installed command `cryodl`. Returns sentences about what is wrong."""
    folder = os.path.join(run.env["SCIPION_HOME"], "picks")
    command = [os.path.join(os.path.dirname(run.python), "cryodl"), "pick", "--micrographs", DEMO]
    command += ["--pixel-size", "5.36", "--model", "ribosome", "--output", folder]
    done = subprocess.run(command, env=run.env, cwd=run.folder, capture_output=True, text=True)
    print("cryodl pick:", (done.stdout + done.stderr).strip().splitlines()[-1])
    return [] if done.returncode == 0 and os.path.exists(os.path.join(folder, "065.star")) else ["cryodl pick failed"]


if __name__ == "__main__":
    main()
