#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of every form, tab by tab, for the documentation.

    xvfb-run -a -s "-screen 0 1600x1200x24" python -m scipion python scripts/form_pictures.py FOLDER [NAME ...]

FOLDER: docs/images/forms. NAME: of protocols, CryodlProtPick ...; all without any. A new form of each protocol is
opened in an empty project, which is removed afterwards, as the project window opens it. protocol_pick.png is its first
tab, protocol_pick_training.png the tab Training; tabs without fields are left out. Pictures have 64 colours.
"""

import os
import shutil
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Tuple

_COLOURS = 64
_SCIPIONS = ("General", "Parallelization")  # tabs that look alike on every form
_STREAMING = "Streaming"  # another one, and the protocols whose tab is shown
_STREAMED = ("protocol_pick", "protocol_classify_2d")
_LAST_WORDS = "The forms of these protocols failed"


def pages(protocol: Any) -> Iterator[Tuple[str, str]]:
    """(name of the picture, tab) of a new protocol's form.

    The first tab has the name of the protocol's page in docs/.
    """
    page = protocol.__class__.__module__.rsplit(".", 1)[-1]
    sections = [s for s in protocol.getDefinition().iterSections() if s.getLabel() not in _SCIPIONS]
    for number, section in enumerate(sections):
        label = section.getLabel()
        if any(True for _ in section.iterParams()) and (label != _STREAMING or page in _STREAMED):
            yield page + (f"_{label.lower().replace(' ', '_')}" if number else ""), label


def openersOf(screens: Any, names: List[str]) -> Dict[str, Any]:
    """{name of the picture: function that opens the form}."""
    openers = {}
    for name, cls in sorted(screens.domain.getProtocols().items()):
        # names of 0.1.0 have no label of their own: they are another form with a choice
        if not name.startswith("CryodlProt") or "_label" not in vars(cls) or (names and name not in names):
            continue
        for picture, tab in pages(screens.new(name)):
            openers[picture] = lambda name=name, tab=tab: screens.openForm(screens.new(name), tab)
    return openers


def fewerColours(path: str) -> None:
    """Write a picture again with a palette: a fifth of the size, and forms look the same."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(path, optimize=True)


def main(folder: str, *names: str) -> None:
    """Take the pictures; exit code 1, and the traceback, when a form fails."""
    os.environ.setdefault("SCIPION_USER_DATA", tempfile.mkdtemp(prefix="cryodl-forms-"))
    from pyworkflow.project import Manager

    from cryodl_scipion.tests.screens import Screens

    folder, failed = os.path.abspath(folder), []
    os.makedirs(folder, exist_ok=True)
    manager, name = Manager(), f"cryodl_forms_{os.getpid()}"
    project = manager.createProject(name)
    os.chdir(project.path)
    screens = Screens(project, folder)
    for picture, opener in openersOf(screens, list(names)).items():
        failure = screens.take(picture, opener)
        print(f"{picture}: {failure or 'ok'}", flush=True)
        if failure:
            failed.append(picture)
        else:
            fewerColours(os.path.join(folder, picture + ".png"))
    shutil.rmtree(project.path, ignore_errors=True)
    if failed:
        print(f"{_LAST_WORDS}: {', '.join(failed)}")
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
