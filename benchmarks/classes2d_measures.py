# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of a 2-D classification of particles of which the ground truth is known.

*Purity* is the fraction of the particles whose molecule is the commonest of
their class. *Explained* is the fraction of the power of the noise-free images that the mean noise-free image of their
class has, when they are aligned as the program says: it falls with mixed molecules, mixed views and wrong poses, and
knows of symmetry. *Views* is the number of those means (classes of at least 5 particles, 80 % of one molecule, half of
their power explained) that are not rotated copies of each other (correlation below 0.95).
"""

import sys

import numpy as np
from classes2d_data import BOX, MOLECULES, PIXEL_SIZE, structure_file
from common import ROOT

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
MINIMUM, PURE, HALF, SAME = 5, 0.8, 0.5, 0.95


def clean_aligned(ground_truth, psi, shifts_yx):
    """(n, box, box) noise-free projections as a program would average them: shift and angle in the plane taken back.

    psi: (n,) degrees, RELION's. shifts_yx: (n, 2) px, where each particle was found.
    """
    import torch

    from cryodl.particles.classes2d.averages import rotated_averages
    from cryodl.simulate.particle_images import load_projector

    images = torch.zeros(len(psi), BOX, BOX)
    for number, name in enumerate(MOLECULES):
        mine = np.nonzero(ground_truth["molecule"] == number)[0]
        projector = load_projector(structure_file(name), PIXEL_SIZE, BOX)[0]
        views = projector.project(ground_truth["angles"][mine], ground_truth["shifts_yx"][mine] - shifts_yx[mine])
        views = views - views.mean((1, 2), keepdim=True)
        images[mine] = views / views.square().sum((1, 2), keepdim=True).sqrt()
    return rotated_averages(images, torch.from_numpy(-np.radians(psi)).float())


def measures(labels, psi, shifts_yx, ground_truth):
    """{measure: value} of a classification; see the head of this file."""
    import torch

    images, used = clean_aligned(ground_truth, psi, shifts_yx), labels > 0
    right, power, means = 0, 0.0, []
    for number in np.unique(labels[used]):
        members = np.nonzero(labels == number)[0]
        counts = np.bincount(ground_truth["molecule"][members])
        mean = images[members].mean(0)
        explained = float(mean.square().sum())
        right, power = right + counts.max(), power + explained * len(members)
        if len(members) >= MINIMUM and counts.max() >= PURE * len(members) and explained >= HALF:
            means.append(mean)
    filled = len(np.unique(labels[used]))
    return dict(
        purity=float(right / used.sum()),
        explained=power / used.sum(),
        filled=filled,
        views=distinct(torch.stack(means)) if means else 0,
    )


def distinct(means):
    """How many (k, box, box) images are not rotated and shifted copies of ones before."""
    import torch

    from cryodl.particles.classes2d.matching import Detail, References, match
    from cryodl.particles.classes2d.polar import PolarGrid, polar_ring_power

    grid = PolarGrid(BOX, 22, 48, 29.0)
    samples = grid.sample(means)
    harmonics = grid.harmonics(samples)
    size = (polar_ring_power(harmonics) @ grid.weights).sqrt()
    kept = []
    for number in range(len(means)):
        if kept:
            references = References(grid, harmonics[kept], Detail(22, 30, 36, 2.0, 1.0, 1))
            one = slice(number, number + 1)
            found = match(samples[one], torch.ones(1, grid.rings), torch.zeros(1, 2), references)
            if float(found.scores[0] / size[number]) >= SAME:
                continue
        kept.append(number)
    return len(kept)


def read_answer(path):
    """labels, psi and shifts_yx (px) of a STAR file of ours or of RELION's."""
    from cryodl.io.relion_tables import modern_tables, number_columns
    from cryodl.io.star import read_tables

    _, columns = modern_tables(read_tables(path), path)
    number = number_columns(path, columns, ("rlnClassNumber", "rlnAnglePsi", "rlnOriginYAngst", "rlnOriginXAngst"))
    return number[:, 0].astype(int), number[:, 1], -number[:, 2:] / PIXEL_SIZE
