# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion and mixtures of particles: hinges, parts that are missing, none at all, domains, and other programs."""

import json
import os
import shutil
import sys
import types
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import torch
from bench import ENGINE, asked, benchmark, columns, cryodl, grouped, groups, mean, measure, of_all, structure_file
from recipes.heterogeneity import COMPLEXES, SETS, make_set, oriented_by, simulated, spoiled, with_another, with_errors
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from cryodl.core import volumes
from cryodl.core.fourier import fsc
from cryodl.io import mrc, particle_sets, structures
from cryodl.particles.heterogeneity.paths import near_points

METHODS = ["linear", "gaussian"]
RANGE = 45.0  # degrees, of the hinges


def fitted(path, reference, **options):
    """Outputs of fit-heterogeneity, the columns of its particles, CPU seconds."""
    output = path.with_suffix("")
    shutil.rmtree(output, ignore_errors=True)
    outputs, seconds = asked("fit-heterogeneity", output, particles=path, reference=reference, **options)
    return outputs, particle_sets.read_particles(outputs["particles"]).columns, seconds


def few(p_value):
    """A p-value, which may be too small for a floating-point number."""
    return "< 1e-300" if p_value < 1e-300 else f"{p_value:.0e}" if p_value < 1e-4 else f"{p_value:.1g}"


@benchmark(
    cases=lambda: [
        dict(set=f"hinge {name} SNR {snr:g}" + f", orientations {error}° wrong" * bool(error), method=method)
        for name in COMPLEXES
        for snr in (0.1, 0.02)
        for error in (0, 3)
        for method in METHODS
    ],
    tables={
        "heterogeneity": columns(
            {
                "set": "set",
                "method": "method",
                "Spearman of `cryodlLatent1`": "spearman:.2f",
                "true maps known": "ceiling:.2f",
                "p": lambda r: few(r["p_value"]),
                "CPU s": "cpu_seconds:.0f",
            }
        )
    },
    quick=dict(count=400, states=5),
)
def heterogeneity(run, set, method, count=3000, states=21):
    """Both methods of `fit-heterogeneity` on the same moving particles."""
    words = set.replace(",", "").replace("°", "").split()
    name, snr, error = words[1], float(words[3]), float(dict(zip(words, words[1:])).get("orientations", 0))
    hinge = dict(domain=COMPLEXES[name]["domain"], hinge_range=RANGE, hinge_states=states)
    path = simulated(run.output, name, snr, count, **hinge)
    made, found, seconds = fitted(with_errors(path, error), path.with_name(path.stem + "_map.mrc"), method=method)
    said = {key: made[key] for key in ("p_value", "variability", "verdict")}
    pair = (np.array(found[f"cryodl{name}"], float) for name in ("Latent1", "TrueLatent"))
    return dict(said, spearman=abs(spearmanr(*pair)[0]), cpu_seconds=seconds, count=count)


# ----- no motion
MOLECULES, KINDS, SNRS = (
    ("1U6G", "2CG9", "1WCM", "6RN3", "4V4R_30S"),
    ["rigid", "noise", "wrong CTF"],
    (0.1, 0.1, 0.03, 0.03),
)


def with_both(rows, *keys):
    """Rows by kind and method; and p of both methods on the same set, as `auto` corrects them."""
    pairs = [two for two in grouped(rows, "kind", "number").values() if len(two) == 2]
    auto = lambda two: dict(
        kind=two[0]["kind"], method="auto (from both)", p_value=min(1, 2 * min(r["p_value"] for r in two))
    )
    return grouped([*rows, *map(auto, pairs)], *keys)


measured = lambda column: lambda part: column(part) if "cpu_seconds" in part[0] else ""
null_table = groups(
    ("kind", "method"),
    {
        "set": "kind",
        "method": "method",
        "runs": len,
        "p < 0.05": lambda part: sum(r["p_value"] < 0.05 for r in part),
        "smallest p": lambda part: f"{min(r['p_value'] for r in part):.2g}",
        "largest variability": measured(lambda part: f"{max(r['variability'] for r in part):.2%}"),
        "mean CPU s": measured(of_all("cpu_seconds", ".0f")),
    },
    with_both,
)


