# SPDX-License-Identifier: GPL-3.0-or-later
"""Small runs of every protocol with a result window, of the demo's micrographs and simulated; see pictures.py.

The real engine runs on the CPU; all of it takes some ten minutes. Runs that have finished are used again.
"""

import glob
import os
import time
from typing import Any, Dict, List, Tuple, Union

import mrcfile
import numpy as np
import pyworkflow.protocol
from pwem.protocols import ProtImportPdb, ProtImportVolumes
from pyworkflow.object import Pointer

from cryodl_scipion import protocols as ours
from cryodl_scipion.engine.cryodl import contract
from cryodl_scipion.protocols.model_field import SHIPPED
from cryodl_scipion.protocols.tomograms import protocol_annotate, protocol_train_tomograms
from cryodl_scipion.tests import base, simulated
from cryodl_scipion.tests.maps.test_maps_chain import writeBundle
from cryodl_scipion.tests.tomograms.test_tomogram_chain import BODIES, BOX, PIXEL_SIZE, STRUCTURE_PIXEL, writeBody

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(TOP, "data", "demo")
DEMO_PIXEL, DIAMETER = 5.36, 300  # Å/px and Å, data/demo/README.md
RIBOSOME = os.path.join(TOP, "cryodl_scipion", "engine", "cryodl", "models", "ribosome")
Source = Tuple[str, str]  # label of a run, and the name of its output
Inputs = Dict[str, Union[Source, List[Source]]]  # of fields; a list for those that take several


class Wanted:
    """A run that is wanted: its label, protocol, inputs, and the values of other fields."""

    def __init__(self, label: str, protocolClass: type, inputs: Inputs, /, **values: Any) -> None:
        self.label, self.protocolClass, self.values = label, protocolClass, values
        self.single = {field: source for field, source in inputs.items() if isinstance(source, tuple)}
        self.several = {field: sources for field, sources in inputs.items() if isinstance(sources, list)}

    def sources(self) -> List[Source]:
        return [*self.single.values(), *(source for sources in self.several.values() for source in sources)]


