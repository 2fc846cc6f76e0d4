# SPDX-License-Identifier: GPL-3.0-or-later
"""Small runs of the protocols on tomograms, subtomograms and maps, for window_pictures.py; see window_runs.py."""

import os

import numpy as np
from pwem.protocols import ProtImportPdb
from window_runs import Runs

from cryodl_scipion import protocols as ours
from cryodl_scipion.engine.cryodl import contract
from cryodl_scipion.protocols.tomograms.protocol_annotate import CryodlProtAnnotate
from cryodl_scipion.protocols.tomograms.protocol_train_tomograms import LABELLED
from cryodl_scipion.tests.maps.test_maps_chain import writeBundle
from cryodl_scipion.tests.tomograms.test_tomogram_chain import BODIES, BOX, PIXEL_SIZE, STRUCTURE_PIXEL, writeBody

CELL = dict(pixelSize=PIXEL_SIZE, size=160, thickness=64, vesicles=2, membranes=1, microtubules=0, filaments=0, snr=0.4)
COPIES = "20, 12"  # of the two bodies
STEPS = {"membrane": 15, "body": 15}  # training steps of each feature
LABELS = {"body": 1, "membrane": 3}  # of the simulator: structures first
FROM_VOLUMES = 1  # the choice of annotate: label volumes


def tomograms(runs: Runs) -> None:
    """Features, particles and classes in simulated cells."""
    for name, blobs in BODIES.items():
        path = os.path.join(runs.folder, name + ".mrc")
        if not os.path.exists(path):
            writeBody(path, blobs)
        runs.volume("a " + name, path, STRUCTURE_PIXEL)
    bodies = [("a " + name, "outputVolume") for name in BODIES]
    runs.run(
        "cell",
        ours.CryodlProtSimulateTomograms,
        None,
        {"inputStructures": bodies},
        copies=COPIES,
        boxSize=BOX,
        halves=True,
        **CELL,
    )
    features(runs)
    found(runs)
    subtomograms(runs, bodies)


def features(runs: Runs) -> None:
    """Annotations, models of features, and what they find."""
    cell, labels = {"inputTomograms": ("cell", "outputTomograms")}, {"inputMasks": ("cell", "outputLabels")}
    both = {**cell, **labels}
    runs.run(
        "tiles",
        CryodlProtAnnotate,
        both,
        source=FROM_VOLUMES,
        label=LABELS["membrane"],
        feature="membrane",
        annotator="simulated",
        tile=48,
        positiveTiles=12,
        negativeTiles=12,
    )
    for name, steps in STEPS.items():
        runs.run(
            "model of a " + name,
            ours.CryodlProtTrainSegmenter,
            both,
            labelsFrom=LABELLED,
            label=LABELS[name],
            feature=name,
            steps=steps,
        )
    models = {"inputModels": [(f"model of a {name}", "outputModel") for name in STEPS]}
    runs.run("scores", ours.CryodlProtSegment, cell, models, streamingSleepOnWait=1)
    scores = {"inputScores": [("scores", "scores_" + name) for name in STEPS]}
    runs.run("merged", ours.CryodlProtMergeFeatures, None, scores, surfaces=True, minimum_size=500)
    runs.run(
        "judged",
        ours.CryodlProtEvaluateSegmentation,
        {"inputMasks": ("merged", "outputLabels"), "inputTruth": ("cell", "outputLabels")},
    )
    runs.run("membranes", ours.CryodlProtMeasureMembranes, both, label=LABELS["membrane"])
    runs.run("denoised tomogram", ours.CryodlProtDenoiseTomograms, cell, steps=8)


