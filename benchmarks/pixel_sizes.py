# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a wrong pixel size of the particles is noticed: sets whose STAR file says another one than is true.

    PYTHON benchmarks/pixel_sizes.py [--count N] [--snr S ...] [--factors F ...] [--complexes FILE ...] [--output F]

Particles and maps of made_particles.py. Printed for each set: by what the pixel size was wrong, the size at which the
structure fits best, and by how much logarithmic evidence it is better than the structure's own.
"""

import argparse
import json
import sys
from pathlib import Path

from common import ROOT, data_folder
from made_particles import COMPLEXES, make

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))


def measure(star, factor):
    """(best size, gain) of a set whose pixel size is said to be `factor` times the true one."""
    from cryodl.contract import AssignOrientationsConfig
    from cryodl.io.particle_sets import read_particles, write_particles_star
    from cryodl.particles.orientations.assign import Search
    from cryodl.particles.orientations.hypotheses import choose_hypothesis, hypotheses
    from cryodl.particles.orientations.scale import best_size
    from cryodl.particles.orientations.structure import prepare_structure

    particles, path = read_particles(star), star.with_name(f"said_{factor:g}.star")
    write_particles_star(path, particles, pixel_size=factor * particles.pixel_size)
    particles = read_particles(path)
    config = AssignOrientationsConfig(
        particles=str(path), structure=str(star.with_name("map.mrc")), output="none.star", threads=1, device="cpu"
    )
    structure = prepare_structure(config, particles, "cpu")
    sources = hypotheses(particles, structure.settings.diameter, "auto")
    search = Search(sources[0], structure.projector, structure.pixel_size, structure.settings, "cpu")
    choose_hypothesis(search, sources[:1], path)
    return best_size(search)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--snr", type=float, nargs="+", default=(0.05, 0.02))
    parser.add_argument("--factors", type=float, nargs="+", default=(1.0, 0.9, 1.1))
    parser.add_argument("--complexes", nargs="+", default=COMPLEXES)
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/pixel_sizes"))
    parser.add_argument("--figures", type=Path, help="JSON to write the rows into")
    options = parser.parse_args()
    rows = []
    for snr in options.snr:
        for name in options.complexes:
            star = options.output / f"{name[:4]}-{snr:g}" / "particles.star"
            if not star.exists():
                make(data_folder() / "structures/complexes" / name, star.parent, snr, options.count, int(1000 * snr))
            for factor in options.factors:
                size, gain = measure(star, factor)
                rows.append(dict(complex=name[:4], snr=snr, factor=factor, size=size, gain=round(gain, 2)))
                print(rows[-1], flush=True)
    if options.figures:
        options.figures.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
