# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of subtomograms that were found without labels, with and without making up for the missing wedge.

Subtomograms of six structures in one file, aligned (true angles and shifts). Adjusted Rand index with the true classes.
"""

import csv
from pathlib import Path

from common import cryodl
from parts import engine_path, table
from tomo_data import CLASSES, subtomograms

CASES = ((0.1, 60), (0.1, 40), (0.05, 60), (0.05, 40))
EMBEDDINGS = ("pca", "similarity")
WAYS = {True: "--compensate", False: "--no-compensate"}


def run(bench):
    for snr, tilt in CASES:
        for embedding in EMBEDDINGS:
            for compensated in WAYS:
                bench.once(
                    key(snr, tilt, embedding, compensated), lambda: measure(bench, snr, tilt, embedding, compensated)
                )


def key(snr, tilt, embedding, compensated):
    return f"clustering/{snr:g}/{tilt}/{embedding}/{'compensated' if compensated else 'not'}"


def measure(bench, snr, tilt, embedding, compensated):
    engine_path()
    from sklearn.metrics import adjusted_rand_score

    from cryodl.io.star import read_tables

    star = subtomograms(bench, snr, tilt, bench.options.test, 2000)
    folder = bench.folder(key(snr, tilt, embedding, compensated))
    folder.mkdir()
    _, cpu, _, _ = cryodl(
        "cluster-subtomograms",
        "--subtomograms",
        star,
        "--classes",
        len(CLASSES),
        "--embedding",
        embedding,
        "--align",
        "given",
        WAYS[compensated],
        "--tilt-min",
        -tilt,
        "--tilt-max",
        tilt,
        "--output",
        folder / "found.star",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    ground_truth, found = (read_tables(path)["particles"] for path in (star, folder / "found.star"))
    classes = {
        Path(name).name: number for name, number in zip(ground_truth["rlnImageName"], ground_truth["rlnClassNumber"])
    }
    embedded = next(folder.glob("*_embedding.csv"))
    with open(embedded, newline="") as file:
        count = sum(1 for _ in csv.DictReader(file))
    names = [Path(name).name for name in found["rlnImageName"]]  # their folders are relative to their files
    return dict(
        ari=float(adjusted_rand_score([classes[n] for n in names], found["rlnClassNumber"])), cpu=cpu, count=count
    )


def tables(bench):
    rows = []
    for snr, tilt in CASES:
        for embedding in EMBEDDINGS:
            found = [bench.figures.get(key(snr, tilt, embedding, way)) for way in WAYS]
            rows.append([f"{snr:g}", f"±{tilt}°", embedding, *[f and f["ari"] for f in found]])
    return table(["SNR", "tilts", "embedding", "compensated: adjusted Rand index", "not compensated"], rows)
