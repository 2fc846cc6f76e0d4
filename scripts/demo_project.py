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
from typing import Any, Dict, List

import matplotlib
import pyworkflow as pw

matplotlib.use("Agg")
pw.Config.setDomain("pwem")
pw.Config.getDomain().getPlugins()

import matplotlib.pyplot as plt  # noqa: E402  (after the choice of backend)
import mrcfile  # noqa: E402
import numpy as np  # noqa: E402
from pwem.protocols import ProtImportMicrographs  # noqa: E402  (after the domain)
from pyworkflow.project import Manager, Project  # noqa: E402
from relion.protocols import ProtRelionClassify2D, ProtRelionExtractParticles  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from cryodl_scipion import Plugin  # noqa: E402
from cryodl_scipion.protocols import CryodlProtPick  # noqa: E402
from cryodl_scipion.protocols.model_field import SHIPPED  # noqa: E402
from cryodl_scipion.tests.set_viewer import problemOfDoubleClick  # noqa: E402

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "demo")
PIXEL_SIZE = 5.36  # Å/px, data/demo/README.md
DIAMETER = 300  # Å
BOX = 84  # px, 1.5 particle diameters
BORDER = 35  # px; nobody marked particles nearer to the edge
LABELS = ("three ribosome micrographs", "picks by our network", "particles", "2-D classes without CTF")  # of the runs
MADE, MARKED = "#00c878", "#ff9f1c"  # colours of picks, and of what was marked by hand
MIN_F1 = 0.75  # 0.84 was measured; mirrored or shifted picks would score near 0.1


def main() -> None:
    parser = argparse.ArgumentParser(prog="bash scripts/demo", description=__doc__.splitlines()[0])
    # The engine's Python, and the folder for the pictures: scripts/demo gives both.
    parser.add_argument("--python", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--output", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--project", default="cryodl_demo", help="name of the Scipion project")
    parser.add_argument("--fresh", action="store_true", help="run everything again, in a new project")
    parser.add_argument("--model", default="ribosome", help="name of a shipped model")
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)
    started = time.time()
    picking, classes = (not options.fresh and finishedRuns(options)) or newRuns(options)
    picks = picksByMicrograph(picking.outputCoordinates)
    scores = score(picks, options.python, options.output)
    drawPicks(os.path.join(options.output, "picks.png"), picks)
    drawClasses(os.path.join(options.output, "classes.png"), classes.outputClasses)
    doubleClick(picking)
    report(picks, scores, time.time() - started, options.output)


def projectNames(name: str) -> Any:
    """(newest existing project, name that is free); the first is None if there is none. name, name_2, name_3 ..."""
    manager, newest, number = Manager(), None, 1
    free = name = Project.cleanProjectName(name)  # as createProject does, which clears a folder of that name
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
    runs = [finished.get(label) for label in LABELS]
    if None in runs or runs[1].shippedModel.get() != options.model:
        print(f"The project {newest} is not complete, or of another model. It is left as it is.")
        return None
    print(f"The project is there already (run with --fresh to make it anew): {project.path}")
    return runs[1], runs[3]


