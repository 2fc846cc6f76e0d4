#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""All benchmarks of tomograms and subtomograms, or some parts of them; writes DIR/tables.md.

    PYTHON benchmarks/tomograms.py [--parts segmentation merging ...] [--output DIR]

PYTHON is the engine's (`cryodl doctor` names it). Structures and the real tomogram are found by CRYODL_DATA (default
../shared/data beside the checkout); all else is simulated. Figures are kept in DIR/figures.json: a stopped run goes on
there, and what is there is not measured again. A part that fails is said, and stands as "not measured" in its table.
All runs take one thread, but for --speed-threads.
"""

import argparse

import tomo_classification
import tomo_clustering
import tomo_merging
import tomo_pretrained
import tomo_real
import tomo_segmentation
import tomo_speed
from common import data_folder
from parts import Bench, run_parts

PARTS = {
    "segmentation": (tomo_segmentation, "Features from ten tiles"),
    "pretrained": (tomo_pretrained, "Features without a tile"),
    "merging": (tomo_merging, "Competitive merging"),
    "speed": (tomo_speed, "Speed and memory of segmenting"),
    "real": (tomo_real, "A real tomogram"),
    "classification": (tomo_classification, "Subtomogram classification"),
    "clustering": (tomo_clustering, "Subtomograms without labels"),
}


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--output", default="benchmark_results", help="folder of figures, models and tables")
    add("--size", type=int, default=256, help="px; width of the simulated tomograms")
    add("--thickness", type=int, default=80, help="px")
    add("--tomogram-snr", type=float, default=0.3, help="of the tilt images")
    add("--segmenters", nargs="+", default=["unet", "unet2d", "unet3d", "eman2"])
    add("--segmentation-seeds", nargs="+", type=int, default=[1])
    add("--classifiers", nargs="+", default=["likelihood", "dsrf3d", "rb3d", "cb3d"])
    add("--snrs", nargs="+", type=float, default=[0.5, 0.1, 0.05, 0.03])
    add("--tilts", nargs="+", type=int, default=[60, 50, 40], help="largest tilts, degrees")
    add("--training", type=int, default=100, help="training subtomograms of each structure")
    add("--test", type=int, default=50, help="test subtomograms of each structure")
    add("--box", type=int, default=40, help="px; of the subtomograms")
    add("--subtomogram-pixel-size", type=float, default=12.0, help="Å/px")
    add("--classification-seeds", nargs="+", type=int, default=[1, 2, 3])
    add("--published-seeds", nargs="+", type=int, default=[1], help="of the published classifiers")
    add("--published-training", type=int, default=200, help="their training subtomograms of each structure")
    add(
        "--published-resolution",
        type=float,
        default=60.0,
        help="Å that they see; with the 40 of their paper they do not begin to learn at SNR 0.1 from 200 of each class",
    )
    add("--steps", type=int, default=None, help="training steps of the published classifiers")
    add("--speed-threads", type=int, default=2)
    return parser.parse_args(arguments)


def main():
    bench = Bench(read_options(), data_folder())
    run_parts(bench, PARTS)


if __name__ == "__main__":
    main()
