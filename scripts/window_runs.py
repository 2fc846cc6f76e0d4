# SPDX-License-Identifier: GPL-3.0-or-later
"""Small runs of every protocol with a result window, of the demo's micrographs and simulated; see window_pictures.py.

The real engine runs on the CPU; all of it takes some ten minutes. Runs that have finished are used again.
"""

import glob
import os
import time
from typing import Any, Dict, List, Optional, Tuple

import mrcfile
import numpy as np
import pyworkflow.protocol
from pwem.protocols import ProtImportVolumes

from cryodl_scipion import protocols as ours
from cryodl_scipion.protocols.model_field import SHIPPED
from cryodl_scipion.tests import simulated
from cryodl_scipion.tests.base import CryodlTest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(TOP, "data", "demo")
PIXEL_SIZE, DIAMETER = 5.36, 300  # Å/px and Å, data/demo/README.md
Source = Tuple[str, str]  # label of a run, and the name of its output


class Runs(CryodlTest):
    """The runs of a project by their labels; one that cannot be made is named, and what needs it is left out."""

    def __init__(self, project: Any, folder: str) -> None:
        Runs.proj, self.folder, self.failed = project, folder, list[str]()
        self.asked: List[str] = []  # labels of the runs that are wanted
        pyworkflow.protocol.launch = launchHere
        self.made: Dict[str, Any] = {r.getObjLabel(): r for r in project.getRuns() if r.isFinished()}

    def run(
        self,
        label: str,
        protocolClass: type,
        pointers: Optional[Dict[str, Source]] = None,
        lists: Optional[Dict[str, List[Source]]] = None,
        /,
        **values: Any,
    ) -> None:
        """Make a run, unless it is there. pointers, lists: {field: source, or sources}; values: of other fields."""
        self.asked.append(label)
        needed = [*(pointers or {}).values(), *(s for sources in (lists or {}).values() for s in sources)]
        if label in self.made or any(source not in self.made for source, _ in needed):
            return
        started = time.time()
        taken = {field: (self.made[source], output) for field, (source, output) in (pointers or {}).items()}
        protocol = Runs.makeProtocol(protocolClass, taken, **values)
        for field, sources in (lists or {}).items():
            chosen = [(self.made[source], output) for source, output in sources]
            for source, output in chosen:
                getattr(protocol, field).append(pointerTo(source, output))
        protocol.setObjLabel(label)
        if protocol.hasAttribute("useGpu"):
            protocol.useGpu.set(False)
        self.proj.launchProtocol(protocol, wait=True)
        if protocol.isFinished():
            self.made[label] = protocol
            print(f"{label}: {time.time() - started:.0f} s", flush=True)
        else:
            self.failed.append(label)
            print(f"{label}: FAILED {' '.join(protocol.validate())} {protocol.getErrorMessage()}", flush=True)

    def volume(self, label: str, path: str, pixelSize: float) -> None:
        """Import a map."""
        folder, name = os.path.split(path)
        self.run(
            label, ProtImportVolumes, filesPath=folder, filesPattern=name, samplingRate=pixelSize, setOrigCoord=False
        )

    def form(self, label: str, protocolClass: type, pointers: Dict[str, Source]) -> None:
        """Keep a run that is not started, for the wizards of its form; what it makes is made by hand."""
        self.asked.append(label)
        kept = next((run for run in self.proj.getRuns() if run.getObjLabel() == label), None)
        if kept is None and all(source in self.made for source, _ in pointers.values()):
            taken = {field: (self.made[source], output) for field, (source, output) in pointers.items()}
            kept = Runs.makeProtocol(protocolClass, taken)
            kept.setObjLabel(label)
            self.proj.saveProtocol(kept)
        if kept is not None:
            self.made[label] = kept

    def store(self, label: str, protocol: Any) -> None:
        """Keep a run that a test's helper has made."""
        protocol.setObjLabel(label)
        self.proj._storeProtocol(protocol)
        self.made[label] = protocol


