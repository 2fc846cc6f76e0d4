# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a Scipion project on real micrographs, from picking to 2-D classes. Started by scripts/demo.

python scripts/demo_project.py --python ENGINE_PYTHON --output FOLDER [--project NAME] [--model NAME]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, Sequence

import numpy as np
import pyworkflow as pw
from pwem.objects import EMSet, SetOfCoordinates
from pwem.protocols import EMProtocol

pw.Config.setDomain("pwem")
pw.Config.getDomain().getPlugins()

from pwem.protocols import ProtImportMicrographs  # noqa: E402  (after the domain)
from pyworkflow.project import Manager  # noqa: E402
from relion.protocols import ProtRelionClassify2D, ProtRelionExtractParticles  # noqa: E402

from cryodl_scipion import Plugin  # noqa: E402
from cryodl_scipion.protocols import CryodlProtPick  # noqa: E402
from cryodl_scipion.protocols.model_field import SHIPPED  # noqa: E402
from cryodl_scipion.tests.set_viewer import problemOfDoubleClick  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import demo_figures  # noqa: E402

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "demo")
PIXEL_SIZE = 5.36  # Å/px, data/demo/README.md
DIAMETER = 300  # Å
BOX = 84  # px, 1.5 particle diameters
BORDER = 35  # px; nobody marked particles nearer to the edge
# Labels of the runs.
IMPORTED, PICKED, EXTRACTED, CLASSIFIED = (
    "three ribosome micrographs",
    "picks by our network",
    "particles",
    "2-D classes without CTF",
)
MIN_F1 = 0.75  # 0.84 was measured; mirrored or shifted picks would score near 0.1


def main() -> None:
    options = parseArguments()
    os.makedirs(options.output, exist_ok=True)
    started = time.time()
    picking, classes = (not options.fresh and finishedRuns(options)) or newRuns(options)
    picks = picksByMicrograph(picking.outputCoordinates)
    scores = score(picks, options.python, options.output)
    demo_figures.drawPicks(os.path.join(options.output, "picks.png"), picks, DATA, PIXEL_SIZE, DIAMETER)
    demo_figures.drawClasses(os.path.join(options.output, "classes.png"), classes.outputClasses)
    doubleClick(picking)
    report(picks, scores, time.time() - started, options.output)


def parseArguments() -> Any:
    parser = argparse.ArgumentParser(prog="bash scripts/demo", description=__doc__.splitlines()[0])
    # The engine's Python, and the folder for the pictures: scripts/demo gives both.
    parser.add_argument("--python", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--output", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--project", default="cryodl_demo", help="name of the Scipion project")
    parser.add_argument("--fresh", action="store_true", help="run everything again, in a new project")
    parser.add_argument("--model", default="ribosome", help="name of a shipped model")
    return parser.parse_args()


def projectNames(name: str) -> Any:
    """(newest existing project, name that is free); the first is None if there is none. name, name_2, name_3 ..."""
    manager, newest, number = Manager(), None, 1
    free = name
    while manager.hasProject(free):
        newest, number = free, number + 1
        free = f"{name}_{number}"
    return newest, free


def finishedRuns(options: Any) -> Any:
    """Picking and classification of the newest project if all its four runs have finished; else None."""
    newest, _ = projectNames(options.project)
    if newest is None:
        return None
    project = Manager().loadProject(newest)
    os.chdir(project.path)
    # Users may have added or copied runs; the demo's own are the first with their labels.
    finished = {p.getObjLabel(): p for p in reversed(list(project.getRuns())) if p.isFinished()}
    runs = [finished.get(label) for label in (IMPORTED, PICKED, EXTRACTED, CLASSIFIED)]
    if None in runs or runs[1].shippedModel.get() != options.model:
        print(f"The project {newest} is not complete, or of another model. It is left as it is.")
        return None
    print(f"The project is there already (run with --fresh to make it anew): {project.path}")
    return runs[1], runs[3]


def newRuns(options: Any) -> Any:
    """Picking and classification of a new project."""
    project = Manager().createProject(projectNames(options.project)[1])
    print(f"Scipion project: {project.path}")
    os.chdir(project.path)
    picking = pick(project, importMicrographs(project), options.model)
    return picking, classify(project, extract(project, picking))


def run(project: Any, protocol: EMProtocol, label: int) -> Any:
    """Launch a protocol, wait, and return it; stop the demo with its log if it fails."""
    protocol.setObjLabel(label)
    problems = protocol.validate()
    if problems:
        sys.exit(f"{label} cannot start: {' '.join(problems)}")
    print(f"  {protocol.getClassLabel():<45}", end="", flush=True)
    started = time.time()
    project.launchProtocol(protocol, wait=True)
    if not protocol.isFinished():
        lines = "\n".join(protocol.getLogsLastLines(40, logFile=0))
        sys.exit(f"FAILED\n{protocol.getErrorMessage()}\n{lines}")
    print(f"{time.time() - started:5.1f} s")
    return protocol


