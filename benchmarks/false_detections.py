# SPDX-License-Identifier: GPL-3.0-or-later
"""Detections in mixes of species, of another generator than the program's: is the stated part of look-alikes true?"""

import json

import numpy as np
from bench import CPU, benchmark, grouped, groups, mean, recorded, structure_file
from recipes.other_tomograms import make_tomogram

from cryodl.core.matching import match_picks
from cryodl.io.star import read_tables

# One target and what is with it. None of these served to choose the method; 1AON, 3C91, 1WCM, 2CG9, 5GJV, 5X0Y did.
MIXES = {
    "6VXX": ("8UV2", "3IYD", "1OEL"),
    "8UV2": ("6VXX", "3IYD", "6RN3"),
    "4V4R_30S": ("6VXX", "8UV2", "6RN3"),
    "6RN3": ("3IYD", "1OEL", "6VXX"),
}
NEAR = 0.25  # diameters from the truth that a detection may be


AMONG_ITS_KIND, ITS_KIND = "8UV2", "6RN3"  # hexamers of AAA+ rings
total = lambda key: lambda part: sum(row[key] for row in part)
f1 = lambda part: 2 * total("right")(part) / (total("kept")(part) + total("particles")(part) or 1)
mixed = lambda row: "others" if row["target"] != AMONG_ITS_KIND else row["target"]
named = lambda row: dict(row, targets=mixed(row) + (f", told of {row['against']}" if row["against"] else ""))
table = groups(
    ("targets", "snr", "pixel_size"),
    {
        "targets": "targets",
        "SNR": "snr:g",
        "Å/px": "pixel_size:g",
        "particles": total("particles"),
        "kept": total("kept"),
        "right": total("right"),
        "F1": lambda part: f"{f1(part):.2f}",
        "best F1": lambda part: f"{mean(row['best_f1'] for row in part):.2f}",
        "`--fdr 0.2`: kept": total("kept_20"),
        "of these right": total("right_20"),
    },
    lambda rows, *keys: grouped([named(row) for row in rows if row["snr"]], *keys),
)


def right_ones(folder, truth, distance):
    """(n,) bool, right or not, of the detections in a folder, best first. truth: {name: (m, 3) zyx}. All in px."""
    scores, right = [], []
    for name, places in truth.items():
        found = read_tables(folder / f"{name}.star")["particles"]
        zyx = np.array([[float(v) for v in found[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T.reshape(-1, 3)
        scores += map(float, found["cryodlScore"])
        right += match_picks(zyx, places, distance).tolist()
    return np.array(right, bool)[np.argsort(-np.array(scores), kind="stable")]


def cases():
    kinds = [(0.1, 10.0), (0.03, 10.0), (0.0, 10.0), (0.1, 14.0)]  # 0: noise alone
    given = [dict(target=target, against="") for target in MIXES] + [dict(target=AMONG_ITS_KIND, against=ITS_KIND)]
    return [dict(one, snr=snr, pixel_size=size) for snr, size in kinds for one in given]


@benchmark(cases=cases, tables={"false-detections": table}, quick=dict(tomograms=1, copies=4))
def false_detections(run, target, against, snr, pixel_size, tomograms=2, copies=12, shape_a=(400, 1280, 1280)):
    """Detections of a target among three other species, 12 copies each, by default settings; SNR of the images without
    tilt. against: one of these that the program is told of. Best threshold: the largest F1 over all thresholds on the
    scores of the template's places."""
    files = [structure_file(name) for name in (target, *MIXES[target])]
    shape, where = tuple(round(a / pixel_size) for a in shape_a), run.work(f"{target} {against} {snr:g} {pixel_size:g}")
    truth = {}
    for number in range(tomograms):
        path, seed = where / f"tomo{number}.mrc", 1000 * number + sum(map(ord, target))
        make_tomogram(path, dict.fromkeys(files, copies) if snr else {}, shape, pixel_size, snr, seed)
        there = json.loads(path.with_suffix(".json").read_text()).get(str(files[0]), [])
        truth[path.stem] = np.array(there).reshape(-1, 3)
    told = ("--others", structure_file(against)) if against else ()
    words = ("--tomograms", *sorted(where.glob("*.mrc")), "--template", files[0], *CPU, *told)
    made, _, cost = recorded("detect-particles", where / "found", *words)
    (diameter,) = made["diameters"].values()
    found = lambda folder: right_ones(folder, truth, NEAR * diameter / pixel_size)
    kept, every, count = found(where / "found"), found(where / "found" / "candidates"), sum(map(len, truth.values()))
    again, _, _ = recorded("detect-particles", where / "found", *words, "--fdr", 0.2)
    stated = lambda made: sum(sum(one.values()) for one in made["expected_false_detections"].values())
    wide = found(where / "found")
    best = max(2 * np.cumsum(every) / (np.arange(1, len(every) + 1) + count), default=0.0) if count else 0.0
    return dict(
        tomograms=tomograms,
        particles=count,
        kept=len(kept),
        right=int(kept.sum()),
        stated=stated(made),
        best_f1=float(best),
        kept_20=len(wide),
        right_20=int(wide.sum()),
        stated_20=stated(again),
        cpu=cost[1],
    )
