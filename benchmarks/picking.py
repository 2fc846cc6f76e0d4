#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of picking on real micrographs: train on the first, pick the rest, score. Writes a Markdown table.

    PYTHON benchmarks/picking.py [--sets empiar10017 ...] [--seeds 3] [--train "--steps 400"] [--output DIR]

PYTHON is the engine's (`cryodl doctor` names it). Data are found by CRYODL_DATA (default ../shared/data
beside the checkout). Matching: one to one, within half the particle radius, the border left out
(docs/evaluation.md). AP and best F1 are of all candidates, F1 is of the picks that `cryodl pick` writes by default. CPU
seconds and memory are those of the whole process, start-up included.
"""

import argparse
import glob
import json
import statistics
import tempfile
from pathlib import Path

from common import SETS, cryodl, data_folder, evaluate


def run_set(name, data, seed, folder, options):
    """Train, pick and score one set once. Returns a dict of figures."""
    subfolder, pixel_size, diameter_px, border, first = SETS[name]
    micrographs = sorted(glob.glob(str(data / subfolder / "micrographs" / "*.mrc")))
    coordinates = folder / "coordinates"
    coordinates.mkdir()
    for path in micrographs[:first]:
        label = data / subfolder / "coords" / (Path(path).stem + ".star")
        (coordinates / label.name).symlink_to(label.resolve())
    common = ("--pixel-size", pixel_size, "--particle-diameter", pixel_size * diameter_px)
    _, train_cpu, train_wall, train_memory = cryodl(
        "train-picker",
        "--micrographs",
        *micrographs[:first],
        "--coordinates",
        coordinates,
        *common,
        "--output",
        folder / "model",
        "--seed",
        seed,
        "--device",
        "cpu",
        *options,
    )
    _, pick_cpu, _, pick_memory = cryodl(
        "pick",
        "--micrographs",
        *micrographs[first:],
        "--pixel-size",
        pixel_size,
        "--model",
        folder / "model",
        "--output",
        folder / "picks",
        "--device",
        "cpu",
    )
    score = lambda picks: evaluate(picks, data / subfolder / "coords", *common[1::2], border, micrographs[first:])
    everything, default = score(folder / "picks" / "candidates"), score(folder / "picks")
    return dict(
        best_f1=everything["best_f1"],
        average_precision=everything["average_precision"],
        f1=default["f1"],
        precision=default["precision"],
        recall=default["recall"],
        average_precision_of_picks=default["average_precision"],
        train_cpu=train_cpu,
        train_wall=train_wall,
        pick_cpu=pick_cpu,
        train_memory=train_memory,
        pick_memory=pick_memory,
    )


def table(results):
    """Markdown: medians over seeds, with the range of F1 and AP."""
    lines = [
        "| set | best F1 | AP | F1 at default threshold | precision / recall there | AP of the written picks | "
        "training CPU s | picking CPU s | memory MB (train / pick) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        m = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
        span = lambda k: f"{m[k]:.3f} ({min(r[k] for r in runs):.3f}-{max(r[k] for r in runs):.3f})"
        lines.append(
            f"| {name} | {span('best_f1')} | {span('average_precision')} | {span('f1')} | "
            f"{m['precision']:.3f} / {m['recall']:.3f} | {m['average_precision_of_picks']:.3f} | "
            f"{m['train_cpu']:.0f} | {m['pick_cpu']:.1f} | {m['train_memory']:.0f} / {m['pick_memory']:.0f} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", default="", help="further options of train-picker, in quotes")
    parser.add_argument("--output", type=Path, help="keep models and picks in this new folder")
    options = parser.parse_args()
    data = data_folder()
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            for seed in range(options.seeds):
                folder = (options.output or Path(temporary)) / f"{name}-{seed}"
                folder.mkdir(parents=True)
                results.setdefault(name, []).append(run_set(name, data, seed, folder, options.train.split()))
                print(name, "seed", seed, json.dumps(results[name][-1]), flush=True)
    print("\n" + table(results))


if __name__ == "__main__":
    main()
