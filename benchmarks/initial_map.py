# SPDX-License-Identifier: GPL-3.0-or-later
"""First maps of molecules that nobody told, and sets of particles of which there must be none."""

import json

import numpy as np
import torch
from bench import asked, benchmark, columns, structure_file
from recipes.particles import COMPLEXES, atoms_of, make_mixed, map_of
from scipy.spatial.transform import Rotation

from cryodl.core.frc import fsc, resolution_at
from cryodl.io.structures import load_density
from cryodl.particles.initial.alignment import align

BOX, PIXEL = 64, 3.5
GOOD = [name[:4] for name in COMPLEXES] + ["3IYD", "2CG9", "3J9I", "5X0Y"]  # 130 to 210 Å wide
BAD = {
    "one view": GOOD[:5],
    "two mixed": [f"{one}+{other}" for one, other in zip(GOOD[:5], GOOD[5:10])],
    "half junk": GOOD[3:8],
    "noise": ["seed 1", "seed 2", "seed 3", "seed 4", "seed 5"],
}
TILT = 5.0  # degrees, standard deviation of the directions of one view


def cases():
    """Good and bad sets in turn, so that a part of them is a sample of all."""
    good, bad = [("one molecule", name) for name in GOOD], [(k, v[i]) for i in range(5) for k, v in BAD.items()]
    turns = [good[i : i + 1] + bad[i * 5 // 3 : (i + 1) * 5 // 3] for i in range(len(good))]
    return [dict(set=kind, molecule=name) for turn in turns for kind, name in turn]


def make_set(folder, kind, molecule, count, snr, seed):
    """Particles of a kind; the STAR file, and the atoms of the first molecule."""
    rng = np.random.default_rng(seed)
    names = [GOOD[0]] if kind == "noise" else molecule.split("+")
    bodies, turns = [atoms_of(structure_file(name)) for name in names], None
    kinds = rng.integers(0, len(bodies), count) - (rng.integers(0, 2, count) if kind == "half junk" else 0)
    if kind == "one view":
        in_plane = Rotation.from_rotvec(rng.uniform(0, 2 * np.pi, (count, 1)) * [0, 0, 1])
        turns = in_plane * Rotation.from_rotvec(rng.normal(0, np.radians(TILT), (count, 3)))
    snr = snr / 2 if kind == "half junk" else snr  # of the particles that are none as well
    return make_mixed(bodies, kinds, folder, snr, rng, BOX, PIXEL, kind == "noise", turns=turns), bodies[0]


def compared(found, body):
    """Å at FSC 0.5 with the true map of atoms, aligned in the better hand; None where nothing is."""
    true, shown = torch.from_numpy(map_of(*body, 8.0, PIXEL)), load_density(found, PIXEL)
    before = BOX // 2 - len(true) // 2
    true = torch.nn.functional.pad(true, (before, BOX - len(true) - before) * 3)
    return resolution_at(fsc(true, align(true, shown, BOX * PIXEL / 15).density), 0.5, PIXEL, BOX)


@benchmark(
    cases=cases,
    tables={
        "initial-map": columns(
            {
                "set": "set",
                "molecule": "molecule",
                "particles": "count",
                "map": "verdict",
                "halves agree": "agreement:.2f",
                "FSC 0.5 with the truth (Å)": "truth:.1f",
                "least seen direction": "coverage:.2f",
                "CPU s": "cpu:.0f",
            }
        )
    },
    quick=dict(count=200),
)
def initial_map(run, set, molecule, count=2000, snr=0.05, seed=1):
    """First maps of molecules without symmetry given, and of sets that must be refused: one view (rotated in the plane,
    tilted by 5 degrees), two molecules mixed, half of the images noise, noise alone. SNR over the box; of half junk, of
    the particles that are there."""
    folder = run.work(f"{set} {molecule} {count} {seed}")
    seed = int(molecule.split()[1]) if set == "noise" else seed
    star, body = make_set(folder, set, molecule, count, snr, seed)
    made, cpu = asked("initial-map", folder / "found", particles=star, device="cpu")
    judged = json.loads((folder / "found" / "judgement.json").read_text())
    right = made["determined"] and set == "one molecule"
    return dict(
        count=count,
        verdict="yes" if made["determined"] else "no",
        truth=compared(made["map"], body) if right else None,
        resolution=made["resolution"],
        cpu=cpu,
        **{name: judged.get(name) for name in ("agreement", "starts", "evidence", "empty", "coverage", "second")},
        reasons=made["reasons"],
    )
