#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures for the documentation: of forms, of result windows and wizards, and of the engine's windows.

    xvfb-run -a -s "-screen 0 1600x1200x24" python -m scipion python scripts/pictures.py forms FOLDER [NAME ...]

Every form, tab by tab. FOLDER: docs/images/forms. NAME: of protocols, CryodlProtPick ...; all without any. A new form
of each protocol is opened in an empty project, which is removed afterwards, as the project window opens it.
protocol_pick.png is its first tab, protocol_pick_training.png the tab Training; tabs without fields are left out.

    xvfb-run -a -s "-screen 0 1600x1200x24" python -m scipion python scripts/pictures.py windows FOLDER WORK [WING ...]

Every result window and every wizard. FOLDER: docs/images/windows. WORK: for a project with small runs (window_runs.py),
which is used again. WING: micrographs, particles, tomograms, maps, all without any; or how names of pictures begin, as
protocol_pick. protocol_pick_scores.png is the tab "Histogram of the scores" of what Analyze Results opens,
protocol_denoise.png a result without tabs, protocol_pick_wizard_threshold.png a wizard.

    PYTHONPATH=cryodl_scipion/engine PYTHON scripts/pictures.py hand FOLDER PICKS ASKED MICROGRAPHS PIXEL DIAMETER

The windows of picks and of questions. PYTHON: the engine's; no screen is needed. FOLDER: docs/images. PICKS: what
`cryodl pick` with the model ribosome made of the demo's micrographs. ASKED: what it made of MICROGRAPHS (a pattern),
with questions.json; their Å/px, and Å.
"""

import glob
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
from PIL import Image

_COLOURS = 64  # of forms
_SCIPIONS = ("General", "Parallelization")  # tabs that look alike on every form
_STREAMING = "Streaming"  # another one, and the protocols whose tab is shown
_STREAMED = ("protocol_pick", "protocol_classify_2d")
_LARGEST = 90_000  # bytes of a picture; noise is hard to pack
# Wizards that only say what they need: a threshold is for scores, not labels, a diameter here for subtomograms.
_REFUSED = tuple(
    f"protocol_{name}_wizard_threshold" for name in ("evaluate_segmentation", "measure_membranes", "pick_features")
) + ("protocol_fit_heterogeneity_wizard_particlediameter",)
_PROGRAM = "showInChimera"  # the line that starts another program
QUESTION = 14  # a place with all its neighbours
Opener = Callable[[], None]


def pageOf(protocol: Any) -> str:
    """The page of a protocol in docs/, without its ending."""
    return str(protocol.__class__.__module__.rsplit(".", 1)[-1])


def taken(screens: Any, openers: Dict[str, Opener], write: Callable[[str, str], None], folder: str) -> List[str]:
    """Take pictures and write(source, path) them to a folder. Returns the names of those that failed."""
    failed = []
    for name, opener in openers.items():
        failure = screens.take(name, opener)
        print(f"{name}: {failure or 'ok'}", flush=True)
        if failure:
            failed.append(name)
        else:
            write(os.path.join(screens.folder, name + ".png"), os.path.join(folder, name + ".png"))
    return failed


# ----- forms
def pages(protocol: Any) -> Iterator[Tuple[str, str]]:
    """(name of the picture, tab) of a new protocol's form; the first tab has the name of the protocol's page."""
    page = pageOf(protocol)
    sections = [s for s in protocol.getDefinition().iterSections() if s.getLabel() not in _SCIPIONS]
    for number, section in enumerate(sections):
        label = section.getLabel()
        if any(True for _ in section.iterParams()) and (label != _STREAMING or page in _STREAMED):
            yield page + (f"_{label.lower().replace(' ', '_')}" if number else ""), label


def formsOf(screens: Any, names: Tuple[str, ...]) -> Dict[str, Opener]:
    """{name of the picture: function that opens the form}."""
    openers = {}
    for name, cls in sorted(screens.domain.getProtocols().items()):
        # names of 0.1.0 have no label of their own: they are another form with a choice
        if name.startswith("CryodlProt") and "_label" in vars(cls) and (not names or name in names):
            for picture, tab in pages(screens.new(name)):
                openers[picture] = lambda name=name, tab=tab: screens.openForm(screens.new(name), tab)
    return openers


def fewerColours(source: str, path: str) -> None:
    """Write a picture with a palette: a fifth of the size, and forms look the same."""
    with Image.open(source) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(path, optimize=True)


def forms(folder: str, *names: str) -> List[str]:
    os.environ.setdefault("SCIPION_USER_DATA", tempfile.mkdtemp(prefix="cryodl-forms-"))
    from pyworkflow.project import Manager

    from cryodl_scipion.tests.screens import Screens

    project = Manager().createProject(f"cryodl_forms_{os.getpid()}")
    os.chdir(project.path)
    screens = Screens(project, folder)
    failed = taken(screens, formsOf(screens, names), fewerColours, folder)
    shutil.rmtree(project.path, ignore_errors=True)
    return failed


# ----- result windows and wizards
def results(screens: Any, protocol: Any) -> Iterator[Tuple[str, Opener]]:
    """(name of the picture, function that opens it) of what Analyze Results shows of a run."""
    from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer

    viewers = screens.domain.findViewers(protocol, DESKTOP_TKINTER)
    if not viewers or not protocol.isFinished():
        return
    if not issubclass(viewers[0], ProtocolViewer):
        yield pageOf(protocol), lambda: screens.analyze(protocol)
        if protocol.getClassName() == "CryodlProtDenoise":
            yield f"{pageOf(protocol)}_particle", screens.openParticle
        return
    viewer = viewers[0](project=screens.project, protocol=protocol, parent=screens.window)
    viewer.setProtocol(protocol)
    for panel in viewer._getVisualizeDict():
        if panel != _PROGRAM:
            name = f"{pageOf(protocol)}_{panel[len('show') :].lower()}"
            yield name, lambda panel=panel: screens.openPanel(protocol, panel)


def wizards(screens: Any, protocol: Any) -> Iterator[Tuple[str, Opener]]:
    """(name of the picture, function that opens it) of the wizards of a run's form."""
    from pyworkflow.viewer import DESKTOP_TKINTER

    for field, wizard in sorted(screens.domain.findWizards(protocol, DESKTOP_TKINTER).items()):
        # a protocol finds the wizards of the class it comes from, also of fields that its own form has not
        name = f"{pageOf(protocol)}_wizard_{field.lower()}"
        ours = wizard.__module__.startswith("cryodl_scipion") and name not in _REFUSED
        if ours and protocol.hasAttribute(field) and protocol.evalParamCondition(field):
            yield name, lambda field=field: screens.wizardOf(protocol, field)


