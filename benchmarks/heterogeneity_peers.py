# SPDX-License-Identifier: GPL-3.0-or-later
"""fit-heterogeneity beside RECOVAR and cryoDRGN on the same particles.

    PYTHON benchmarks/heterogeneity_peers.py OUTPUT [SET ...] --recovar VENV/bin/recovar [--count 4000] [--box 64]

The sets are those of heterogeneity_sets.py. Each program fits the particles and makes a map at the latent coordinates
of each of --images particles, of as many states as there are; figures: heterogeneity_measures.py. RECOVAR runs with its
defaults, as in CryoBench: `pipeline --mask from_halfmaps --zdim 10`, then `compute_state` at the coordinates; with
--accept-cpu, and --gpu-budget-gb 2, the size of its batches: without it, 4,000 images of 64 px took 17 GB.
`--recovar-maps components` makes its maps from its mean and components in place of compute_state, which takes minutes
for each. cryoDRGN (--cryodrgn VENV/bin/cryodrgn) is trained for --epochs epochs with layers of 256. One thread each.
Results that are in OUTPUT/heterogeneity_peers.json are not made again.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from common import ROOT, measure
from heterogeneity_measures import (
    areas,
    chosen_particles,
    molecule_mask,
    rank_correlation,
    shared_neighbours,
    true_distances,
)
from heterogeneity_sets import SETS, make_set

LATENT = 10  # dimensions, of both programs
WIDTH = 256  # of cryoDRGN's layers; its default of 1,024 takes sixteen times as long
ONE_COORDINATE = ("Spike",)
THREADS = dict(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    NUMBA_NUM_THREADS="1",
    JAX_PLATFORMS="cpu",
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)


def ours(star, folder, rows, options):
    """Latent coordinates (n, LATENT), the maps of some rows, and the costs: [(CPU s, MB)] of each step."""
    from cryodl.io.particle_sets import read_particles

    run = lambda *words: measure([sys.executable, "-m", "cryodl", *words], _environment())
    reference, fit, maps = star.with_name("particles_map.mrc"), folder / "fit", folder / "maps"
    first = run(
        "fit-heterogeneity", "--particles", star, "--reference", reference, "--latent", LATENT, "--axes", 0,
        "--threads", 1, "--output", fit,
    )  # fmt: skip
    columns = read_particles(fit / "particles.star").columns
    latent = np.stack([np.array(columns[f"cryodlLatent{k + 1}"], float) for k in range(LATENT)], axis=1)
    points = ",".join(":".join(f"{v:.6g}" for v in latent[row]) for row in rows)
    axes = ",".join(str(k + 1) for k in range(LATENT))
    second = run(
        "latent-volumes", "--particles", fit / "particles.star", f"--points={points}", "--axes", axes, "--threads", 1,
        "--output", maps,
    )  # fmt: skip
    record = json.loads((maps / "volumes.json").read_text())
    said = json.loads((fit / "heterogeneity.json").read_text())
    more = {name: said[name] for name in ("p_value", "verdict", "variability")}
    return latent, [maps / one["map"] for one in record["volumes"]], [first, second], more


def recovar(star, folder, rows, options):
    """As ours."""
    fit, maps, points = folder / "fit", folder / "maps", folder / "points.txt"
    batches = ["--gpu-budget-gb", "2"]
    first = measure(
        [options.recovar, "pipeline", star, "-o", fit, "--mask", "from_halfmaps", "--accept-cpu", "--zdim", LATENT]
        + batches,
        _environment(),
    )
    latent = np.load(fit / "model" / f"zdim_{LATENT}" / "latent_coords.npy")
    maps.mkdir()
    if options.recovar_maps == "components":
        return latent, recovar_components(fit, latent[rows], maps), [first], dict(maps="components")
    np.savetxt(points, latent[rows])
    second = measure(
        [options.recovar, "compute_state", fit, "-o", maps, "--latent-points", points, *batches], _environment()
    )
    made = [maps / f"state{number + 1:03d}.mrc" for number in range(len(rows))]
    return latent, made, [first, second], dict(maps="compute_state")


def recovar_components(fit, latent, folder):
    """Paths of the maps mean + sum of latent coordinate x component."""
    import mrcfile

    volumes = fit / "output" / "volumes"
    mean = mrcfile.read(volumes / "mean.mrc")
    components = np.stack([mrcfile.read(volumes / f"eigen_pos{k:04d}.mrc") for k in range(latent.shape[1])])
    paths = [folder / f"linear{number + 1:03d}.mrc" for number in range(len(latent))]
    for path, place in zip(paths, latent):
        mrcfile.write(path, (mean + np.tensordot(place, components, axes=1)).astype(np.float32), overwrite=True)
    return paths


def cryodrgn(star, folder, rows, options):
    """As ours. Its files of latent coordinates are pickles: its own Python writes them as text."""
    fit, maps, points, places = folder / "fit", folder / "maps", folder / "points.txt", folder / "latent.txt"
    poses, ctf, python = folder / "poses.pkl", folder / "ctf.pkl", Path(options.cryodrgn).with_name("python")
    run = lambda *words: measure([options.cryodrgn, *words], _environment())
    run("parse_pose_star", star, "-o", poses)
    run("parse_ctf_star", star, "-o", ctf, "--ps", 0)  # a STAR file without phase shifts
    first = run(
        "train_vae", star, "--poses", poses, "--ctf", ctf, "--zdim", LATENT, "-n", options.epochs, "-o", fit,
        "--enc-dim", WIDTH, "--dec-dim", WIDTH, "--datadir", star.parent, "--no-analysis",
        "--checkpoint", options.epochs, "--seed", 0,
    )  # fmt: skip
    read = "import pickle, sys, numpy; numpy.savetxt(sys.argv[2], pickle.load(open(sys.argv[1], 'rb')))"
    measure([python, "-c", read, fit / f"z.{options.epochs}.pkl", places], _environment())
    latent = np.loadtxt(places)
    np.savetxt(points, latent[rows])
    weights = fit / f"weights.{options.epochs}.pkl"
    second = run("eval_vol", weights, "-c", fit / "config.yaml", "--zfile", points, "-o", maps)
    return latent, sorted(maps.glob("vol_*.mrc")), [first, second], dict(epochs=options.epochs, width=WIDTH)


PROGRAMS = dict(cryodl=ours, recovar=recovar, cryodrgn=cryodrgn)


def _environment():
    return dict(os.environ, **THREADS, PYTHONPATH=str(ROOT / "cryodl_scipion" / "engine"))


def row_of(program, name, star, options):
    """The figures of a program on a set."""
    import mrcfile

    from cryodl.io.particle_sets import read_particles

    states = np.array(read_particles(star).columns["cryodlTrueState"], int) - 1
    true = np.stack([mrcfile.read(path) for path in sorted(star.parent.glob("particles_state*.mrc"))])
    rows = chosen_particles(states, options.images)
    folder = star.parent / program
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    print(f"{program} on {name}: {folder}", flush=True)
    latent, maps, costs, more = PROGRAMS[program](star, folder, rows, options)
    whole, masked = areas((mrcfile.read(path) for path in maps), true[states[rows]], molecule_mask(true))
    figures = dict(
        auc=whole,
        auc_masked=masked,
        neighbours=shared_neighbours(latent, states, true_distances(true)),
        cpu_seconds=[round(cost[1], 1) for cost in costs],
        peak_mb=round(max(cost[3] for cost in costs)),
        **more,
    )
    if name in ONE_COORDINATE:
        figures["spearman"] = rank_correlation(latent, states)
    return dict(
        set=name, program=program, count=len(states), box=options.box, snr=options.snr, states=len(true),
        images=len(rows), **figures,
    )  # fmt: skip


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--recovar", help="its program; without it only ours is run")
    parser.add_argument("--cryodrgn", help="its program")
    parser.add_argument("--epochs", type=int, default=20, help="of cryoDRGN")
    parser.add_argument("--recovar-maps", choices=("compute_state", "components"), default="compute_state")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--images", type=int, default=100, help="particles at whose coordinates maps are made")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    record = options.output / "heterogeneity_peers.json"
    results = json.loads(record.read_text()) if record.exists() else []
    programs = ["cryodl"] + [name for name in ("recovar", "cryodrgn") if getattr(options, name)]
    for name, program in ((n, p) for n in options.sets for p in programs):
        if any((one["set"], one["program"]) == (name, program) for one in results):
            continue
        star = make_set(name, options.output / name, options.count, options.snr, options.box)
        results.append(row_of(program, name, star, options))
        print(results[-1], flush=True)
        record.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
