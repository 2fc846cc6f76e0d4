#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty boxes on particles of one micrograph: the picker that learns from them, beside the general model without them.

    PYTHON benchmarks/twenty_boxes.py --output FILE [--seeds 0,1] [--starts general none]

PYTHON is the engine's; data are found by CRYODL_DATA. The boxes are drawn at random from the published labels of the
first training micrograph of each real set; `train-picker --labels boxes` learns from them, from the general model's
weights or from random ones, and is tested on the set's test micrographs by the rule of pickers.py. The general model is
given nothing.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import SETS, cryodl, data_folder, evaluate
from parts import RealSet, engine_path, pick

BOXES = 20


def judged(real, model, diameter, folder):
    """Figures of a model on the test micrographs."""
    pick(real.test, real.pixel_size, diameter, model, folder)
    figures = evaluate(folder, real.ground_truth, real.pixel_size, real.diameter, real.border, real.test)
    every = figures["all_candidates"]
    return dict(best_f1=round(every["best_f1"], 3), ap=round(every["average_precision"], 3), f1=round(figures["f1"], 3))


def boxes(real, seed, folder):
    """Write the labels."""
    from cryodl.io.coordinates import read_coordinates, write_coordinates

    name = Path(real.train[0]).stem
    yx = read_coordinates(real.ground_truth)[name][0]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = yx[np.random.default_rng(seed).permutation(len(yx))[:BOXES]]
    write_coordinates(folder / f"{name}.star", chosen, np.ones(len(chosen)))


def learnt(real, start, seed, work):
    """Figures of a picker that learnt from the boxes."""
    labels, model = work / f"labels {seed}", work / f"model {start} {seed}"
    boxes(real, seed, labels)
    options = ("--start-from", start) if start != "none" else ()
    given = ("--micrographs", real.train[0], "--coordinates", labels, "--pixel-size", real.pixel_size)
    common = ("--particle-diameter", real.diameter, "--labels", "boxes", "--threads", 1, "--device", "cpu")
    cpu = cryodl("train-picker", *given, *common, *options, "--output", model)[1]
    return dict(judged(real, model, None, work / f"picks {start} {seed}"), cpu=round(cpu))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0])
    parser.add_argument("--starts", nargs="+", default=["general"])
    options = parser.parse_args()
    engine_path()
    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    done = {(row["set"], row["start"], row["seed"]) for row in rows}
    cases = [("nothing", 0), *((start, seed) for start in options.starts for seed in options.seeds)]
    with tempfile.TemporaryDirectory() as temporary:
        for name, values in reversed(SETS.items()):
            real, work = RealSet(name, data_folder(), *values), Path(temporary) / name
            work.mkdir()
            for start, seed in cases:
                if (name, start, seed) in done:
                    continue
                found = learnt(real, start, seed, work) if start != "nothing" else None
                found = found or judged(real, "general", None, work / "general")
                rows.append(dict(set=name, start=start, seed=seed, **found))
                print(rows[-1], flush=True)
                command = "PYTHON benchmarks/twenty_boxes.py --output FILE"
                options.output.write_text(json.dumps(dict(command=command, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
