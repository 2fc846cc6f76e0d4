# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms of the fake engine: files as the commands write them; tests know the answers (fake_ground_truth.py)."""

import os

import numpy as np
from fake_denoising import readTables, writeStar
from fake_ground_truth import classOf, poseOf
from fake_model import classifierCard, writeModel
from fake_simulator import writeTable
from fake_stops import dieSometimes
from fake_tomograms import writeVolume

from cryodl import contract

POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")


def simulateSubtomograms(config):
    folder = os.path.splitext(config.output)[0]
    dieSometimes(os.path.dirname(config.output), 0)
    os.makedirs(folder)
    names = [os.path.splitext(os.path.basename(path))[0] for path in config.structures]
    rows = []
    for number in range(config.count * len(names)):
        file = f"{os.path.basename(folder)}/{number + 1:06d}.mrc"
        cube = np.random.RandomState(number).normal(size=(config.box,) * 3).astype(np.float32)
        writeVolume(os.path.join(os.path.dirname(config.output), file), cube, config.pixel_size)
        rows.append(
            (file, f"tomo_{number // 10}", 1 + number % len(names), 1 + number % 2)
            + poseOf(number)
            + (config.tilt_min, config.tilt_max, 1)
        )
    optics = ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality")
    writeTable(config.output, "optics", optics, [(1, config.pixel_size, config.box, 3)])
    writeTable(
        config.output,
        "particles",
        ("rlnImageName", "rlnTomoName", "rlnClassNumber", "rlnRandomSubset")
        + POSE
        + ("cryodlTiltMin", "cryodlTiltMax", "rlnOpticsGroup"),
        rows,
    )
    return dict(
        subtomograms=config.output, count=len(rows), box=config.box, pixel_size=config.pixel_size, classes=names
    ), []


def trainClassifier(config):
    columns, rows, optics = readStar(config.subtomograms)
    partial = config.output + ".partial"
    os.makedirs(partial, exist_ok=True)
    dieSometimes(os.path.dirname(config.output), 0)
    numbers = sorted({int(row[columns.index("rlnClassNumber")]) for row in rows})
    classes = list(config.class_names) or [f"class {n}" for n in numbers]
    card = classifierCard(
        classes,
        name=os.path.basename(config.output),
        network=config.network,
        pixel_size=float(optics["rlnImagePixelSize"]),
        box=int(optics["rlnImageSize"]),
        class_numbers=numbers,
    )
    writeModel(partial, card)
    os.rename(partial, config.output)
    return dict(
        model=config.output, classes=classes, validation=card["validation"], stop_reason="done", contrast="bright"
    ), []


def classify(config):
    if config.model is None:
        return cluster(config)
    columns, rows, optics = readStar(config.subtomograms)
    dieSometimes(os.path.dirname(config.output), 0)
    names = contract.read_card(config.model, "classifier")["classes"]
    found = [classOf(row, len(names)) for row in range(len(rows))]
    extra = {
        "rlnClassNumber": found,
        "cryodlConfidence": [0.1 if c == 0 else 0.9 for c in found],
        **{f"cryodlProbability{k}": [0.8 if c == k else 0.1 for c in found] for k in range(1, len(names) + 1)},
        **{name: [poseOf(row)[i] for row in range(len(rows))] for i, name in enumerate(POSE)},
    }
    writeMore(config.output, columns, rows, optics, extra)
    counts = {name: found.count(number) for number, name in enumerate(names, 1)}
    paths = {
        name: f"{os.path.splitext(config.output)[0]}_class{number:03d}.mrc" for number, name in enumerate(names, 1)
    }
    average(paths.values(), optics)
    return dict(
        subtomograms=config.output,
        counts=dict(counts, unknown=found.count(0)),
        averages=paths,
        accuracy=0.75 if config.ground_truth else None,
        confusion=None,
        contrast="bright",
        model=config.model,
    ), []


def cluster(config):
    columns, rows, optics = readStar(config.subtomograms)
    dieSometimes(os.path.dirname(config.output), 0)
    found, base = [1 + row % config.classes for row in range(len(rows))], os.path.splitext(config.output)[0]
    writeMore(config.output, columns, rows, optics, {"rlnClassNumber": found})
    paths = {str(n): f"{base}_class{n:03d}.mrc" for n in range(1, config.classes + 1)}
    average(paths.values(), optics)
    return dict(
        subtomograms=config.output,
        counts={n: found.count(int(n)) for n in paths},
        averages=paths,
        embedding=base + "_embedding.csv",
        pictures=[],
        aligned="given",
        contrast="bright",
        p_value=0.017,
        resolutions=dict.fromkeys(paths, 34.5),
    ), []


def average(paths, optics):
    for path in paths:
        assert not os.path.exists(path), "the engine replaces no averages"
        writeVolume(path, np.ones((int(optics["rlnImageSize"]),) * 3, np.float32), float(optics["rlnImagePixelSize"]))


def writeMore(path, columns, rows, optics, extra):
    """The table with columns added or replaced."""
    kept = [i for i, name in enumerate(columns) if name not in extra]
    made = [[row[i] for i in kept] + [values[n] for values in extra.values()] for n, row in enumerate(rows)]
    writeStar(path, [columns[i] for i in kept] + list(extra), made, optics)


def readStar(path):
    """(columns, rows, optics); volumes that are named must be there."""
    columns, rows, optics = readTables(path)
    assert all(os.path.exists(row[columns.index("rlnImageName")].split("@")[-1]) for row in rows)
    return columns, rows, optics


WORK = {
    "simulate-subtomograms": simulateSubtomograms,
    "train-classifier": trainClassifier,
    "classify-subtomograms": classify,
}
