# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a score of 0.8 right in 80 of 100 cases? On simulated micrographs of structures that the model did not learn
from."""

from pathlib import Path

import numpy as np
from common import cryodl
from parts import engine_path, pick, table

# structure: pixel size (Å/px); all are in the lists of what the leave-one-out models must not see (general.RELATIVES)
HELD_OUT = {
    "empiar10017": ("structures/complexes/8BK7.cif.gz", 3.5),
    "empiar10028": ("structures/maps/SIM_4V4R_70S_5A.mrc.gz", 5.0),
}
COUNT, SNRS = 6, (0.05, 0.5)


def run(bench):
    for name in HELD_OUT:
        bench.once(f"calibration/{name}", lambda: _measure(bench, name))


def _measure(bench, name):
    """Expected calibration error of all candidates, and the reliability in ten bins."""
    engine_path()
    from cryodl.core.calibration import expected_calibration_error, reliability
    from cryodl.core.matching import match_picks
    from cryodl.io.coordinates import read_coordinates

    structure, pixel_size = HELD_OUT[name]
    data, picks = bench.folder(f"calibration {name}"), bench.folder(f"calibration picks {name}")
    out = cryodl(
        "simulate-micrographs",
        "--structure",
        bench.data / structure,
        "--pixel-size",
        pixel_size,
        "--count",
        COUNT,
        "--size",
        1024,
        "--particles",
        80,
        "--snr",
        SNRS[0],
        "--snr-max",
        SNRS[1],
        "--ice",
        2,
        "--gradient",
        1,
        "--seed",
        7,
        "--output",
        data,
        "--threads",
        1,
    )[0]
    diameter = float(out.split(" particles of ")[1].split()[0])
    micrographs = sorted(Path(data, "micrographs").glob("*.mrc"))
    pick(micrographs, pixel_size, diameter, bench.general(name), picks)
    ground_truth, every = read_coordinates(data / "coordinates"), read_coordinates(picks / "candidates")
    hit = np.concatenate(
        [match_picks(every[p.stem][0], ground_truth[p.stem][0], diameter / pixel_size / 4) for p in micrographs]
    )
    scores = np.concatenate([every[p.stem][1] for p in micrographs])
    curve = reliability(hit, scores)
    bins = np.stack([curve.confidence, curve.frequency, curve.count]).round(4).tolist()
    return dict(
        ece=float(expected_calibration_error(hit, scores)), candidates=len(hit), particles=int(hit.sum()), bins=bins
    )


def tables(bench):
    rows = []
    for name, (structure, _) in HELD_OUT.items():
        f = bench.figures.get(f"calibration/{name}")
        rows.append(
            [
                f"without-{name}",
                Path(structure).name.split(".")[0],
                *((f or {}).get(k) for k in ("ece", "candidates", "particles")),
            ]
        )
    return (
        f"{COUNT} micrographs of each structure, SNR {SNRS[0]} to {SNRS[1]}, ice and gradients; the goal is "
        "0.05.\n\n"
        + table(["general model", "simulated structure", "calibration error", "candidates", "of them particles"], rows)
    )
