# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms of the fake engine: files as the real commands write them, with answers that tests know.

A voxel's score is its value in the tomogram: 0.2 ... for feature 1, less 0.1 for each further one. Of a tomogram that
is shorter than its header nothing is made. segmented.log tells what was segmented, in its order.
"""

import csv
import json
import os
import shutil

import mrcfile
import numpy as np
from fake_ground_truth import SHAPE, positionsOf
from fake_model import TOMOGRAM_CONTROLS, detectorCard, segmenterCard, tomogramDenoiserCard, writeModel
from fake_simulator import writeTable
from fake_stops import dieSometimes, trainSteps

from cryodl import contract

POSITION = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def simulateTomograms(config):
    dieSometimes(os.path.dirname(config.output), 0)
    names = [f"tomo_{number + 1:03d}" for number in range(config.count)]
    stems = [os.path.splitext(os.path.basename(path))[0] for path in config.structures]
    features = stems + ["membrane"]
    for folder in ("tomograms", "labels", "coordinates"):
        os.makedirs(os.path.join(config.output, folder))
    for number, name in enumerate(names):
        labels = np.zeros(SHAPE, np.int8)
        labels[:, :2] = len(features)
        rows = [row + (stem,) for stem in stems for row in positionsOf(number)]
        for x, y, z, *_, stem in rows:
            labels[int(round(z)), int(round(y)), int(round(x))] = 1 + stems.index(stem)
        noise = np.random.RandomState(number).normal(size=SHAPE).astype(np.float32)
        writeVolume(os.path.join(config.output, "tomograms", name + ".mrc"), noise, config.pixel_size)
        writeVolume(os.path.join(config.output, "labels", name + ".mrc"), labels, config.pixel_size)
        writeTable(
            os.path.join(config.output, "coordinates", name + ".star"),
            "particles",
            ("rlnTomoName",) + POSITION + ANGLES + ("cryodlStructure",),
            [(name,) + row for row in rows],
        )
    files = {
        folder: {name: os.path.join(config.output, folder, name + end) for name in names}
        for folder, end in (("tomograms", ".mrc"), ("labels", ".mrc"), ("coordinates", ".star"))
    }
    counts = dict({stem: 3 * len(names) for stem in stems}, membrane=len(names))
    return dict(
        files,
        features=features,
        pixel_size=config.pixel_size,
        counts=counts,
        tilt_min=config.tilt_min,
        tilt_max=config.tilt_max,
        tilt_series=None,
    ), []


def denoiseTomograms(config):
    """As `cryodl denoise-tomograms`: the mean of the halves, or the tomogram, as it is."""
    os.makedirs(config.output, exist_ok=True)
    model = config.model or os.path.join(config.output, "model")
    if not os.path.exists(model):
        writeModel(model, tomogramDenoiserCard(fills_wedge=config.fill_wedge, training=dict(tomograms=config.names)))
    card, controls = contract.read_card(model), {}
    files, halves = {}, dict(even={}, odd={})
    for name, *paths in zip(config.names, *((config.even, config.odd) if config.even else (config.tomograms,))):
        volumes = [mrcfile.read(path).astype(np.float32) for path in paths]
        files[name] = os.path.join(config.output, name + ".mrc")
        writeVolume(files[name], sum(volumes) / len(volumes), config.pixel_size)
        for half, volume in zip(("even", "odd"), volumes if config.halves and len(volumes) == 2 else ()):
            halves[half][name] = os.path.join(config.output, f"{name}_{half}.mrc")
            writeVolume(halves[half][name], volume, config.pixel_size)
        controls[name] = TOMOGRAM_CONTROLS if len(volumes) == 2 else {}
    return dict(
        tomograms=config.output,
        files=files,
        model=model,
        fills_wedge=card["fills_wedge"],
        pixel_sizes=dict.fromkeys(files, config.pixel_size),
        controls=controls,
        **halves,
    ), []


def trainSegmenter(config):
    partial = config.output + ".partial"
    trainSteps(config.output, partial)
    for path in config.tomograms + config.labels:
        mrcfile.read(path)
    feature, size = config.feature or "feature", config.pixel_size or 10.0
    card = segmenterCard(
        feature,
        name=os.path.basename(config.output),
        network="unet" if config.network == "auto" else config.network,
        pixel_size=size,
        annotator=config.annotator or "annotator",
    )
    writeModel(partial, card)
    os.rename(partial, config.output)
    return dict(
        model=config.output,
        feature=feature,
        annotator=card["annotator"],
        validation=card["validation"],
        stop_reason="all steps were done",
        pixel_size=size,
    ), []


def segment(config):
    os.makedirs(config.output, exist_ok=True)
    cards = [contract.read_card(model, "segmenter") for model in config.model]
    features = [card["feature"] for card in cards]
    files, skipped = {}, []
    for done, (name, path) in enumerate(zip(config.names, config.tomograms)):
        dieSometimes(config.output, done)
        if os.path.getsize(path) < 4096:
            skipped.append(contract.Skipped(name, path, "the file is shorter than its header says"))
            continue
        files[name] = {f: os.path.join(config.output, f"{name}__{f}.mrc") for f in features}
        if all(os.path.exists(file) for file in files[name].values()):
            continue
        with open(os.path.join(config.output, "segmented.log"), "a") as log:
            log.write(name + "\n")
        values = np.clip(mrcfile.read(path), 0, 1)
        for number, file in enumerate(files[name].values()):
            writeVolume(file, np.round(100 * np.clip(values - 0.1 * number, 0, 1)).astype(np.int8), config.pixel_size)
    if not files:
        raise contract.AllSkipped(
            f"Of {contract.counted(len(skipped), 'tomogram')}, none could be segmented. The first: "
            f"{contract.in_words(skipped[0])}"
        )
    return dict(
        scores=config.output,
        files=files,
        features=features,
        thresholds={c["feature"]: c["threshold"] for c in cards},
        pixel_size=config.pixel_size,
        pixel_sizes=dict.fromkeys(files, config.pixel_size),
        models={c["feature"]: [m] for c, m in zip(cards, config.model)},
        agreement={},
        noise={name: {f: dict(noise=0.0005, tomogram=0.03, voxels=800000) for f in features} for name in files},
    ), skipped


def mergeFeatures(config):
    with open(os.path.join(config.scores, "segment.json")) as file:
        index = json.load(file)
    os.makedirs(config.output, exist_ok=True)
    dieSometimes(config.output, 0)
    features, files, counts, entries = [f["name"] for f in index["features"]], {}, {}, {}
    for name, entry in index["tomograms"].items():
        scores = [mrcfile.read(os.path.join(config.scores, entry["files"][f])) / 100 for f in features]
        above = np.array([s >= f["threshold"] for s, f in zip(scores, index["features"])])
        labels = np.where(above.any(axis=0), 1 + np.argmax(np.where(above, scores, -1), axis=0), 0).astype(np.int8)
        files[name] = os.path.join(config.output, name + ".mrc")
        writeVolume(files[name], labels, entry["pixel_size"])
        voxels = {f: int((labels == n).sum()) for n, f in enumerate(features, 1)}
        found = {
            f: dict(voxels=v, volume_nm3=v * entry["pixel_size"] ** 3 / 1000, components=min(v, 1), area_nm2=2.5)
            for f, v in voxels.items()
        }
        entries[name] = dict(file=name + ".mrc", pixel_size=entry["pixel_size"], found=found)
        counts[name] = {f: metrics["components"] for f, metrics in found.items()}
    with open(os.path.join(config.output, "features.json"), "w") as file:
        json.dump(dict(labels={str(n): f for n, f in enumerate(features, 1)}, tomograms=entries), file)
    table = os.path.join(config.output, "features.csv")
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([n, f, c] for n, each in counts.items() for f, c in each.items())
    return dict(
        files=files,
        features=features,
        table=table,
        pixel_size=entry["pixel_size"],
        counts=counts,
        surfaces={},
        scripts={},
    ), []


def pickFeatures(config):
    """A place at every voxel of the label (at every voxel above the threshold), each a piece; angles by its number."""
    os.makedirs(config.output, exist_ok=True)
    dieSometimes(os.path.dirname(config.output), 0)
    files, counts = {}, {}
    for name, path in zip(config.names, config.segmentations):
        volume = mrcfile.read(path)
        found = np.argwhere(volume == config.label if config.label else volume >= 100 * config.threshold)
        files[name] = os.path.join(config.output, name + ".star")
        if os.path.exists(files[name]):
            os.remove(files[name])
        writeTable(
            files[name],
            "particles",
            ("rlnTomoName",) + POSITION + ANGLES + ("cryodlScore", "cryodlPiece", "cryodlVolume"),
            [(name, x, y, z, 0.0, 5.0 * n, 10.0 * n, 0.75, n, 1.5) for n, (z, y, x) in enumerate(found, 1)],
        )
        counts[name] = len(found)
    return dict(
        files=files,
        particles=os.path.join(config.output, "particles.star"),
        counts=counts,
        pixel_size=config.pixel_size,
    ), []


def writeTetrahedron(path):
    """A mesh of four triangles, from 10 to 50 Å, as the engine writes them."""
    names = ("x", "y", "z", "nx", "ny", "nz", "curvature_per_nm", "thickness_angstrom", "distance_angstrom")
    corners = np.array([(10, 10, 10), (50, 10, 10), (10, 50, 10), (10, 10, 50)], np.float32)
    rows = np.hstack([corners, corners / 60, [[0.01, 40, np.nan]] * 4]).astype("<f4")
    head = ["ply", "format binary_little_endian 1.0", "element vertex 4", *(f"property float {n}" for n in names)]
    head += ["element face 4", "property list uchar int vertex_indices", "end_header", ""]
    with open(path, "wb") as file:
        file.write("\n".join(head).encode() + rows.tobytes())
        for face in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)):
            file.write(b"\x03" + np.array(face, "<i4").tobytes())


def measureMembranes(config):
    """As pickFeatures; all of a tomogram is one membrane."""
    outputs, skipped = pickFeatures(config)
    points = outputs["counts"]
    table = os.path.join(config.output, "membranes.csv")
    with open(table, "w") as file:
        file.write("tomogram,membrane,points\n")
        file.writelines(f"{name},1,{count}\n" for name, count in points.items())
    instances = {name: os.path.join(config.output, name + ".mrc") for name in config.names}
    for name, path in zip(config.names, config.segmentations):
        shutil.copyfile(path, instances[name])
    counts = dict.fromkeys(points, 1)
    meshes = {name: [os.path.join(config.output, f"{name}_membrane_001.ply")] for name in points}
    for paths in meshes.values():
        writeTetrahedron(paths[0])
    return dict(outputs, counts=counts, points=points, table=table, instances=instances, meshes=meshes), skipped


def trainDetector(config):
    """Its species are those of the coordinates' column; coordinates.log in the model's folder has the rows."""
    partial = config.output + ".partial"
    trainSteps(config.output, partial)
    with open(config.coordinates[0]) as file:
        rows = [line.split() for line in file if len(line.split()) == 5 and not line.startswith("_")]
    species = list(config.species) or sorted({row[4] for row in rows})
    writeModel(partial, detectorCard(species, name=os.path.basename(config.output), network=config.network))
    with open(os.path.join(partial, "coordinates.log"), "w") as file:
        file.writelines(" ".join(row) + "\n" for row in rows)
    os.rename(partial, config.output)
    return dict(
        model=config.output,
        species=species,
        thresholds={name: 0.4 for name in species},
        validation={name: dict(particles=10) for name in species},
        stop_reason="all steps were done",
        pixel_size=config.pixel_size,
    ), []


def detectParticles(config):
    """Three places of each species in every tomogram; with a template they have angles and q-values."""
    os.makedirs(config.output, exist_ok=True)
    dieSometimes(os.path.dirname(config.output), 0)
    stem = os.path.splitext(os.path.basename(config.template or ""))[0]
    species = [stem] if config.template else contract.read_card(config.model, "detector")["species"]
    files = {}
    for number, name in enumerate(config.names):
        files[name] = os.path.join(config.output, name + ".star")
        if os.path.exists(files[name]):
            os.remove(files[name])
        writeTable(
            files[name],
            "particles",
            (
                ("rlnTomoName",)
                + POSITION
                + (ANGLES if config.template else ())
                + ("cryodlSpecies", "cryodlScore")
                + (("cryodlQ",) if config.template else ())
            ),
            [
                (name,) + row[: 6 if config.template else 3] + (one, 0.75) + ((q,) if config.template else ())
                for one in species
                for row, q in zip(positionsOf(number), (0.01, 0.02471, 0.05))
            ],
        )
    each = lambda value: {name: {one: value for one in species} for name in config.names}
    return dict(
        files=files,
        particles=os.path.join(config.output, "particles.star"),
        method="template" if config.template else "network",
        species=species,
        counts=each(3),
        thresholds=each(0.4),
        expected_false_detections=each(0.25),
        diameters={one: 120.0 for one in species},
        pixel_size=config.pixel_size,
        angular_step=20.0 if config.template else None,
        orientations=1944 if config.template else None,
        model=config.model,
    ), []


def evaluateSegmentation(config):
    os.makedirs(config.output)
    dieSometimes(os.path.dirname(config.output), 0)
    pairs = [(mrcfile.read(a), mrcfile.read(b)) for a, b in zip(config.segmentations, config.labels)]
    assert all(os.path.basename(a) == os.path.basename(b) for a, b in zip(config.segmentations, config.labels))
    features = {}
    for label in [config.label] if config.label else [1, 2]:
        a, b = (np.concatenate([(pair[i] == label).ravel() for pair in pairs]) for i in (0, 1))
        if config.label:
            a = np.concatenate([(pair[0] >= 100 * config.threshold).ravel() for pair in pairs])
        dice = 2 * float((a & b).sum()) / max(1, int(a.sum() + b.sum()))
        features[str(label)] = dict(label=label, dice=dice, precision=dice, recall=dice, boundary_error=12.5)
    path = os.path.join(config.output, "evaluation.json")
    with open(path, "w") as file:
        json.dump(features, file)
    return dict(evaluation=path, folder=config.output, features=features, pictures={}), []


def writeVolume(path, data, pixelSize):
    with mrcfile.new(path + ".tmp", overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_volume()
        mrc.voxel_size = pixelSize
    os.rename(path + ".tmp", path)


WORK = {
    "simulate-tomograms": simulateTomograms,
    "train-segmenter": trainSegmenter,
    "denoise-tomograms": denoiseTomograms,
    "segment": segment,
    "merge-features": mergeFeatures,
    "pick-features": pickFeatures,
    "measure-membranes": measureMembranes,
    "evaluate-segmentation": evaluateSegmentation,
    "train-detector": trainDetector,
    "detect-particles": detectParticles,
}
