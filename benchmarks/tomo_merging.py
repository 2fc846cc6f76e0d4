# SPDX-License-Identifier: GPL-3.0-or-later
"""Features that compete for voxels against features with a threshold each.

The networks of the part `segmentation` (ours) are applied to the test tomograms together, and their scores merged in
both ways; Dice with the true labels, for each feature and in the mean.
"""

import json

import numpy as np
from common import cryodl
from parts import table
from tomo_data import PIXEL_SIZE, cells, features
from tomo_segmentation import TEST_SEED, names, trained

NETWORKS = ("unet", "eman2")
WAYS = {"competitive": "--competitive", "independent": "--no-competitive"}


def run(bench):
    for network in NETWORKS:
        if network in bench.options.segmenters:
            bench.once(f"merging/{network}", lambda: measure(bench, network))


def measure(bench, network):
    seed = bench.options.segmentation_seeds[0]
    models = [trained(bench, name, network, seed)[0] for name in names(bench)]
    test, folder = cells(bench, TEST_SEED), bench.folder(f"merging {network}")
    folder.mkdir()
    cryodl(
        "segment",
        "--tomograms",
        test / "tomograms" / "*.mrc",
        "--model",
        *models,
        "--output",
        folder / "scores",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    labels = _renumbered(test, names(bench), folder / "labels")
    found = {}
    for way, flag in WAYS.items():
        cryodl("merge-features", "--scores", folder / "scores", flag, "--output", folder / way)
        cryodl(
            "evaluate-segmentation",
            "--segmentations",
            folder / way / "*.mrc",
            "--labels",
            labels,
            "--pixel-size",
            PIXEL_SIZE,
            "--output",
            folder / f"{way}_evaluated",
        )
        evaluation = json.loads((folder / f"{way}_evaluated" / "evaluation.json").read_text())["features"]
        figures = list(evaluation.values())
        found[way] = dict(
            zip(names(bench), [dict(dice=f["dice"], precision=f["precision"], recall=f["recall"]) for f in figures])
        )
    return found


def _renumbered(test, wanted, folder):
    """Glob of label volumes whose values are the positions in `wanted`; other features are nothing."""
    from cryodl.io.tomograms import Tomogram, VolumeWriter

    known = features(test)
    folder.mkdir()
    for path in sorted((test / "labels").glob("*.mrc")):
        volume = Tomogram(path).raw()
        result = np.zeros(volume.shape, np.int8)
        for position, name in enumerate(wanted, 1):
            result[volume == known[name]] = position
        with VolumeWriter(folder / path.name, volume.shape, PIXEL_SIZE, np.int8) as writer:
            writer.write(0, result)
    return folder / "*.mrc"


def tables(bench):
    rows = []
    for network in NETWORKS:
        found = bench.figures.get(f"merging/{network}")
        for way in WAYS:
            dice = [found[way][name]["dice"] for name in names(bench)] if found else [None] * len(names(bench))
            rows.append([network, way, *dice, float(np.mean(dice)) if found else None])
    return table(["networks", "merging", *[f"{n}: Dice" for n in names(bench)], "mean"], rows)
