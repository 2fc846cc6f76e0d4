#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rounds of `auto-pick` gain over the general model that they begin with, on the real sets, nothing given.

    PYTHON benchmarks/auto_picking.py --output FILE [--sets empiar10017 ...] [--folder DIR]

PYTHON is the engine's (`cryodl doctor` names it); data are found by CRYODL_DATA. The shipped general model learned from
none of the sets, nor from their molecules. Every micrograph of a set is picked, and its published particles serve for
the evaluation alone. What is in FILE is not measured again.
"""

import argparse
import json
import tempfile
from pathlib import Path

from common import SETS, cryodl, data_folder
from general_unstated import picked_figures
from parts import RealSet


def measure(real, folder):
    """Figures of `pick` with the general model, and of what auto-pick ends with."""
    given = ("--micrographs", *real.micrographs, "--pixel-size", real.pixel_size, "--device", "cpu", "--threads", 1)
    cryodl("pick", *given, "--model", "general", "--output", folder / "general", "--pictures", 0, "--avoid", "nothing")
    record = folder / "result.json"
    _, cpu, _, memory = cryodl("auto-pick", *given, "--output", folder / "auto", "--result", record)
    rounds = (folder / "auto" / "rounds.csv").read_text().splitlines()
    return dict(
        before=picked_figures(real, folder / "general", real.micrographs),
        after=picked_figures(real, folder / "auto", real.micrographs),
        rounds=rounds,
        outputs={
            k: v for k, v in json.loads(record.read_text())["outputs"].items() if isinstance(v, (int, float, str))
        },
        warnings=json.loads(record.read_text())["warnings"],
        cpu=round(cpu),
        memory=round(memory),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--folder", type=Path, help="where the picks are kept")
    options = parser.parse_args()
    figures = json.loads(options.output.read_text()) if options.output.exists() else {"sets": {}}
    figures["command"] = "PYTHON benchmarks/auto_picking.py --output FILE"
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            if name in figures["sets"]:
                continue
            folder = (options.folder or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            figures["sets"][name] = measure(RealSet(name, data_folder(), *SETS[name]), folder)
            print(name, figures["sets"][name], flush=True)
            options.output.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
