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
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import Any, Dict, List

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from check_install import NAME, NOT_COPIED, TOP, Runner
from release_trial import trial

VERSION_FILE = os.path.join("cryodl_scipion", "engine", "cryodl", "__init__.py")


def main() -> None:
    options = parseArguments()
    work = os.path.abspath(options.work)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    files, versions = release(work, options.scipion)
    if options.twine:
        say("twine check", subprocess.run([options.twine, "check", "--strict", *files], capture_output=True, text=True))
    address = serve(work, files, versions)
    scipion = os.path.join(work, "scipion")
    subprocess.check_call(["cp", "-al", os.path.abspath(options.scipion), scipion])
    run = Runner(scipion, work)
    for name in ("CRYODL_PYTHON", "CRYODL_HOME"):  # an engine that is there already
        run.env.pop(name, None)
    run.env.update(
        SCIPION_PLUGIN_JSON=address + "/plugins.json",
        PIP_EXTRA_INDEX_URL=f"{address}/simple/ {indexes(run.python)}",
        SCIPION_DOMAIN="pwem",
    )
    run("-m", "pip", "uninstall", "-q", "-y", NAME)
    wrong = trial(run, address, versions, options.engine)
    print("; ".join(wrong) or "all is well")
    shutil.rmtree(work)
    sys.exit(1 if wrong else 0)


def parseArguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scipion", required=True, help="Scipion's environment (a venv); it is not changed")
    parser.add_argument("--work", required=True, help="folder for the copies; on the file system of --scipion")
    parser.add_argument("--twine", help="the program twine; without it nothing is checked by it")
    parser.add_argument(
        "--engine", action="store_true", help="build the engine's environment, too (minutes, 1 to 8 GB)"
    )
    return parser.parse_args()


def indexes(python: str) -> str:
    """The further indexes that pip is set to ask on this machine; the variable that adds ours would hide them."""
    asked = subprocess.run(
        [python, "-m", "pip", "config", "get", "global.extra-index-url"], capture_output=True, text=True
    )
    return os.environ.get("PIP_EXTRA_INDEX_URL") or asked.stdout.strip().replace("\n", " ")


def release(work: str, scipion: str) -> Any:
    """Build the checkout, and once more with the next version. Returns the files and the two versions."""
    source, files, versions = os.path.join(work, "source", NAME), list[str](), list[str]()
    ignored = shutil.ignore_patterns(*[name for name in NOT_COPIED if name != ".cryodl"], ".git")
    shutil.copytree(
        TOP, source, symlinks=True, ignore=lambda folder, names: _ignored(folder, names, ignored(folder, names))
    )
    path = os.path.join(source, VERSION_FILE)
    text = open(path, encoding="utf-8").read()
    first = re.search(r'__version__ = "(.+)"', text).group(1)
    for version in (first, first + ".post1"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(f'"{first}"', f'"{version}"'))
        dist = os.path.join(work, "dist", version)
        code = (
            f"import os; os.chdir({source!r}); from setuptools import build_meta as b; os.makedirs({dist!r}); "
            f"b.build_sdist({dist!r})"
        )
        python = os.path.join(scipion, "bin", "python")
        for words in (["-c", code], ["-m", "pip", "wheel", "-q", "--no-deps", "-w", dist, source]):
            done = subprocess.run([python, *words], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(words)}: {done.stderr[-2000:]}")
        files += [os.path.join(dist, name) for name in sorted(os.listdir(dist))]
        versions.append(version)
    for path in files:
        print(f"{os.path.basename(path)}: {os.path.getsize(path) / 1e6:.1f} MB")
    return files, versions


def _ignored(folder: str, names: List[str], ignored: Any) -> Any:
    """Of .cryodl the built site alone is copied."""
    return {name for name in names if name != "site"} if os.path.basename(folder) == ".cryodl" else ignored


def serve(work: str, files: List[str], versions: List[str]) -> str:
    """An index as pip and Scipion ask for it, on a free port of this machine. Returns its address."""
    top = os.path.join(work, "index")
    simple, pypi = os.path.join(top, "simple", NAME), os.path.join(top, "pypi", NAME)
    for folder in (simple, pypi):
        os.makedirs(folder)
    for path in files:
        shutil.copy(path, simple)
    names = [os.path.basename(path) for path in files]
    with open(os.path.join(simple, "index.html"), "w") as file:
        file.write("".join(f'<a href="{name}">{name}</a>\n' for name in names))
    releases: Dict[str, Any] = {v: [dict(comment_text="scipion-3.0", upload_time="2026")] for v in versions}
    with open(os.path.join(pypi, "json"), "w") as file:
        json.dump(dict(info=dict(summary="", author=""), releases=releases), file)
    with open(os.path.join(top, "plugins.json"), "w") as file:
        json.dump({NAME: dict(pipName=NAME, name="cryodl_scipion", pluginSourceUrl="")}, file)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=top)
    handler.func.log_message = lambda *words: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def say(what: str, done: Any) -> None:
    """Print what a program said; end if it failed."""
    print(f"{what}: {'passed' if not done.returncode else done.stdout + done.stderr}")
    if done.returncode:
        sys.exit(1)


if __name__ == "__main__":
    main()