@benchmark(
    cases=dict(number=range(20), kind=KINDS),
    tables={"heterogeneity-null": null_table},
    quick=dict(count=400, kind="noise"),
)
def heterogeneity_null(run, number, kind, count=800, box=48):
    """How often `fit-heterogeneity` finds motion where there is none, each set of its own seed: a rigid molecule; noise
    alone; a rigid molecule with a wrong CTF (in turn the defocus off by 500 Å, and the astigmatism dropped)."""
    position, folder = KINDS.index(kind), run.work(f"{number} {kind}")
    molecule, snr = MOLECULES[(number + position) % len(MOLECULES)], SNRS[number % len(SNRS)]
    values = dict(structure=structure_file(molecule), pixel_size=268.8 / box, box=box, count=count, snr=snr)
    asked("simulate-particles", folder / "p.star", **values, seed=len(KINDS) * number + position, device="cpu")
    wrong = dict(rigid="", noise="noise").get(kind, ("defocus", "astigmatism")[number % 2])
    star, rows = spoiled(folder / "p.star", particle_sets.read_particles(folder / "p.star"), wrong, number), []
    for method in METHODS:
        made, _, seconds = fitted(star, folder / "p_map.mrc", method=method, latent=2, axes=0, device="cpu")
        said = {key: made[key] for key in ("p_value", "variability", "verdict")}
        rows.append(dict(said, wrong=wrong, molecule=molecule, snr=snr, particles=count, box=box, method=method))
        rows[-1]["cpu_seconds"] = seconds
    return rows


# ----- another molecule
PAIRS = (("5GJV", "8TSO"), ("1WCM", "1NCB"), ("6MSM", "3SN6"), ("3G61", "5IYZ"), ("2CG9", "1QVR"), ("3O21", "7QPD"))
SHARES = (0.03, 0.15, 0.05, 0.1, 0.03, 0.08, 0.15, 0.05, 0.12, 0.03, 0.1, 0.05)
MIXED = ("rigid", "hinge", "faults")
FAULTS = ("rigid", "defocus", "astigmatism", "orientations", "noise images", "contrast")


total = lambda key: lambda part: sum(r[key] for r in part)
motion = lambda key: lambda part: sum(r[key] == "motion" for r in part)
part_of = lambda one, other, form: lambda p: format(total(one)(p) / total(other)(p), form) if total(other)(p) else ""
mixture_table = groups(
    ("kind", "views"),
    {
        "set": lambda part: ", ".join(filter(None, (part[0]["kind"], part[0]["views"]))),
        "sets": len,
        "motion before": motion("before"),
        "motion said": motion("verdict"),
        "of another molecule: set apart": part_of("found", "foreign", ".1%"),
        "others set apart": part_of("lost", "others", ".2%"),
    },
)


