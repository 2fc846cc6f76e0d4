#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of every result window and of every wizard, for the documentation.

    xvfb-run -a -s "-screen 0 1600x1200x24" python -m scipion python scripts/window_pictures.py FOLDER WORK [WING ...]

FOLDER: docs/images/windows. WORK: for a project with small runs (window_runs.py), which is used again. WING:
micrographs, particles, tomograms, maps, all without any; or how names of pictures begin, as protocol_pick.
protocol_pick_scores.png is the tab "Histogram of the scores" of what Analyze Results opens, protocol_denoise.png a
result without tabs, protocol_pick_wizard_threshold.png a wizard.
"""

import os
import sys
from typing import Any, Callable, Dict, Iterator, Tuple

_LARGEST = 90_000  # bytes of a picture; noise is hard to pack
# Wizards that only say what they need: these runs are on labels, and a threshold is for scores.
_REFUSED = tuple(
    f"protocol_{name}_wizard_threshold" for name in ("evaluate_segmentation", "measure_membranes", "pick_features")
)
_PROGRAM = "showInChimera"  # the line that starts another program
Opener = Callable[[], None]


def pageOf(protocol: Any) -> str:
    """The page of a protocol in docs/, without its ending."""
    return str(protocol.__class__.__module__.rsplit(".", 1)[-1])


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
    import numpy as np
    from PIL import Image

    pixels = np.asarray(picture).reshape(-1, 3)
    strong = pixels[np.ptp(pixels.astype(int), axis=1) > 40]
    if len(strong) < 2:
        strong = np.zeros((2, 3), np.uint8)
    strongest = Image.fromarray(strong[None])
    shades = strongest.quantize(colours - colours // 4).getpalette()[: 3 * (colours - colours // 4)]
    # rare colours too, as those of a legend: a median cut goes by the number of pixels
    found = shades + strongest.quantize(colours // 4, Image.Quantize.MAXCOVERAGE).getpalette()[: 3 * (colours // 4)]
    made = Image.new("P", (1, 1))
    made.putpalette([v for v in np.linspace(0, 255, greys).astype(int).tolist() for _ in range(3)] + found)
    return made


def smaller(source: str, path: str) -> None:
    """Write a picture with a palette, and if need be smaller, until it has at most _LARGEST bytes."""
    from PIL import Image

    with Image.open(source) as picture:
        full = picture.convert("RGB")
    for greys, colours, scale in (
        (32, 64, 1.0),
        (16, 48, 1.0),
        (16, 32, 0.8),
        (12, 24, 0.75),
        (8, 24, 0.7),
        (8, 16, 0.6),
    ):
        size = (round(full.width * scale), round(full.height * scale))
        small = full if scale == 1 else full.resize(size, Image.LANCZOS)
        small.quantize(palette=palette(small, greys, colours), dither=Image.Dither.NONE).save(path, optimize=True)
        if os.path.getsize(path) <= _LARGEST:
            return


def openersOf(screens: Any, runs: Dict[str, Any], names: Any) -> Dict[str, Opener]:
    """{name of the picture: function that opens it} of finished runs of this plugin."""
    openers: Dict[str, Opener] = {}
    for protocol in runs.values():
        if protocol.getClassName().startswith("CryodlProt"):
            for name, opener in [*results(screens, protocol), *wizards(screens, protocol)]:
                if not names or name.startswith(tuple(names)):
                    openers.setdefault(name, opener)
    return openers


def main(folder: str, work: str, *wings: str) -> None:
    """Make the runs and the pictures; exit code 1 when one fails."""
    folder, work = os.path.abspath(folder), os.path.abspath(work)
    os.environ["SCIPION_USER_DATA"] = work
    os.makedirs(os.path.join(work, "projects"), exist_ok=True)
    os.makedirs(folder, exist_ok=True)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import pyworkflow as pw

    pw.Config.SCIPION_USER_DATA = work
    import window_runs
    import window_runs_volumes as volumes
    from pyworkflow.project import Manager

    from cryodl_scipion.tests.screens import Screens

    makers = {
        "micrographs": window_runs.micrographs,
        "particles": window_runs.particles,
        "tomograms": volumes.tomograms,
        "maps": volumes.maps,
    }
    manager = Manager()
    make = manager.loadProject if manager.hasProject("windows") else manager.createProject
    project = make("windows")
    os.chdir(project.path)
    runs = window_runs.Runs(project, work)
    chosen, chosenWings = ({w for w in wings if (w in makers) is wing} for wing in (False, True))
    for wing, maker in makers.items():
        if not chosenWings or wing in chosenWings:
            maker(runs)
    taken = os.path.join(work, "taken")
    os.makedirs(taken, exist_ok=True)
    screens, failed = Screens(project, taken), list(runs.failed)
    for name, opener in openersOf(
        screens, {label: runs.made[label] for label in runs.asked if label in runs.made}, chosen
    ).items():
        failure = screens.take(name, opener)
        print(f"{name}: {failure or 'ok'}", flush=True)
        if failure:
            failed.append(name)
        else:
            smaller(os.path.join(taken, name + ".png"), os.path.join(folder, name + ".png"))
    if failed:
        print(f"Failed: {', '.join(failed)}")
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
