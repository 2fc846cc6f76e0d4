# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations from a map with solvent ripple, beside plain cross-correlation on the same particles.

    PYTHON benchmarks/orientation_floors.py [--count N] [--snr S ...] [--complexes FILE ...] [--symmetric NAME ...]
                                            [--output FOLDER] [--figures FILE]

Complexes without symmetry (made_particles.COMPLEXES), or with --symmetric those of symmetric_complexes.py: their
errors are the smallest over the orientations that the symmetry makes equal, and the symmetry is told to the search.

Particles of made_particles.py (64 px of 3.5 Å, coloured noise; SNR over the whole box). Printed for each complex and
SNR: percent of particles within 15 degrees by the search, by plain cross-correlation (CTF-weighted, normalised, to 11
Å, directions 7.3 degrees apart, whole-pixel shifts to 3 px), the mean stated probability, its expected calibration
error (ten equal bins), and CPU milliseconds per particle. In the error of one complex chance alone has its part (some
0.1 for 100 particles that are right in half of the cases): that of all particles of an SNR together is printed, too. A
stopped run goes on where it was. FILE (JSON) gets the figures, those of other runs stay in it; docs/orientations.md has
its tables from there.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from common import ROOT, data_folder
from made_particles import COMPLEXES, make, make_of
from symmetric_complexes import SYMMETRIC, body_of
from template_matching import CC_STEP, matched, resolution_for

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
SNRS, RIGHT = (0.1, 0.05, 0.02), 15.0


def plain_correlation(star, density, symmetry="C1"):
    """(n, 3) angles of the highest normalised cross-correlation of each image with the projections times its CTF."""
    from cryodl.core.projections import Projector
    from cryodl.io.particle_sets import read_particles
    from cryodl.likelihood.reference import HalfDisc, Reference
    from cryodl.likelihood.search import Grid

    particles, grid = read_particles(star), Grid(CC_STEP, symmetry)
    disc = HalfDisc(particles.box, particles.box * particles.pixel_size / resolution_for(particles.pixel_size))
    rows = np.arange(len(particles))
    transfer = disc.on_grid(particles.ctf(rows))
    images = disc.of_images(particles.images(rows)) * transfer
    return grid.angles(matched(images, transfer, Reference(Projector(density), disc), grid)[1].numpy())


def searched(star, structure, output, symmetry="C1"):
    """Angles, stated probabilities, CPU seconds per particle of `cryodl assign-orientations`, run in this process."""
    from cryodl.contract import AssignOrientationsConfig
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.commands import assign_orientations

    for old in output.parent.glob(f"{output.stem}*"):
        old.unlink()
    began = time.process_time()
    result = assign_orientations.run(
        AssignOrientationsConfig(
            particles=str(star),
            structure=str(structure),
            output=str(output),
            symmetry=symmetry,
            threads=1,
            device="cpu",
        )
    )
    particles = read_particles(output)
    probability = probabilities(output)
    return particles.angles, probability, (time.process_time() - began) / len(particles), result


def probabilities(star):
    """(n,) rlnMaxValueProbDistribution of a STAR file."""
    from cryodl.io.star import read_tables

    return np.asarray(read_tables(star)["particles"]["rlnMaxValueProbDistribution"], float)


def calibration_error(probability, right, bins=10):
    """Expected calibration error over equally filled bins."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    return float(sum(len(p) * abs(probability[p].mean() - right[p].mean()) for p in parts if len(p)) / len(order))


def measure(name, snr, count, folder, correlation=True):
    """Figures of one complex at one SNR; those of an earlier run in this folder are taken as they are.

    name: a file of made_particles.COMPLEXES, or a name of symmetric_complexes.SYMMETRIC.
    """
    from cryodl.core.symmetry import angular_distance
    from cryodl.io.particle_sets import read_particles
    from cryodl.simulate.structures import load_density

    star = folder / f"{name[:4]}-{snr:g}" / "particles.star"
    done = star.with_name("row.json")
    if done.exists():
        return json.loads(done.read_text())
    _, symmetry, pixel_size = SYMMETRIC.get(name, (name, "C1", 3.5))
    if not star.exists():
        seed, whole = int(1000 * snr), data_folder() / "structures/complexes" / name
        if name in SYMMETRIC:
            make_of(body_of(name), star.parent, snr, count, seed, pixel_size=pixel_size)
        else:
            make(whole, star.parent, snr, count, seed)
    structure, ground_truth = star.with_name("map.mrc"), read_particles(star).angles
    angles, probability, seconds, _ = searched(star, structure, star.with_name("found.star"), symmetry)
    error = angular_distance(ground_truth, angles, symmetry)
    right = error < RIGHT
    row = dict(
        complex=name[:4],
        snr=snr,
        count=len(right),
        right=100 * float(right.mean()),
        stated=100 * float(probability.mean()),
        ece=calibration_error(probability, right),
        ms=1e3 * seconds,
    )
    if correlation:
        found = plain_correlation(star, load_density(structure, pixel_size), symmetry)
        row["correlation"] = 100 * float((angular_distance(ground_truth, found, symmetry) < RIGHT).mean())
    if name in SYMMETRIC:
        row.update(symmetry=symmetry, median=float(np.median(error)))
    np.savez(star.with_name("answers.npz"), probability=probability, right=right)
    row = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
    done.write_text(json.dumps(row))
    return row


def together(rows, snr, folder):
    """Mean figures of the complexes at one SNR, and the calibration error of all their particles as one set."""
    part = [row for row in rows if row["snr"] == snr]
    means = {
        key: round(float(np.mean([row[key] for row in part])), 1) for key in ("right", "correlation", "stated", "ms")
    }
    answers = [np.load(folder / f"{row['complex']}-{snr:g}" / "answers.npz") for row in part]
    probability, right = (np.concatenate([one[key] for one in answers]) for key in ("probability", "right"))
    return dict(snr=snr, complexes=len(part), **means, ece=round(calibration_error(probability, right), 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--snr", type=float, nargs="+", default=SNRS)
    parser.add_argument("--complexes", nargs="+", default=COMPLEXES)
    parser.add_argument("--symmetric", nargs="*", choices=SYMMETRIC, help="instead of these; all if none is named")
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/orientation_floors"))
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    named = options.complexes if options.symmetric is None else options.symmetric or list(SYMMETRIC)
    rows, sums = [], []
    for snr in options.snr:
        for name in named:
            rows.append(measure(name, snr, options.count, options.output))
            print("RESULT", json.dumps(rows[-1]), flush=True)
        sums.append(together(rows, snr, options.output))
        print("ALL", json.dumps(sums[-1]), flush=True)
    if options.figures:
        keep(options.figures, rows, sums, "" if options.symmetric is None else "symmetric_")


def keep(path, rows, sums, kind):
    """Put rows and their sums into the file of figures; those of other complexes and SNRs stay."""
    figures = json.loads(path.read_text()) if path.exists() else {}
    for key, new in ((f"{kind}complexes", rows), (f"{kind}together", sums)):
        name = lambda row: (-row["snr"], row.get("complex", ""))
        replaced = {name(row) for row in new}
        every = [row for row in figures.get(key, []) if name(row) not in replaced] + new
        figures[key] = sorted(every, key=lambda row: -row["snr"])
    path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
