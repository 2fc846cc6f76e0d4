#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training from 20 good and 60 bad boxes on EMPIAR-10017: time, and accuracy on the test micrographs.

    PYTHON benchmarks/few_labels.py [--draws 3] [--good 20] [--bad 60]

The good boxes are drawn from the truth of the four training micrographs, the bad ones at random at least 0.75 particle
diameters from any particle of it. PYTHON is the engine's; data as in picking.py.
"""
import argparse
import glob
import statistics
import tempfile
from pathlib import Path

import numpy as np
from common import SETS, cryodl, data_folder, evaluate


def draw_boxes(truth_yx, shape, diameter, good, bad, rng):
    """Random good and bad boxes of one micrograph, two (n, 2) yx arrays in px."""
    chosen = truth_yx[rng.permutation(len(truth_yx))[:good]]
    empty = []
    while len(empty) < bad:
        place = rng.uniform(diameter, np.array(shape) - diameter)
        if np.linalg.norm(truth_yx - place, axis=1).min() > 0.75 * diameter:
            empty.append(place)
    return chosen, np.array(empty)


def run(data, seed, good, bad, folder):
    """One draw of boxes: figures on the test micrographs, wall and CPU seconds of the training."""
    import sys
    from common import ROOT
    sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
    from cryodl.io.coordinates import read_coordinates, write_coordinates
    from cryodl.io.micrographs import micrograph_shape
    subfolder, pixel_size, diameter_px, border, first = SETS["empiar10017"]
    micrographs = sorted(glob.glob(str(data / subfolder / "micrographs" / "*.mrc")))
    truth = read_coordinates(data / subfolder / "coords")
    rng = np.random.default_rng(seed)
    for part in ("good", "bad"):
        (folder / part).mkdir(parents=True)
    for path in micrographs[:first]:
        boxes = draw_boxes(truth[Path(path).stem][0], micrograph_shape(path), diameter_px, good // first, bad // first,
                           rng)
        for part, yx in zip(("good", "bad"), boxes):
            write_coordinates(folder / part / f"{Path(path).stem}.star", yx, np.ones(len(yx)))
    _, cpu, wall, _ = cryodl("train-picker", "--micrographs", *micrographs[:first], "--coordinates", folder / "good",
                             "--background", folder / "bad", "--pixel-size", pixel_size, "--particle-diameter",
                             pixel_size * diameter_px, "--output", folder / "model", "--device", "cpu")
    cryodl("pick", "--micrographs", *micrographs[first:], "--pixel-size", pixel_size, "--model", folder / "model",
           "--output", folder / "picks", "--device", "cpu")
    score = lambda picks: evaluate(picks, data / subfolder / "coords", pixel_size, pixel_size * diameter_px, border,
                                   micrographs[first:])
    everything = score(folder / "picks" / "candidates")
    return dict(best_f1=everything["best_f1"], average_precision=everything["average_precision"],
                f1=score(folder / "picks")["f1"], wall=wall, cpu=cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--good", type=int, default=20)
    parser.add_argument("--bad", type=int, default=60)
    options = parser.parse_args()
    data, runs = data_folder(), []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(options.draws):
            runs.append(run(data, seed, options.good, options.bad, Path(temporary) / str(seed)))
            print(f"draw {seed}", {k: round(v, 3) for k, v in runs[-1].items()}, flush=True)
    print("\n| good / bad boxes | best F1 | AP | F1 at default threshold | training wall s | training CPU s |\n"
          "|---|---|---|---|---|---|")
    median = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
    print(f"| {options.good} / {options.bad} | {median['best_f1']:.3f} | {median['average_precision']:.3f} | "
          f"{median['f1']:.3f} | {median['wall']:.0f} | {median['cpu']:.0f} |")


if __name__ == "__main__":
    main()
