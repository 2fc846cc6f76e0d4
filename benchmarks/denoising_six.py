# SPDX-License-Identifier: GPL-3.0-or-later
"""The six tests of the method's authors, all ways of denoising side by side: raw images, Wiener filter, projection of
the template at the likeliest orientation, `posterior`, `swinconv`, `cgan`; and `blind`, without a
known structure.

(1) beta-galactosidase, (2) another molecule (the spike; TRPV1 is not at hand), (3) both learnt together, (4) learnt
from noise, (5) kinesin on a microtubule, (6) nucleosome with Chd1. Each way is measured by the same code on the same
test particles: FRC with the true projections, FSC of its back projection at the true angles, what it makes of noise and
of another molecule. (5) has also the occupancy of each site of the lattice, see kinesin_sites. SNR is that of
--snr-area; steps of the networks are those of --swinconv-steps and --cgan-steps.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
from common import ROOT
from denoising_sets import MOLECULES, SNR, Sets, noise_set
from parts import engine_path, table

# number: what is learnt, what is tested, the molecule that it never saw (None: one is made up)
TESTS = {
    1: (("beta-galactosidase",), "beta-galactosidase", "spike"),
    2: (("spike",), "spike", "beta-galactosidase"),
    3: (("beta-galactosidase", "spike"), "beta-galactosidase", None),
    4: (("beta-galactosidase",), "beta-galactosidase", "spike"),
    5: (("microtubule", "microtubule + kinesin"), "microtubule + kinesin", None),
    6: (("nucleosome", "nucleosome + Chd1"), "nucleosome + Chd1", None),
}
FROM_NOISE = 4
NETWORKS = ("posterior", "swinconv", "cgan")
METHODS = ("raw", "Wiener", "blind", "template", *NETWORKS)
TARGETS = 64  # projections that the controls compare with
SITE_IMAGES = 100


class Filter:
    """The Wiener filter of a Bench, used as a denoiser."""

    def __init__(self, bench):
        self.bench = bench

    def denoise(self, images, ctf, pixel_size):
        return self.bench.filtered(images, ctf)


class Blind:
    """The denoiser that knows no structure, told the spectra of a Bench's particles."""

    def __init__(self, bench):
        import torch

        from cryodl.particles.denoisers.blind import load_blind

        blind = load_blind("general_denoiser", torch.device("cpu"))
        blind.measure(bench.particles, bench.contrast)
        self.denoise = blind.denoise


def run(bench):
    """All tests by all ways; then the file of figures, if one is wanted."""
    engine_path()
    for method in METHODS[1:]:  # what needs no training comes first
        for number in bench.options.six_tests:
            bench.once(key(number, method), lambda: measure(bench, number, method))
    if 5 in bench.options.six_tests:
        for method in METHODS:
            bench.once(key("sites", method), lambda: occupancy(bench, method))
    if bench.options.figures:
        found = {name: figures for name, figures in bench.figures.items() if name.startswith("six/")}
        Path(bench.options.figures).write_text(json.dumps(found, indent=1) + "\n")


def key(number, method):
    """Name of a figure."""
    return f"six/{number}/{method}"


def sets_of(bench):
    """Sets with the steps that this part's networks take."""
    return Sets(bench, bench.options.snr_area)


def measure(bench, number, method):
    """Figures of one way in one test: see `figures_of`."""
    learnt, tested, other = TESTS[number]
    sets, cost = sets_of(bench), {}
    ground, targets = ground_of(sets, tested)
    denoiser, cost = denoiser_of(sets, ground, number, method)
    unseen = None if other is None else ground_of(sets, other)[0]
    return dict(figures_of(ground, denoiser, targets, unseen, other), training=cost)


def ground_of(sets, name):
    """evaluate.Bench of a molecule's test particles, without a denoiser, and projections to compare with."""
    from cryodl.core.projections import random_angles
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.denoisers.evaluate import bench_of
    from cryodl.simulate.particle_images import load_projector

    particles = read_particles(sets.particles(name))
    projector, diameter, _ = load_projector(sets.structure(name), particles.pixel_size, particles.box)
    ground, _ = bench_of(particles, projector, None, "bright", diameter / particles.pixel_size)
    targets = projector.project(random_angles(TARGETS, np.random.default_rng(6)), None, particles.box)
    return ground, targets


