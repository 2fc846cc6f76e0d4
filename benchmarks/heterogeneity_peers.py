# SPDX-License-Identifier: GPL-3.0-or-later
"""cryodl and RECOVAR on the same simulated particles, in the manner of CryoBench (NeurIPS 2024).

    PYTHON benchmarks/heterogeneity_peers.py OUTPUT [--recovar PROGRAM] [--sets IgG-1D Ribosembly]

IgG-1D: 1IGT, one Fab of which rotates about the long axis of the Fc, 36 states 10 degrees apart. Ribosembly: 16
assembly states of 4V4R_30S in unequal numbers (as heterogeneity_classes). 3,000 particles of 64 px, exact orientations,
SNR 0.1 over the whole box. RECOVAR 1.0.5 is the program of an environment of its own (pip install recovar==1.0.5);
without --recovar it is not run. What is in OUTPUT/heterogeneity_peers.json is not made again.

Per-image FSC: for --images particles of each state the method's map at the particle's latent coordinates is compared
with the particle's true volume, within a soft mask around all states; the figure is the area under the curve from 0 to
0.5 cycles per pixel, so that 0.5 is the best. Neighbours: of the 100 nearest particles in the latent space, the share
that is among the 100 nearest (ties count) by the true coordinate or state. CPU seconds and memory are those of the
latent space, and of the maps apart.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from common import ROOT, cryodl, data_folder, measure

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
BOX, SNR, NEIGHBOURS, ZDIM = 64, 0.1, 100, 4


def simulated(folder, name, count):
    """STAR file of a set."""
    from cryodl.contract import SimulateParticlesConfig
    from cryodl.particles.commands import simulate_particles

    star = folder / f"{name}.star"
    if star.exists():
        return star
    common = dict(box=BOX, count=count, snr=SNR, snr_area="box", output=str(star), device="cpu", threads=1)
    if name == "IgG-1D":
        structure = data_folder() / "structures" / "complexes" / "1IGT.pdb.gz"
        # from the hinge to the Fc's centre
        moves = dict(domain="A,B:1-230", hinge_axis="0.36,0.07,-0.93", hinge_range=350.0, hinge_states=36)
        config = SimulateParticlesConfig(structure=str(structure), pixel_size=3.5, **moves, **common)
    else:
        from heterogeneity_classes import write_states

        first, *others = map(str, write_states(folder, 16))
        weights = ",".join(str(1 + k % 4) for k in range(16))
        config = SimulateParticlesConfig(
            structure=first, structures=tuple(others), weights=weights, pixel_size=5.0, **common
        )
    simulate_particles.run(config)
    return star


def by_cryodl(method, star, folder, rows, options):
    """(latent (n, d), maps of the rows, figures) of fit-heterogeneity and latent-volumes."""
    import mrcfile

    from cryodl.io.particle_sets import read_particles

    fit, made = folder / "fit", folder / "maps"
    _, cpu, _, memory = cryodl(
        "fit-heterogeneity", "--particles", star, "--reference", f"{star.with_suffix('')}_map.mrc", "--method", method,
        "--latent", ZDIM, "--axes", 0, "--threads", 1, "--output", fit,
    )  # fmt: skip
    columns = read_particles(str(fit / "particles.star")).columns
    latent = np.stack([np.array(columns[f"cryodlLatent{k + 1}"], float) for k in range(ZDIM)], axis=1)
    points = ",".join(":".join(f"{v:.6g}" for v in latent[row]) for row in rows)
    _, more, _, most = cryodl(
        "latent-volumes", "--particles", fit / "particles.star", "--axes", ",".join(str(k + 1) for k in range(ZDIM)),
        f"--points={points}", "--per-map", NEIGHBOURS, "--threads", 1, "--output", made,
    )  # fmt: skip
    maps = [mrcfile.read(made / one["map"]) for one in json.loads((made / "volumes.json").read_text())["volumes"]]
    return latent, maps, dict(cpu_seconds=cpu, memory_mb=memory, maps_cpu_seconds=more, maps_memory_mb=most)


def by_recovar(star, folder, rows, options):
    """The same of RECOVAR: its documented commands `pipeline` and `compute_state`."""
    import mrcfile

    fit, made = folder / "fit", folder / "maps"
    _, cpu, _, memory = measure(
        [options.recovar, "pipeline", star, "-o", fit, "--mask", "from_halfmaps", "--zdim", ZDIM, "--accept-cpu"]
    )
    latent = np.load(next(fit.glob(f"model/zdim_{ZDIM}/latent_coords.npy")))
    np.savetxt(folder / "points.txt", latent[rows])
    _, more, _, most = measure(
        [options.recovar, "compute_state", fit, "-o", made, "--latent-points", folder / "points.txt"]
    )
    maps = [mrcfile.read(path) for path in sorted(made.glob("**/state[0-9][0-9][0-9].mrc"))]
    return latent, maps, dict(cpu_seconds=cpu, memory_mb=memory, maps_cpu_seconds=more, maps_memory_mb=most)


def area(volume, truth, mask):
    """Area under the FSC of two maps in a mask, from 0 to 0.5 cycles per pixel."""
    import torch

    from cryodl.core.frc import fsc

    curve = fsc(*(torch.tensor(np.array(v, np.float32) * mask) for v in (volume, truth))).numpy()
    return float(np.trapezoid(curve[: BOX // 2 + 1], dx=1 / BOX))


def neighbours(latent, true, states):
    """Share of the nearest particles in the latent space that are nearest in truth."""
    from scipy.spatial import cKDTree

    scale = np.maximum(latent.std(axis=0), 1e-12)
    nearest = cKDTree(latent / scale if len(scale) == 1 else latent).query(latent, NEIGHBOURS + 1)[1][:, 1:]
    if len(set(true)) > 1:  # one coordinate, an angle
        apart = np.abs((true[:, None] - true[None] + 180) % 360 - 180)
    else:
        apart = (states[:, None] != states[None]).astype(float)
    limit = np.sort(apart, axis=1)[:, NEIGHBOURS]
    return float((np.take_along_axis(apart, nearest, axis=1) <= limit[:, None]).mean())


def compared(star, latent, maps, rows):
    """The figures of a method."""
    import mrcfile
    from scipy.ndimage import binary_dilation, gaussian_filter

    from cryodl.io.particle_sets import read_particles

    columns = read_particles(str(star)).columns
    states = np.array(columns["cryodlTrueState"], int)
    true = np.array(columns.get("cryodlTrueLatent", np.zeros(len(states))), float)
    truths = [mrcfile.read(p) for p in sorted(star.parent.glob(f"{star.stem}_state*.mrc"))]
    highest = np.max(truths, axis=0)
    wide = binary_dilation(highest > 0.05 * highest.max(), iterations=2)
    mask = gaussian_filter(wide.astype(np.float32), 1)
    areas = [area(volume, truths[states[row] - 1], mask) for volume, row in zip(maps, rows)]
    return dict(fsc_area=float(np.mean(areas)), neighbours=neighbours(latent, true, states))


def representatives(star, each):
    """(m,) rows: the first particles of each state."""
    from cryodl.io.particle_sets import read_particles

    states = np.array(read_particles(str(star)).columns["cryodlTrueState"], int)
    return np.concatenate([np.nonzero(states == state)[0][:each] for state in np.unique(states)])


def main():
    """Run the methods whose programs are given on the sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--sets", nargs="+", default=["IgG-1D", "Ribosembly"], choices=["IgG-1D", "Ribosembly"])
    parser.add_argument("--count", type=int, default=3000, help="particles of a set")
    parser.add_argument("--images", type=int, default=1, help="particles of each state whose maps are compared")
    parser.add_argument("--recovar", help="RECOVAR's program")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    record = options.output / "heterogeneity_peers.json"
    rows = json.loads(record.read_text()) if record.exists() else []
    methods = {f"cryodl {m}": lambda *a, m=m: by_cryodl(m, *a) for m in ("linear", "gaussian")}
    if options.recovar:
        methods["RECOVAR 1.0.5"] = by_recovar
    for name, method in ((s, m) for s in options.sets for m in methods):
        if any((row["set"], row["method"]) == (name, method) for row in rows):
            continue
        star = simulated(options.output, name, options.count)
        folder = options.output / f"{name}_{method}".replace(" ", "_")
        folder.mkdir(exist_ok=True)
        chosen = representatives(star, options.images)
        latent, maps, used = methods[method](star.resolve(), folder, chosen, options)
        rows.append(
            dict(set=name, method=method, particles=options.count, box=BOX, snr=SNR, latent=ZDIM, maps=len(maps),
                 **compared(star, latent, maps, chosen), **used)
        )  # fmt: skip
        record.write_text(json.dumps(rows, indent=1) + "\n")
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
