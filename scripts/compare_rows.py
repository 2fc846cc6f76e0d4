# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick benchmark rows of two checkouts, from the same inputs and models: picks, orientations, an improved map.

ENGINE_PYTHON scripts/compare_rows.py BEFORE AFTER --structure FILE [--work FOLDER]
BEFORE and AFTER are top folders of checkouts; inputs are simulated and models taken by BEFORE. Each row says whether
the numbers are the same. Exit status 1: some are not.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np

ENGINE = Path("cryodl_scipion") / "engine"
MODELS = ENGINE / "cryodl" / "models"


def run(checkout: Path, folder: Path, *arguments: object) -> dict:
    """The outputs of a command of a checkout's engine, run in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, PYTHONPATH=str(checkout / ENGINE), OMP_NUM_THREADS="1")
    words = [sys.executable, "-m", "cryodl", *map(str, arguments), "--device", "cpu", "--threads", "1"]
    subprocess.run([*words, "--result", "result.json"], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))["outputs"]


def columns(path: Path, *names: str) -> np.ndarray:
    """(rows, names) numbers of a STAR file's particle table."""
    words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    positions = {line[0][1:]: int(line[1][1:]) - 1 for line in words if len(line) == 2 and line[0].startswith("_rln")}
    last = max(i for i, line in enumerate(words) if line and line[0] == "loop_")
    rows = [line for line in words[last:] if len(line) > 2]
    return np.array([[float(row[positions[name]]) for name in names] for row in rows])


def picks(checkout: Path, folder: Path, inputs: Path, models: Path) -> np.ndarray:
    """(n, 3) x, y, score of the general model on a simulated micrograph."""
    where = ("--micrographs", inputs / "micrographs" / "micrographs" / "*.mrc", "--pixel-size", 3.0)
    made = run(
        checkout, folder, "pick", *where, "--model", models / "general", "--particle-diameter", 150, "--output", "out"
    )
    names = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")
    return np.concatenate([columns(folder / file, *names) for file in made["coordinates"].values()])


def orientations(checkout: Path, folder: Path, inputs: Path, models: Path) -> np.ndarray:
    """(n, 3) Euler angles of simulated particles, by the likelihood."""
    given = ("--particles", inputs / "particles.star", "--structure", inputs / "particles_map.mrc")
    made = run(checkout, folder, "assign-orientations", *given, "--angular-step", 15, "--output", "out.star")
    return columns(folder / made["particles"], "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def improved(checkout: Path, folder: Path, inputs: Path, models: Path) -> np.ndarray:
    """Voxels of a simulated half-map's improvement."""
    made = run(
        checkout, folder, "improve-map", "--map", inputs / "maps_half1.mrc",
        "--model", models / "improver", "--output", "out.mrc",
    )  # fmt: skip
    return mrcfile.read(folder / made["map"])


ROWS = {"picks": picks, "orientations": orientations, "improved map": improved}


def simulate(checkout: Path, inputs: Path, structure: Path) -> None:
    """The inputs of all rows."""
    shared = ("--structure", structure, "--seed", 1)
    run(
        checkout, inputs, "simulate-micrographs", *shared, "--pixel-size", 3.0, "--count", 1, "--size", 512,
        "--particles", 30, "--output", "micrographs",
    )  # fmt: skip
    run(
        checkout, inputs, "simulate-particles", *shared, "--pixel-size", 5.0, "--box", 48, "--count", 50,
        "--snr", 0.1, "--output", "particles.star",
    )  # fmt: skip
    environment = dict(os.environ, PYTHONPATH=str(checkout / ENGINE))
    words = ["simulate-half-maps", *shared, "--resolution", 4.5, "--pixel-size", 1.5, "--output", inputs / "maps"]
    subprocess.run([sys.executable, "-m", "cryodl", *map(str, words)], env=environment, check=True)


def main() -> int:
    """Print the rows; 1 if some differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--structure", type=Path, required=True, help="atomic model or map")
    parser.add_argument("--work", type=Path, default=Path("compared_rows"), help="folder for inputs and results")
    options = parser.parse_args()
    before, after, work = (path.resolve() for path in (options.before, options.after, options.work))
    if not (work / "inputs").exists():
        simulate(before, work / "inputs", options.structure.resolve())
    differs = False
    for name, row in ROWS.items():
        found = [row(top, work / side / name.split()[0], work / "inputs", before / MODELS)
                 for side, top in (("before", before), ("after", after))]  # fmt: skip
        same = found[0].shape == found[1].shape
        largest = np.abs(found[0] - found[1]).max() if same else np.nan
        differs |= not largest == 0
        print(f"{name}: {found[0].shape} before, {found[1].shape} after, largest difference {largest:.3g}")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
