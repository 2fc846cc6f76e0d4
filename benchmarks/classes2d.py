# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes: purity, views and time beside RELION, and junk.

*Purity* is the fraction of the particles whose molecule is the commonest of their class. *Explained* is the fraction of
the power of the noise-free images that the mean noise-free image of their class has, when they are aligned as the
program says: it falls with mixed molecules, mixed views and wrong poses, and knows of symmetry. *Views* is the number
of those means (classes of at least 5 particles, 80 % of one molecule, half of their power explained) that are not
rotated copies of each other (correlation below 0.95).
"""

import os

import numpy as np
import torch
from bench import CPU, benchmark, columns, costs, cryodl, measure, structure_file
from recipes.classes import BOX, MOLECULES, PIXEL_SIZE, make_mixture
from recipes.other_particles import atoms_of, make_set
from recipes.particles import read_structure
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryodl.io.relion_tables import modern_tables, number_columns
from cryodl.io.star import read_tables
from cryodl.particles.classes2d import averages, matching, polar
from cryodl.simulate.particle_images import load_projector

MINIMUM, PURE, HALF, SAME = 5, 0.8, 0.5, 0.95


def clean_aligned(ground_truth, psi, shifts_yx):
    """(n, box, box) noise-free projections as a program would average them: shift and angle in the plane taken back.

    psi: (n,) degrees, RELION's. shifts_yx: (n, 2) px, where each particle was found.
    """
    images = torch.zeros(len(psi), BOX, BOX)
    for number, name in enumerate(MOLECULES):
        mine = np.nonzero(ground_truth["molecule"] == number)[0]
        projector = load_projector(structure_file(name), PIXEL_SIZE, BOX)[0]
        views = projector.project(ground_truth["angles"][mine], ground_truth["shifts_yx"][mine] - shifts_yx[mine])
        views = views - views.mean((1, 2), keepdim=True)
        images[mine] = views / views.square().sum((1, 2), keepdim=True).sqrt()
    return averages.rotated_averages(images, torch.from_numpy(-np.radians(psi)).float())


def measures(labels, psi, shifts_yx, ground_truth):
    """{measure: value} of a classification; see the head of this file."""
    images, used = clean_aligned(ground_truth, psi, shifts_yx), labels > 0
    right, power, means = 0, 0.0, []
    for number in np.unique(labels[used]):
        members = np.nonzero(labels == number)[0]
        counts, mean = np.bincount(ground_truth["molecule"][members]), images[members].mean(0)
        explained = float(mean.square().sum())
        right, power = right + counts.max(), power + explained * len(members)
        if len(members) >= MINIMUM and counts.max() >= PURE * len(members) and explained >= HALF:
            means.append(mean)
    return dict(
        purity=float(right / used.sum()),
        explained=power / used.sum(),
        filled=len(np.unique(labels[used])),
        views=distinct(torch.stack(means)) if means else 0,
    )


def distinct(means):
    """How many (k, box, box) images are not rotated and shifted copies of ones before."""
    grid = polar.PolarGrid(BOX, 22, 48, 29.0)
    samples = grid.sample(means)
    harmonics = grid.harmonics(samples)
    size, kept = (polar.polar_ring_power(harmonics) @ grid.weights).sqrt(), []
    for number in range(len(means)):
        if kept:
            references = matching.References(grid, harmonics[kept], matching.Detail(22, 30, 36, 2.0, 1.0, 1))
            one = slice(number, number + 1)
            found = matching.match(samples[one], torch.ones(1, grid.rings), torch.zeros(1, 2), references)
            if float(found.scores[0] / size[number]) >= SAME:
                continue
        kept.append(number)
    return len(kept)


def read_answer(path):
    """labels, psi and shifts_yx (px) of a STAR file of ours or of RELION's."""
    _, columns = modern_tables(read_tables(path), path)
    number = number_columns(path, columns, ("rlnClassNumber", "rlnAnglePsi", "rlnOriginYAngst", "rlnOriginXAngst"))
    return number[:, 0].astype(int), number[:, 1], -number[:, 2:] / PIXEL_SIZE


RELION = (
    "--ctf --tau2_fudge 2 --particle_diameter 230 --flatten_solvent --zero_mask --oversampling 0 --psi_step 10 "
    "--offset_range 4 --offset_step 2 --norm --scale --dont_combine_weights_via_disc --pool 30 --preread_images --j 1 "
    "--random_seed 1 --iter"
)
CASES = ((1500, 12), (600, 8), (1500, 16))


