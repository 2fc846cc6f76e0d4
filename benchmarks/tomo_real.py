# SPDX-License-Identifier: GPL-3.0-or-later
"""The real tomogram of two HIV-1 virions (EMD-1155): trained on one virion's envelope, tested on the other's.

Its labels are spheres that were fitted to the envelopes, 3.5 voxels thick: a reference by fit, which bumps of one or
two voxels leave; no network can reach a Dice near 1 with it.
"""

import csv
import json

import numpy as np
from common import cryodl
from parts import engine_path, table

FOLDER, PIXEL_SIZE, ENVELOPE = "tomo_emd1155_hiv", 16.4, 1
NETWORKS = ("unet", "eman2")


def run(bench):
    for network in NETWORKS:
        for trained_on in (0, 1):
            bench.once(f"real/{network}/{trained_on}", lambda: measure(bench, network, trained_on))


def measure(bench, network, trained_on):
    engine_path()
    data, folder = bench.data / FOLDER, bench.folder(f"real {network} {trained_on}")
    folder.mkdir()
    with open(data / "virions.csv", newline="") as file:
        centres = [float(row["y_voxel"]) for row in csv.DictReader(file)]
    border = sum(centres) / 2
    train, test = (
        _half(data / "reference_labels.mrc", border, virion == int(np.argmax(centres)), folder / f"labels{virion}.mrc")
        for virion in (trained_on, 1 - trained_on)
    )
    _, cpu, _, _ = cryodl(
        "train-segmenter",
        "--tomograms",
        data / "tomogram.mrc",
        "--labels",
        train,
        "--label",
        ENVELOPE,
        "--feature",
        "envelope",
        "--pixel-size",
        PIXEL_SIZE,
        "--network",
        network,
        "--output",
        folder / "model",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    cryodl(
        "segment",
        "--tomograms",
        data / "tomogram.mrc",
        "--model",
        folder / "model",
        "--output",
        folder / "scores",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    cryodl(
        "evaluate-segmentation",
        "--segmentations",
        folder / "scores" / "*.mrc",
        "--labels",
        test,
        "--label",
        ENVELOPE,
        "--pixel-size",
        PIXEL_SIZE,
        "--tomograms",
        data / "tomogram.mrc",
        "--output",
        folder / "evaluated",
    )
    return dict(
        next(iter(json.loads((folder / "evaluated" / "evaluation.json").read_text())["features"].values())),
        train_cpu=cpu,
    )


def _half(path, border, upper, output):
    """The label volume with everything on the other side of y = border not annotated."""
    from cryodl.io.tomograms import Tomogram, VolumeWriter

    volume = Tomogram(path).raw().astype(np.int16)
    y = np.arange(volume.shape[1])
    volume[:, (y < border) if upper else (y >= border)] = 255
    with VolumeWriter(output, volume.shape, PIXEL_SIZE, np.int16) as writer:
        writer.write(0, volume)
    return output


def tables(bench):
    rows = []
    for network in NETWORKS:
        for trained_on in (0, 1):
            found = bench.figures.get(f"real/{network}/{trained_on}") or {}
            error = found.get("boundary_error")
            rows.append(
                [
                    network,
                    f"virion {trained_on + 1}",
                    f"virion {2 - trained_on}",
                    found.get("dice"),
                    found.get("precision"),
                    found.get("recall"),
                    None if error is None else f"{error:.0f}",
                ]
            )
    return table(["network", "trained on", "tested on", "Dice", "precision", "recall", "boundary error (Å)"], rows)