def palette(picture: Any, greys: int, colours: int) -> Any:
    """Picture whose palette holds some greys and the strongest colours of a picture: micrographs stay grey."""
    pixels = np.asarray(picture).reshape(-1, 3)
    strong = pixels[np.ptp(pixels.astype(int), axis=1) > 40]
    strongest, rare = Image.fromarray(strong[None] if len(strong) > 1 else np.zeros((1, 2, 3), np.uint8)), colours // 4
    shades = strongest.quantize(colours - rare).getpalette()[: 3 * (colours - rare)]
    # rare colours too, as those of a legend: a median cut goes by the number of pixels
    shades += strongest.quantize(rare, Image.Quantize.MAXCOVERAGE).getpalette()[: 3 * rare]
    made = Image.new("P", (1, 1))
    made.putpalette([v for v in np.linspace(0, 255, greys).astype(int).tolist() for _ in range(3)] + shades)
    return made


def smaller(source: str, path: str) -> None:
    """Write a picture with a palette, and if need be smaller, until it has at most _LARGEST bytes."""
    with Image.open(source) as picture:
        full = picture.convert("RGB")
    sizes = ((32, 64, 1.0), (16, 48, 1.0), (16, 32, 0.8), (12, 24, 0.75), (8, 24, 0.7), (8, 16, 0.6))
    for greys, colours, scale in sizes:
        size = (round(full.width * scale), round(full.height * scale))
        small = full if scale == 1 else full.resize(size, Image.LANCZOS)
        small.quantize(palette=palette(small, greys, colours), dither=Image.Dither.NONE).save(path, optimize=True)
        if os.path.getsize(path) <= _LARGEST:
            return


def windows(folder: str, work: str, *wings: str) -> List[str]:
    work = os.path.abspath(work)
    for name in ("projects", "taken"):
        os.makedirs(os.path.join(work, name), exist_ok=True)
    os.environ["SCIPION_USER_DATA"] = work
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import pyworkflow as pw

    pw.Config.SCIPION_USER_DATA = work
    import window_runs
    from pyworkflow.project import Manager

    from cryodl_scipion.tests.screens import Screens

    manager = Manager()
    project = (manager.loadProject if manager.hasProject("windows") else manager.createProject)("windows")
    os.chdir(project.path)
    runs = window_runs.Runs(project, work)
    chosen = tuple(name for name in wings if name not in window_runs.MAKERS)
    for wing, make in window_runs.MAKERS.items():
        if wing in wings or len(chosen) == len(wings):
            make(runs)
    screens, openers = Screens(project, os.path.join(work, "taken")), {}
    for protocol in [runs.made[label] for label in runs.asked if label in runs.made]:
        if protocol.getClassName().startswith("CryodlProt"):
            for name, opener in [*results(screens, protocol), *wizards(screens, protocol)]:
                if not chosen or name.startswith(chosen):
                    openers.setdefault(name, opener)
    return runs.failed + taken(screens, openers, smaller, folder)


# ----- the engine's windows
def draw(shown: type, session: Any, size: Tuple[float, float], path: str, dpi: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi)
    FigureCanvasAgg(figure)
    shown(figure, session)
    with tempfile.NamedTemporaryFile(suffix=".png") as full:
        figure.savefig(full.name)
        smaller(full.name, path)


def hand(folder: str, picks: str, asked: str, micrographs: str, pixel_size: str, diameter: str) -> List[str]:
    """Correct some picks of the demo, and ask about one place."""
    from cryodl.micrographs.byhand import asking, window
    from cryodl.micrographs.byhand.questions import QUESTIONS, read_questions
    from cryodl.micrographs.byhand.session import HandSession
    from cryodl.micrographs.byhand.store import HandPicks

    demo = str(Path(__file__).resolve().parent.parent / "data" / "demo" / "micrographs" / "*.mrc")
    corrected, named = ([(Path(file).stem, file) for file in sorted(glob.glob(p))] for p in (demo, micrographs))
    with tempfile.TemporaryDirectory() as made:
        names = [name for name, _ in corrected]
        session: Any = HandSession(corrected, HandPicks(os.path.join(made, "picks"), names, picks), 5.36, 300.0)
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

        store = HandPicks(os.path.join(made, "answers"), [name for name, _ in named], asked)
        questions = read_questions(Path(asked) / QUESTIONS)
        session = asking.AskSession(named, store, float(pixel_size), float(diameter), questions)
        session.go(QUESTION - 1)
        draw(asking.AskWindow, session, asking.SIZE, os.path.join(folder, "questions.png"), 60)
    return []


def main(kind: str, folder: str, *more: str) -> None:
    """Take the pictures of a kind; exit code 1 when one fails."""
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    failed = dict(forms=forms, windows=windows, hand=hand)[kind](folder, *more)
    if failed:
        print(f"Failed: {', '.join(failed)}")
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
