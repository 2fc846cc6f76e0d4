#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""All benchmarks of the pickers, or some parts of them; writes DIR/tables.md.

    PYTHON benchmarks/pickers.py [--parts general labels ...] [--topaz PYTHON_WITH_TOPAZ] [--output DIR]

PYTHON is the engine's (`cryodl doctor` names it). Data are found by CRYODL_DATA (default ../shared/data beside the
checkout).
Figures are kept in DIR/figures.json: a stopped run goes on there, and what is there is not measured again. A part that
fails is said, and stands as "not measured" in its table. RELION 3.1 (relion_refine in the path) is needed for the part
reconstruction. All runs take one thread, but for --speed-threads.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import calibration
import few_labels
import general
import general_simulated
import general_unstated
import imperfect_labels
import pictures
import reconstruction
import rotation
import speed
import structure
from common import SETS, data_folder
from parts import NETWORKS, Bench, run_parts
from topaz import Topaz

PARTS = {
    "general": (general, "Molecules that it never saw"),
    "unstated": (general_unstated, "Nothing given, and a diameter stated wrong"),
    "simulated": (general_simulated, "Structures that no training saw"),
    "labels": (few_labels, "From the same few labels"),
    "imperfect": (imperfect_labels, "Labels that are missing or wrong"),
    "rotation": (rotation, "Rotated micrographs"),
    "structure": (structure, "No labels: from the structure"),
    "reconstruction": (reconstruction, "Reconstructions from each picker's particles"),
    "speed": (speed, "Speed and memory"),
    "calibration": (calibration, "Calibrated scores"),
    "pictures": (pictures, "Carbon, ice and aggregates"),
}


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--output", default="benchmark_results", help="folder of figures, models and tables")
    add("--sets", nargs="+", choices=SETS, default=list(SETS))
    add("--topaz", help="Python of an environment with topaz-em")
    add("--train-topaz", action="store_true", help="train Topaz on the same labels, too (7 CPU minutes each)")
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add("--labels", nargs="+", type=int, default=[20, 100, 1000], help="numbers of positives")
    add(
        "--kinds",
        nargs="+",
        choices=imperfect_labels.KINDS,
        default=["complete"],
        help="what imperfect labels are said to be",
    )
    add(
        "--cases",
        nargs="+",
        choices=imperfect_labels.CASES,
        default=list(imperfect_labels.CASES),
        help="of imperfect labels",
    )
    add("--draws", type=int, default=1, help="draws of labels; the table shows the first")
    add("--general-models", help="folder with general models without-<set>; without it they are trained")
    add(
        "--same-general",
        action="store_true",
        help="the shipped general model for the parts unstated and rotation; its card says what it left out",
    )
    add(
        "--simulated-models",
        nargs="+",
        default=["general"],
        help="general models of the part simulated; the structures are those that the first did not learn from",
    )
    add("--general-training", default="", help="further options of train-general-picker, in quotes")
    add(
        "--reconstruct",
        nargs="+",
        default=["truth", "unet", "general", "Topaz"],
        help="truth, general, Topaz, or networks trained on simulated micrographs",
    )
    add("--reconstruct-real", choices=SETS, help="reconstruct from this real set, too (hours)")
    add("--write", help="also write the figures of these parts to this JSON file; others that it has are kept")
    add("--ctf", help="folder with CTFFIND's text of each micrograph of --reconstruct-real")
    add("--images", help="folder of the pictures (default docs/images)")
    add("--speed-count", type=int, default=4, help="micrographs to time unet with")
    add("--speed-threads", type=int, default=2)
    return parser.parse_args()


def main():
    options, data = read_options(), data_folder()
    bench = Bench(options, data)
    if options.topaz:
        bench.topaz = Topaz(options.topaz, bench.output / "topaz")
    run_parts(bench, PARTS)
    if options.write:
        write_figures(bench, sys.argv[1:])


def write_figures(bench, words):
    """The figures of the parts that were asked for, and the command, to --write."""
    path = Path(bench.options.write)
    kept = json.loads(path.read_text()) if path.exists() else dict(commands=[], figures={})
    figures = {k: v for k, v in bench.figures.items() if k.split("/")[0] in bench.options.parts}
    command = f"PYTHON benchmarks/pickers.py {shlex.join(words)}"
    kept = dict(commands=sorted({*kept["commands"], command}), figures={**kept["figures"], **figures})
    path.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