def denoiser_of(sets, ground, number, method):
    """What denoises by one way, and the cost of its training."""
    import torch

    from cryodl.particles.denoisers import load_denoiser
    from cryodl.simulate.particle_images import load_projector

    learnt, particles = TESTS[number][0], ground.particles
    if method == "Wiener":
        return Filter(ground), {}
    if method == "blind":
        return Blind(ground), {}
    if method == "template":
        from template_matching import TemplateProjection

        known = [load_projector(sets.structure(n), particles.pixel_size, particles.box)[0] for n in learnt]
        return TemplateProjection(known, particles.box, particles.pixel_size), {}
    noise = None
    if number == FROM_NOISE:
        star = sets.root / "sets" / f"noise-{sets.area}" / "particles.star"
        noise = [star if star.exists() else noise_set(sets.particles(learnt[0], training=True), star)]
    model, cost = sets.model(list(learnt), method, particles=noise)
    return load_denoiser(model, torch.device("cpu")), cost


def figures_of(ground, denoiser, targets, unseen, what):
    """Figures of one denoiser: mean FRC and FRC = 0.5 (raw, wiener, denoised), FSC = 0.5 of maps, controls."""
    from cryodl.particles.denoisers.evaluate import measure_bench
    from cryodl.particles.denoisers.evaluate_maps import map_curves
    from cryodl.particles.denoisers.run_controls import OtherMolecule, random_other_molecule, run_controls

    rng = np.random.default_rng(8)
    tested = dataclasses.replace(ground, denoiser=denoiser)
    curves = measure_bench(tested)
    if unseen is None:
        other = random_other_molecule(tested, rng)
    else:
        other = OtherMolecule.of(dataclasses.replace(unseen, denoiser=_of_set(denoiser, unseen)), what)
    control, _ = run_controls(tested, curves, targets, other, rng)
    particles = ground.particles
    return dict(
        count=len(particles),
        mean_frc=curves.means(),
        half={k: v["0.5"] for k, v in curves.resolutions(particles.pixel_size, particles.box).items()},
        map={k: v["0.5"] for k, v in map_curves(tested, "C1")["resolution"].items()},
        **{name: control[name] for name in ("noise", "unrelated", "noise_contrast", "real_similarity", "unseen")},
    )


def _of_set(denoiser, bench):
    """The denoiser, told the spectra of another Bench's particles if it works with those of a set."""
    if isinstance(denoiser, Filter):
        return Filter(bench)
    return Blind(bench) if isinstance(denoiser, Blind) else denoiser


def occupancy(bench, method):
    """ROC AUC of the sites' scores, and the part of the right answers at 0.5."""
    import torch
    from denoising_integrity import rates
    from kinesin_sites import make_sites, site_scores, templates

    from cryodl.io.particle_sets import read_particles

    sets, name = sets_of(bench), TESTS[5][1]
    folder, pixel_size = sets.root / "sets" / f"sites-{sets.area}", MOLECULES[name].pixel_size
    if (folder / "present.npy").exists():
        star, present = folder / "particles.star", np.load(folder / "present.npy")
    else:
        star, present = make_sites(folder, SNR, SITE_IMAGES, pixel_size)
    ground = dataclasses.replace(ground_of(sets, name)[0], particles=read_particles(star))
    images, ctf = ground.prepared(np.arange(len(ground.particles)))
    tubes, kinesins = (torch.from_numpy(x).float() for x in templates(ground.particles))
    if method == "raw":
        scores = site_scores(images, tubes, kinesins, ctf, ground.noise)
    else:
        denoiser, _ = denoiser_of(sets, ground, 5, method)
        scores = site_scores(denoiser.denoise(images, ctf, pixel_size), tubes, kinesins, None, None)
    return dict(rates(scores.ravel() - 0.5, present.ravel()), images=len(scores), sites=present.shape[1])


def tables(bench):
    """Two tables in one text, and what is missing."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from page_rows_denoising import kinesin_sites, six_tests

    found = {name: figures for name, figures in bench.figures.items() if name.startswith("six/")}
    wanted = [key(number, method) for number in TESTS for method in METHODS[1:]]
    wanted += [key("sites", method) for method in METHODS]
    parts = [table(rows[0], rows[1:]) for rows in (six_tests(found), kinesin_sites(found))]
    missing = [name for name in wanted if name not in found]
    return "\n\n".join(parts + [f"not measured: {', '.join(missing)}"] * bool(missing))