def launchHere(protocol: Any, wait: bool = True) -> None:
    """Instead of pyworkflow's launch: run in a fork of this process, which has imported everything already."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    log = os.open(protocol.getStdoutLog(), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        project = protocol.getProject()
        pyworkflow.protocol.runProtocolMain(project.path, protocol.getDbPath(), protocol.getObjId())
    finally:
        os._exit(0)


def pointerTo(source: Any, output: str) -> Any:
    """Pointer to an output of a run."""
    from pyworkflow.object import Pointer

    return Pointer(source, extended=output)


def micrographs(runs: Runs) -> None:
    """Picking and what belongs to it, on three real micrographs."""
    if "micrographs" not in runs.made:
        runs.store("micrographs", runs.importMicrographs(os.path.join(DEMO, "micrographs"), pixelSize=PIXEL_SIZE))
    if "expert" not in runs.made:
        imported = runs.made["micrographs"]
        positions = {}
        for micrograph in imported.outputMicrographs:
            name = os.path.splitext(micrograph.getMicName())[0]
            (path,) = glob.glob(os.path.join(DEMO, "coordinates", name + "*"))
            positions[micrograph.getObjId()] = simulated.readPositions(path)
        runs.store("expert", runs.makeCoordinates(imported, positions, boxSize=84))
    mics, picked = {"inputMicrographs": ("micrographs", "outputMicrographs")}, ("picks", "outputCoordinates")
    expert = ("expert", "outputCoordinates")
    runs.run("picks", ours.CryodlProtPick, mics, modelFrom=SHIPPED, shippedModel="ribosome")
    runs.run("filtered", ours.CryodlProtThresholdPicks, {"inputCoordinates": picked}, threshold=0.6)
    runs.run("templates", ours.CryodlProtPickTemplates, mics, particleDiameter=DIAMETER)
    runs.run("assessed", ours.CryodlProtAssess, {**mics, "inputCoordinates": picked}, particleDiameter=DIAMETER)
    sets = {"inputSets": [picked, ("templates", "outputCoordinates")]}
    runs.run("compared", ours.CryodlProtCompare, {"referenceCoordinates": expert}, sets, particleDiameter=DIAMETER)
    sets["inputSets"].append(expert)
    runs.run("consensus", ours.CryodlProtConsensus, None, sets, particleDiameter=DIAMETER)
    runs.run("ctf", ours.CryodlProtEstimateCTF, mics, highestResolution=12)
    runs.run(
        "particles",
        ours.CryodlProtExtractParticles,
        {"inputCoordinates": picked, "inputCTF": ("ctf", "outputCTF")},
        particleDiameter=DIAMETER,
    )
    runs.run("trained", ours.CryodlProtTrainPicker, {"inputCoordinates": expert}, particleDiameter=DIAMETER, steps=20)
    runs.run("denoised micrographs", ours.CryodlProtDenoiseMicrographs, mics, steps=10)
    runs.run("rounds", ours.CryodlProtAutoPick, mics, modelFrom=SHIPPED, particleDiameter=DIAMETER, rounds=2, steps=4)
    runs.form("by hand", ours.CryodlProtPickByHand, {"inputCoordinates": picked})
    runs.run(
        "imported model",
        ours.CryodlProtImportModel,
        modelFolder=os.path.join(TOP, "cryodl_scipion", "engine", "cryodl", "models", "ribosome"),
    )
    tubes = os.path.join(runs.folder, "tubes")
    if "tubes" not in runs.made:
        filaments(tubes)
        runs.store("tubes", runs.importMicrographs(tubes, pixelSize=5.0))
    runs.run(
        "traced",
        ours.CryodlProtPickFilaments,
        {"inputMicrographs": ("tubes", "outputMicrographs")},
        filamentDiameter=250,
        streamingSleepOnWait=1,
    )


def filaments(folder: str) -> None:
    """Write two micrographs with bent tubes in noise to a folder."""
    os.makedirs(folder, exist_ok=True)
    side, rng = 768, np.random.default_rng(1)
    y, x = np.mgrid[:side, :side]
    for number in (1, 2):
        image = rng.normal(size=(side, side)) * 1.5
        for angle, position in ((20, -120), (75, 60), (130, 190)):
            rotation = np.radians(angle + 9 * number)
            along = (x - side / 2) * np.cos(rotation) + (y - side / 2) * np.sin(rotation)
            across = abs(
                (y - side / 2) * np.cos(rotation) - (x - side / 2) * np.sin(rotation) - position - along**2 / 2500
            )
            image -= np.sqrt(np.clip(25**2 - across**2, 0, None)) / 15
        with mrcfile.new(os.path.join(folder, f"tubes_{number}.mrc"), overwrite=True) as mrc:
            mrc.set_data(image.astype(np.float32))
            mrc.voxel_size = 5.0


def particles(runs: Runs) -> None:
    """Denoising, orientations, maps, compositions and classes of simulated particles."""
    for label, write in (("structure", simulated.writeStructure), ("part", simulated.writeStructure)):
        path = os.path.join(runs.folder, label + ".mrc")
        if not os.path.exists(path):
            write(path)
            if label == "part":
                without_a_blob(path)
        runs.volume(label, path, simulated.PIXEL_SIZE)
    structure, small = {"inputStructure": ("structure", "outputVolume")}, dict(pixelSize=4.0, size=768, particles=40)
    runs.run("simulated micrographs", ours.CryodlProtSimulate, structure, count=2, snr=0.1, ice=1.0, **small)
    truth = ("simulated micrographs", "outputCoordinates")
    found = {"inputMicrographs": ("simulated micrographs", "outputMicrographs"), **structure}
    runs.run("found again", ours.CryodlProtPickTemplates, found)
    runs.run(
        "compared by maps",
        ours.CryodlProtCompareMapsOfPicks,
        {"referenceCoordinates": truth, **structure},
        {"inputSets": [("found again", "outputCoordinates")]},
        angularStep=15,
    )
    runs.run("from structure", ours.CryodlProtTrainFromStructure, structure, count=3, steps=4, **small)
    runs.run("general picker", ours.CryodlProtTrainGeneral, procedural=3, simulated=6, steps=4)
    runs.run(
        "raw", ours.CryodlProtSimulateParticles, structure, pixelSize=5.0, box=40, count=80, snr=0.5, perMicrograph=10
    )
    raw = {"inputParticles": ("raw", "outputParticles")}
    runs.run(
        "denoiser",
        ours.CryodlProtTrainDenoiser,
        None,
        {"inputSets": [("raw", "outputParticles")], "inputStructures": [("raw", "outputVolume")]},
    )
    model = {"inputModel": ("denoiser", "outputModel")}
    runs.run("denoised", ours.CryodlProtDenoise, {**raw, **model})
    runs.run("evaluated", ours.CryodlProtEvaluateDenoiser, {**raw, **model, **structure}, count=30)
    runs.run("oriented", ours.CryodlProtAssignOrientations, {**raw, **model, **structure}, angularStep=15)
    runs.run("map", ours.CryodlProtBackProject, {"inputParticles": ("oriented", "outputParticles")})
    runs.run(
        "integrity",
        ours.CryodlProtIntegrity,
        raw,
        {"inputStructures": [("structure", "outputVolume"), ("part", "outputVolume")]},
        compositionNames="whole, part",
        angularStep=15,
    )
    runs.run("classes", ours.CryodlProtClassify2D, raw, classes=6, epochs=2)
    runs.run("selected", ours.CryodlProtSelectClasses, {"inputClasses": ("classes", "outputClasses")})
    many = dict(pixelSize=5.0, box=32, count=220, snr=0.5, perMicrograph=20)
    runs.run("many", ours.CryodlProtSimulateParticles, structure, **many)
    moving = {"inputParticles": ("many", "outputParticles"), "inputVolume": ("many", "outputVolume")}
    runs.run("latent", ours.CryodlProtFitHeterogeneity, moving, latent=2, maps=5)
    runs.run("path", ours.CryodlProtLatentVolumes, {"inputParticles": ("latent", "outputParticles")}, maps=6)


def without_a_blob(path: str) -> None:
    """Take a corner of a structure away."""
    with mrcfile.open(path, "r+") as mrc:
        mrc.data[:, :, 36:] = 0
