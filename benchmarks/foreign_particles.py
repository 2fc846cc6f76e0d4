# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether particles of another molecule are told from genuine ones: every molecule's particles against every map.

    PYTHON benchmarks/foreign_particles.py [--count N] [--snr S] [--complexes FILE ...] [--output FOLDER]

Particles and maps of made_particles.py. The score of a set is the share of the expected evidence that `denoise` and
`assess-integrity` print (guard.py), as `assign-orientations` does on its own search. Printed: the table, the ROC
AUC of sets, that of single particles, and how many genuine and foreign sets are warned of. Sets that are done are not
measured again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from common import ROOT, data_folder
from made_particles import COMPLEXES, REACH, make

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
MORE = ("8BK7.cif.gz", "6VXX.pdb.gz", "1OEL.pdb.gz", "6RN3.cif.gz")  # symmetric ones, to make twelve


def scored(star, structure):
    """Explained of the particles of a STAR file by a map."""
    from cryodl.core.projections import Projector
    from cryodl.io.particle_sets import read_particles
    from cryodl.likelihood.observed import Source
    from cryodl.particles.orientations.guard import explained_by
    from cryodl.simulate.micrographs import particle_diameter
    from cryodl.simulate.structures import load_density

    particles = read_particles(star)
    density = load_density(structure, particles.pixel_size)
    diameter = particle_diameter(density, particles.pixel_size)
    diameter_px = min(diameter / particles.pixel_size, 0.98 * particles.box)
    source = Source(particles, diameter_px, "bright", particles.ctf_state)
    return explained_by(source, Projector(density), particles.pixel_size, diameter, "cpu")


def auc(genuine, foreign):
    """Chance that a genuine score is higher than a foreign one."""
    genuine, foreign = np.asarray(genuine)[:, None], np.asarray(foreign)
    return float((genuine > foreign).mean() + 0.5 * (genuine == foreign).mean())


def crossed(names, snr, count, folder, **errors):
    """{particles/map: {whole, warned, particle}} of all pairs."""
    table = {}
    stars = {name: folder / f"{name[:4]}-{snr:g}" / "particles.star" for name in names}
    for name, star in stars.items():
        if not star.exists():
            make(data_folder() / "structures/complexes" / name, star.parent, snr, count, seed=7, **errors)
    for shown, star in stars.items():
        for given, other in stars.items():
            record = star.with_name(f"by_{given[:4]}.json")
            if not record.exists():
                found = scored(star, other.with_name("map.mrc"))
                record.write_text(
                    json.dumps(
                        dict(
                            whole=found.whole,
                            particle=found.particle.tolist(),
                            signal=found.signal,
                            warned=bool(found.warnings("particles", given)),
                        )
                    )
                )
            table[f"{shown[:4]}/{given[:4]}"] = json.loads(record.read_text())
            print(
                f"particles of {shown[:4]}, map of {given[:4]}: {table[f'{shown[:4]}/{given[:4]}']['whole']:.2f}",
                flush=True,
            )
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--complexes", nargs="+", default=[*COMPLEXES, *MORE])
    parser.add_argument("--reach", type=float, default=REACH, help="Å, largest shift in x and y: errors of picks")
    parser.add_argument("--defocus-error", type=float, default=0.0, help="Å, at most")
    parser.add_argument("--figures", type=Path, help="JSON file for the figures")
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/foreign_particles"))
    options = parser.parse_args()
    errors = dict(reach=options.reach, defocus_error=options.defocus_error)
    table = crossed(options.complexes, options.snr, options.count, options.output, **errors)
    genuine = [row for key, row in table.items() if key[:4] == key[5:]]
    foreign = [row for key, row in table.items() if key[:4] != key[5:]]
    together = lambda rows: np.concatenate([row["particle"] for row in rows])
    sets = auc(*([row["whole"] for row in rows] for rows in (genuine, foreign)))
    print(
        f"AUC of {len(table)} sets {sets:.3f}, of particles {auc(together(genuine), together(foreign)):.3f}; "
        f"warned of {sum(row['warned'] for row in genuine)} of {len(genuine)} genuine and "
        f"{sum(row['warned'] for row in foreign)} of {len(foreign)} foreign sets"
    )
    if options.figures:
        shares = {key: round(row["whole"], 3) for key, row in table.items()}
        warned = dict(genuine=sum(row["warned"] for row in genuine), foreign=sum(row["warned"] for row in foreign))
        row = dict(errors, count=options.count, snr=options.snr, auc=round(sets, 3), warned=warned, shares=shares)
        options.figures.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
