# SPDX-License-Identifier: GPL-3.0-or-later
"""No labels at all: micrographs simulated from the molecule's structure train the picker of the real set."""

from pathlib import Path

from common import cryodl
from parts import f1_ap, pick_and_score, table

# set: structure (below the folder of data), particles for each simulated micrograph
STRUCTURES = {
    "empiar10017": ("structures/complexes/8BK7.cif.gz", 150),
    "empiar10028": ("structures/maps/SIM_4V4R_70S_5A.mrc.gz", 60),
}
COUNT, SIDE = 8, 1024


def run(bench):
    for name in STRUCTURES:
        if name in bench.options.sets:
            bench.once(f"structure/{name}", lambda: _measure(bench, bench.real(name)))


def _measure(bench, real):
    structure, particles = STRUCTURES[real.name]
    simulated = bench.folder(f"simulated for {real.name}")
    _, cpu, _, _ = cryodl(
        "simulate-micrographs",
        "--structure",
        bench.data / structure,
        "--pixel-size",
        real.pixel_size,
        "--count",
        COUNT,
        "--size",
        SIDE,
        "--particles",
        particles,
        "--minimum-distance",
        1.0,
        "--snr",
        0.03,
        "--snr-max",
        0.3,
        "--noise-from",
        *real.train,
        "--ice",
        1,
        "--output",
        simulated,
        "--threads",
        1,
    )
    model = bench.folder(f"model from structure {real.name}")
    _, train_cpu, _, _ = cryodl(
        "train-picker",
        "--micrographs",
        *sorted(Path(simulated, "micrographs").glob("*.mrc")),
        "--coordinates",
        simulated / "coordinates",
        "--pixel-size",
        real.pixel_size,
        "--particle-diameter",
        real.diameter,
        "--output",
        model,
        "--device",
        "cpu",
        "--threads",
        1,
    )
    return dict(
        simulation_cpu=cpu, train_cpu=train_cpu, **pick_and_score(bench, real, model, f"from structure {real.name}")
    )


def tables(bench):
    rows = []
    for name, (structure, _) in STRUCTURES.items():
        zero, trained = bench.figures.get(f"structure/{name}"), bench.figures.get(f"trained/{name}")
        ratio = zero["best_f1"] / trained["best_f1"] if zero and trained else None
        rows.append(
            [
                name,
                Path(structure).name.split(".")[0],
                f1_ap(zero),
                f1_ap(trained),
                ratio,
                zero and f"{zero['simulation_cpu']:.0f} + {zero['train_cpu']:.0f}",
            ]
        )
    return (
        f"Best F1 / AP (F1 at the default threshold). {COUNT} micrographs of {SIDE} px, noise spectra from "
        "the set's training micrographs (without their labels), SNR 0.03 to 0.3. No structure of EMPIAR-10947's "
        "molecule is at hand.\n\n"
        + table(
            [
                "set",
                "structure",
                "unet from the structure",
                "unet trained on the set",
                "ratio of best F1",
                "simulation + training CPU s",
            ],
            rows,
        )
    )
