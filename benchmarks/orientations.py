# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations, denoised images, maps and compositions of particles made apart from the package's simulator."""

import dataclasses
import json
import shutil

import gemmi
import mrcfile
import numpy as np
import torch
from bench import CPU, asked, benchmark, columns, cryodl, data_folder, groups, structure_file
from recipes.particles import (
    COMPLEXES,
    atoms_of,
    diameter_of,
    make_mixed,
    make_of,
    read_structure,
    weighed,
    written_map,
)
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sklearn.metrics import roc_auc_score
from template_matching import CC_STEP, matched, resolution_for

from cryodl.core import fourier, projections, symmetry
from cryodl.io.particle_sets import read_particles
from cryodl.io.star import read_tables
from cryodl.io.structures import load_density
from cryodl.likelihood import reference, search
from cryodl.particles.denoisers import load_denoiser
from cryodl.particles.denoisers.evaluate import bench_of, measure_bench

# ----- floors
SNRS, RIGHT = (0.1, 0.05, 0.02), 15.0


def plain_correlation(star, density):
    """(n, 3) angles of the highest normalised cross-correlation of each image with the projections times its CTF."""
    particles, grid = read_particles(star), search.Grid(CC_STEP, "C1")
    disc = reference.HalfDisc(
        particles.box, particles.box * particles.pixel_size / resolution_for(particles.pixel_size)
    )
    rows = np.arange(len(particles))
    transfer = disc.on_grid(particles.ctf(rows))
    images = disc.coefficients(particles.images(rows)) * transfer
    return grid.angles(
        matched(images, transfer, reference.Reference(projections.Projector(density), disc), grid)[1].numpy()
    )


def searched(star, structure, output):
    """Angles, stated probabilities, CPU seconds per particle of `cryodl assign-orientations`."""
    for old in output.parent.glob(f"{output.stem}*"):
        old.unlink()
    _, seconds = asked("assign-orientations", output, particles=star, structure=structure, device="cpu")
    particles = read_particles(output)
    return particles.angles, probabilities(output), seconds / len(particles)


def probabilities(star):
    """(n,) rlnMaxValueProbDistribution of a STAR file."""
    return np.asarray(read_tables(star)["particles"]["rlnMaxValueProbDistribution"], float)


