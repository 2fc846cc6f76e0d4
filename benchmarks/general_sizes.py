#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to give `cryodl pick` no particle diameter: simulated micrographs of structures that no training saw.

    PYTHON benchmarks/general_sizes.py --output FILE [--snrs 0.03 0.1] [--seed 811]

PYTHON is the engine's; structures are those that the general model's card says were left out or held back for
validation, found by CRYODL_DATA. Three micrographs of 1024 x 1024 px for each structure and SNR, particles 50 px wide,
as dense as chance has it, with ice, aggregates and, on one in five, a carbon edge. They are picked with the pixel size
alone, and with the true diameter stated; all else is the default. SNR = variance of the noise-free, CTF-filtered images
over the whole box / variance of the noise. A pick within a quarter of the diameter of a particle is right; all of the
micrograph counts. What is in FILE is not measured again.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import cryodl
from general_panel import structures
from parts import engine_path

SIDE, PARTICLE_PX, COUNT = 1024, 50, 3


def simulated(member, snr, index, seed, folder):
    """Micrographs in a new folder. Returns {name: (n, 2) yx of the particles}."""
    from cryodl.core.optics import Optics
    from cryodl.core.projections import Projector
    from cryodl.io.micrographs import write_micrograph
    from cryodl.simulate.micrographs import Surroundings, simulate_micrograph

    folder.mkdir(parents=True)
    rng = np.random.default_rng((seed, index, int(1000 * snr)))
    share, defocus = rng.uniform(0.05, 0.6), rng.uniform(8000, 25000)
    nearest = float(rng.choice([0.6, 0.8, 1.0]))
    around = Surroundings(minimum_distance=nearest, ice=4.0, carbon=0.2, gradient=1.0, aggregates=0.5)
    pixel_size, particles = member.extent / PARTICLE_PX, {}
    for number in range(COUNT):
        optics = Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
        field = ((SIDE, SIDE), int(share * (SIDE / PARTICLE_PX) ** 2), snr, optics, rng, PARTICLE_PX, around)
        made = simulate_micrograph(Projector(member.density), pixel_size, *field)
        write_micrograph(folder / f"m{number}.mrc", made.image.numpy().astype(np.float32), pixel_size)
        particles[f"m{number}"] = made.centres_yx
    return particles


def picked(folder, out, pixel_size, particles, *stated):
    """Figures of picks, and the diameter that they were picked at (Å; None if no size was found)."""
    from cryodl.core.matching import match_picks, score_matched
    from cryodl.io.coordinates import read_coordinates

    record = out.parent / f"{out.name}.json"
    given = ("--micrographs", *sorted(folder.glob("*.mrc")), "--pixel-size", f"{pixel_size:.4f}", "--model", "general")
    common = ("--output", out, "--result", record, "--device", "cpu", "--threads", 1, "--pictures", 0)
    cryodl("pick", *given, *common, *stated)
    found = {}
    for kind, source in (("picks", out), ("candidates", out / "candidates")):
        listed = read_coordinates(source) if any(source.glob("*.star")) else {}
        empty = (np.zeros((0, 2)), np.zeros(0))
        parts = [(listed.get(name, empty), yx) for name, yx in particles.items()]
        hits = np.concatenate([match_picks(part[0], yx, PARTICLE_PX / 4) for part, yx in parts])
        scores = np.concatenate([part[1] for part, _ in parts])
        found[kind] = score_matched(hits, scores, sum(map(len, particles.values())))
    every = found["candidates"]
    figures = dict(f1=found["picks"].f1, best_f1=every.best_f1, ap=every.average_precision)
    diameter = json.loads(record.read_text())["outputs"].get("picked_diameter")
    return {key: round(float(value), 3) for key, value in figures.items()}, diameter


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--snrs", type=float, nargs="+", default=[0.03, 0.1])
    parser.add_argument("--seed", type=int, default=811)
    options = parser.parse_args()
    engine_path()
    from cryodl.simulate.pool import load_member

    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    done = {(row["structure"], row["snr"]) for row in rows}
    for index, (name, file) in enumerate(structures("general").items()):
        todo = [snr for snr in options.snrs if (name, snr) not in done]
        member = load_member(file, PARTICLE_PX) if todo else None
        for snr in todo:
            with tempfile.TemporaryDirectory() as work:
                work, pixel_size = Path(work), member.extent / PARTICLE_PX
                particles = simulated(member, snr, index, options.seed, work / "m")
                alone, diameter = picked(work / "m", work / "alone", pixel_size, particles)
                true = ("--particle-diameter", f"{member.extent:.1f}")
                stated, _ = picked(work / "m", work / "stated", pixel_size, particles, *true)
            figures = dict(found=diameter and round(diameter), nothing=alone, true_diameter=stated)
            rows.append(dict(structure=name, snr=snr, diameter=round(member.extent), **figures))
            print(rows[-1], flush=True)
            command = "PYTHON benchmarks/general_sizes.py --output FILE"
            options.output.write_text(json.dumps(dict(command=command, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
