#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How labels that are missing or wrong change what is picked: EMPIAR-10017, four micrographs to train, eight to test.

    PYTHON benchmarks/imperfect_labels.py [--networks unet,topaz] [--labels complete,sparse] [--steps 0] [--threads 2]
                                          [--seed 0]

missing: so many per cent of the particles are not labelled. wrong: all particles are labelled, and so many positions
without any (at least 0.75 diameters from every particle) that they make up that part of the labels. Prints one table.
PYTHON is the engine's; data as in picking.py.
"""

import argparse
import glob
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, SETS, cryodl, data_folder, evaluate

CASES = {
    "all": (0.0, 0.0),
    "20 % missing": (0.2, 0.0),
    "50 % missing": (0.5, 0.0),
    "90 % missing": (0.9, 0.0),
    "20 % wrong": (0.0, 0.2),
    "50 % wrong": (0.0, 0.5),
}
FIGURES = ("best_f1", "average_precision", "f1")


def spoil(ground_truth_yx, shape, diameter, missing, wrong, rng):
    """Labels (n, 2) of one micrograph in px, of which parts are missing or wrong.

    ground_truth_yx: (m, 2). shape: (h, w). missing: fraction of it left out. wrong: fraction of the labels that are on
    no particle.
    """
    kept = ground_truth_yx[rng.random(len(ground_truth_yx)) >= missing]
    number, empty = int(round(len(kept) * wrong / (1 - wrong))), []
    while len(empty) < number:
        position = rng.uniform(diameter, np.array(shape) - diameter)
        if np.linalg.norm(ground_truth_yx - position, axis=1).min() > 0.75 * diameter:
            empty.append(position)
    return np.vstack([kept, *empty]) if empty else kept


def write_labels(folder, micrographs, ground_truth, diameter, case, seed):
    """A folder of spoiled coordinates for these micrographs."""
    from cryodl.io.coordinates import write_coordinates
    from cryodl.io.micrographs import micrograph_shape

    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for path in micrographs:
        name = Path(path).stem
        yx = spoil(ground_truth[name][0], micrograph_shape(path), diameter, *CASES[case], rng)
        write_coordinates(folder / f"{name}.star", yx, np.ones(len(yx)))


def run(data, ground_truth, network, labels, case, options, folder):
    """Figures on the test micrographs, and CPU seconds of the training, of one network, kind of labels and case."""
    subfolder, pixel_size, diameter, border, first = SETS["empiar10017"]
    micrographs = sorted(glob.glob(str(data / subfolder / "micrographs" / "*.mrc")))
    write_labels(folder / "labels", micrographs[:first], ground_truth, diameter, case, options.seed)
    common = ("--pixel-size", pixel_size, "--device", "cpu", "--threads", options.threads)
    steps = ("--steps", options.steps) if options.steps else ()
    _, cpu, _, _ = cryodl(
        "train-picker",
        "--micrographs",
        *micrographs[:first],
        "--coordinates",
        folder / "labels",
        "--particle-diameter",
        pixel_size * diameter,
        "--network",
        network,
        "--labels",
        labels,
        "--output",
        folder / "model",
        "--seed",
        options.seed,
        *steps,
        *common,
    )
    cryodl(
        "pick",
        "--micrographs",
        *micrographs[first:],
        "--model",
        folder / "model",
        "--output",
        folder / "picks",
        *common,
    )
    score = lambda picks: evaluate(
        picks, data / subfolder / "coords", pixel_size, pixel_size * diameter, border, micrographs[first:]
    )
    everything = score(folder / "picks" / "candidates")
    return dict({k: everything[k] for k in FIGURES[:2]}, f1=score(folder / "picks")["f1"], cpu=cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="unet")
    parser.add_argument("--labels", default="complete,sparse")
    parser.add_argument("--cases", default=",".join(CASES), help="of: " + ", ".join(CASES).replace("%", "%%"))
    parser.add_argument("--steps", type=int, default=0, help="training steps; 0: the method's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
    from cryodl.io.coordinates import read_coordinates

    data = data_folder()
    ground_truth = read_coordinates(data / SETS["empiar10017"][0] / "coords")
    print(
        "| network | labels taken for | labels given | best F1 | AP | F1 at default threshold | training CPU s |\n"
        "|---|---|---|---|---|---|---|",
        flush=True,
    )
    for network in options.networks.split(","):
        for labels in options.labels.split(","):
            for case in options.cases.split(","):
                with tempfile.TemporaryDirectory() as temporary:
                    row = run(data, ground_truth, network, labels, case, options, Path(temporary) / "run")
                print(
                    f"| {network} | {labels} | {case} | "
                    + " | ".join(f"{row[k]:.3f}" for k in FIGURES)
                    + f" | {row['cpu']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
