#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""All benchmarks of denoising, or some parts of them; writes DIR/tables.md.

    PYTHON benchmarks/denoising.py [--parts frc orientation ...] [--tests alone both ...] [--output DIR]

PYTHON is the engine's (`cryodl doctor` names it). Structures are found by CRYODL_DATA (default ../shared/data beside
the checkout); all particles are simulated from them. Figures are kept in DIR/figures.json: a stopped run goes on there,
and what is there is not measured again. A part that fails is said, and stands as "not measured" in its table.
RELION 3.1 (relion_refine in the path) is needed for the refinements. All runs take one thread, but for
--speed-threads.
"""

import argparse

import denoising_frc
import denoising_integrity
import denoising_orientation
import denoising_six
import denoising_speed
from common import data_folder
from parts import Bench, run_parts

NETWORKS = ("posterior", "swinconv", "cgan")
PARTS = {
    "frc": (denoising_frc, "Denoised particles against the truth"),
    "six": (denoising_six, "The six tests, all ways side by side"),
    "orientation": (denoising_orientation, "Orientations"),
    "integrity": (denoising_integrity, "Which particles carry the partner"),
    "speed": (denoising_speed, "Speed and training"),
}


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--tests", nargs="+", choices=denoising_frc.TESTS, default=list(denoising_frc.TESTS), help="of the part frc")
    add("--six-tests", nargs="+", type=int, choices=denoising_six.TESTS, default=list(denoising_six.TESTS))
    add("--snr-area", choices=("box", "particle"), default="box", help="of the part six: where the signal is measured")
    add("--figures", help="JSON file for the figures of the part six")
    add("--output", default="benchmark_results", help="folder of figures, models and tables")
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="the first is used where one must do")
    add("--all-networks", action="store_true", help="all networks in all tests of the part frc (hours)")
    add("--count", type=int, default=200, help="test particles of each set")
    add("--training", type=int, default=1000, help="training particles of each molecule")
    add("--refine", type=int, default=400, help="particles for RELION's refinement")
    add("--swinconv-steps", type=int, default=1500, help="training steps of swinconv (its own number is 6000)")
    add("--cgan-steps", type=int, default=100, help="training steps of cgan (its own number is 21 per particle)")
    add("--speed-threads", type=int, default=2)
    return parser.parse_args(arguments)


def main():
    bench = Bench(read_options(), data_folder())
    run_parts(bench, PARTS)


if __name__ == "__main__":
    main()
