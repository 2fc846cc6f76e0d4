#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gain of map improvers on their validation molecules against the time of their training.

    PYTHON benchmarks/map_training.py --run NAME FOLDER CPU_MINUTES --run ... [--write FILE.json]

FOLDER is a model, with its card.json and metrics.csv; CPU_MINUTES what its training took. The gain by a doubling of the
time is fitted to each curve: a straight line over the logarithm of the time.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np


def curve(folder, minutes):
    """dict: rows of the validations, and what a doubling of the time adds to the Q-score."""
    card = json.loads((Path(folder) / "card.json").read_text(encoding="utf-8"))
    with open(Path(folder) / "metrics.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    steps, names = int(table[-1]["step"]), ("correlation", "correlation_before", "q_score", "q_score_before")
    rows = [
        dict(
            step=int(row["step"]),
            cpu_minutes=round(minutes * int(row["step"]) / steps, 1),
            boxes=int(row["step"]) * card["training"]["batch_size"],
            **{name: round(float(row[f"validation_{name}"]), 4) for name in names},
        )
        for row in table
    ]
    slope = np.polyfit(np.log2([row["cpu_minutes"] for row in rows]), [row["q_score"] for row in rows], 1)[0]
    return dict(network=card["network"], width=card.get("width", 32), rows=rows, q_per_doubling=round(float(slope), 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=3, action="append", required=True, metavar=("NAME", "FOLDER", "CPU_MINUTES"))
    parser.add_argument("--write", help="JSON file of the figures")
    options = parser.parse_args()
    figures = {name: curve(folder, float(minutes)) for name, folder, minutes in options.run}
    print(json.dumps(figures, indent=1))
    if options.write:
        Path(options.write).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