def importMicrographs(project: Any) -> Any:
    # Voltage, Cs and amplitude contrast as published for EMPIAR-10028; nothing below uses them, since CTF is left out.
    return run(
        project,
        project.newProtocol(
            ProtImportMicrographs,
            filesPath=os.path.join(DATA, "micrographs"),
            filesPattern="*.mrc",
            samplingRate=PIXEL_SIZE,
            voltage=300,
            sphericalAberration=2.0,
            amplitudeContrast=0.1,
            magnification=31000,
        ),
        IMPORTED,
    )


def pick(project: Any, imported: Any, model: str) -> Any:
    protocol = project.newProtocol(CryodlProtPick, modelFrom=SHIPPED, shippedModel=model)
    link(protocol.inputMicrographs, imported, "outputMicrographs")
    return run(project, protocol, PICKED)


def extract(project: Any, picking: Any) -> Any:
    protocol = project.newProtocol(
        ProtRelionExtractParticles,
        boxSize=BOX,
        doRescale=True,
        rescaledSize=BOX // 2,
        doInvert=True,
        doNormalize=True,
        numberOfMpi=1,
    )
    link(protocol.inputCoordinates, picking, "outputCoordinates")
    return run(project, protocol, EXTRACTED)


def classify(project: Any, extraction: Any) -> Any:
    protocol = project.newProtocol(
        ProtRelionClassify2D,
        numberOfClasses=4,
        numberOfIterations=15,
        maskDiameterA=DIAMETER + 40,
        doCTF=False,
        useGradientAlg=False,
        doGpu=False,
        numberOfMpi=1,
        numberOfThreads=2,
        pooledParticles=10,
    )
    link(protocol.inputParticles, extraction, "outputParticles")
    return run(project, protocol, CLASSIFIED)


def link(pointer: Any, protocol: EMProtocol, output: EMSet) -> None:
    """Point to an output by protocol and name: what Scipion's window does."""
    pointer.set(protocol)
    pointer.setExtended(output)


def doubleClick(picking: Any) -> None:
    """Open the micrographs as a double click does, out of sight; stop the demo if nothing is drawn."""
    if shutil.which("Xvfb") is None:
        print("Whether a double click on a set opens its window was not tried: Xvfb is not installed.")
        return
    problem = problemOfDoubleClick(picking.getProject(), picking, picking.getInputMicrographs())
    if problem:
        sys.exit(f"FAILED: a double click on the micrographs does not show them.\n{problem}")


def picksByMicrograph(coordinates: SetOfCoordinates) -> Dict[str, Any]:
    """{micrograph name: [(x, y, score)]} of a set of coordinates; every micrograph is there, also without picks."""
    picks = {m.getObjId(): (os.path.splitext(m.getMicName())[0], []) for m in coordinates.getMicrographs().iterItems()}
    for item in coordinates.iterItems():
        picks[item.getMicId()][1].append((item.getX(), item.getY(), item._cryodlScore.get()))
    return dict(picks.values())


def score(picks: Sequence[Any], python: str, output: EMSet) -> Any:
    """The engine's evaluate-picks on what stands in Scipion's set, against the bundled coordinates."""
    folder = os.path.join(output, "coordinates")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, found in picks.items():
        with open(os.path.join(folder, name + ".star"), "w") as star:
            star.write("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n")
            star.writelines(f"{x} {y} {score:.5f}\n" for x, y, score in found)
    return json.loads(
        subprocess.check_output(
            [
                python,
                "-m",
                "cryodl",
                "evaluate-picks",
                "--coordinates",
                folder,
                "--reference",
                os.path.join(DATA, "coordinates"),
                "--pixel-size",
                str(PIXEL_SIZE),
                "--particle-diameter",
                str(DIAMETER),
                "--micrographs",
                os.path.join(DATA, "micrographs", "*.mrc"),
                "--border",
                str(BORDER),
                "--json",
            ],
            env=Plugin.getEnviron(),
        )
    )["metrics"]


def report(picks: Sequence[Any], scores: np.ndarray, seconds: Any, output: EMSet) -> None:
    print(
        f"\n{sum(map(len, picks.values()))} picks on {len(picks)} micrographs "
        f"({', '.join((f'{name}: {len(found)}' for name, found in sorted(picks.items())))})"
    )
    print(
        f"Against CryoPPP's picks, within half a particle radius: precision {scores['precision']:.2f}, recall "
        f"{scores['recall']:.2f}, F1 {scores['f1']:.2f}"
    )
    if scores["f1"] < MIN_F1:
        sys.exit(f"FAILED: F1 should be at least {MIN_F1:.2f}.")
    print("(Those picks are incomplete: precision cannot reach much more than 0.8.)")
    print(f"Without CTF: none was measured for these binned images. All this took {seconds:.0f} s.")
    print(f"Pictures: {', '.join(os.path.join(output, name) for name in ('picks.png', 'classes.png'))}")


if __name__ == "__main__":
    main()
