# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the partner there? Half of the particles of a complex lose theirs, and `cryodl assess-integrity` is asked which.

Beside it a classification that knows no structure: radial power spectra and radial profiles of the same raw images, a
logistic regression that is trained on four fifths of the particles with their true answers, and tested on the rest.
"""

import csv
import json

import numpy as np
from common import cryodl
from denoising_sets import SNR, Sets, new_folder
from parts import engine_path, table

PAIRS = (
    ("nucleosome + part of Chd1", "nucleosome"),
    ("nucleosome + Chd1", "nucleosome"),
    ("microtubule + kinesin", "microtubule"),
)
SNRS = (SNR, 0.02)
FOLDS, DECAY = 5, 1.0  # cross-validation; L2 penalty of the regression's weights


def run(bench):
    engine_path()
    for whole, part in PAIRS:
        for snr in SNRS:
            for orientations in ("search", "given"):
                bench.once(_key(whole, snr, orientations), lambda: measure(bench, whole, part, snr, orientations))


def _key(whole, snr, orientations):
    return f"integrity/{whole}/{snr:g}/{orientations}"


def measure(bench, whole, part, snr, orientations):
    """Figures of assess-integrity and of the regression on a half-and-half set."""
    sets = Sets(bench)
    structures = [sets.structure(whole), sets.structure(part)]
    folder = bench.folder(_key(whole, snr, orientations))
    star, present, share = mixed_set(sets.particles(whole, snr), structures, new_folder(folder) / "mixed.star")
    _, cpu, _, _ = cryodl(
        "assess-integrity",
        "--particles",
        star,
        "--structures",
        *structures,
        "--names",
        "whole",
        "part",
        "--orientations",
        orientations,
        "--output",
        folder / "found",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    with open(folder / "found" / "probabilities.csv", newline="", encoding="utf-8") as file:
        probability = np.array([float(row["whole"]) for row in csv.DictReader(file)])
    said = json.loads((folder / "found" / "integrity.json").read_text())
    radial = cross_validated(features(star), present)
    return dict(
        count=len(present),
        share=share,
        cpu=cpu,
        expected=said["separation"],
        simulated=said["simulated_accuracy"],
        **rates(probability - 0.5, present),
        radial=rates(radial, present),
    )


def mixed_set(star, structures, output, seed=4):
    """Particles of which a random half has lost the partner: CTF x projection of the partner is subtracted from these.

    The noise is that of the whole set. structures: with and without the partner, in one frame. Returns the new STAR
    file, (n,) bool: the partner is there, and the partner's part of the density.
    """
    import torch

    from cryodl.core.projections import Projector
    from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
    from cryodl.particles.integrity.compositions import load_compositions

    particles = read_particles(star)
    whole, part = load_compositions(structures, particles.pixel_size, particles.box)[0]
    rows, box = np.arange(len(particles)), particles.box
    present = np.random.default_rng(seed).permutation(len(rows)) < len(rows) // 2
    ctf, images = particles.ctf(rows), particles.images(rows)
    seen = lambda density: torch.fft.irfft2(
        torch.fft.rfft2(Projector(density).project(particles.angles, particles.shifts_yx)) * ctf, s=(box, box)
    )
    ours = seen(whole)
    scale = (images * ours).sum() / ours.square().sum()
    lost = seen(whole - part) * scale * torch.from_numpy(~present)[:, None, None]
    with StackWriter(output.with_suffix(".mrcs"), len(rows), box, particles.pixel_size) as stack:
        stack.add(images - lost)
    write_particles_star(output, particles, stack=output.with_suffix(".mrcs"))
    return output, present, float(1 - part.sum() / whole.sum())


def features(star):
    """(n, f) logarithms of the radial power spectrum, and radial profile, of each image."""
    import torch

    from cryodl.core.fourier import radial_mean
    from cryodl.io.particle_sets import read_particles

    particles = read_particles(star)
    images, box = particles.images(np.arange(len(particles))), particles.box
    power = radial_mean(torch.fft.rfft2(images).abs().square(), box)[:, 1:].log()
    return np.concatenate([power.numpy(), radial_profile(images.numpy())], 1)


def radial_profile(images):
    """(n, box // 2) means over circles around pixel box // 2."""
    box = images.shape[-1]
    axis = np.arange(box) - box // 2
    radius = np.rint(np.hypot(axis[:, None], axis)).astype(int).ravel()
    count = np.bincount(radius)
    return np.stack([np.bincount(radius, image.ravel()) / count for image in images])[:, : box // 2]


def cross_validated(values, ground_truth, seed=0):
    """(n,) scores of a logistic regression of (n, f) values, each of a fold that it was not trained on."""
    fold = np.random.default_rng(seed).permutation(len(ground_truth)) % FOLDS
    scores = np.zeros(len(ground_truth))
    for number in range(FOLDS):
        train = fold != number
        mean, spread = values[train].mean(0), values[train].std(0) + 1e-12
        weight = logistic((values[train] - mean) / spread, ground_truth[train])
        scores[~train] = ((values[~train] - mean) / spread) @ weight[1:] + weight[0]
    return scores


def logistic(values, ground_truth):
    """(1 + f,) constant and weights of the logistic regression of (n,) bool on (n, f) values, L2 penalty DECAY."""
    from scipy.optimize import minimize

    sign, inputs = np.where(ground_truth, 1.0, -1.0), np.column_stack([np.ones(len(ground_truth)), values])

    def loss(weight):
        margin = sign * (inputs @ weight)
        slope = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        penalty = np.r_[0, weight[1:]]
        return np.logaddexp(0, -margin).sum() + DECAY / 2 * penalty @ penalty, inputs.T @ slope + DECAY * penalty

    return minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x


def rates(scores, ground_truth):
    """dict(auc: area under the ROC curve, accuracy: part with a score above 0 exactly where ground truth is)."""
    from scipy.stats import rankdata

    ones, zeros = int(ground_truth.sum()), int((~ground_truth).sum())
    auc = (rankdata(scores)[ground_truth].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    return dict(auc=float(auc), accuracy=float(((scores > 0) == ground_truth).mean()))


HEAD = [
    "complex",
    "SNR",
    "orientations",
    "partner's share",
    "ROC AUC",
    "right",
    "right, as it says",
    "right, of particles that it makes up",
    "radial features: ROC AUC",
    "right",
    "CPU ms per particle",
]


def tables(bench):
    rows = []
    for whole, _ in PAIRS:
        for snr in SNRS:
            for orientations, known in (("search", "unknown"), ("given", "known")):
                rows.append([whole, f"{snr:g}", known, *_cells(bench.figures.get(_key(whole, snr, orientations)))])
    return table(HEAD, rows)


def _cells(f):
    if f is None:
        return [None] * (len(HEAD) - 3)
    percent = lambda value: f"{100 * value:.0f} %"
    return [
        percent(f["share"]),
        f"{f['auc']:.3f}",
        percent(f["accuracy"]),
        percent(f["expected"]),
        percent(f["simulated"]),
        f"{f['radial']['auc']:.3f}",
        percent(f["radial"]["accuracy"]),
        f"{1000 * f['cpu'] / f['count']:.0f}",
    ]