def calibration_error(probability, right, bins=10):
    """Expected calibration error over equally filled bins."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    return float(sum(len(p) * abs(probability[p].mean() - right[p].mean()) for p in parts if len(p)) / len(order))


def floors_table(rows):
    """A line for each SNR: all complexes, and in brackets the one with the fewest right."""
    of = lambda r, key: min(one[key] for one in rows if one["snr"] == r["snr"] and one["complex"] != "all")
    with_least = lambda key: lambda r: f"{r[key]:.1f} ({of(r, key):.0f})"
    shown = {
        "SNR": "snr:g",
        "particles": "count",
        "within 15° (%)": with_least("right"),
        "plain cross-correlation (%)": with_least("correlation"),
        "said to be right (%)": "stated:.1f",
        "expected calibration error": "ece:.3f",
        "CPU ms per particle": "ms:.0f",
    }
    return columns(shown)([r for r in rows if r["complex"] == "all"])


@benchmark(
    cases=lambda: (
        [dict(complex=c, snr=snr) for snr in SNRS for c in [name[:4] for name in COMPLEXES]]
        + [dict(complex="all", snr=snr) for snr in SNRS]
    ),
    tables={"orientation-floors": floors_table},
    quick=dict(count=6, reach=2.0),
)
def orientation_floors(run, complex, snr, count=300, reach=5.0):
    """Orientations from a map with solvent ripple, beside plain cross-correlation on the same particles (CTF-weighted,
    normalised, to 11 Å, directions 7.3 degrees apart, whole-pixel shifts to 3 px). In the calibration error of one
    complex chance alone has its part: that of all particles of an SNR together is given, too."""
    if complex != "all":
        return oriented(run, complex, snr, count, reach)
    files = sorted(run.output.glob(f"*-{snr:g}/answers.npz"))
    if len(files) < len(COMPLEXES):
        raise ValueError(f"{run.output} has {len(files)} of {len(COMPLEXES)} complexes: measure them at this commit.")
    part = [json.loads(file.with_name("row.json").read_text()) for file in files]
    means = {key: float(np.mean([row[key] for row in part])) for key in ("right", "correlation", "stated", "ms")}
    probability, right = (np.concatenate([np.load(file)[key] for file in files]) for key in ("probability", "right"))
    return dict(means, complexes=len(part), count=len(right), ece=calibration_error(probability, right))


def oriented(run, name, snr, count, reach=5.0):
    """Figures of one complex at one SNR. name: see recipes/particles.py."""
    star = run.output / f"{name}-{snr:g}" / "particles.star"
    if not star.exists():
        make_of(atoms_of(structure_file(name)), star.parent, snr, count, int(1000 * snr), pixel_size=3.5, reach=reach)
    structure, ground_truth = star.with_name("map.mrc"), read_particles(star).angles
    angles, probability, seconds = searched(star, structure, star.with_name("found.star"))
    right = symmetry.angular_distance(ground_truth, angles) < RIGHT
    plain = plain_correlation(star, load_density(structure, 3.5))
    np.savez(star.with_name("answers.npz"), probability=probability, right=right)
    row = dict(
        count=len(right),
        right=100 * float(right.mean()),
        stated=100 * float(probability.mean()),
        ece=calibration_error(probability, right),
        ms=1e3 * seconds,
        correlation=100 * float((symmetry.angular_distance(ground_truth, plain) < RIGHT).mean()),
    )
    star.with_name("row.json").write_text(json.dumps(row))
    return row


# ----- the given structure is not the one that the particles show
SEED, BOX, RESOLUTION = 4, 64, 8.0  # Å
MATCHED = 5.0  # Å: atoms of two chains this near after superposition count as the same
MINIMUM_RESIDUES = 80  # of chains that a superposition begins with


@dataclasses.dataclass(frozen=True)
class Molecule:
    """file: what the particles show. lacks: chains that the incomplete structure has not. homologue: file."""

    file: str
    pixel_size: float
    lacks: str
    homologue: str = ""


MOLECULES = {
    "30S subunit, T. thermophilus": Molecule("4V4R_30S.pdb.gz", 4.2, "EFG", "2YKR_30S.pdb.gz"),
    "nucleosome with Chd1": Molecule("5O9G.pdb.gz", 3.5, "W", "5X0Y.pdb.gz"),
    "RNA polymerase II": Molecule("1WCM.pdb.gz", 3.5, "DG"),
    "insulin receptor with Fabs": Molecule("4ZXB.cif.gz", 3.5, "AB"),
}


def marks_in(model):
    """(n,) which atoms of a model are CA or P."""
    return np.array([a.atom.name in ("CA", "P") for a in model.all()])


def polymers(model):
    """[(chain, type)] of a model's protein and nucleic acid; a chain that holds both is split."""
    found = []
    for chain in model:
        for atom, kinds in (
            ("CA", (gemmi.PolymerType.PeptideL,)),
            ("P", (gemmi.PolymerType.Rna, gemmi.PolymerType.Dna)),
        ):
            part = gemmi.Chain(chain.name)
            for residue in chain:
                if atom in residue:
                    part.add_residue(residue)
            if len(part) >= MINIMUM_RESIDUES:
                found.append((part, kinds[0] if len(kinds) == 1 or "O2'" in part[len(part) // 2] else kinds[1]))
    return found


def superposed(moving, fixed):
    """(n, 3) atoms of a model moved onto another: chains aligned by sequence, then all CA and P atoms by their nearest
    neighbours. Also the number of atoms within MATCHED and their RMSD, Å."""
    (moved, _), marks, best = weighed(moving), marks_in(moving), (0, 0.0, None)
    tree = cKDTree(weighed(fixed)[0][marks_in(fixed)])
    for first, kind in polymers(fixed):
        for second, other_kind in polymers(moving):
            if kind != other_kind:
                continue
            start = gemmi.calculate_superposition(first.whole(), second.whole(), kind, gemmi.SupSelect.CaP)
            rotation, shift = np.array(start.transform.mat.tolist()), np.array(start.transform.vec.tolist())
            for _ in range(20):
                distance, number = tree.query(moved[marks] @ rotation.T + shift)
                near = distance < MATCHED
                if near.sum() < MINIMUM_RESIDUES:
                    break
                rotation, shift = rigid_fit(moved[marks][near], tree.data[number[near]])
            if near.sum() > best[0]:
                best = int(near.sum()), float(np.sqrt((distance[near] ** 2).mean())), moved @ rotation.T + shift
    count, rmsd, xyz = best
    if xyz is None:
        raise ValueError("No two chains of these structures fit.")
    return xyz, count, rmsd


def rigid_fit(moving, fixed):
    """(3, 3) rotation and (3,) shift that bring points onto others, least squares."""
    middles = moving.mean(0), fixed.mean(0)
    rotation = Rotation.align_vectors(fixed - middles[1], moving - middles[0])[0].as_matrix()
    return rotation, middles[1] - rotation @ middles[0]


def structures_of(molecule, folder):
    """The true body, and {what is given: (body, resolution in Å, note)}; bodies are (xyz, weight) in one frame."""
    true_model = read_structure(folder / molecule.file)[0]
    xyz, weight = weighed(true_model)
    centre = np.average(xyz, axis=0, weights=weight)
    whole, kept = (xyz - centre, weight), [a.chain.name not in list(molecule.lacks) for a in true_model.all()]
    given = {name: (whole, at, "") for name, at in zip(GIVEN, (RESOLUTION, 10.0, 15.0))}
    note = f"{100 * (1 - weight[kept].sum() / weight.sum()):.0f} % of the mass missing"
    given["incomplete"] = (whole[0][kept], weight[kept]), RESOLUTION, note
    if molecule.homologue:
        other = read_structure(folder / molecule.homologue)[0]
        moved, count, rmsd = superposed(other, true_model)
        note = f"{count} of {marks_in(true_model).sum()} residues within {MATCHED:g} Å, RMSD {rmsd:.1f} Å"
        note = f"{molecule.homologue.split('.')[0]}: {note}"
        given["homologue"] = (moved - centre, weighed(other)[1]), RESOLUTION, note
    return whole, given


def resolution_of_map(found, body, pixel_size, folder):
    """Å: where the FSC of the particles' map with the true density falls below 0.5."""
    output = folder / "map.mrc"
    cryodl("reconstruct", "--particles", found, "--output", output, "--device", "cpu", "--threads", 1)
    curve = fourier.fsc(torch.from_numpy(mrcfile.read(output)), torch.from_numpy(density_of(body, pixel_size)))
    return fourier.resolution_at(curve, 0.5, pixel_size, BOX)


def density_of(body, pixel_size):
    """(BOX, BOX, BOX) density of atoms, the origin at voxel BOX // 2."""
    xyz, weight = body
    grid, _ = np.histogramdd(xyz[:, ::-1], [(np.arange(BOX + 1) - BOX // 2 - 0.5) * pixel_size] * 3, weights=weight)
    return gaussian_filter(grid, 0.5).astype(np.float32)


def denoised(star, found, body, given, structure, pixel_size, folder):
    """Mean FRC with the true projections of raw and Wiener-filtered images and of `posterior`, and of these with the
    given structure's projections at the true angles."""
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    more = ("--network", "posterior", "--device", "cpu", "--threads", 1)
    cryodl("train-denoiser", "--particles", found, "--structure", structure, "--output", model, *more)
    denoiser, particles = load_denoiser(model, torch.device("cpu")), read_particles(star)
    diameter, means = 2 * np.quantile(np.linalg.norm(body[0], axis=1), 0.99) / pixel_size, {}
    for name, atoms in (("true", body), ("given", given)):
        projector = projections.Projector(torch.from_numpy(density_of(atoms, pixel_size)))
        bench, _ = bench_of(particles, projector, denoiser, "bright", diameter)
        means[name] = measure_bench(bench).means()
    return dict(
        raw=means["true"]["raw"],
        wiener=means["true"]["wiener"],
        posterior=means["true"]["denoised"],
        like_given=means["given"]["denoised"],
    )


GIVEN = ["true structure", "true structure, 10 Å", "true structure, 15 Å", "incomplete"]


@benchmark(
    cases=lambda: [
        dict(molecule=m, given=g)
        for m, one in MOLECULES.items()
        for g in (*GIVEN, *["homologue"][: bool(one.homologue)])
    ],
    tables={
        "imperfect-structures": columns(
            {
                "particles of": "molecule",
                "structure given": lambda r: f"{r['given']} ({r['note']})" if r["note"] else r["given"],
                "within 15° (%)": "right:.0f",
                "said to be right (%)": "stated:.0f",
                "explained (%)": "explained:.0f",
                "FSC = 0.5 of the map (Å)": lambda r: "not reached" if r["map"] is None else f"{r['map']:.1f}",
                "mean FRC with the truth: raw / Wiener / `posterior`": lambda r: " / ".join(
                    f"{r[key]:.2f}" for key in ("raw", "wiener", "posterior")
                ),
                "`posterior`: mean FRC with the given structure": "like_given:.2f",
            }
        )
    },
    quick=dict(count=8),
)
def imperfect_structures(run, molecule, given, count=200, snr=0.05):
    """Orientations and denoised images where the given structure is not the one that the particles show: the true one
    at 8, 10 and 15 Å, one that lacks some chains, a homologue superposed on it. `posterior` is trained with the given
    map and the particles as oriented by it; the Wiener filter and the raw images stand beside it."""
    one = MOLECULES[molecule]
    body, every = structures_of(one, data_folder() / "structures" / "complexes")
    atoms, resolution, note = every[given]
    star = run.output / one.file.split(".")[0] / f"{snr:g}-{count}" / "particles.star"
    if not star.exists():
        make_of(body, star.parent, snr, count, SEED, BOX, one.pixel_size)
    folder = run.work(f"{molecule} {given}")
    structure, found = written_map(folder / "given.mrc", atoms, resolution), folder / "found.star"
    angles, _, seconds = searched(star, folder / "given.mrc", found)
    error = symmetry.angular_distance(read_particles(star).angles, angles, "C1")
    return dict(
        note=note,
        count=len(error),
        snr=snr,
        right=100 * float((error < RIGHT).mean()),
        stated=100 * float(probabilities(found).mean()),
        explained=100 * float(np.asarray(read_tables(found)["particles"]["cryodlExplained"], float).mean()),
        map=resolution_of_map(found, body, one.pixel_size, folder),
        **denoised(star, found, body, atoms, structure, one.pixel_size, folder),
        seconds=seconds,
    )


# ----- compositions


# complex: file, chains of the partner
CASES = {
    "tubulin-TTL": ("5IYZ.pdb.gz", "F"),
    "receptor-Fab": ("4ZXB.cif.gz", "AB"),
    "polymerase-4-7": ("1WCM.pdb.gz", "DG"),
    "SCF-CAND1": ("1U6G.pdb.gz", "C"),
}


def compositions(source, partner, folder):
    """Write whole.cif and part.cif; [(xyz, weights)] of both about the whole's centre of mass."""
    structure = read_structure(source)
    del structure[1:]
    structure.assemblies.clear()  # of two copies in 4ZXB: cryodl would build both, the particles show one
    bodies = []
    for name, lost in (("whole", ""), ("part", partner)):
        for chain in lost:
            structure[0].remove_chain(chain)
        structure.make_mmcif_document().write_file(str(folder / f"{name}.cif"))
        bodies.append(weighed(structure[0]))
    centre = np.average(bodies[0][0], axis=0, weights=bodies[0][1])
    return [(xyz - centre, weight) for xyz, weight in bodies]


SHARES = dict(zip(CASES, (0.3, 0.6, 0.45, 0.7)))  # of the particles that are whole


told = lambda part: [r for r in part if r["told"]]
if_told = lambda column: lambda part: column(told(part)) if told(part) else ""
average = lambda key: lambda part: np.average([r[key] for r in part], weights=[r["count"] for r in part])
integrity_table = groups(
    ("snr", "orientations"),
    {
        "orientations, SNR": lambda part: "{orientations}, {snr:g}".format(**part[0]),
        "sets with an answer": lambda part: f"{len(told(part))} of {len(part)}",
        "their particles": if_told(lambda part: sum(r["count"] for r in part)),
        "mean ROC AUC": if_told(lambda part: f"{average('auc')(part):.3f}"),
        "right (%)": if_told(lambda part: f"{100 * average('right')(part):.1f}"),
        "said to be right (%)": if_told(lambda part: f"{100 * average('stated')(part):.1f}"),
        "fractions wrong by at most (%)": if_told(
            lambda part: f"{100 * max(abs(r['fraction'] - r['share']) for r in part):.0f}"
        ),
    },
)


@benchmark(
    cases=dict(snr=[0.05, 0.02], orientations=["given", "search"], case=CASES),
    tables={"integrity-truth": integrity_table},
    quick=dict(count=8),
)
def integrity_truth(run, snr, orientations, case, count=100, seed=0):
    """Whether `assess-integrity` is right as often as it says, and its fractions: complexes of which a part (SHARES)
    is whole; compositions are given as models. Given angles are the true ones."""
    file, partner = CASES[case]
    folder, whole = run.work(f"{case} {snr} {orientations}"), round(count * SHARES[case])
    rng = np.random.default_rng(int(1000 * snr) + seed)
    kinds = rng.permutation(np.arange(count) >= whole).astype(int)
    bodies = compositions(data_folder() / "structures/complexes" / file, partner, folder)
    star = make_mixed(bodies, kinds, folder, snr, rng, pixel_size=5.0 if case == "receptor-Fab" else 3.5)
    words = ("--structures", folder / "whole.cif", folder / "part.cif", "--names", "whole", "part")
    words = (*words, "--orientations", orientations, "--contrast", "bright", "--output", folder / "out")
    cost = cryodl("assess-integrity", "--particles", star, *words, *CPU)
    found = np.array(read_tables(folder / "out" / "particles.star")["particles"]["cryodlProbability1"], float)
    right, record = (found < 0.5) == (kinds == 1), json.loads((folder / "out" / "integrity.json").read_text())
    stated = np.maximum(found, 1 - found)
    return dict(
        mass=1 - bodies[1][1].sum() / bodies[0][1].sum(),
        diameter=diameter_of(*bodies[0]),
        count=count,
        share=whole / count,
        told=record["told_apart"],
        fraction=record["fractions"].get("whole"),
        low=record["fractions_low"].get("whole"),
        high=record["fractions_high"].get("whole"),
        auc=float(roc_auc_score(kinds == 0, found)),
        right=float(right.mean()),
        stated=float(stated.mean()),
        ece=calibration_error(stated, right),
        **{name: record[name] for name in ("simulated_accuracy", "strength", "explained")},
        cpu=cost[1],
    )
