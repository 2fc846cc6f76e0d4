# SPDX-License-Identifier: GPL-3.0-or-later
"""A hinge's domain at its own orientations (latent-volumes --domain) beside the map of the particles as they were.

    PYTHON benchmarks/heterogeneity_domain.py PARTICLES.star LATENT_FOLDER STRUCTURE DOMAIN OUTPUT [--maps 7]

PARTICLES.star is a set of simulate-particles with --domain DOMAIN, LATENT_FOLDER its fit. The mask is that of the
domain's atoms as deposited, which is the middle state. Prints the FSC of both maps with the true middle state in the
mask, shell by shell, and the true rotation of each map beside the found one; OUTPUT/domain.json has them.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from common import ROOT, cryodl

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))


def domain_mask(structure, words, box, pixel_size):
    """(box, box, box): soft mask around the atoms of chains or residues, in the frame of the simulated maps."""
    import gemmi
    from scipy.ndimage import gaussian_filter

    from cryodl.simulate.particle_images import fit_cube
    from cryodl.simulate.structures import density_of_atoms, mass_and_centre

    chain, _, residues = words.partition(":")
    first, last = (int(n) for n in residues.split("-")) if residues else (-(10**6), 10**6)
    model = gemmi.read_structure(str(structure))[0]
    xyz = (
        np.array([a.pos.tolist() for r in model[chain] if first <= r.seqid.num <= last for a in r], float)
        - mass_and_centre(str(structure))[1]
    )
    density = fit_cube(density_of_atoms(xyz, np.ones(len(xyz)), pixel_size, 15.0, structure), box).numpy()
    return np.clip(gaussian_filter((density > 0.1 * density.max()).astype(np.float32), 1.0) * 1.2, 0, 1)


def true_rotations(star, volumes):
    """Degrees between the mean true angle of each map's particles and that of the middle map's."""
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.heterogeneity.trajectories import near_points

    columns = read_particles(str(star)).columns
    latent, angle = (np.array(columns[name], float) for name in ("cryodlLatent1", "cryodlTrueLatent"))
    points = np.array([one["coordinates"] for one in volumes])
    weights = near_points(latent[:, None], points, max(1, len(latent) // (2 * len(points))))
    means = weights.T @ angle / weights.sum(0)
    return [round(float(v), 2) for v in np.abs(means - means[len(means) // 2])]


def main():
    """Reconstruct both and compare them with the truth."""
    import mrcfile
    import torch

    from cryodl.core.frc import fsc
    from cryodl.io.maps import write_map
    from cryodl.io.particle_sets import read_particles

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("particles", "latent", "structure"):
        parser.add_argument(name, type=Path)
    parser.add_argument("domain")
    parser.add_argument("output", type=Path)
    parser.add_argument("--maps", type=int, default=7)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    particles = read_particles(options.particles)
    mask = domain_mask(options.structure, options.domain, particles.box, particles.pixel_size)
    write_map(options.output / "mask.mrc", mask, particles.pixel_size)
    made, before = options.output / "volumes", options.output / "before.mrc"
    _, seconds, _, _ = cryodl(
        "latent-volumes", "--particles", options.latent / "particles.star", "--maps", options.maps, "--threads", 1,
        "--domain", options.output / "mask.mrc", "--output", made,
    )  # fmt: skip
    cryodl("reconstruct", "--particles", options.particles, "--threads", 1, "--output", before)
    states = sorted(options.particles.parent.glob(options.particles.stem + "_state*.mrc"))
    ground_truth = mrcfile.read(states[len(states) // 2]) * mask
    curves = {
        name: fsc(torch.tensor(mrcfile.read(path) * mask), torch.tensor(ground_truth)).numpy()
        for name, path in (("before", before), ("after", made / "domain.mrc"))
    }
    row = dict(
        set=options.structure.name.split(".")[0], particles=len(particles), maps=options.maps, cpu_seconds=seconds
    )
    for name, curve in curves.items():
        row[f"fsc_{name}"] = [round(float(v), 3) for v in curve]
    said = json.loads((made / "volumes.json").read_text())
    row["rotations_degrees"] = [round(v, 2) for v in said["domain"]["rotations_degrees"]]
    row["true_rotations_degrees"] = true_rotations(made / "particles.star", said["volumes"])
    (options.output / "domain.json").write_text(json.dumps(row, indent=1) + "\n")
    print(row)


if __name__ == "__main__":
    main()
