# SPDX-License-Identifier: GPL-3.0-or-later
"""How well orientations are found on simulated particles, and what RELION's refinement makes of them.

    PYTHON benchmarks/orientations.py [--model DENOISER] [--parts accuracy refinement] [--output FOLDER]

Particles of beta-galactosidase (8BK7, 480 kDa, D2): box 64, 3.5 Å/px, random orientations, shifts to 5 Å. Beside
`cryodl assign-orientations` stands plain cross-correlation on the same grid, of raw and of CTF-weighted images.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, data_folder
from relion import Relion

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
STRUCTURE = "structures/complexes/8BK7.cif.gz"
SYMMETRY, BOX, PIXEL_SIZE, DIAMETER, STEP = "D2", 64, 3.5, 190, 7.5
SNRS = (0.1, 0.05, 0.02)
RIGHT = 15.0  # degrees
REFINE_SNR, REFINE_COUNT, ITERATIONS, START = 0.1, 400, 5, 20  # START: Å


def simulated(folder, snr, count, seed=1):
    """particles.star of `count` particles in a new folder, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    star = folder / "particles.star"
    if not star.exists():
        cryodl(
            "simulate-particles",
            "--structure",
            data_folder() / STRUCTURE,
            "--pixel-size",
            PIXEL_SIZE,
            "--box",
            BOX,
            "--count",
            count,
            "--snr",
            snr,
            "--snr-area",
            "particle",
            "--seed",
            seed,
            "--output",
            star,
            "--threads",
            1,
        )
    return star


def oriented(star, name, *options):
    """The STAR file of `cryodl assign-orientations`, and CPU milliseconds per particle."""
    output, record = star.with_name(f"{name}.star"), star.with_name(f"{name}.json")
    if not record.exists():
        _, seconds, _, memory = cryodl(
            "assign-orientations",
            "--particles",
            star,
            "--structure",
            data_folder() / STRUCTURE,
            "--output",
            output,
            "--threads",
            1,
            *options,
        )
        record.write_text(json.dumps(dict(seconds=seconds, memory=memory)))
    return output, json.loads(record.read_text())


def plain_correlation(star, weighted):
    """(n, 3) angles of the highest normalised cross-correlation of each image, of its raw or its CTF-weighted form,
    with the projections of the same grid; whole-pixel shifts to 2 px, no noise model, no refinement."""
    import torch

    from cryodl.core.healpix_grid import disc_of_shifts
    from cryodl.core.projections import Projector
    from cryodl.io.particle_sets import read_particles
    from cryodl.likelihood.reference import HalfDisc, Reference
    from cryodl.likelihood.search import Grid, side_by_side
    from cryodl.simulate.structures import load_density

    particles, disc, grid = read_particles(star), HalfDisc(BOX, BOX / 2 - 1), Grid(STEP, SYMMETRY)
    reference = Reference(Projector(load_density(data_folder() / STRUCTURE, PIXEL_SIZE)), disc)
    rows = np.arange(len(particles))
    images = disc.of_images(particles.images(rows))
    if weighted:
        images = images * disc.on_grid(particles.ctf(rows))
    ramp = disc.ramp(-torch.from_numpy(disc_of_shifts(2, 1)).float())
    best, numbers = torch.full((len(rows),), -torch.inf), torch.zeros(len(rows), dtype=torch.long)
    for start in range(0, len(grid), 256):
        chosen = np.arange(start, min(start + 256, len(grid)))
        slices = side_by_side(reference.at_angles(grid.angles(chosen)))
        slices = slices / slices.norm(dim=1, keepdim=True)
        for first in range(0, len(rows), 100):
            part = slice(first, first + 100)
            shifted = side_by_side(images[part, None] * ramp)
            value, position = (shifted @ slices.T).amax(1).max(1)
            better = value > best[part]
            best[part] = torch.where(better, value, best[part])
            numbers[part] = torch.where(better, position + start, numbers[part])
    return grid.angles(numbers.numpy())


def figures(star, angles):
    """Median angular error in degrees and the part within RIGHT, equivalent orientations taken together."""
    from cryodl.core.symmetry import angular_distance
    from cryodl.io.particle_sets import read_particles

    error = angular_distance(read_particles(star).angles, angles, SYMMETRY)
    return dict(median=round(float(np.median(error)), 2), right=round(100 * float((error < RIGHT).mean()), 1))


def accuracy(folder, count=1000, models=None):
    """{SNR: {way: figures}}. models: {SNR: denoiser} or one denoiser for all, or None."""
    from cryodl.io.particle_sets import read_particles

    table = {}
    for snr in SNRS:
        star = simulated(folder / f"snr{snr:g}", snr, count)
        ways = {"default": ("--symmetry", SYMMETRY), "C1": (), "unrefined": ("--symmetry", SYMMETRY, "--no-refine")}
        if models:
            model = models[snr] if isinstance(models, dict) else models
            ways["denoised"] = ("--symmetry", SYMMETRY, "--model", model)
        row = table.setdefault(str(snr), {})
        for name, options in ways.items():
            found, cost = oriented(star, name, *options)
            row[name] = dict(figures(star, read_particles(found).angles), ms=round(1e3 * cost["seconds"] / count, 1))
        row["correlation, raw"] = figures(star, plain_correlation(star, False))
        row["correlation, CTF-weighted"] = figures(star, plain_correlation(star, True))
        print(snr, json.dumps(row), flush=True)
    return table


