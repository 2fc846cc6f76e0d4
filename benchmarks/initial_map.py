# SPDX-License-Identifier: GPL-3.0-or-later
"""First maps of molecules that nobody told, sets of particles of which there must be none, and the whole chain."""

import ctypes
import json
import os
import resource
import subprocess
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from bench import asked, benchmark, columns, evaluate, groups, of_all, structure_file
from recipes.particles import COMPLEXES, atoms_of, make_mixed, map_of
from scipy.spatial.transform import Rotation

from cryodl.core.fourier import fsc, resolution_at
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
    """Å at FSC 0.5 with the true map of atoms (None where nothing is), the true map, and the found one aligned with it
    in the better hand."""
    true, shown = torch.from_numpy(map_of(*body, 8.0, PIXEL)), load_density(found, PIXEL)
    before = BOX // 2 - len(true) // 2
    true = torch.nn.functional.pad(true, (before, BOX - len(true) - before) * 3)
    shown = align(true, shown, BOX * PIXEL / 15).density
    return resolution_at(fsc(true, shown), 0.5, PIXEL, BOX), true, shown


def between(key, form):
    """A column of `groups`: the smallest and the largest value, of those that have one."""
    values = lambda part: [row[key] for row in part if row[key] is not None]
    return lambda part: " to ".join(format(end(values(part)), form) for end in (min, max) if values(part))


@benchmark(
    cases=cases,
    tables={
        "initial-map": groups(
            ["set"],
            {
                "set": "set",
                "measured": len,
                "maps": lambda part: sum(row["verdict"] == "yes" for row in part),
                "halves agree": between("agreement", ".2f"),
                "FSC 0.5 with the truth (Å)": between("truth", ".1f"),
                "CPU s": of_all("cpu", ".0f"),
            },
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
    return dict(
        count=count,
        verdict="yes" if made["determined"] else "no",
        truth=compared(made["map"], body)[0] if made["determined"] and set == "one molecule" else None,
        resolution=made["resolution"],
        cpu=cpu,
        **{name: judged.get(name) for name in ("agreement", "starts", "evidence", "empty", "coverage", "second")},
        reasons=made["reasons"],
    )


# ----- from micrographs to the report
of_chain = columns(
    {
        "": "molecule",
        f"micrographs of 1024 x 1024 px, {PIXEL:g} Å/px": "count",
        "particles in them": "particles",
        "picks: precision": "precision:.2f",
        "picks: recall": "recall:.2f",
        "first map": "verdict",
        "correlation of its halves": "agreement:.2f",
        "their FSC 0.143 (Å)": "first:.1f",
        "its FSC 0.5 with the truth (Å)": "first_truth:.1f",
        "missing cone (°)": "cone:.0f",
        "map: particles": "oriented",
        "FSC of its halves 0.143 (Å)": "resolution:.1f",
        "corrected for noise (Å)": "corrected:.1f",
        "that of noise, oriented likewise (Å)": "noise:.1f",
        "FSC 0.5 with the truth (Å)": "truth:.1f",
        "the same, refined by RELION": "refined:.1f",
        "alarms": "alarms",
        "minutes, two cores": "minutes:.0f",
        "CPU min": "cpu_minutes:.0f",
    }
)


@benchmark(
    cases=dict(molecule=["1WCM"]),
    tables={"unattended": lambda rows: [list(line) for line in zip(*of_chain(rows))]},
    quick=dict(count=3),
)
def unattended(run, molecule, count=34, particles=60, snr=0.1, diameter=180):
    """`scipion template cryodl-unattended` by Scipion's scheduler (`--tool scipion=PYTHON`, Scipion's) on simulated
    micrographs. It is told pixel size and particle diameter (Å); the map is then compared with the atoms."""
    folder, structure, start = run.work(molecule), structure_file(molecule), time.monotonic()
    given = dict(structure=structure, pixel_size=PIXEL, snr=snr, seed=7)
    made, _ = asked("simulate-micrographs", folder / "made", count=count, particles=particles, **given)
    mics, runs = folder / "made" / "micrographs", folder / "projects" / "unattended" / "Runs"
    told = f"project_name=unattended mics={mics} pixel={PIXEL} diameter={diameter} box={BOX} classes=20 timeout=30"
    of = lambda kind: [*runs.glob(f"*_CryodlProt{kind}/extra/**/result.json"), None][0]
    outputs = lambda kind: json.loads(of(kind).read_text())["outputs"] if of(kind) else {}
    (folder / "projects").mkdir()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # subreaper: runs that outlive the command are waited for, and counted
    command = [
        run.tool("scipion"),
        "-m",
        "scipion",
        "template",
        "cryodl-unattended",
        "--nogui",
        "settled=1",
        *told.split(),
    ]
    subprocess.run(command, env=dict(os.environ, SCIPION_USER_DATA=str(folder)), check=True)
    while outputs("Report").get("working", True):
        os.wait()
    cost, first, last = resource.getrusage(resource.RUSAGE_CHILDREN), outputs("InitialMap"), outputs("BackProject")
    row = dict(minutes=(time.monotonic() - start) / 60, cpu_minutes=(cost.ru_utime + cost.ru_stime) / 60, count=count)
    (picks,), files = runs.glob("*_CryodlProtPick/extra/picks"), sorted(map(str, mics.glob("*.mrc")))
    row.update(evaluate(picks, folder / "made" / "coordinates", PIXEL, diameter, 0, files))
    row.update(
        verdict="; ".join(first["reasons"]) or "determined",
        alarms="; ".join(outputs("Report")["alarms"]) or "none",
        agreement=first["agreement"],
        first=first["resolution"],
        cone=first["missing_cone"],
    )
    if last:
        row["truth"], *maps = compared(runs.parent / last["map"], atoms_of(structure))
        row.update(
            first_truth=compared(runs.parent / first["map"], atoms_of(structure))[0],
            oriented=last["count"],
            resolution=last["resolution"],
            noise=last["noise_resolution"],
            corrected=last["corrected_resolution"],
            refined=next((compared(p, atoms_of(structure))[0] for p in runs.glob("*cess/*/postprocess.mrc")), None),
        )
        pairs = lambda m: [view for axis in range(3) for view in (m.sum(axis), m.select(axis, BOX // 2))]
        rows = [torch.cat([(v - v.min()) / (v.max() - v.min()) for v in pairs(m)], 1) for m in maps]
        plt.imsave(run.output / "unattended.png", np.kron(torch.cat(rows), np.ones((2, 2))), cmap="gray")
    return dict(row, particles=made["particles"])
