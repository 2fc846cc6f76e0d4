#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU seconds and memory of the general model on micrographs of 4096 x 4096 px with particles of 180 Å at 1.2 Å/px.

    PYTHON benchmarks/general_speed.py --output FILE

PYTHON is the engine's; the structure is found by CRYODL_DATA. One simulated micrograph, copied. Runs over 6 and over 9
micrographs look at equally many of them for size and contrast, so that their difference is the cost of three more; what
a run over 6 needs beyond that and the start is asked once in each run.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from common import cryodl, data_folder

COUNTS, PIXEL_SIZE = (6, 9), 1.2


def run(work):
    """CPU seconds and MB."""
    structure = data_folder() / "structures/complexes/8BK7.cif.gz"
    options = ("--count", 1, "--size", 4096, "--particles", 300, "--snr", 0.1, "--seed", 3)
    cryodl(
        "simulate-micrographs",
        *("--structure", structure, "--pixel-size", PIXEL_SIZE, *options, "--output", work / "made"),
    )
    (made,) = (work / "made" / "micrographs").glob("*.mrc")
    paths = [work / f"m{index}.mrc" for index in range(COUNTS[1])]
    for path in paths:
        shutil.copy(made, path)
    runs = []
    for count in COUNTS:
        given = ("--micrographs", *paths[:count], "--pixel-size", PIXEL_SIZE, "--model", "general")
        out = ("--output", work / f"picks{count}", "--threads", 1, "--device", "cpu", "--pictures", 0)
        runs.append(cryodl("pick", *given, *out))
    again = cryodl("pick", *given, *out, "--threshold", 0.5)[1]
    each = (runs[1][1] - runs[0][1]) / (COUNTS[1] - COUNTS[0])
    start = cryodl("doctor", "--help")[1]
    return dict(
        command="PYTHON benchmarks/general_speed.py --output FILE",
        cpu_per_micrograph=round(each, 2),
        cpu_start_and_questions=round(runs[0][1] - COUNTS[0] * each, 1),
        cpu_other_threshold=round(again, 2),
        cpu_help=round(start, 2),
        memory_mb=round(max(run[3] for run in runs)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = run(Path(work))
    print(found)
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
