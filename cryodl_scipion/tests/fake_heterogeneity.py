# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent spaces of the fake engine: the coordinates of row i are i, -i, ...; clusters take turns."""

import os

import numpy as np
from fake_denoising import readStar, readTables, writeStar
from fake_simulator import writeMrc
from fake_stops import dieSometimes


def fitHeterogeneity(config):
    columns, rows, optics = readTables(config.particles)
    dieSometimes(os.path.dirname(config.output), 0)
    os.makedirs(config.output)
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    path_of = lambda name: os.path.join(config.output, name)
    names = [f"cryodlLatent{k + 1}" for k in range(config.latent)] + ["cryodlCluster"]
    made = [
        row + [float(i * (-1) ** k) for k in range(config.latent)] + [i % config.clusters + 1]
        for i, row in enumerate(rows)
    ]
    if config.umap:
        names += ["cryodlUmap1", "cryodlUmap2"]
        made = [row + [0.5 * i, -0.5 * i] for i, row in enumerate(made)]
    if config.classes:
        names += ["rlnClassNumber", "cryodlClassProbability"]
        made = [row + [i % config.classes + 1, 0.9] for i, row in enumerate(made)]
    apart = int(os.environ.get("FAKE_ENGINE_APART", 0))
    if apart:
        writeStar(path_of("apart.star"), columns, rows[-apart:], optics)
        made = made[:-apart]
    volumes = int(optics.get("rlnImageDimensionality", 2)) == 3
    star = path_of("subtomograms.star" if volumes else "particles.star")
    assert volumes or config.reference
    writeStar(star, columns + names, made, optics)
    classes = [path_of(f"class_{k + 1:02d}.mrc") for k in range(config.classes or 0)]
    paths = [[path_of(f"path_{axis + 1}_{k + 1:02d}.mrc") for k in range(config.maps)] for axis in range(config.axes)]
    for number, path in enumerate([path for axis in paths for path in axis] + classes):
        for ending in ("", "_half1", "_half2"):
            writeMrc(path[:-4] + ending + ".mrc", np.full((box,) * 3, number + 1.0, np.float32), size)
    writeMrc(path_of("mean.mrc"), np.ones((box,) * 3, np.float32), size)
    moves = os.environ.get("FAKE_ENGINE_MOTION") == "motion"
    return dict(
        particles=star,
        heterogeneity=path_of("heterogeneity.json"),
        mean=path_of("mean.mrc"),
        verdict="motion" if moves else "no motion",
        p_value=0.001 if moves else 0.4,
        variability=0.012,
        components=[],
        paths=paths,
        picture=path_of("latent.png"),
        classes=classes,
        count=len(made),
        apart=path_of("apart.star") if apart else None,
        apart_count=apart,
        latent=config.latent,
        pixel_size=size,
        box=box,
        umap=config.umap,
        method="linear" if config.method == "auto" else config.method,
    ), []


def latentVolumes(config):
    columns, rows, optics = readStar(config.particles)
    coordinates = sorted(float(row[columns.index("cryodlLatent1")]) for row in rows)
    os.makedirs(config.output)
    box, size = int(optics["rlnImageSize"]), float(optics["rlnImagePixelSize"])
    paths = [os.path.join(config.output, f"map_{number + 1:02d}.mrc") for number in range(config.maps)]
    for number, path in enumerate(paths):
        for ending in ("", "_half1", "_half2"):
            writeMrc(path[:-4] + ending + ".mrc", np.full((box,) * 3, number + 1.0, np.float32), size)
    domain = {}
    if config.domain:
        domain = dict(particles=os.path.join(config.output, "particles.star"), domain=paths[0])
        writeStar(domain["particles"], columns, rows, optics)
    return dict(
        domain,
        volumes=paths,
        record=os.path.join(config.output, "volumes.json"),
        coordinates=[[coordinates[number]] for number in range(config.maps)],
        resolutions=[10.0] * config.maps,
        count=len(rows),
        pixel_size=size,
        box=box,
    ), []


WORK = {"fit-heterogeneity": fitHeterogeneity, "latent-volumes": latentVolumes}
