#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl pick --avoid` does to F1 on the real sets, and how many published marks lie on what is avoided.

    PYTHON benchmarks/avoided_real.py --output FILE

PYTHON is the engine's; the sets are found by CRYODL_DATA. All micrographs of a set are picked once by the general model
with nothing stated; what --avoid leaves out is what it does with the same candidates.
"""

import argparse
import json
import tempfile
from pathlib import Path

from common import SETS, cryodl, data_folder, evaluate
from parts import engine_path


def measure(name, work):
    """One row for each setting of --avoid."""
    from cryodl.contract.fields import AVOIDABLE
    from cryodl.io.coordinates import read_coordinates, write_coordinates
    from cryodl.io.micrographs import read_micrograph
    from cryodl.micrographs.pickers.avoid import avoided_areas

    folder, pixel_size, diameter_px, border, _ = SETS[name]
    paths, truth = sorted((data_folder() / folder / "micrographs").glob("*.mrc")), data_folder() / folder / "coords"
    given = ("--micrographs", *paths, "--pixel-size", pixel_size, "--model", "general", "--threads", 1)
    cryodl(
        "pick",
        *given,
        "--output",
        work / "picks",
        "--result",
        work / "result.json",
        "--pictures",
        0,
        "--avoid",
        "nothing",
    )
    diameter = json.loads((work / "result.json").read_text())["outputs"]["picked_diameter"]
    marks, rows = read_coordinates(truth), []
    for avoid in AVOIDABLE:
        on = 0
        (work / avoid).mkdir()
        for path in paths:
            yx, scores = read_coordinates(work / "picks" / f"{path.stem}.star")[path.stem]
            if avoid != "nothing":
                areas = avoided_areas(read_micrograph(path), pixel_size, diameter, avoid)
                kept = areas.outside(yx)
                yx, scores = yx[kept], scores[kept]
                on += int((~areas.outside(marks[path.stem][0])).sum())
            write_coordinates(work / avoid / f"{path.stem}.star", yx, scores, "picks")
        found = evaluate(work / avoid, truth, pixel_size, pixel_size * diameter_px, border, paths)
        counts = dict(marks=sum(len(marks[p.stem][0]) for p in paths), avoided_marks=on)
        keys = ("precision", "recall", "f1")
        rows.append(dict(set=name, avoid=avoid, **counts, **{key: round(found[key], 4) for key in keys}))
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    engine_path()
    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    for name in SETS:
        if name in {row["set"] for row in rows}:
            continue
        with tempfile.TemporaryDirectory() as work:
            rows += measure(name, Path(work))
        command = "PYTHON benchmarks/avoided_real.py --output FILE"
        options.output.write_text(json.dumps(dict(command=command, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
