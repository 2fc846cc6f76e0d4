#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-templates` on the real sets, by blobs and by projections, beside the general model.

    PYTHON benchmarks/template_picking.py --output FILE [--work FOLDER]     figures, and the table of the page
    PYTHON benchmarks/template_picking.py --table FILE                      docs/protocol_pick_templates.md

PYTHON is the engine's (`cryodl doctor` names it); data are found by CRYODL_DATA. The micrographs are those that trained
pickers are tested on. Blobs have the published diameter; the general model is given nothing.
"""

import argparse
import json
import tempfile
from pathlib import Path

from common import SETS, cryodl, data_folder, evaluate
from parts import RealSet, pick, table

STRUCTURES = {
    "empiar10017": ("beta-galactosidase, 8BK7", "structures/complexes/8BK7.cif.gz"),
    "empiar10028": ("80S ribosome of yeast, 4V94 at 10 Å", "structures/maps/SIM_4V94_10A.mrc.gz"),
}


def run(work):
    """[{set, picker, best_f1, ap, f1, cpu}]"""
    rows = []
    for name, (folder, pixel_size, diameter_px, border, training) in SETS.items():
        real = RealSet(name, data_folder(), folder, pixel_size, diameter_px, border, training)
        for what, source in _sources(real):
            picks = Path(work, f"{name} {what.split(',')[0]}")
            if source is None:
                cpu = pick(real.test, pixel_size, None, "general", picks)["cpu"]
            else:
                options = ("--pixel-size", pixel_size, "--output", picks, "--threads", 1, "--pictures", 0)
                cpu = cryodl("pick-templates", "--micrographs", *real.test, *source, *options)[1]
            figures = evaluate(picks, real.ground_truth, pixel_size, real.diameter, border, real.test)
            every = figures["all_candidates"]
            rows.append(
                dict(
                    set=name,
                    picker=what,
                    best_f1=round(every["best_f1"], 3),
                    ap=round(every["average_precision"], 3),
                    f1=round(figures["f1"], 3),
                    cpu=round(cpu / len(real.test), 2),
                )
            )
            print(rows[-1], flush=True)
    return rows


def _sources(real):
    yield "general model", None
    yield "blobs", ("--particle-diameter", real.diameter)
    if real.name in STRUCTURES:
        title, file = STRUCTURES[real.name]
        yield f"projections, {title}", ("--structure", data_folder() / file)


def tables(rows):
    cells = [[r["set"], r["picker"], f"{r['best_f1']} / {r['ap']} ({r['f1']})", r["cpu"]] for r in rows]
    return table(["set", "picker", "best F1 / AP (F1 at the default threshold)", "CPU s per micrograph"], cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="template_picking.json")
    parser.add_argument("--work", help="folder for the picks, which are kept")
    parser.add_argument("--table", metavar="FILE", help="print the table of measured figures")
    options = parser.parse_args()
    if options.table:
        print(tables(json.loads(Path(options.table).read_text())))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = run(options.work or folder)
    Path(options.output).write_text(json.dumps(rows, indent=1) + "\n")
    print(tables(rows))


if __name__ == "__main__":
    main()