class Runs(base.CryodlTest):
    """The runs of a project by their labels; one that cannot be made is named, and what needs it is left out."""

    def __init__(self, project: Any, folder: str) -> None:
        Runs.proj, self.folder, self.failed = project, folder, list[str]()
        self.asked: List[str] = []  # labels of the runs that are wanted
        pyworkflow.protocol.launch = launchHere
        self.made: Dict[str, Any] = {r.getObjLabel(): r for r in project.getRuns() if r.isFinished()}

    def make(self, *rows: Wanted) -> None:
        """Make runs, one after the other, unless they are there or a source of theirs is not."""
        for row in rows:
            self.asked.append(row.label)
            if row.label not in self.made and all(source in self.made for source, _ in row.sources()):
                self.launch(row)

    def launch(self, row: Wanted) -> None:
        started, protocol = time.time(), self.prepared(row)
        if protocol.hasAttribute("useGpu"):
            protocol.useGpu.set(False)
        self.proj.launchProtocol(protocol, wait=True)
        if protocol.isFinished():
            self.made[row.label] = protocol
            print(f"{row.label}: {time.time() - started:.0f} s", flush=True)
        else:
            self.failed.append(row.label)
            print(f"{row.label}: FAILED {' '.join(protocol.validate())} {protocol.getErrorMessage()}", flush=True)

    def prepared(self, row: Wanted) -> Any:
        """The protocol of a run, its form filled."""
        single = {field: (self.made[source], output) for field, (source, output) in row.single.items()}
        protocol = Runs.makeProtocol(row.protocolClass, single, **row.values)
        for field, sources in row.several.items():
            for source, output in sources:
                getattr(protocol, field).append(Pointer(self.made[source], extended=output))
        protocol.setObjLabel(row.label)
        return protocol

    def form(self, row: Wanted) -> None:
        """Keep a run that is not started, for the wizards of its form; what it makes is made by hand."""
        self.asked.append(row.label)
        kept = next((run for run in self.proj.getRuns() if run.getObjLabel() == row.label), None)
        if kept is None and all(source in self.made for source, _ in row.sources()):
            kept = self.prepared(row)
            self.proj.saveProtocol(kept)
        if kept is not None:
            self.made[row.label] = kept

    def store(self, label: str, protocol: Any) -> None:
        """Keep a run that a test's helper has made."""
        protocol.setObjLabel(label)
        self.proj._storeProtocol(protocol)
        self.made[label] = protocol

    def file(self, name: str, write: Any, *more: Any) -> str:
        """Path of a file that write(path, ...) makes, once."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            write(path, *more)
        return path


def imported(label: str, path: str, pixelSize: float) -> Wanted:
    """The import of a map."""
    folder, name = os.path.split(path)
    return Wanted(
        label, ProtImportVolumes, {}, filesPath=folder, filesPattern=name, samplingRate=pixelSize, setOrigCoord=False
    )


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
        pyworkflow.protocol.runProtocolMain(protocol.getProject().path, protocol.getDbPath(), protocol.getObjId())
    finally:
        os._exit(0)


def micrographs(runs: Runs) -> None:
    """Picking and what belongs to it, on three real micrographs."""
    if "micrographs" not in runs.made:
        runs.store("micrographs", runs.importMicrographs(os.path.join(DEMO, "micrographs"), pixelSize=DEMO_PIXEL))
    if "expert" not in runs.made:
        positions = {}
        for micrograph in runs.made["micrographs"].outputMicrographs:
            (path,) = glob.glob(os.path.join(DEMO, "coordinates", os.path.splitext(micrograph.getMicName())[0] + "*"))
            positions[micrograph.getObjId()] = simulated.readPositions(path)
        runs.store("expert", runs.makeCoordinates(runs.made["micrographs"], positions, boxSize=84))
    if "tubes" not in runs.made:
        runs.store("tubes", runs.importMicrographs(runs.file("tubes", filaments), pixelSize=5.0))
    mics: Inputs = {"inputMicrographs": ("micrographs", "outputMicrographs")}
    picked, expert, blobs = [(label, "outputCoordinates") for label in ("picks", "expert", "templates")]
    wide, tubes = dict(particleDiameter=DIAMETER), ("tubes", "outputMicrographs")
    ctf: Inputs = {"inputCoordinates": picked, "inputCTF": ("ctf", "outputCTF")}
    runs.make(
        Wanted("picks", ours.CryodlProtPick, mics, modelFrom=SHIPPED, shippedModel="ribosome"),
        Wanted("filtered", ours.CryodlProtThresholdPicks, {"inputCoordinates": picked}, threshold=0.6),
        Wanted("templates", ours.CryodlProtPickTemplates, mics, **wide),
        Wanted("assessed", ours.CryodlProtAssess, {**mics, "inputCoordinates": picked}, **wide),
        Wanted(
            "compared", ours.CryodlProtCompare, {"referenceCoordinates": expert, "inputSets": [picked, blobs]}, **wide
        ),
        Wanted("consensus", ours.CryodlProtConsensus, {"inputSets": [picked, blobs, expert]}, **wide),
        Wanted("ctf", ours.CryodlProtEstimateCTF, mics, highestResolution=12),
        Wanted("particles", ours.CryodlProtExtractParticles, ctf, **wide),
        Wanted("trained", ours.CryodlProtTrainPicker, {"inputCoordinates": expert}, steps=20, **wide),
        Wanted("denoised micrographs", ours.CryodlProtDenoiseMicrographs, mics, steps=10),
        Wanted("rounds", ours.CryodlProtAutoPick, mics, modelFrom=SHIPPED, rounds=2, steps=4, **wide),
        Wanted("imported model", ours.CryodlProtImportModel, {}, modelFolder=RIBOSOME),
        Wanted(
            "traced",
            ours.CryodlProtPickFilaments,
            {"inputMicrographs": tubes},
            filamentDiameter=250,
            streamingSleepOnWait=1,
        ),
    )
    runs.form(Wanted("by hand", ours.CryodlProtPickByHand, {"inputCoordinates": picked}))


def filaments(folder: str) -> None:
    """Write two micrographs with bent tubes in noise to a folder."""
    os.makedirs(folder)
    side, rng = 768, np.random.default_rng(1)
    y, x = np.mgrid[:side, :side] - side / 2
    for number in (1, 2):
        image = rng.normal(size=(side, side)) * 1.5
        for angle, position in ((20, -120), (75, 60), (130, 190)):
            rotation = np.radians(angle + 9 * number)
            along = x * np.cos(rotation) + y * np.sin(rotation)
            across = abs(y * np.cos(rotation) - x * np.sin(rotation) - position - along**2 / 2500)
            image -= np.sqrt(np.clip(25**2 - across**2, 0, None)) / 15
        mrcfile.write(os.path.join(folder, f"tubes_{number}.mrc"), image.astype(np.float32), voxel_size=5.0)


def without_a_blob(path: str) -> None:
    """A structure that lacks a corner."""
    simulated.writeStructure(path)
    with mrcfile.open(path, "r+") as mrc:
        mrc.data[:, :, 36:] = 0


def particles(runs: Runs) -> None:
    """Denoising, orientations, maps, compositions and classes of simulated particles."""
    structure: Inputs = {"inputStructure": ("structure", "outputVolume")}
    small: Dict[str, Any] = dict(pixelSize=4.0, size=768, particles=40)
    few = dict(pixelSize=5.0, box=40, count=80, snr=0.5, perMicrograph=10)
    many = dict(few, box=32, count=220, perMicrograph=20)
    mics, truth = (("simulated micrographs", output) for output in ("outputMicrographs", "outputCoordinates"))
    found: Inputs = {"inputSets": [("found again", "outputCoordinates")], "referenceCoordinates": truth, **structure}
    raw: Inputs = {"inputParticles": ("raw", "outputParticles")}
    denoised: Inputs = {**raw, "inputModel": ("denoiser", "outputModel")}
    of = lambda label: {"inputParticles": (label, "outputParticles")}
    runs.make(
        imported("structure", runs.file("structure.mrc", simulated.writeStructure), simulated.PIXEL_SIZE),
        imported("part", runs.file("part.mrc", without_a_blob), simulated.PIXEL_SIZE),
        Wanted("simulated micrographs", ours.CryodlProtSimulate, structure, count=2, snr=0.1, ice=1.0, **small),
        Wanted("found again", ours.CryodlProtPickTemplates, {"inputMicrographs": mics, **structure}),
        Wanted("compared by maps", ours.CryodlProtCompareMapsOfPicks, found, angularStep=15),
        Wanted("from structure", ours.CryodlProtTrainFromStructure, structure, count=3, steps=4, **small),
        Wanted("general picker", ours.CryodlProtTrainGeneral, {}, procedural=3, simulated=6, steps=4),
        Wanted("raw", ours.CryodlProtSimulateParticles, structure, **few),
        Wanted(
            "denoiser",
            ours.CryodlProtTrainDenoiser,
            {"inputSets": [("raw", "outputParticles")], "inputStructures": [("raw", "outputVolume")]},
        ),
        Wanted("denoised", ours.CryodlProtDenoise, denoised),
        Wanted("evaluated", ours.CryodlProtEvaluateDenoiser, {**denoised, **structure}, count=30),
        Wanted("oriented", ours.CryodlProtAssignOrientations, {**denoised, **structure}, angularStep=15),
        Wanted("map", ours.CryodlProtBackProject, of("oriented")),
        Wanted(
            "integrity",
            ours.CryodlProtIntegrity,
            {**raw, "inputStructures": [("structure", "outputVolume"), ("part", "outputVolume")]},
            compositionNames="whole, part",
            angularStep=15,
        ),
        Wanted("classes", ours.CryodlProtClassify2D, raw, classes=6, epochs=2),
        Wanted("selected", ours.CryodlProtSelectClasses, {"inputClasses": ("classes", "outputClasses")}),
        Wanted("many", ours.CryodlProtSimulateParticles, structure, **many),
        Wanted(
            "latent",
            ours.CryodlProtFitHeterogeneity,
            {"inputParticles": ("many", "outputParticles"), "inputVolume": ("many", "outputVolume")},
            latent=2,
            maps=5,
        ),
        Wanted("path", ours.CryodlProtLatentVolumes, of("latent"), maps=6),
    )


# ----- tomograms, subtomograms and maps
CELL = dict(pixelSize=PIXEL_SIZE, size=160, thickness=64, vesicles=2, membranes=1, microtubules=0, filaments=0, snr=0.4)
STEPS = {"membrane": 15, "body": 15}  # training steps of each feature
LABELS = {"body": 1, "membrane": 3}  # of the simulator: structures first
FROM_VOLUMES = 1  # the choice of annotate: label volumes
CUBES = dict(pixelSize=PIXEL_SIZE, box=BOX, count=24)


def tomograms(runs: Runs) -> None:
    bodies = {"inputStructures": [(f"a {name}", "outputVolume") for name in BODIES]}
    for name, blobs in BODIES.items():
        runs.make(imported(f"a {name}", runs.file(f"{name}.mrc", writeBody, blobs), STRUCTURE_PIXEL))
    copies = dict(copies="20, 12", boxSize=BOX, halves=True)  # of the two bodies
    runs.make(Wanted("cell", ours.CryodlProtSimulateTomograms, bodies, **copies, **CELL))
    features(runs)
    found(runs)
    subtomograms(runs, bodies)
    swinging(runs)


def features(runs: Runs) -> None:
    cell: Inputs = {"inputTomograms": ("cell", "outputTomograms")}
    both: Inputs = {**cell, "inputMasks": ("cell", "outputLabels")}
    models = [(f"model of a {name}", "outputModel") for name in STEPS]
    scores: Inputs = {"inputScores": [("scores", "scores_" + name) for name in STEPS]}
    judged: Inputs = {"inputMasks": ("merged", "outputLabels"), "inputTruth": ("cell", "outputLabels")}
    drawn = dict(source=FROM_VOLUMES, label=LABELS["membrane"], feature="membrane", annotator="simulated")
    tiles = dict(tile=48, positiveTiles=12, negativeTiles=12)
    learn = lambda name: dict(
        labelsFrom=protocol_train_tomograms.LABELLED, label=LABELS[name], feature=name, steps=STEPS[name]
    )
    runs.make(
        Wanted("tiles", protocol_annotate.CryodlProtAnnotate, both, **drawn, **tiles),
        *(Wanted(f"model of a {name}", ours.CryodlProtTrainSegmenter, both, **learn(name)) for name in STEPS),
        Wanted("scores", ours.CryodlProtSegment, {**cell, "inputModels": models}, streamingSleepOnWait=1),
        Wanted("merged", ours.CryodlProtMergeFeatures, scores, surfaces=True, minimum_size=500),
        Wanted("judged", ours.CryodlProtEvaluateSegmentation, judged),
        Wanted("membranes", ours.CryodlProtMeasureMembranes, both, label=LABELS["membrane"]),
        Wanted("denoised tomogram", ours.CryodlProtDenoiseTomograms, cell, steps=8),
    )


def found(runs: Runs) -> None:
    """Particles in tomograms, by their features, a template and a network."""
    cell: Inputs = {"inputTomograms": ("cell", "outputTomograms")}
    shape = dict(shape=contract.FEATURE_SHAPES.index("particles"), diameter=220, minimum_size=500)
    runs.make(
        Wanted(
            "places",
            ours.CryodlProtPickFeatures,
            {**cell, "inputMasks": ("cell", "outputLabels")},
            label=LABELS["body"],
            boxSize=BOX,
            **shape,
        ),
        Wanted(
            "detections",
            ours.CryodlProtDetectParticles,
            {**cell, "inputStructure": ("a body", "outputVolume")},
            angularStep=30,
            boxSize=BOX,
        ),
        Wanted(
            "detector",
            ours.CryodlProtTrainDetector,
            {**cell, "inputCoordinates": [("cell", "outputCoordinates")]},
            diameter="220",
            steps=2,
        ),
    )


def subtomograms(runs: Runs, bodies: Inputs) -> None:
    cubes: Inputs = {"inputSubtomograms": ("cubes", "outputSubtomograms")}
    runs.make(
        Wanted("cubes", ours.CryodlProtSimulateSubtomograms, bodies, snr=0.3, **CUBES),
        Wanted("classifier", ours.CryodlProtTrainClassifier, cubes, classNames="body, rod"),
        Wanted(
            "classified",
            ours.CryodlProtClassifySubtomograms,
            {**cubes, "inputModel": ("classifier", "outputModel")},
            groundTruth=True,
        ),
        Wanted("clusters", ours.CryodlProtClusterSubtomograms, cubes, classes=2),
    )


def swinging(runs: Runs) -> None:
    """A latent space of a body, one part of which swings."""
    (x, y, *part), *rest = BODIES["body"][1:]
    states: Inputs = {"inputStructures": [(f"state {number}", "outputVolume") for number in range(1, 6)]}
    for number, angle in enumerate(np.radians(np.linspace(-40, 40, 5)), 1):
        moved = (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), *part)
        path = runs.file(f"swung_{number}.mrc", writeBody, [BODIES["body"][0], moved, *rest])
        runs.make(imported(f"state {number}", path, STRUCTURE_PIXEL))
    cubes: Inputs = {"inputParticles": ("swinging", "outputSubtomograms")}
    runs.make(
        Wanted("swinging", ours.CryodlProtSimulateSubtomograms, states, snr=0.05, **CUBES),
        Wanted("latent cubes", ours.CryodlProtFitHeterogeneity, cubes, latent=2, maps=5),
    )


def maps(runs: Runs) -> None:
    path = runs.file("bundle.pdb", writeBundle)
    runs.file("other.pdb", writeBundle, ("TRP", "LYS", "HIS", "PHE", "ASP"))  # one to learn from, one to validate on
    model: Inputs = {"inputStructure": ("model", "outputPdb")}
    whole = ("half-maps", "outputVolume")
    learnt = dict(pairsFrom=2, structureFiles=os.path.join(runs.folder, "*.pdb"), simulated=1, steps=2, batchSize=2)
    runs.make(
        Wanted("model", ProtImportPdb, {}, inputPdbData=1, pdbFile=path),
        Wanted("half-maps", ours.CryodlProtSimulateHalfMaps, model, resolution=4.5, pixelSize=1.0, box=64),
        Wanted("improved", ours.CryodlProtImproveMap, {"inputVolume": whole}),
        Wanted(
            "measured",
            ours.CryodlProtEvaluateMap,
            {**model, "inputVolume": ("improved", "outputVolume"), "inputBefore": whole},
        ),
        Wanted("models", ours.CryodlProtCompareModels, {**model, "inputReference": ("half-maps", "outputStructure")}),
        Wanted("improver", ours.CryodlProtTrainMapImprover, {}, **learnt),
    )


MAKERS = dict(micrographs=micrographs, particles=particles, tomograms=tomograms, maps=maps)
