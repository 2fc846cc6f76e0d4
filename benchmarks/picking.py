#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of picking on real micrographs: train on the first, pick the rest, score. Writes a Markdown table.

    scripts/cryodl-python benchmarks/picking.py [--sets empiar10017 ...] [--seeds 3] [--train "--steps 400"] [--output DIR]

Data are found by CRYODL_DATA (default ../shared/data beside the checkout). Matching: one to one, within half the particle
radius, the border left out (docs/evaluation.md). AP and best F1 are of all candidates, F1 is of the picks that
`cryodl pick` writes by default. CPU seconds and memory are those of the whole process, start-up included.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# name: folder, pixel size (Å/px), particle diameter (px), border (px), training micrographs
SETS = {
    "empiar10017": ("empiar10017_betagal", 3.54, 54, 66, 4),
    "empiar10028": ("empiar10028_ribosome", 5.36, 56, 35, 3),
    "empiar10947": ("empiar10947", 3.8, 58, 36, 3),
}


def cryodl(*arguments):
    """Run one command. Returns standard output, CPU seconds and peak memory in MB. Raises RuntimeError on failure."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "cryodl_scipion" / "engine"))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([sys.executable, "-m", "cryodl", *map(str, arguments)], stdout=out, stderr=err,
                                   env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode:
            raise RuntimeError(f"cryodl {arguments[0]} failed:\n{err.read()[-2000:]}")
        return out.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def evaluate(picks, truth, pixel_size, diameter, border, micrographs):
    """The figures of `cryodl evaluate-picks`."""
    text, _, _ = cryodl("evaluate-picks", "--coordinates", picks, "--reference", truth, "--pixel-size", pixel_size,
                        "--particle-diameter", diameter, "--border", border, "--micrographs", *micrographs, "--json")
    return json.loads(text)


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
    _, train_cpu, train_memory = cryodl("train-picker", "--micrographs", *micrographs[:first], "--coordinates",
                                        coordinates, *common, "--output", folder / "model", "--seed", seed,
                                        "--device", "cpu", *options)
    _, pick_cpu, pick_memory = cryodl("pick", "--micrographs", *micrographs[first:], "--pixel-size", pixel_size,
                                      "--model", folder / "model", "--output", folder / "picks", "--device", "cpu")
    score = lambda picks: evaluate(picks, data / subfolder / "coords", *common[1::2], border, micrographs[first:])
    everything, default = score(folder / "picks" / "candidates"), score(folder / "picks")
    return dict(best_f1=everything["best_f1"], average_precision=everything["average_precision"], f1=default["f1"],
                precision=default["precision"], recall=default["recall"],
                average_precision_of_picks=default["average_precision"], train_cpu=train_cpu, pick_cpu=pick_cpu,
                train_memory=train_memory, pick_memory=pick_memory)


def table(results):
    """Markdown: medians over seeds, with the range of F1 and AP."""
    lines = ["| set | best F1 | AP | F1 at default threshold | precision / recall there | AP of the written picks | "
             "training CPU s | picking CPU s | memory MB (train / pick) |", "|---|---|---|---|---|---|---|---|---|"]
    for name, runs in results.items():
        m = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
        span = lambda k: f"{m[k]:.3f} ({min(r[k] for r in runs):.3f}-{max(r[k] for r in runs):.3f})"
        lines.append(f"| {name} | {span('best_f1')} | {span('average_precision')} | {span('f1')} | "
                     f"{m['precision']:.3f} / {m['recall']:.3f} | {m['average_precision_of_picks']:.3f} | "
                     f"{m['train_cpu']:.0f} | {m['pick_cpu']:.1f} | {m['train_memory']:.0f} / {m['pick_memory']:.0f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", default="", help="further options of train-picker, in quotes")
    parser.add_argument("--output", type=Path, help="keep models and picks in this new folder")
    options = parser.parse_args()
    data = Path(os.environ.get("CRYODL_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        sys.exit(f"Skipped: no data in {data}; set CRYODL_DATA to the folder that holds empiar10017_betagal and others.")
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
