# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU seconds of denoising 256 x 256 images, and of training at 64 x 64 until the floor is reached.

swinconv and cgan have weights of two training steps: for timing only. The figure is the slope between a run over a few
and a run over more particles; reading, CTF, network and writing are in, start-up is not.
"""

import csv

import numpy as np
from common import cryodl
from denoising_frc import ALONE, key
from denoising_sets import SNR, Molecule, Sets, new_folder, simulate, train
from parts import engine_path, table
from speed import slope

LARGE = Molecule("beta-galactosidase", "8BK7.cif.gz", 0.95, 256)
FEW = 32
MORE = {"posterior": 160, "swinconv": 288, "cgan": 64}
FLOOR = 1.5  # times the Wiener filter's mean FRC
PUBLISHED = 1.0  # particles/s of the published network on a GTX 1080 Ti, by its authors


def run(bench):
    engine_path()
    for network in bench.options.networks:
        bench.once(f"denoising speed/{network}", lambda: _measure(bench, network))


def _measure(bench, network):
    """dict: cpu, wall (s per particle), start (CPU s), memory (MB)."""
    from cryodl.io.particle_sets import read_particles, write_particles_star

    sets, folder = Sets(bench), bench.folder(f"denoising speed {network}")
    star = sets.root / "sets" / "large" / "particles.star"
    if not star.exists():
        new_folder(star.parent)
        simulate(sets.structure(LARGE.name), LARGE, SNR, max(MORE.values()), 1, star)
    train([star], [sets.structure(LARGE.name)], folder / "model", network, None if network == "posterior" else 2)
    particles, runs = read_particles(star), []
    for count in (FEW, MORE[network]):
        part = star.with_name(f"first{count}.star")
        write_particles_star(part, particles.subset(np.arange(count)))
        _, cpu, wall, memory = cryodl(
            "denoise",
            "--particles",
            part,
            "--model",
            folder / "model",
            "--output",
            folder / f"{count}.star",
            "--device",
            "cpu",
            "--threads",
            bench.options.speed_threads,
        )
        runs.append((count, cpu, wall, memory))
    return slope(runs)


def reaches_floor(bench, network):
    """CPU seconds of training until the validation's mean FRC is FLOOR times the Wiener filter's.

    By the validation particles, or by the test particles when training ended. The steps' CPU seconds are taken as
    equal, start-up and validations shared among them. None: never, or not measured.
    """
    figures = bench.figures.get(key(ALONE[0], network, SNR))
    if figures is None:
        return None
    cost, wanted = figures["training"], FLOOR * figures["mean_frc"]["wiener"]
    in_the_end = cost["cpu"] if figures["mean_frc"]["denoised"] >= wanted else None
    if not cost["steps"]:
        return in_the_end
    with open(Sets(bench).model([ALONE[0]], network)[0] / "metrics.csv", newline="", encoding="utf-8") as file:
        reached = [float(row["step"]) for row in csv.DictReader(file) if float(row["validation_frc"]) >= wanted]
    return cost["cpu"] * reached[0] / cost["steps"] if reached else in_the_end


def tables(bench):
    speeds, training = [], []
    for network in bench.options.networks:
        f = bench.figures.get(f"denoising speed/{network}")
        speeds.append(
            [
                network,
                *(
                    [None] * 4
                    if f is None
                    else [f"{1000 * f['cpu']:.0f}", f"{2 / f['cpu']:.0f}", f"{f['start']:.0f}", f"{f['memory']:.0f}"]
                ),
            ]
        )
        training.append([network, *_training_cells(bench, network)])
    speeds.append(["cgan, by its authors on a GTX 1080 Ti", "-", f"{PUBLISHED:.0f} (by the clock)", "-", "-"])
    head = [
        "network",
        "CPU ms per particle",
        "particles/s of two idle cores (2 / CPU s)",
        "start-up CPU s",
        "peak memory MB",
    ]
    until = f"CPU s until {FLOOR:g} times the Wiener filter's mean FRC"
    return f"{table(head, speeds)}\n\nTraining on pairs of {ALONE[0]}, 64 px, SNR {SNR:g}, one thread:\n\n" + table(
        ["network", "CPU s in all", "steps", until, "peak memory MB"], training
    )


def _training_cells(bench, network):
    f, seconds = bench.figures.get(key(ALONE[0], network, SNR)), reaches_floor(bench, network)
    if f is None:
        return [None] * 4
    cost = f["training"]
    return [
        f"{cost['cpu']:.0f}",
        cost["steps"] or "-",
        "not reached" if seconds is None else f"{seconds:.0f}",
        f"{cost['memory']:.0f}",
    ]
