# SPDX-License-Identifier: GPL-3.0-or-later
"""Peak memory of fit-heterogeneity by the number of particles: they are read from disk in batches.

    PYTHON benchmarks/heterogeneity_memory.py OUTPUT [--counts 2000 20000] [--box 64] [--resolution 32] [--latent 1]

1,000 simulated particles of a moving domain lie in as many stacks as are needed, each a hard link to the
first under a name of its own: to the program they are other particles. Writes OUTPUT/heterogeneity_memory.json; counts
that are there are not run again.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
EACH, EXTENT = 1000, 256.0  # particles of a stack; Å, the images' width


def repeated(folder, count, box):
    """STAR file of `count` particles of `box` px."""
    from cryodl.contract import SimulateParticlesConfig
    from cryodl.io.star import read_tables, write_tables
    from cryodl.particles.commands import simulate_particles

    first = folder / "p.star"
    if not first.exists():
        structure = next((data_folder() / "structures" / "complexes").glob("1U6G.*"))
        config = SimulateParticlesConfig(
            structure=str(structure), pixel_size=EXTENT / box, box=box, count=EACH, snr=0.1, output=str(first),
            domain="C:900-1210", hinge_states=11, device="cpu", threads=1,
        )  # fmt: skip
        simulate_particles.run(config)
    tables = read_tables(str(first))
    times = count // EACH
    for number in range(times):
        path = folder / f"p_{number:04d}.mrcs"
        if not path.exists():
            os.link(folder / "p.mrcs", path)
    columns = {name: np.tile(np.array(values), times) for name, values in tables["particles"].items()}
    names = [f"{k + 1:06d}@p_{number:04d}.mrcs" for number in range(times) for k in range(EACH)]
    star = folder / f"repeated_{count}.star"
    write_tables(str(star), dict(tables, particles=dict(columns, rlnImageName=names)))
    return star


def main():
    """Fit each number of particles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 20000], help=f"multiples of {EACH}")
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--resolution", type=float, default=32.0)
    parser.add_argument("--latent", type=int, default=1)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    record = options.output / "heterogeneity_memory.json"
    rows = json.loads(record.read_text()) if record.exists() else []
    for count in (c for c in options.counts if c not in [row["count"] for row in rows]):
        star, fit = repeated(options.output, count, options.box), options.output / "fit"
        for folder in (fit, Path(f"{fit}.partial")):
            shutil.rmtree(folder, ignore_errors=True)
        _, seconds, _, peak = cryodl(
            "fit-heterogeneity", "--particles", star, "--reference", options.output / "p_map.mrc", "--latent",
            options.latent, "--axes", 0, "--resolution", options.resolution, "--method", "linear",
            "--threads", 1, "--output", fit,
        )  # fmt: skip
        rows.append(
            dict(
                count=count,
                box=options.box,
                resolution=options.resolution,
                latent=options.latent,
                images_mb=round(4e-6 * count * options.box**2),
                peak_mb=round(peak),
                cpu_seconds=round(seconds),
            )  # fmt: skip
        )
        print(rows[-1], flush=True)
        record.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