@benchmark(
    cases=lambda: [
        dict(program=p, particles=n, classes=k, snr=0.1)
        for n, k in CASES
        for p in ("cryodl", "RELION 3.1")
        if p[0] == "c" or k != 12
    ],
    tables={
        "classes2d": columns(
            {
                "program": "program",
                "particles": lambda r: f"{r['particles']:,}",
                "classes": "classes",
                "SNR": "snr:g",
                "purity": "purity:.3f",
                "explained": "explained:.3f",
                "views": "views",
                "CPU seconds": "cpu:.0f",
            }
        )
    },
    quick=dict(particles=120, classes=4),
)
def classes2d(run, program, particles, classes, snr, seed=0, iterations=20):
    """2-D classes of a mixture of four molecules beside RELION's (one thread, 10 degrees, shifts to 4 px by 2)."""
    star = make_mixture(run.output / f"snr{snr:g}_{particles}", MOLECULES, particles, snr)
    folder = run.folder(f"{program} {particles} {classes}")
    answer = folder / "particles.star"
    if program == "cryodl":
        done = cryodl(
            "classify-2d", "--particles", star, "--classes", classes, "--output", folder, *CPU, "--seed", seed
        )
    else:
        folder.mkdir()
        command = [
            "relion_refine",
            "--i",
            star.name,
            "--o",
            folder / "run",
            "--K",
            classes,
            *RELION.split(),
            iterations,
        ]
        done = measure(command, dict(os.environ, OMP_NUM_THREADS="1"), star.parent)
        answer = folder / f"run_it{iterations:03d}_data.star"
    return dict(measures(*read_answer(answer), dict(np.load(star.parent / "truth.npz"))), **costs(done))


# ----- junk, in coloured and white noise
JUNK = dict(nothing=300, ice=125, carbon=125, two=225) | {"off-centre": 225}
junk_table = columns(
    {
        "molecules": "molecules",
        "noise": "noise",
        "SNR": "snr:g",
        "purity": "purity:.3f",
        "clear views": "clear",
        "junk removed by classes": "by_classes:.3f",
        "with particles": "removed:.3f",
        "good kept": "kept:.3f",
        "CPU seconds": "cpu:.0f",
    }
)


def symmetry(path):
    """(g, 3, 3) rotations that bring a structure onto itself, from its chains of equal length."""
    chains = [np.array([r[0].pos.tolist() for r in chain]) for chain in read_structure(path)[0]]
    whole, found = atoms_of(path)[0][::20], [np.eye(3)]
    for other in chains[1:]:
        if len(other) == len(chains[0]):
            turn = Rotation.align_vectors(other - other.mean(0), chains[0] - chains[0].mean(0))[0].as_matrix()
            if np.median(cKDTree(whole).query(whole @ turn.T)[0]) < 5:
                found.append(turn)
    return np.array(found)


@benchmark(
    cases=lambda: [
        dict(molecules=molecules, noise=noise, snr=snr)
        for noise, snr in (("coloured", 0.1), ("coloured", 0.05), ("white", 0.1))
        for molecules in ("1AON 1WCM 3C91", "3IYD 6RN3 6ZWV")
    ],
    tables={"class-junk": junk_table},
    quick=dict(each=60, junk=0.06, classes=6),
)
def class_junk(run, molecules, noise, snr, seed=1, each=1000, junk=1.0, classes=64):
    """Three molecules and a quarter of junk (noise, off-centre, two in a box, ice, carbon) of another generator,
    classified and selected. purity: of the good particles, those of their class's commonest molecule. clear: classes
    with 60 % of their members of one molecule and within 25 degrees of one view of it, or of an equivalent one."""
    folder = run.folder(f"{molecules} {noise} {snr:g}")
    kinds = {kind: round(count * junk) for kind, count in JUNK.items()}
    files = [structure_file(name) for name in molecules.split()]
    star = make_set(folder / "set", files, each, kinds, snr, colour=float(noise == "coloured"), seed=seed)
    done = cryodl("classify-2d", "--particles", star, "--classes", classes, "--output", folder / "classes", *CPU)
    kept = {}
    for name, lost in (("by-classes", 0), ("all", 0.02)):
        table, made = folder / "classes" / "classes.star", folder / name
        cryodl("select-classes", "--classes", table, "--output", made, "--good-lost", lost)
        columns_of = modern_tables(read_tables(made / "particles.star"), made)[1]
        kept[name] = np.array([int(image.split("@")[0]) - 1 for image in columns_of["rlnImageName"]])
    labels, truth = read_answer(folder / "classes" / "particles.star")[0], np.load(star.parent / "truth.npz")
    good, molecule, views = truth["kind"] < 0, truth["molecule"], truth["rotations"][:, 2]
    equal, pure, clear = [symmetry(path) for path in files], 0, 0
    for number in np.unique(labels[labels > 0]):
        mine = np.nonzero((labels == number) & good)[0]
        if len(mine):
            counts = np.bincount(molecule[mine])
            pure, own = pure + counts.max(), views[mine[molecule[mine] == counts.argmax()]]
            near = (own @ equal[counts.argmax()] @ own.T).max(0) > np.cos(np.radians(25))
            clear += bool(near.sum(1).max() >= 0.6 * (labels == number).sum())
    removed = {name: float(1 - (~good[rows]).sum() / (~good).sum()) for name, rows in kept.items()}
    shares = dict(
        by_classes=removed["by-classes"], removed=removed["all"], kept=float(good[kept["all"]].sum() / good.sum())
    )
    return dict(purity=float(pure / good.sum()), clear=int(clear), **shares, **costs(done))
