#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many picks of the general model lie on carbon, ice and aggregates, on simulated micrographs with known masks.

    PYTHON benchmarks/picked_contamination.py --output FILE

PYTHON is the engine's; structures that no training saw are found by CRYODL_DATA. One field of two micrographs of 1024 x
1024 px for each structure: a carbon edge on every one, four pieces of ice and two aggregates on average, SNR 0.1; no
particles lie on carbon and ice, and those of aggregates count as contamination. Nothing is stated to `cryodl pick`.
What --avoid leaves out is what it does with the same candidates.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import cryodl
from general_panel import structures
from parts import engine_path

SIDE, PARTICLE_PX, SNR, COUNT, EVERY = 1024, 60, 0.1, 2, 3


def simulated(member, rng):
    """[SimulatedMicrograph] of a structure."""
    from cryodl.core.optics import Optics
    from cryodl.simulate.micrographs import Surroundings, simulate_micrograph

    around = Surroundings(minimum_distance=0.9, ice=4.0, carbon=1.0, gradient=1.0, aggregates=2.0)
    made = []
    for _ in range(COUNT):
        defocus = rng.uniform(10000, 25000)
        optics = Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
        pixel_size = member.extent / PARTICLE_PX
        field = ((SIDE, SIDE), 60, SNR, optics, rng, PARTICLE_PX, around)
        made.append(simulate_micrograph(member.density, pixel_size, *field))
    return made


def measure(name, member, index, work):
    """One row for each setting of --avoid."""
    from cryodl.contract.fields import AVOIDABLE
    from cryodl.core.matching import match_picks
    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.micrographs import write_micrograph
    from cryodl.micrographs.pickers.avoid import avoided_areas

    made, folder = simulated(member, np.random.default_rng((93, index))), Path(work) / name
    folder.mkdir()
    pixel_size = member.extent / PARTICLE_PX
    for number, one in enumerate(made):
        write_micrograph(folder / f"m{number}.mrc", one.image.numpy().astype(np.float32), pixel_size)
    record = folder / "result.json"
    given = ("--micrographs", *sorted(folder.glob("m?.mrc")), "--pixel-size", pixel_size, "--model", "general")
    cryodl(
        "pick",
        *given,
        "--output",
        folder / "picks",
        "--result",
        record,
        "--threads",
        1,
        "--pictures",
        0,
        "--avoid",
        "nothing",
    )
    diameter = json.loads(record.read_text())["outputs"]["picked_diameter"]
    rows = [dict(structure=name, avoid=avoid, picks=0, contaminated=0, right=0, particles=0) for avoid in AVOIDABLE]
    for number, one in enumerate(made):
        yx = read_coordinates(folder / "picks" / f"m{number}.star")[f"m{number}"][0]
        on = one.contaminated.numpy()[tuple(np.clip(np.rint(yx), 0, SIDE - 1).astype(int).T)]
        right = match_picks(yx, one.centres_yx, PARTICLE_PX / 4)
        for row in rows:
            kept = np.ones(len(yx), bool)
            if row["avoid"] != "nothing":
                size = diameter or member.extent
                kept = avoided_areas(one.image.numpy(), pixel_size, size, row["avoid"]).outside(yx)
            counts = dict(picks=kept.sum(), contaminated=(on & ~right & kept).sum(), right=(right & kept).sum())
            for key, value in counts.items():
                row[key] += int(value)
            row["particles"] += len(one.centres_yx)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    engine_path()
    from cryodl.simulate.pool import load_member

    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    done = {row["structure"] for row in rows}
    with tempfile.TemporaryDirectory() as work:
        for index, (name, file) in enumerate(list(structures("general").items())[::EVERY]):
            if name in done:
                continue
            rows += measure(name, load_member(file, PARTICLE_PX), index, work)
            print(rows[-3:], flush=True)
            command = "PYTHON benchmarks/picked_contamination.py --output FILE"
            options.output.write_text(json.dumps(dict(command=command, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