def newRuns(options: Any) -> Any:
    project = Manager().createProject(projectNames(options.project)[1])
    print(f"Scipion project: {project.path}")
    os.chdir(project.path)
    # Voltage, Cs and amplitude contrast as published for EMPIAR-10028; nothing below uses them, since CTF is left out.
    microscope = dict(voltage=300, sphericalAberration=2.0, amplitudeContrast=0.1, magnification=31000)
    files = dict(filesPath=os.path.join(DATA, "micrographs"), filesPattern="*.mrc", samplingRate=PIXEL_SIZE)
    boxes = dict(boxSize=BOX, doRescale=True, rescaledSize=BOX // 2, doInvert=True, doNormalize=True, numberOfMpi=1)
    classes = dict(numberOfClasses=4, numberOfIterations=15, maskDiameterA=DIAMETER + 40, doCTF=False, doGpu=False)
    classes.update(useGradientAlg=False, numberOfMpi=1, numberOfThreads=2, pooledParticles=10)
    shipped = dict(modelFrom=SHIPPED, shippedModel=options.model)
    runs: List[Any] = []
    for protocolClass, field, output, values in (
        (ProtImportMicrographs, "", "", dict(files, **microscope)),
        (CryodlProtPick, "inputMicrographs", "outputMicrographs", shipped),
        (ProtRelionExtractParticles, "inputCoordinates", "outputCoordinates", boxes),
        (ProtRelionClassify2D, "inputParticles", "outputParticles", classes),
    ):
        protocol = project.newProtocol(protocolClass, **values)
        if field:  # by protocol and name of the output: what Scipion's window does
            getattr(protocol, field).set(runs[-1])
            getattr(protocol, field).setExtended(output)
        runs.append(run(project, protocol, LABELS[len(runs)]))
    return runs[1], runs[3]


def run(project: Any, protocol: Any, label: str) -> Any:
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
    print(f"{time.time() - started:5.1f} s", flush=True)
    return protocol


def doubleClick(picking: Any) -> None:
    """Open the micrographs as a double click does, out of sight; stop the demo if nothing is drawn."""
    if shutil.which("Xvfb") is None:
        print("Whether a double click on a set opens its window was not tried: Xvfb is not installed.")
        return
    problem = problemOfDoubleClick(picking.getProject(), picking, picking.getInputMicrographs())
    if problem:
        sys.exit(f"FAILED: a double click on the micrographs does not show them.\n{problem}")


def picksByMicrograph(coordinates: Any) -> Dict[str, Any]:
    """{micrograph name: [(x, y, score)]} of a set of coordinates; every micrograph is there, also without picks."""
    picks = {m.getObjId(): (os.path.splitext(m.getMicName())[0], []) for m in coordinates.getMicrographs().iterItems()}
    for item in coordinates.iterItems():
        picks[item.getMicId()][1].append((item.getX(), item.getY(), item._cryodlScore.get()))
    return dict(picks.values())


def score(picks: Dict[str, Any], python: str, output: str) -> Any:
    """The engine's evaluate-picks on what stands in Scipion's set, against the bundled coordinates."""
    folder = os.path.join(output, "coordinates")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, found in picks.items():
        with open(os.path.join(folder, name + ".star"), "w") as star:
            star.write("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n")
            star.writelines(f"{x} {y} {score:.5f}\n" for x, y, score in found)
    reference, micrographs = os.path.join(DATA, "coordinates"), os.path.join(DATA, "micrographs", "*.mrc")
    sizes = ["--pixel-size", str(PIXEL_SIZE), "--particle-diameter", str(DIAMETER), "--border", str(BORDER)]
    command = [python, "-m", "cryodl", "evaluate-picks", "--coordinates", folder, "--reference", reference]
    command += ["--micrographs", micrographs, *sizes, "--json"]
    return json.loads(subprocess.check_output(command, env=Plugin.getEnviron()))["metrics"]


def report(picks: Dict[str, Any], scores: Dict[str, float], seconds: float, output: str) -> None:
    print(
        f"\n{sum(map(len, picks.values()))} picks on {len(picks)} micrographs "
        f"({', '.join((f'{name}: {len(found)}' for name, found in sorted(picks.items())))})\n"
        f"Against CryoPPP's picks, within half a particle radius: precision {scores['precision']:.2f}, recall "
        f"{scores['recall']:.2f}, F1 {scores['f1']:.2f}"
    )
    if scores["f1"] < MIN_F1:
        sys.exit(f"FAILED: F1 should be at least {MIN_F1:.2f}.")
    print(
        "(Those picks are incomplete: precision cannot reach much more than 0.8.)\n"
        f"Without CTF: none was measured for these binned images. All this took {seconds:.0f} s.\n"
        f"Pictures: {', '.join(os.path.join(output, name) for name in ('picks.png', 'classes.png'))}"
    )


def drawPicks(path: str, picks: Dict[str, Any]) -> None:
    """One panel per micrograph: our picks, {micrograph: [(x, y, score)]} px, as circles, marked particles as dots."""
    figure, axes = plt.subplots(1, len(picks), figsize=(4.2 * len(picks), 4.8), squeeze=False)
    for axis, (name, found) in zip(axes[0], sorted(picks.items())):
        image = mrcfile.read(os.path.join(DATA, "micrographs", name + ".mrc")).astype(np.float32)
        image = gaussian_filter(image, 1.5)  # for the eye only: the network sees the file as it is
        low, high = np.percentile(image, (0.5, 99.5))
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="upper")
        for x, y, _ in found:
            axis.add_patch(plt.Circle((x, y), DIAMETER / PIXEL_SIZE / 2, fill=False, color=MADE, lw=1.3))
        with open(os.path.join(DATA, "coordinates", name + ".star")) as star:
            marked = [line.split()[:2] for line in star if line.strip() and line.strip()[0].isdigit()]
        axis.plot(*np.array(marked, float).reshape(-1, 2).T, ".", color=MARKED, ms=5)
        axis.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
        axis.set_title(f"{name}: {len(found)} picks", fontsize=11)
        axis.axis("off")
    words = "circles: picked by the network      dots: marked by CryoPPP (incomplete)"
    figure.text(0.5, 0.015, words, ha="center", fontsize=11)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.06, top=0.94, wspace=0.02)
    figure.savefig(path, dpi=80)


def drawClasses(path: str, classes: Any) -> None:
    """Averages of a SetOfClasses2D, the largest class first."""
    averages = []
    for item in classes.iterItems():
        index, fileName = item.getRepresentative().getLocation()
        averages.append((item.getSize(), mrcfile.read(fileName.split(":")[0])[max(index, 1) - 1]))
    figure, axes = plt.subplots(1, len(averages), figsize=(2.2 * len(averages), 2.5), squeeze=False)
    for axis, (size, image) in zip(axes[0], sorted(averages, key=lambda pair: -pair[0])):
        axis.imshow(image, cmap="gray", origin="upper", interpolation="bicubic")
        axis.set_title(f"{size} particles", fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