def _faulty(folder, name, snr, count, box, number):
    """STAR file of rigid particles with one of FAULTS; which images hold no molecule; their map."""
    values = dict(structure=structure_file(name), pixel_size=268.8 / box, box=box, count=count, snr=snr, seed=number)
    asked("simulate-particles", folder / "p.star", **values, device="cpu")
    fault, star, rng = FAULTS[number % len(FAULTS)], folder / "p.star", np.random.default_rng(number)
    empty = np.zeros(count, bool)
    if fault == "orientations":
        star = with_errors(star, 3)
    elif fault in ("noise images", "contrast"):
        images, changed = mrcfile.read(folder / "p.mrcs").copy(), folder / "changed.mrcs"
        deviation = images.std()
        if fault == "contrast":  # ice of unequal thickness
            images += rng.uniform(0.2, 1.5, (count, 1, 1)) ** 2 * deviation * rng.standard_normal(images.shape)
        else:
            empty[rng.permutation(count)[: count // 10]] = True
            images[empty] = deviation * rng.standard_normal((empty.sum(), box, box))
        mrcfile.write(changed, images.astype(np.float32))
        particle_sets.write_particles_star(
            str(folder / "changed.star"), particle_sets.read_particles(star), stack=str(changed)
        )
        star = folder / "changed.star"
    elif fault != "rigid":
        star = spoiled(star, particle_sets.read_particles(star), fault, number)
    return star, empty, folder / "p_map.mrc"


@benchmark(
    cases=lambda: [dict(kind=kind, number=n) for kind in MIXED for n in range(4 if kind == "hinge" else 12)],
    tables={"heterogeneity-mixture": mixture_table},
    quick=dict(count=300),
)
def heterogeneity_mixture(run, kind, number, count=600, box=32):
    """Another molecule in a set, rigid or with a hinge, in its own orientations or in those that fit the first one
    best: what `fit-heterogeneity` says, and which particles it sets apart. And rigid sets with faults."""
    (name, other), snr, folder = PAIRS[number % len(PAIRS)], (0.1, 0.05)[number % 2], run.work(f"{kind} {number}")
    views = ""
    if kind == "faults":
        star, foreign, reference = _faulty(folder, name, snr, count, box, number)
    else:
        name, share = (name, SHARES[number]) if kind == "rigid" else (("1WCM", "1U6G")[number % 2], 0.05)
        snr = 0.1 if kind == "hinge" else snr
        star, foreign, reference = with_another(folder, name, other, share, snr, count, box, number, kind == "hinge")
        views = ("of its own", "fitted")[number // 2 % 2]
        star = star if views == "of its own" else oriented_by(star, np.nonzero(foreign)[0], reference)
    made, _, seconds = fitted(star, reference, latent=2, axes=0, device="cpu")
    said = json.loads(Path(made["heterogeneity"]).read_text())
    number_of = lambda names: [int(str(one).split("@")[0]) for one in names]
    apart = set(number_of(particle_sets.read_particles(made["apart"]).names)) if made.get("apart") else set()
    out = np.array([one in apart for one in number_of(particle_sets.read_particles(star).names)])
    before = said["set_apart"][0] if out.any() else said
    return dict(
        {key: made[key] for key in ("p_value", "variability", "verdict")},
        **dict(views=views, molecule=name, snr=snr, particles=count, box=box, cpu_seconds=seconds),
        **dict(before=before["verdict"], p_before=before["p_value"], explained=before.get("explained")),
        **dict(foreign=int(foreign.sum()), found=int((out & foreign).sum())),
        **dict(others=int((~foreign).sum()), lost=int((out & ~foreign).sum())),
    )


# ----- domains


def domain_mask(structure, words, box, pixel_size):
    """(box, box, box): soft mask around the atoms of chains or residues, in the frame of the simulated maps."""
    chain, _, residues = words.partition(":")
    first, last = (int(n) for n in residues.split("-")) if residues else (-(10**6), 10**6)
    model = gemmi.read_structure(str(structure))[0]
    xyz = (
        np.array([a.pos.tolist() for r in model[chain] if first <= r.seqid.num <= last for a in r], float)
        - structures.mass_and_centre(str(structure))[1]
    )
    density = volumes.cube_crop(
        structures.density_of_atoms(xyz, np.ones(len(xyz)), pixel_size, 15.0, structure), box
    ).numpy()
    return np.clip(gaussian_filter((density > 0.1 * density.max()).astype(np.float32), 1.0) * 1.2, 0, 1)


def true_rotations(star, volumes):
    """Degrees between the mean true angle of each map's particles and that of the middle map's."""
    columns = particle_sets.read_particles(str(star)).columns
    latent, angle = (np.array(columns[name], float) for name in ("cryodlLatent1", "cryodlTrueLatent"))
    points = np.array([one["coordinates"] for one in volumes])
    weights = near_points(latent[:, None], points, max(1, len(latent) // (2 * len(points))))
    means = weights.T @ angle / weights.sum(0)
    return [round(float(v), 2) for v in np.abs(means - means[len(means) // 2])]


def domain_table(rows):
    lines = [["set", "map", "FSC below 0.9 at shell", "0.5", "0.143", "mean FSC", "rotations found", "true", "CPU s"]]
    for r in rows:
        for name, words in (("before", "consensus"), ("after", "`--domain`")):
            curve, rotations = r[f"fsc_{name}"], ["", "", ""]
            first = lambda level, c=curve: str(next((k for k, v in enumerate(c) if v < level), f"> {len(c) - 1}"))
            if name == "after":
                degrees = [", ".join(f"{v:.0f}" for v in r[k]) for k in ("rotations_degrees", "true_rotations_degrees")]
                rotations = [f"{one}°" for one in degrees] + [f"{r['cpu_seconds']:.0f}"]
            lines.append([r["set"], words, first(0.9), first(0.5), first(0.143), f"{mean(curve):.3f}", *rotations])
    return lines


@benchmark(
    cases=dict(set=["2CG9", "1U6G"]),
    tables={"heterogeneity-domain": domain_table},
    quick=dict(count=400, states=5, maps=3),
)
def heterogeneity_domain(run, set, count=3000, states=21, maps=7):
    """A hinge's domain at its own orientations (`latent-volumes --domain`) beside the map of the particles as they
    were: FSC of both with the true middle state in the domain's mask, and the true rotation of each map."""
    domain, folder = COMPLEXES[set]["domain"], run.work(set)
    star = simulated(run.output, set, 0.1, count, domain=domain, hinge_range=RANGE, hinge_states=states)
    outputs, _, _ = fitted(star, star.with_name(star.stem + "_map.mrc"), method="linear")
    particles = particle_sets.read_particles(star)
    mask = domain_mask(structure_file(set), domain, particles.box, particles.pixel_size)
    mrc.write_map(folder / "mask.mrc", mask, particles.pixel_size)
    given = ("--particles", outputs["particles"], "--domain", folder / "mask.mrc", "--maps", maps, "--threads", 1)
    seconds = cryodl("latent-volumes", *given, "--output", folder / "made")[1]
    cryodl("reconstruct", "--particles", star, "--threads", 1, "--output", folder / "before.mrc")
    true = sorted(star.parent.glob(star.stem + "_state*.mrc"))
    true = torch.tensor(mrcfile.read(true[len(true) // 2]) * mask)
    curve = lambda path: fsc(torch.tensor(mrcfile.read(path) * mask), true).numpy()
    said = json.loads((folder / "made" / "volumes.json").read_text())
    return dict(
        particles=len(particles),
        maps=maps,
        cpu_seconds=seconds,
        fsc_before=[round(float(v), 3) for v in curve(folder / "before.mrc")],
        fsc_after=[round(float(v), 3) for v in curve(folder / "made" / "domain.mrc")],
        rotations_degrees=[round(v, 2) for v in said["domain"]["rotations_degrees"]],
        true_rotations_degrees=true_rotations(folder / "made" / "particles.star", said["volumes"]),
    )


# ----- other programs; how well latent coordinates and maps agree with the truth, by CryoBench's definitions
BLUR = 1.5  # px, of the mask's edge
BODY = 0.05  # of the highest density that is the molecule
REACH = 3  # px that the mask goes beyond it
NEAR = 0.01  # of the particles: the neighbourhood


def chosen_particles(states, count, seed=0):
    """(count,) rows of particles, of as many different states as there are, in random order."""
    order = np.random.default_rng(seed).permutation(len(states))
    seen, rotation = {}, np.empty(len(states), int)
    for row in order:
        rotation[row] = seen[states[row]] = seen.get(states[row], -1) + 1
    return np.sort(order[np.argsort(rotation[order], kind="stable")][:count])


def molecule_mask(maps):
    """(box, box, box) soft mask of the molecule in any of the true maps (n, box, box, box)."""
    body = (maps > BODY * maps.max(axis=(1, 2, 3), keepdims=True)).any(0)
    return gaussian_filter(binary_dilation(body, iterations=REACH).astype(np.float32), BLUR)


def area(one, other):
    """Area under the Fourier shell correlation of two maps from 0 to Nyquist, in 1/px: 0.5 for equal maps."""
    curve = fsc(*(torch.from_numpy(np.array(x, np.float32)) for x in (one, other))).numpy()
    return float(np.trapezoid(curve, np.arange(len(curve)) / len(one)))


def areas(found, true, mask):
    """Means over pairs of maps of `area`, of the whole maps and within a mask.

    found : iterable of (box, box, box). true : as many.
    """
    pairs = [(area(a, b), area(a * mask, b * mask)) for a, b in zip(found, true)]
    return tuple(float(value) for value in np.mean(pairs, axis=0))


def true_distances(maps):
    """(k, k) distances of the true maps, px apart by their densities."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    square = (flat**2).sum(1)
    return np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0))


def shared_neighbours(latent, states, distances):
    """Share of a particle's nearest in the latent space that are among its nearest in truth.

    latent : (n, d). states : (n,), 0-based. distances : (k, k) of the true maps. Particles that are as near in truth as
    the last of the nearest are among them.
    """
    near = max(1, int(NEAR * len(latent)))
    index = cKDTree(latent).query(latent, near + 1)[1][:, 1:]
    counts = np.bincount(states, minlength=len(distances))
    order = np.argsort(distances, axis=1, kind="stable")
    enough = np.argmax(np.cumsum(counts[order], axis=1) >= near + 1, axis=1)[:, None]
    limit = np.take_along_axis(distances, np.take_along_axis(order, enough, 1), 1)[:, 0]
    own = states[:, None]
    return float((distances[own, states[index]] <= limit[own] + 1e-9).mean())


def rank_correlation(latent, true):
    """The largest Spearman correlation of a coordinate (n, d) with the true one (n,), without its sign."""
    return float(max(abs(spearmanr(column, true)[0]) for column in latent.T))


LATENT = 10  # dimensions, of both programs
WIDTH = 256  # of cryoDRGN's layers; its default of 1,024 takes sixteen times as long
THREADS = dict(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    NUMBA_NUM_THREADS="1",
    JAX_PLATFORMS="cpu",
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)


def ours(star, folder, rows, options):
    """Latent coordinates (n, LATENT), the maps of some rows, the costs of each step, and more of the row."""
    reference, fit, maps = star.with_name("particles_map.mrc"), folder / "fit", folder / "maps"
    run = lambda command, *words: measure(
        [sys.executable, "-m", "cryodl", command, *words, "--threads", 1], _environment()
    )
    given = ("--particles", star, "--reference", reference, "--latent", LATENT, "--axes", 0, "--output", fit)
    first = run("fit-heterogeneity", *given)
    columns = particle_sets.read_particles(fit / "particles.star").columns
    latent = np.stack([np.array(columns[f"cryodlLatent{k + 1}"], float) for k in range(LATENT)], axis=1)
    points = ",".join(":".join(f"{v:.6g}" for v in latent[row]) for row in rows)
    axes = ",".join(str(k + 1) for k in range(LATENT))
    given = ("--particles", fit / "particles.star", f"--points={points}", "--axes", axes, "--output", maps)
    second = run("latent-volumes", *given)
    record, said = (json.loads(path.read_text()) for path in (maps / "volumes.json", fit / "heterogeneity.json"))
    more = {name: said[name] for name in ("p_value", "verdict", "variability")}
    return latent, [maps / one["map"] for one in record["volumes"]], [first, second], more


def recovar(star, folder, rows, options):
    """As ours. Maps are its mean and the sum of latent coordinate x component: `compute_state` takes minutes each."""
    fit = folder / "fit"
    given = ("--mask", "from_halfmaps", "--accept-cpu", "--zdim", LATENT, "--gpu-budget-gb", "2")
    cost = measure([options.tool("recovar"), "pipeline", star, "-o", fit, *given], _environment())
    latent = np.load(fit / "model" / f"zdim_{LATENT}" / "latent_coords.npy")
    volumes, paths = fit / "output" / "volumes", [folder / f"linear{number + 1:03d}.mrc" for number in range(len(rows))]
    mean, *components = (
        mrcfile.read(volumes / f"{n}.mrc") for n in ("mean", *(f"eigen_pos{k:04d}" for k in range(LATENT)))
    )
    for path, place in zip(paths, latent[rows]):
        values = mean + np.tensordot(place, np.stack(components), axes=1)
        mrcfile.write(path, values.astype(np.float32), overwrite=True)
    return latent, paths, [cost], dict(maps="components")


def cryodrgn(star, folder, rows, options):
    """As ours. Its files of latent coordinates are pickles: its own Python writes them as text."""
    fit, maps, poses, ctf = (folder / name for name in ("fit", "maps", "poses.pkl", "ctf.pkl"))
    program, points, places = options.tool("cryodrgn"), folder / "points.txt", folder / "latent.txt"
    run = lambda *words: measure([program, *words], _environment())
    run("parse_pose_star", star, "-o", poses)
    run("parse_ctf_star", star, "-o", ctf, "--ps", 0)  # a STAR file without phase shifts
    first = run(
        "train_vae", star, "--poses", poses, "--ctf", ctf, "--zdim", LATENT, "-n", options.epochs, "-o", fit,
        "--enc-dim", WIDTH, "--dec-dim", WIDTH, "--datadir", star.parent, "--no-analysis",
        "--checkpoint", options.epochs, "--seed", 0,
    )  # fmt: skip
    read = "import pickle, sys, numpy; numpy.savetxt(sys.argv[2], pickle.load(open(sys.argv[1], 'rb')))"
    measure([Path(program).with_name("python"), "-c", read, fit / f"z.{options.epochs}.pkl", places], _environment())
    latent = np.loadtxt(places)
    np.savetxt(points, latent[rows])
    weights = fit / f"weights.{options.epochs}.pkl"
    second = run("eval_vol", weights, "-c", fit / "config.yaml", "--zfile", points, "-o", maps)
    return latent, sorted(maps.glob("vol_*.mrc")), [first, second], dict(epochs=options.epochs, width=WIDTH)


PROGRAMS = dict(cryodl=ours, recovar=recovar, cryodrgn=cryodrgn)


def _environment():
    return dict(os.environ, **THREADS, PYTHONPATH=str(ENGINE))


NAMES = {"cryodl": "`fit-heterogeneity --latent 10`", "recovar": "RECOVAR 1.0.5, zdim 10"}
peers_table = columns(
    {
        "set": "set",
        "particles": "count",
        "box (px)": "box",
        "program": lambda r: NAMES.get(r["program"]) or f"cryoDRGN 4.3.1, zdim 10, {r['epochs']} epochs",
        "share of true neighbours": "neighbours:.3f",
        "AUC of the per-image FSC": "auc:.3f",
        "within a mask": "auc_masked:.3f",
        "CPU s: fit / maps": lambda r: " / ".join(f"{value:.0f}" for value in r["cpu_seconds"]),
        "MB": "peak_mb",
    }
)


@benchmark(
    cases=dict(set=SETS, program=PROGRAMS),
    tables={"heterogeneity-peers": peers_table},
    quick=dict(count=100, box=32, images=2, set="Spike"),
)
def heterogeneity_peers(run, set, program, count=2000, box=48, snr=0.1, images=100, epochs=20):
    """`fit-heterogeneity` beside RECOVAR and cryoDRGN (--tool recovar=VENV/bin/recovar cryodrgn=VENV/bin/cryodrgn) on
    the same particles. Each makes a map at the latent coordinates of each of `images` particles, of as many states as
    there are. RECOVAR runs with its defaults, as in CryoBench, and --accept-cpu; its batches have 2 GB: without that,
    4,000 images of 64 px took 17 GB. One thread each."""
    star = make_set(set, run.output / set, count, snr, box)
    states = np.array(particle_sets.read_particles(star).columns["cryodlTrueState"], int) - 1
    true = np.stack([mrcfile.read(path) for path in sorted(star.parent.glob("particles_state*.mrc"))])
    rows, folder = chosen_particles(states, images), run.work(f"{set} {program}")
    options = types.SimpleNamespace(epochs=epochs, tool=run.tool)
    latent, made, costs, more = PROGRAMS[program](star, folder, rows, options)
    whole, masked = areas((mrcfile.read(path) for path in made), true[states[rows]], molecule_mask(true))
    more.update(dict(spearman=rank_correlation(latent, states)) if set == "Spike" else {})
    return dict(
        dict(count=len(states), box=box, snr=snr, states=len(true), images=len(rows), auc=whole, auc_masked=masked),
        neighbours=shared_neighbours(latent, states, true_distances(true)),
        cpu_seconds=[round(cost[1], 1) for cost in costs],
        peak_mb=round(max(cost[3] for cost in costs)),
        **more,
    )
