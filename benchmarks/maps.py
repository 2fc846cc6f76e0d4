#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""All benchmarks of map improvement, or some parts of them; writes DIR/tables.md.

    PYTHON benchmarks/maps.py [--parts simulated real ...] [--model DIR] [--output DIR]

PYTHON is the engine's (`cryodl doctor` names it). Structures and real maps are found by CRYODL_DATA (default
../shared/data beside the checkout); all else is simulated. Figures are kept in DIR/figures.json, under the name of the
model: a stopped run goes on there, and what is there is not measured again. A part that fails is said, and stands as
"not measured" in its table. All runs take one thread, but for --speed-threads.
"""

import argparse

import map_ablation
import map_controls
import map_estimates
import map_nucleic
import map_pictures
import map_real
import map_realism
import map_simulated
import map_speed
import map_weights
from common import data_folder
from parts import Bench, run_parts

PARTS = {
    "simulated": (map_simulated, "Simulated maps of molecules never trained on"),
    "realism": (map_realism, "How like real maps the simulated ones are"),
    "real": (map_real, "Real maps"),
    "weights": (map_weights, "The weight of the input"),
    "speed": (map_speed, "Speed and memory"),
    "nucleic": (map_nucleic, "Nucleic acid, and resolutions from 2.5 to 8 Å"),
    "estimates": (map_estimates, "What maps are taken for"),
    "controls": (map_controls, "What it must not invent"),
    "ablation": (map_ablation, "What each part gives"),
    "pictures": (map_pictures, "Pictures"),
}


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--output", default="benchmark_results", help="folder of figures, models and tables")
    add("--model", default="improver", help="folder of a map improver, or the name of a shipped model")
    add("--molecules", nargs="+", default=list(map_simulated.MOLECULES))
    add("--resolutions", nargs="+", type=float, default=list(map_simulated.RESOLUTIONS), help="Å")
    add("--real-maps", nargs="+", choices=map_real.RESOLUTION, default=list(map_real.RESOLUTION))
    add("--nucleic", nargs="+", default=["1EJ9", "6UES"], help="structures with DNA or RNA, of the part controls")
    add("--ablation-steps", type=int, default=1200, help="training steps of each variant")
    add("--ablation-maps", type=int, default=3, help="simulated training maps of each structure")
    add("--ablation-molecules", nargs="+", default=list(map_ablation.MOLECULES))
    add("--ablation-variants", nargs="+", choices=map_ablation.VARIANTS, default=list(map_ablation.VARIANTS))
    add("--speed-threads", type=int, default=2)
    add("--full", action="store_true", help="also improve a map of 512^3 that is not empty (minutes)")
    add("--images", help="folder of the pictures (docs/images of the checkout if not given)")
    return parser.parse_args(arguments)


def main():
    bench = Bench(read_options(), data_folder())
    run_parts(bench, PARTS)


if __name__ == "__main__":
    main()
