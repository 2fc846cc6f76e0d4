# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the resolution that the report forecasts comes: maps of 300 particles, and of 2 and 10 times as many."""

import numpy as np
from bench import asked, benchmark, structure_file
from recipes.other_particles import make_set
from scipy.spatial.transform import Rotation

from cryodl.io.star import read_tables, write_tables
from cryodl.recipes.report.forecast import FACTORS, edges_of

PIXEL, PARTNER = 4.0, "6CVN"
PLAIN, STEEP, FEW_VIEWS, MIXTURE = "-", "B-factor", "views", "mixture"  # from 100 Å²; none of a belt; half PARTNER
SETS = {  # SNR over the box, degrees by which the angles are wrong, B-factor of the images (Å²), and what else
    "2YKR_30S": (0.1, 2.5, 60, PLAIN),
    "6VXX": (0.1, 2, 60, PLAIN),
    "1U6G": (0.2, 2.5, 60, PLAIN),
    "5GJV": (0.05, 3, 60, PLAIN),
    "8BK7": (0.1, 2, 300, PLAIN),
    "1WCM": (0.1, 2.5, 60, FEW_VIEWS),
    "4ZXB": (0.15, 2.5, 60, PLAIN),
    "3J9I": (0.05, 2, 200, PLAIN),
    "2CG9": (0.2, 2.5, 60, FEW_VIEWS),
    "6RN3": (0.1, 3, 60, MIXTURE),
}
UNSEEN = {  # used for nothing else: none was looked at when the forecast was made
    "3C91": (0.08, 2.5, 120, PLAIN),
    "7QPD": (0.15, 2, 60, FEW_VIEWS),
    "8UV2": (0.1, 3, 200, PLAIN),
    "1BXN": (0.1, 2, 60, PLAIN),
    "3IYD": (0.1, 2.5, 100, MIXTURE),
    "5O9G": (0.15, 2.5, 150, FEW_VIEWS),
}


def held(row):
    """(2, batches) bool: whether the later maps, of 2 and 10 times as many particles, came between the ends."""
    edges = np.array(row["edges"])[:, 1:]  # batch, factor, end
    came = np.stack([row["two"], [row["ten"]] * len(edges)], 1)
    return ((edges[..., 0] <= came) & (came <= edges[..., 2])).T


def lines(rows):
    """Sets by what they were used for and what bends their growth, and the sums."""
    found = [["sets", "bent by", "molecules", "600 particles", "3,000", "both"]]
    for name, sets in (("in view", SETS), ("unseen", UNSEEN)):
        mine = [row for row in rows if row["molecule"] in sets]
        for what in (*map(bend, sorted(mine, key=lambda row: row["what"])), "all"):
            if chosen := [row for row in mine if what in ("all", bend(row))]:
                parts = np.concatenate([held(row) for row in chosen], 1)
                found.append([name, what, len(chosen), *(f"{part.sum()} of {part.size}" for part in (*parts, parts))])
    return [list(line) for line in dict.fromkeys(map(tuple, found))]


def bend(row):
    return STEEP if row["what"] == PLAIN and row["b_factor"] >= 100 else row["what"]


@benchmark(cases=dict(molecule=SETS | UNSEEN), tables={"forecasts": lines}, quick=dict(count=30, batches=1))
def forecasts(run, molecule, count=300, batches=4):
    """Sets of another generator with coloured noise; batches of particles, of which each forecasts alone."""
    (snr, error, b_factor, what), folder = (SETS | UNSEEN)[molecule], run.work(molecule)
    files, all_of_them = (
        [structure_file(molecule), structure_file(PARTNER)][: 1 + (what == MIXTURE)],
        count * FACTORS[-1],
    )
    each = all_of_them * (2 if what == FEW_VIEWS else 1) // len(files)
    make_set(folder, files, each, {}, snr, pixel_size=PIXEL, seed=900 + 100 * (molecule in UNSEEN), b_factor=b_factor)
    truth, tables, rng = np.load(folder / "truth.npz"), read_tables(folder / "particles.star"), np.random.default_rng(5)
    turns = Rotation.from_matrix(truth["rotations"])
    wrong = Rotation.from_rotvec(np.radians(error) * rng.normal(size=(len(turns), 3)) / 3**0.5)
    angles = (wrong * turns).inv().as_euler("ZYZ", degrees=True)
    seen = abs(truth["rotations"][:, 2, 2]) > (0.45 if what == FEW_VIEWS else 0)
    rows = np.nonzero(seen)[0][:all_of_them].reshape(-1, count)

    def made(name, chosen):
        columns_of = {c: [v[i] for i in chosen] for c, v in tables["particles"].items()}
        for number, axis in enumerate(("Rot", "Tilt", "Psi")):
            columns_of[f"rlnAngle{axis}"] = angles[chosen, number].tolist()
        for number, axis in enumerate("YX"):
            columns_of[f"rlnOrigin{axis}Angst"] = (-PIXEL * truth["shifts_yx"][chosen, number]).tolist()
        star = folder / f"{name}.star"
        write_tables(star, {"optics": tables["optics"], "particles": columns_of})
        return asked("reconstruct", folder / f"{name}.mrc", particles=star, device="cpu")[0]

    first = [made(f"first {n}", rows[n]) for n in range(batches)]
    second = [made(f"second {n}", np.concatenate(rows[[n, n + batches]])) for n in range(batches)]
    return dict(
        snr=snr,
        error=error,
        b_factor=b_factor,
        what=what,
        now=[one["resolution"] for one in first],
        two=[one["resolution"] for one in second],
        ten=made("all", rows.ravel())["resolution"],
        edges=[edges_of(one["fsc"], one["resolution"], one["pixel_size"], "C1").tolist() for one in first],
    )