def refinement(folder, count=REFINE_COUNT, iterations=ITERATIONS):
    """{start: {before, after: Å}}: resolution against the true map (FSC 0.5) of RELION refinements with local searches,
    two half sets apart, started from the true orientations and from those that were found; before: back-projected."""
    star = simulated(folder / "refinement", REFINE_SNR, count)
    found, _ = oriented(star, "found", "--symmetry", SYMMETRY)
    return {
        name: dict(before=_reconstructed(file, name), after=_refined(file, name, iterations))
        for name, file in (("truth", _in_unit(star)), ("found", found))
    }


def _in_unit(star):
    """The same particles with true angles where RELION has them: its local searches with a symmetry only find
    orientations again whose direction it keeps of the equivalent ones."""
    from scipy.spatial.transform import Rotation

    from cryodl.core.healpix_grid import into_unit
    from cryodl.core.projections import rotation_matrices
    from cryodl.io.particle_sets import read_particles, write_particles_star
    from cryodl.io.particles import ANGLES

    particles, output = read_particles(star), star.with_name("truth.star")
    rotated = Rotation.from_matrix(into_unit(rotation_matrices(particles.angles), SYMMETRY))
    angles = rotated.as_euler("ZYZ", degrees=True)
    write_particles_star(output, particles, dict(zip(ANGLES, angles.T)))
    return output


def _reconstructed(star, name):
    """Resolution of the back-projection."""
    record = star.with_name(f"{name}_map.json")
    if not record.exists():
        cryodl(
            "reconstruct",
            "--particles",
            star,
            "--output",
            star.with_name(f"{name}.mrc"),
            "--symmetry",
            SYMMETRY,
            "--threads",
            1,
            "--result",
            record,
        )
    return _against_ground_truth([star.with_name(f"{name}_half{half}.mrc") for half in (1, 2)])


def _against_ground_truth(halves):
    """Å at which the FSC of two half-maps' mean with the true map falls below 0.5. (Not the FSC of the halves: RELION
    cuts both by the same sphere, whose edge correlates up to the finest detail.)"""
    import mrcfile
    import torch

    from cryodl.core.frc import fsc, resolution_at
    from cryodl.reconstruction.halves import soft_sphere

    def read(path):
        with mrcfile.open(path) as mrc:
            return torch.from_numpy(np.array(mrc.data))

    mask = soft_sphere(BOX, DIAMETER / PIXEL_SIZE)
    found, ground_truth = read(halves[0]) + read(halves[1]), read(halves[0].with_name("particles_map.mrc"))
    return round(resolution_at(fsc(found * mask, ground_truth * mask), 0.5, PIXEL_SIZE, BOX), 2)


def _refined(star, name, iterations):
    """Resolution of two half sets, each refined by relion_refine from its own half-map, filtered to START Å."""
    from cryodl.io.particle_sets import read_particles, write_particles_star

    relion = Relion(star.parent, PIXEL_SIZE, DIAMETER, BOX, SYMMETRY, ("--ctf",))
    particles, maps = read_particles(star), []
    for half in (1, 2):
        part, result = f"{name}_half{half}", star.parent / f"{name}_refined{half}_it{iterations:03d}_class001.mrc"
        if not result.exists():
            write_particles_star(star.with_name(f"{part}.star"), particles.subset(particles.halves == half))
            relion.run(
                "relion_refine",
                "--i",
                f"{part}.star",
                "--o",
                f"./{name}_refined{half}",
                "--ref",
                f"{name}_half{half}.mrc",
                "--ini_high",
                START,
                "--iter",
                iterations,
                "--ctf",
                "--sym",
                SYMMETRY,
                "--K",
                1,
                "--particle_diameter",
                DIAMETER,
                "--flatten_solvent",
                "--zero_mask",
                "--tau2_fudge",
                2,
                "--pad",
                1,
                "--healpix_order",
                4,
                "--oversampling",
                1,
                "--sigma_ang",
                2.5,
                "--offset_range",
                2,
                "--offset_step",
                1,
                "--norm",
                "--dont_check_norm",
                "--dont_combine_weights_via_disc",
                "--pool",
                20,
                "--j",
                1,
            )
        maps.append(result)
    return _against_ground_truth(maps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["accuracy", "refinement"], choices=["accuracy", "refinement"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--model", help="A denoiser, whose images are compared, too.")
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/orientations"))
    options = parser.parse_args()
    results = {}
    if "accuracy" in options.parts:
        results["accuracy"] = accuracy(options.output, options.count, options.model)
    if "refinement" in options.parts:
        results["refinement"] = refinement(options.output)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "orientations.json").write_text(json.dumps(results, indent=2))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