def found(runs: Runs) -> None:
    """Particles in tomograms, by their features, a template and a network."""
    cell = {"inputTomograms": ("cell", "outputTomograms")}
    shape = contract.FEATURE_SHAPES.index("particles")
    runs.run(
        "places",
        ours.CryodlProtPickFeatures,
        {**cell, "inputMasks": ("cell", "outputLabels")},
        label=LABELS["body"],
        boxSize=BOX,
        shape=shape,
        diameter=220,
        minimum_size=500,
    )
    runs.run(
        "detections",
        ours.CryodlProtDetectParticles,
        {**cell, "inputStructure": ("a body", "outputVolume")},
        angularStep=30,
        boxSize=BOX,
    )
    runs.run(
        "detector",
        ours.CryodlProtTrainDetector,
        cell,
        {"inputCoordinates": [("cell", "outputCoordinates")]},
        diameter="220",
        steps=2,
    )


def subtomograms(runs: Runs, bodies: list) -> None:
    """Classes of simulated subtomograms, known and unknown."""
    small = dict(pixelSize=PIXEL_SIZE, box=BOX, snr=0.3, count=24)
    runs.run("cubes", ours.CryodlProtSimulateSubtomograms, None, {"inputStructures": bodies}, **small)
    cubes = {"inputSubtomograms": ("cubes", "outputSubtomograms")}
    runs.run("classifier", ours.CryodlProtTrainClassifier, cubes, classNames="body, rod")
    runs.run(
        "classified",
        ours.CryodlProtClassifySubtomograms,
        {**cubes, "inputModel": ("classifier", "outputModel")},
        groundTruth=True,
    )
    runs.run("clusters", ours.CryodlProtClusterSubtomograms, cubes, classes=2)
    moving(runs)


def moving(runs: Runs) -> None:
    """A latent space of a body, one part of which swings."""
    angles, states = np.radians(np.linspace(-40, 40, 5)), []
    (x, y, *part), *rest = BODIES["body"][1:]
    for number, angle in enumerate(angles, 1):
        moved = (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), *part)
        path = os.path.join(runs.folder, f"swung_{number}.mrc")
        if not os.path.exists(path):
            writeBody(path, [BODIES["body"][0], moved, *rest])
        runs.volume(f"state {number}", path, STRUCTURE_PIXEL)
        states.append((f"state {number}", "outputVolume"))
    small = dict(pixelSize=PIXEL_SIZE, box=BOX, snr=0.05, count=24)
    runs.run("swinging", ours.CryodlProtSimulateSubtomograms, None, {"inputStructures": states}, **small)
    swinging = {"inputParticles": ("swinging", "outputSubtomograms")}
    runs.run("latent cubes", ours.CryodlProtFitHeterogeneity, swinging, latent=2, maps=5)


def maps(runs: Runs) -> None:
    """A map of a small bundle of helices, improved and measured."""
    path = os.path.join(runs.folder, "bundle.pdb")
    if not os.path.exists(path):
        writeBundle(path)
    runs.run("model", ProtImportPdb, inputPdbData=1, pdbFile=path)
    model = {"inputStructure": ("model", "outputPdb")}
    runs.run("half-maps", ours.CryodlProtSimulateHalfMaps, model, resolution=4.5, pixelSize=1.0, box=64)
    whole = {"inputVolume": ("half-maps", "outputVolume")}
    runs.run("improved", ours.CryodlProtImproveMap, whole)
    runs.run(
        "measured",
        ours.CryodlProtEvaluateMap,
        {**model, "inputVolume": ("improved", "outputVolume"), "inputBefore": ("half-maps", "outputVolume")},
    )
    runs.run("models", ours.CryodlProtCompareModels, {**model, "inputReference": ("half-maps", "outputStructure")})
    other = os.path.join(runs.folder, "other.pdb")
    if not os.path.exists(other):
        writeBundle(other, ("TRP", "LYS", "HIS", "PHE", "ASP"))  # one to learn from, one to validate on
    files = os.path.join(runs.folder, "*.pdb")
    runs.run(
        "improver",
        ours.CryodlProtTrainMapImprover,
        pairsFrom=2,
        structureFiles=files,
        simulated=1,
        steps=2,
        batchSize=2,
    )
