# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the windows of picks and of questions, which the engine opens, for the documentation.

    PYTHONPATH=cryodl_scipion/engine PYTHON scripts/hand_pictures.py FOLDER PICKS ASKED MICROGRAPHS PIXEL DIAMETER

PYTHON: the engine's. FOLDER: docs/images. PICKS: what `cryodl pick` with the model ribosome made of the demo's
micrographs. ASKED: what it made of MICROGRAPHS (a pattern), with questions.json; their Å/px, and Å. No screen is
needed.
"""

import glob
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Tuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from window_pictures import smaller

from cryodl.micrographs.byhand import asking, window
from cryodl.micrographs.byhand.questions import QUESTIONS, read_questions
from cryodl.micrographs.byhand.session import HandSession
from cryodl.micrographs.byhand.store import HandPicks

DEMO = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "demo", "micrographs", "*.mrc")
QUESTION = 15  # a place with all its neighbours


def draw(shown: type, session: Any, size: Tuple[float, float], path: str, dpi: int) -> None:
    """Write the picture of a window, with few colours."""
    figure = Figure(figsize=size, dpi=dpi)
    FigureCanvasAgg(figure)
    shown(figure, session)
    with tempfile.NamedTemporaryFile(suffix=".png") as full:
        figure.savefig(full.name)
        smaller(full.name, path)


def main(folder: str, picks: str, asked: str, micrographs: str, pixel_size: str, diameter: str) -> None:
    """Correct some picks of the demo, and ask about one place."""
    with tempfile.TemporaryDirectory() as made:
        named = [(Path(file).stem, file) for file in sorted(glob.glob(DEMO))]
        names = [name for name, _ in named]
        session: Any = HandSession(named, HandPicks(os.path.join(made, "picks"), names, picks), 5.36, 300.0)
        best = sorted(session.picks, key=lambda pick: pick.score)
        for pick in best[:3]:
            session.remove(pick.y, pick.x)
        for pick in best[-40:]:
            session.press(pick.y, pick.x)
            session.release()
        session.toggle_painting()
        session.change_brush(3)
        session.press(820.0, 170.0)
        for x in (200.0, 230.0, 260.0, 290.0):
            session.drag(820.0 + x / 4, x)
        session.release()
        draw(window.HandWindow, session, window.SIZE, os.path.join(folder, "pick_by_hand.png"), 100)

        named = [(Path(file).stem, file) for file in sorted(glob.glob(micrographs))]
        store = HandPicks(os.path.join(made, "answers"), [name for name, _ in named], asked)
        questions = read_questions(Path(asked) / QUESTIONS)
        session = asking.AskSession(named, store, float(pixel_size), float(diameter), questions)
        session.go(QUESTION - 1)
        draw(asking.AskWindow, session, asking.SIZE, os.path.join(folder, "questions.png"), 60)


if __name__ == "__main__":
    main(*sys.argv[1:])
