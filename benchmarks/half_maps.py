# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl reconstruct` beside relion_reconstruct, on the same particles at their true angles: FSC without any mask.

    PYTHON benchmarks/half_maps.py [--count N] [--snr S] [--complexes FILE ...] [--box PX ...] [--output FOLDER]

Particles of made_particles.py. relion_reconstruct (RELION_HOME or PATH) runs with --ctf --pad 2, once for each half.
Printed: mean FSC over the shells from 1 to Nyquist, of the half-maps with each other and of both halves' sum with the
molecule's own density, whole boxes, no mask; the same with the density within a sphere of 0.9 of the box; CPU seconds.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, data_folder, measure
from made_particles import COMPLEXES, make
from map_sizes import atoms_of, map_of

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
FIELD = 224.0  # Å, width of the images


def relion():
    """Path of relion_reconstruct; ends the program with a sentence if there is none."""
    home = os.environ.get("RELION_HOME")
    found = shutil.which("relion_reconstruct", path=f"{home}/bin" if home else None) or shutil.which(
        "relion_reconstruct"
    )
    if found is None:
        sys.exit("relion_reconstruct is not there: set RELION_HOME to RELION's folder.")
    return found


def read(path):
    """(n, n, n) float64 array of a map."""
    import mrcfile

    with mrcfile.open(path, permissive=True) as mrc:
        return np.asarray(mrc.data, float)


def curve(one, two):
    """(n // 2,) FSC of the shells from 1 to Nyquist."""
    import torch

    from cryodl.core.frc import fsc

    return fsc(torch.from_numpy(one), torch.from_numpy(two)).numpy()[1 : len(one) // 2 + 1]


def sphere(side):
    """(side,) * 3: 1 within 0.9 of the box, falling to 0 over 5 % of it."""
    axis = np.arange(side) - side // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 0.45 * side) / (0.05 * side), 0, 1))


def figures(half1, half2, ground_truth):
    """Mean FSCs of two half-maps, see above."""
    mask = sphere(len(half1))
    return dict(
        halves=float(curve(half1, half2).mean()),
        truth=float(curve(half1 + half2, ground_truth).mean()),
        halves_masked=float(curve(half1 * mask, half2 * mask).mean()),
    )


def subsets(star):
    """A copy of a STAR file of made_particles with rlnRandomSubset, every other particle."""
    from cryodl.io.particle_sets import read_particles, write_particles_star

    particles, path = read_particles(star), star.with_name("halves.star")
    write_particles_star(path, particles, {"rlnRandomSubset": [1 + i % 2 for i in range(len(particles))]})
    return path


def compared(name, box, pixel_size, options):
    """{program: figures} of one complex."""
    folder = options.output / f"{name[:4]}-{box}"
    source = data_folder() / "structures/complexes" / name
    star = folder / "particles.star"
    if not star.exists():
        make(source, folder, options.snr, options.count, 11, box, pixel_size)
    star = subsets(star)
    xyz, weight = atoms_of(source)
    density = map_of(xyz, weight, 2 * pixel_size, pixel_size, "smooth", None)
    ground_truth = np.zeros((box,) * 3)
    start = [len(density) // 2 - box // 2, box // 2 - len(density) // 2]
    if start[0] >= 0:
        ground_truth = density[(slice(start[0], start[0] + box),) * 3].astype(float)
    else:
        ground_truth[(slice(start[1], start[1] + len(density)),) * 3] = density
    for old in folder.glob("ours*.mrc"):
        old.unlink()
    _, seconds, _, memory = cryodl("reconstruct", "--particles", star, "--output", folder / "ours.mrc")
    rows = {
        "cryodl": dict(
            figures(*(read(folder / f"ours_half{half}.mrc") for half in (1, 2)), ground_truth),
            cpu=seconds,
            megabytes=memory,
        )
    }
    seconds = 0.0
    for half in (1, 2):
        command = [relion(), "--i", star.name, "--o", f"relion_half{half}.mrc", "--ctf", "--pad", 2, "--subset", half]
        seconds += measure(["env", "-C", folder, *command])[1]
    rows["relion_reconstruct"] = dict(
        figures(*(read(folder / f"relion_half{half}.mrc") for half in (1, 2)), ground_truth), cpu=seconds
    )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--complexes", nargs="+", default=COMPLEXES[:3])
    parser.add_argument("--box", type=int, nargs="+", default=(64, 128), help="px")
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/half_maps"))
    parser.add_argument("--figures", type=Path, help="JSON to write the rows into")
    options = parser.parse_args()
    found = []
    for box in options.box:
        for name in options.complexes:
            for program, row in compared(name, box, FIELD / box, options).items():
                found.append(dict(complex=name[:4], box=box, count=options.count, program=program, **row))
                print(found[-1], flush=True)
    if options.figures:
        options.figures.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
