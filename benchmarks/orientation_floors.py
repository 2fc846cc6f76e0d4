# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations of C1 complexes from a map with solvent ripple, beside plain cross-correlation on the same particles.

    PYTHON benchmarks/orientation_floors.py [--count N] [--snr S ...] [--complexes FILE ...] [--output FOLDER]
                                            [--figures FILE]

Particles of made_particles.py (64 px of 3.5 Å, coloured noise; SNR over the whole box). Printed for each complex and
SNR: percent of particles within 15 degrees by the search, by plain cross-correlation (CTF-weighted, normalised, to 11
Å, directions 7.3 degrees apart, whole-pixel shifts to 3 px), the mean stated probability, its expected calibration
error (ten equal bins), and CPU milliseconds per particle. In the error of one complex chance alone has its part (some
0.1 for 100 particles that are right in half of the cases): that of all particles of an SNR together is printed, too. A
stopped run goes on where it was. FILE (JSON) gets all figures; docs/orientations.md has its table from there.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from common import ROOT, data_folder
from made_particles import COMPLEXES, make

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
SNRS, RIGHT = (0.1, 0.05, 0.02), 15.0
CC_STEP, CC_RESOLUTION, CC_SHIFT = 7.33, 11.0, 3  # degrees, Å, px


def plain_correlation(star, density):
    """(n, 3) angles of the highest normalised cross-correlation of each image with the projections times its CTF."""
    import torch

    from cryodl.core.healpix_grid import disc_of_shifts
    from cryodl.core.projections import Projector
    from cryodl.io.particle_sets import read_particles
    from cryodl.likelihood.reference import HalfDisc, Reference
    from cryodl.likelihood.search import Grid, side_by_side

    particles, grid = read_particles(star), Grid(CC_STEP)
    disc = HalfDisc(particles.box, particles.box * particles.pixel_size / CC_RESOLUTION)
    reference, rows = Reference(Projector(density), disc), np.arange(len(particles))
    transfer = disc.on_grid(particles.ctf(rows))
    images = disc.of_images(particles.images(rows)) * transfer
    ramp = disc.ramp(-torch.from_numpy(disc_of_shifts(CC_SHIFT, 1)).float())
    best, numbers = torch.full((len(rows),), -torch.inf), torch.zeros(len(rows), dtype=torch.long)
    for start in range(0, len(grid), 512):
        slices = reference.at_angles(grid.angles(np.arange(start, min(start + 512, len(grid)))))
        flat, power = side_by_side(slices), slices.abs().square()
        for first in range(0, len(rows), 64):
            part = slice(first, first + 64)
            shifted = side_by_side(images[part, None] * ramp)
            value = (shifted @ flat.T).amax(1) / (transfer[part].square() @ power.T).sqrt()
            value, place = value.max(1)
            better = value > best[part]
            best[part] = torch.where(better, value, best[part])
            numbers[part] = torch.where(better, place + start, numbers[part])
    return grid.angles(numbers.numpy())


def searched(star, structure, output):
    """Angles, stated probabilities, CPU seconds per particle of `cryodl assign-orientations`, run in this process."""
    from cryodl.contract import AssignOrientationsConfig
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.commands import assign_orientations

    output.unlink(missing_ok=True)
    began = time.process_time()
    result = assign_orientations.run(
        AssignOrientationsConfig(
            particles=str(star), structure=str(structure), output=str(output), threads=1, device="cpu"
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
    """Figures of one complex at one SNR; those of an earlier run in this folder are taken as they are."""
    from cryodl.core.symmetry import angular_distance
    from cryodl.io.particle_sets import read_particles
    from cryodl.simulate.structures import load_density

    star = folder / f"{name[:4]}-{snr:g}" / "particles.star"
    done = star.with_name("row.json")
    if done.exists():
        return json.loads(done.read_text())
    if not star.exists():
        make(data_folder() / "structures/complexes" / name, star.parent, snr, count, int(1000 * snr))
    structure, truth = star.with_name("map.mrc"), read_particles(star).angles
    angles, probability, seconds, _ = searched(star, structure, star.with_name("found.star"))
    right = angular_distance(truth, angles, "C1") < RIGHT
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
        found = plain_correlation(star, load_density(structure, 3.5))
        row["correlation"] = 100 * float((angular_distance(truth, found, "C1") < RIGHT).mean())
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
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/orientation_floors"))
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    rows, sums = [], []
    for snr in options.snr:
        for name in options.complexes:
            rows.append(measure(name, snr, options.count, options.output))
            print("RESULT", json.dumps(rows[-1]), flush=True)
        sums.append(together(rows, snr, options.output))
        print("ALL", json.dumps(sums[-1]), flush=True)
    if options.figures:
        options.figures.write_text(json.dumps(dict(complexes=rows, together=sums), indent=1) + "\n")


if __name__ == "__main__":
    main()
