# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles of the fake engine: files as the real commands write them, with answers that tests know.

FAKE_ENGINE_CONTROL=warning lets the control of evaluate-denoiser fail; FAKE_ENGINE_MAP=none: initial-map finds nothing.
"""

import argparse
import json
import os
import shutil
import time

import mrcfile
import numpy as np
from fake_model import denoiserCard, writeModel
from fake_simulator import writeMrc, writeTable
from fake_stops import dieSometimes, trainSteps

# What the fake finds for the particle in row i: degrees and Å.
POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")


def poseOf(row):
    return 10.0 + row, 20.0 + row, -30.0 + row, 1.5, -0.5 * row


def probabilitiesOf(row, count):
    """The first composition for even rows, surely; the second for odd ones, hardly."""
    first = 0.95 if row % 2 == 0 else 0.4
    return [first, 1 - first] + [0.0] * (count - 2)


def simulateParticles(config):
    base, n = os.path.splitext(config.output)[0], config.count
    dieSometimes(os.path.dirname(config.output), 0)
    images = np.random.RandomState(config.seed).normal(size=(n, config.box, config.box)).astype(np.float32)
    writeMrc(base + ".mrcs", images, config.pixel_size)
    writeMrc(base + "_clean.mrcs", np.abs(images), config.pixel_size)
    writeMrc(base + "_map.mrc", np.ones((config.box,) * 3, np.float32), config.pixel_size)
    columns = (
        ("rlnImageName", "rlnMicrographName")
        + POSE
        + ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnRandomSubset", "rlnOpticsGroup")
    )
    stack = os.path.relpath(base + ".mrcs")
    rows = [
        (f"{i + 1:06d}@{stack}", f"mic_{i // config.per_micrograph}.mrc")
        + poseOf(i)
        + (config.minimum_defocus + 100, config.minimum_defocus, 15.0, 1 + i % 2, 1)
        for i in range(n)
    ]
    optics = (
        "rlnOpticsGroup",
        "rlnImagePixelSize",
        "rlnImageSize",
        "rlnVoltage",
        "rlnSphericalAberration",
        "rlnAmplitudeContrast",
    )
    writeTable(
        config.output,
        "optics",
        optics,
        [(1, config.pixel_size, config.box, config.voltage, config.spherical_aberration, config.amplitude_contrast)],
    )
    writeTable(config.output, "particles", columns, rows)
    return dict(
        particles=config.output,
        stack=base + ".mrcs",
        clean=base + "_clean.mrcs",
        map=base + "_map.mrc",
        count=n,
        particle_diameter=90.0,
        pixel_size=config.pixel_size,
        box=config.box,
        states=[],
    ), []


def trainDenoiser(config):
    partial, tables = config.output + ".partial", [readStar(path) for path in config.particles]
    trainSteps(config.output, partial)
    count = sum(len(rows) for _, rows, _ in tables)
    optics = tables[0][2]
    writeModel(
        partial,
        denoiserCard(
            name=os.path.basename(config.output),
            network=config.network,
            pixel_size=float(optics["rlnImagePixelSize"]),
            box=int(optics["rlnImageSize"]),
            structures=[os.path.basename(path) for path in config.structure],
            training=dict(particles=count, validation_particles=1, steps=3, stop_reason="all steps were done"),
            validation=dict(frc=0.3, frc_raw=0.1),
        ),
    )
    os.rename(partial, config.output)
    return dict(
        model=config.output,
        validation=dict(frc=0.3, frc_raw=0.1),
        stop_reason="all steps were done",
        pixel_size=float(optics["rlnImagePixelSize"]),
        box=int(optics["rlnImageSize"]),
    ), []


def denoise(config):
    columns, rows, optics = readStar(config.particles)
    dieSometimes(os.path.dirname(config.output), 0)
    stack = os.path.splitext(config.output)[0] + ".mrcs"
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    writeMrc(stack, np.arange(len(rows), dtype=np.float32)[:, None, None] * np.ones((1, box, box), np.float32), size)
    position = columns.index("rlnImageName")
    with open(os.path.join(config.model, "card.json")) as file:
        card = json.load(file)
    name = card["name"]
    made = [
        row[:position]
        + [f"{i:06d}@{os.path.relpath(stack)}"]
        + row[position + 1 :]
        + [row[position], name, 0.5 + i / 100, 1 - i / 100]
        for i, row in enumerate(rows, 1)
    ]
    columns = columns + ["rlnImageOriginalName", "cryodlDenoiser", "cryodlDenoisedStrength", "cryodlExplained"]
    writeStar(config.output, columns, made, optics)
    return dict(
        particles=config.output,
        stack=stack,
        count=len(rows),
        pixel_size=size,
        box=box,
        contrast="bright",
        model=name,
        empty=0,
        explained=None,
        blind=card["kind"] == "micrograph_denoiser",
    ), []


def assignOrientations(config):
    columns, rows, optics = readStar(config.particles)
    dieSometimes(os.path.dirname(config.output), 0)
    kept = [i for i, name in enumerate(columns) if name not in POSE]
    made = [[row[i] for i in kept] + list(poseOf(n)) + [0.9, 2.0 + n, 0.5 + n] for n, row in enumerate(rows)]
    names = [columns[i] for i in kept] + list(POSE) + ["rlnMaxValueProbDistribution", "cryodlScore", "cryodlMargin"]
    writeStar(config.output, names, made, optics)
    return dict(
        particles=config.output,
        count=len(rows),
        mean_score=3.5,
        mean_probability=0.62,
        directions=768,
        symmetry=config.symmetry,
        contrast="bright",
        resolution=20.0,
        reference=config.structure,
        noise_control=None,
        substituted=None,
        missing_cone=0.0,
        tilted_cones=[0.0] * 3,
        views=VIEWS,
    ), []


VIEWS = [[0.0, 20.0, 3.1], [90.0, 60.0, 0.5], [-120.0, 85.0, 0.0]]
BY_DIRECTION = [[0.0, 20.0, 31.0], [90.0, 60.0, 8.5], [-120.0, 85.0, None]]


def reconstruct(config):
    columns, rows, optics = readStar(config.particles)
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    endings = ("_half1", "_half2", "_mask")
    paths = [config.output] + [f"{os.path.splitext(config.output)[0]}{ending}.mrc" for ending in endings]
    dieSometimes(os.path.dirname(config.output), 0)
    for path in paths:
        writeMrc(path, np.ones((box,) * 3, np.float32), size)
    fsc = [1.0 - i / (box // 2) for i in range(box // 2 + 1)]
    return dict(
        map=paths[0],
        half1=paths[1],
        half2=paths[2],
        mask=paths[3],
        resolution=9.5,
        fsc=fsc,
        missing_cone=44.3,
        tilted_cones=[33.4, 23.7, 10.4],
        by_direction=BY_DIRECTION,
        views=VIEWS,
        count=len(rows),
        pixel_size=size,
        box=box,
        reference="",
        search_resolution=None,
        noise_fsc=None,
        noise_resolution=None,
        corrected_resolution=None,
        fsc_beyond=None,
        substituted_from=None,
        substituted_fsc=None,
        substituted_resolution=None,
    ), []


def initialMap(config):
    columns, rows, optics = readStar(config.particles)
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    os.makedirs(config.output, exist_ok=True)
    path = lambda name: os.path.join(config.output, name)
    with open(path("judgement.json"), "w") as file:
        json.dump(dict(reasons=[]), file)
    shared = dict(
        judgement=path("judgement.json"), count=len(rows), pixel_size=size, box=box, contrast="bright", limit=15.0
    )
    if os.environ.get("FAKE_ENGINE_MAP") == "none":
        views = ("missing_cone", "tilted_cones", "views", "by_direction")
        made = dict.fromkeys(("map", "half1", "half2", "particles", "resolution", *views))
        reasons = ["the particles show hardly more than noise"]
        return dict(shared, **made, determined=False, reasons=reasons, fsc=[], agreement=0.4, coverage=0.8), []
    pose = argparse.Namespace(particles=config.particles, output=path("particles.star"), symmetry="C1", structure="")
    assignOrientations(pose)
    names = dict(map="map.mrc", half1="map_half1.mrc", half2="map_half2.mrc")
    for name in names.values():
        writeMrc(path(name), np.ones((box,) * 3, np.float32), size)
    made = dict({name: path(file) for name, file in names.items()}, particles=path("particles.star"))
    fsc = [1.0 - i / (box // 2) for i in range(box // 2 + 1)]
    made.update(missing_cone=0.0, tilted_cones=[0.0] * 3, views=VIEWS, by_direction=BY_DIRECTION)
    return dict(shared, **made, determined=True, reasons=[], resolution=18.5, fsc=fsc, agreement=0.97, coverage=0.8), []


def evaluate(config):
    columns, rows, optics = readStar(config.particles)
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    dieSometimes(os.path.dirname(config.output), 0)
    os.makedirs(config.output)
    curve = [1.0 - i / (box // 2) for i in range(box // 2 + 1)]
    verdict = os.environ.get("FAKE_ENGINE_CONTROL", "ok")
    data = dict(
        count=min(len(rows), config.count),
        pixel_size=size,
        box=box,
        frc=dict(frequency=[i / (box * size) for i in range(box // 2 + 1)], raw=curve, wiener=curve, denoised=curve),
        mean_frc=dict(raw=0.11, wiener=0.23, denoised=0.41),
        resolution=dict(
            raw={"0.5": None, "0.143": 40.0}, wiener={"0.5": None, "0.143": 25.0}, denoised={"0.5": 27.0, "0.143": 15.0}
        ),
        fsc=dict(
            frequency=[i / (box * size) for i in range(box // 2 + 1)],
            raw=curve,
            denoised=curve,
            resolution=dict(raw={"0.5": 12.0}, denoised={"0.5": 20.0}),
        ),
        control=dict(
            noise=0.02,
            unrelated=0.01,
            verdict=verdict,
            sentences=[f"Denoised pure noise looks like {'nothing' if verdict == 'ok' else 'the target'}."],
        ),
    )
    with open(os.path.join(config.output, "evaluation.json"), "w") as file:
        json.dump(data, file)
    return dict(
        evaluation=os.path.join(config.output, "evaluation.json"),
        folder=config.output,
        verdict=verdict,
        pictures={},
        table=os.path.join(config.output, "frc.csv"),
        mean_frc=data["mean_frc"],
        resolution=data["resolution"],
    ), []


def assessIntegrity(config):
    columns, rows, optics = readStar(config.particles)
    dieSometimes(os.path.dirname(config.output), 0)
    os.makedirs(config.output)
    path, k = os.path.join(config.output, "particles.star"), len(config.structures)
    made, counts, told = [], {name: 0 for name in config.names}, "alike" not in config.names
    for i, row in enumerate(rows):
        values = probabilitiesOf(i, k)
        counts[config.names[int(np.argmax(values))]] += 1
        made.append(row + [int(np.argmax(values)) + 1 if told else 0] + values)
    writeStar(path, columns + ["rlnClassNumber"] + [f"cryodlProbability{i + 1}" for i in range(k)], made, optics)
    return dict(
        particles=path,
        table=os.path.join(config.output, "probabilities.csv"),
        counts=counts if told else {},
        integrity=os.path.join(config.output, "integrity.json"),
        names=list(config.names),
        separation=0.775 if told else None,
        pictures=[],
    ), []


IDENTIFIED = (  # what the fake says of any structures: the first is there, the others are not
    "structure,q,share,share_low,share_high,explained,evidence,decoys,coarse_evidence,file\n"
    "right,1e-08,0.91,0.85,0.95,0.88,20.5,8.2,15.6,right.pdb\n"
    "wrong,1,,,,0.3,8.4,8.1,8.3,wrong.pdb\n"
    "other,1,,,,0,,,7.7,other.pdb\n"
)


def identify(config):
    dieSometimes(os.path.dirname(config.output), 0)
    os.makedirs(config.output)
    path = os.path.join(config.output, "ranking.csv")
    with open(path, "w") as file:
        file.write(IDENTIFIED)
    return dict(
        table=path,
        found=["right"],
        alike=[],
        names=["right", "wrong", "other"],
        shares=[0.91, 0.02, 0.0],
        explained=0.88,
        count=sum("@" in line for line in open(config.particles)),
        contrast="bright",
    ), []


def classOf(row):
    """Class 1, 2 or 3 of the particle in row i; row 5 is in none."""
    return 0 if row == 5 else row % 3 + 1


def classify2d(config):
    columns, rows, optics = readStar(config.particles)
    dieSometimes(os.path.dirname(config.output), 0)
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    if os.environ.get("FAKE_ENGINE_SLEEP"):
        work = os.path.join(config.output + ".partial", "work")
        os.makedirs(work)
        averages = np.random.RandomState(2).normal(size=(2, box, box)).astype(np.float32)
        writeMrc(os.path.join(work, "forming.mrcs"), averages, size)
        table = [("000001@forming.mrcs", 8), ("000002@forming.mrcs", 4)]
        writeTable(os.path.join(work, "forming.star"), "classes", ("rlnReferenceImage", "cryodlParticles"), table)
        time.sleep(float(os.environ["FAKE_ENGINE_SLEEP"]))
        shutil.rmtree(config.output + ".partial")
    os.makedirs(config.output)
    paths = [os.path.join(config.output, name) for name in ("particles.star", "classes.star", "classes.mrcs")]
    taken = ("rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnClassNumber")
    kept = [i for i, name in enumerate(columns) if name not in taken]
    made = [
        [row[i] for i in kept] + [10.0 + n, 4.0, -2.0 * n, classOf(n), 7.0 + n, 0.5, 0.0 if n == 3 else 1.0]
        for n, row in enumerate(rows)
    ]
    writeStar(
        paths[0],
        [columns[i] for i in kept] + list(taken) + ["cryodlScore", "cryodlMargin", "cryodlProbability"],
        made,
        optics,
    )
    own = [sum(classOf(n) == k + 1 for n in range(len(rows))) for k in range(config.classes)]
    counts, adds = own, config.classes_from is not None and not config.again
    if config.classes_from is not None:
        with open(os.path.join(config.classes_from, "sums.npz")) as file:  # the real one has sums
            before = json.load(file)
        counts = [a + b for a, b in zip(own, before)] if adds else own
    with open(os.path.join(config.output, "sums.npz"), "w") as file:
        json.dump(counts, file)
    scores = [round(0.9 - 0.3 * k, 2) if k < 3 else 0.0 for k in range(config.classes)]
    averages = np.random.RandomState(1).normal(size=(config.classes, box, box)).astype(np.float32)
    writeMrc(paths[2], averages, size)
    table = [
        (f"{k + 1:06d}@classes.mrcs", k + 1, counts[k] / max(1, sum(counts)), counts[k], 12.5, scores[k])
        for k in range(config.classes)
    ]
    writeTable(
        paths[1],
        "classes",
        (
            "rlnReferenceImage",
            "rlnClassNumber",
            "rlnClassDistribution",
            "cryodlParticles",
            "rlnEstimatedResolution",
            "rlnClassScore",
        ),
        table,
    )
    return dict(
        particles=paths[0],
        classes=paths[1],
        stack=paths[2],
        counts=counts,
        scores=scores,
        resolutions=[12.5] * config.classes,
        count=sum(counts),
        converged=True,
        pixel_size=size,
        box=box,
        assigned=sum(own) if adds else 0,
    ), []


def readStar(path):
    """(columns, rows of texts, the first optics group as a dict) of a STAR file without quoted texts.

    Images that are named must be there, as for the real engine.
    """
    columns, rows, optics = readTables(path)
    for row in rows:
        index, stack = row[columns.index("rlnImageName")].split("@")
        with mrcfile.open(stack, header_only=True, permissive=True) as mrc:
            assert int(index) <= int(mrc.header.nz), row
    return columns, rows, optics


def readTables(path):
    """As readStar, whatever the names name."""
    tables, name = {}, None
    with open(path) as file:
        for line in file:
            words = line.split()
            if line.startswith("data_"):
                name = line.strip()[5:]
                tables[name] = ([], [])
            elif line.startswith("_"):
                tables[name][0].append(words[0][1:])
            elif words and words[0][0] not in "#" and words[0] != "loop_":
                tables[name][1].append(words)
    columns, rows = tables["particles"]
    return columns, rows, dict(zip(tables["optics"][0], tables["optics"][1][0]))


def writeStar(path, columns, rows, optics):
    if os.path.exists(path):
        os.remove(path)
    writeTable(path, "optics", list(optics), [list(optics.values())])
    writeTable(path, "particles", columns, rows)


WORK = {
    "simulate-particles": simulateParticles,
    "train-denoiser": trainDenoiser,
    "denoise": denoise,
    "assign-orientations": assignOrientations,
    "reconstruct": reconstruct,
    "initial-map": initialMap,
    "evaluate-denoiser": evaluate,
    "assess-integrity": assessIntegrity,
    "identify": identify,
    "classify-2d": classify2d,
}
