# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoised particles: the six tests of the method's authors, all ways side by side; and the speed of denoising."""

import dataclasses

import numpy as np
import torch
from bench import CPU, benchmark, columns, cryodl, grouped, structure_file
from picking_real import slope
from recipes.complexes import SNR, Molecule, Sets, new_folder, noise_set, simulate, train
from template_matching import TemplateProjection

from cryodl.core import projections
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.particles.denoisers import controls, evaluate, load_denoiser
from cryodl.particles.denoisers.blind import load_blind
from cryodl.simulate.particle_images import load_projector

# number: what is learnt, what is tested, the molecule that it never saw (None: one is made up), the test's name
FROM_NOISE = 4
BLIND = 7
TARGETS = 64  # projections that the controls compare with


class Filter:
    """The Wiener filter of a Bench, used as a denoiser."""

    def __init__(self, bench):
        self.bench = bench

    def denoise(self, images, ctf, pixel_size):
        return self.bench.filtered(images, ctf)


class Blind:
    """The denoiser that knows no structure, told the spectra of a Bench's particles."""

    def __init__(self, bench):
        blind = load_blind("general_denoiser", torch.device("cpu"))
        blind.measure(bench.particles, bench.contrast)
        self.denoise = blind.denoise


def ground_of(sets, name, snr=SNR):
    """evaluate.Bench of a molecule's test particles, without a denoiser, and projections to compare with."""
    particles = read_particles(sets.particles(name, snr))
    projector, diameter, _ = load_projector(sets.structure(name), particles.pixel_size, particles.box)
    ground, _ = evaluate.bench_of(particles, projector, None, "bright", diameter / particles.pixel_size)
    return ground, projector.project(projections.random_angles(TARGETS, np.random.default_rng(6)), None, particles.box)


def denoiser_of(sets, ground, number, method):
    """What denoises by one way, and the cost of its training."""
    learnt, particles = TESTS[number][0], ground.particles
    if method == "Wiener":
        return Filter(ground), {}
    if method == "blind":
        return Blind(ground), {}
    if method == "template":
        known = [load_projector(sets.structure(n), particles.pixel_size, particles.box)[0] for n in learnt]
        return TemplateProjection(known, particles.box, particles.pixel_size), {}
    noise = None
    if number == FROM_NOISE:
        star = sets.root / "sets" / "noise" / "particles.star"
        noise = [star if star.exists() else noise_set(sets.particles(learnt[0], training=True), star)]
    model, cost = sets.model(list(learnt), method, particles=noise)
    return load_denoiser(model, torch.device("cpu")), cost


def figures_of(ground, denoiser, targets, unseen, what):
    """Figures of one denoiser: mean FRC and FRC = 0.5 (raw, wiener, denoised), FSC = 0.5 of maps, controls."""
    rng, tested = np.random.default_rng(8), dataclasses.replace(ground, denoiser=denoiser)
    curves = evaluate.measure_bench(tested)
    if unseen is None:
        other = controls.random_other_molecule(tested, rng)
    else:
        other = controls.OtherMolecule.of(dataclasses.replace(unseen, denoiser=_of_set(denoiser, unseen)), what)
    control, _ = controls.run_controls(tested, curves, targets, other, rng)
    particles = ground.particles
    return dict(
        count=len(particles),
        mean_frc=curves.means(),
        half={k: v["0.5"] for k, v in curves.resolutions(particles.pixel_size, particles.box).items()},
        map={k: v["0.5"] for k, v in evaluate.map_curves(tested, "C1")["resolution"].items()},
        **{name: control[name] for name in ("noise", "unrelated", "noise_contrast", "real_similarity", "unseen")},
    )


def _of_set(denoiser, bench):
    """The denoiser, told the spectra of another Bench's particles if it works with those of a set."""
    return type(denoiser)(bench) if isinstance(denoiser, (Filter, Blind)) else denoiser


TESTS = {
    1: (("beta-galactosidase",), "beta-galactosidase", "spike", "(1) beta-galactosidase"),
    2: (("spike",), "spike", "beta-galactosidase", "(2) spike"),
    3: (("beta-galactosidase", "spike"), "beta-galactosidase", None, "(3) both learnt"),
    4: (("beta-galactosidase",), "beta-galactosidase", "spike", "(4) noise learnt"),
    5: (("microtubule", "microtubule + kinesin"), "microtubule + kinesin", None, "(5) microtubule + kinesin"),
    6: (("nucleosome", "nucleosome + Chd1"), "nucleosome + Chd1", None, "(6) nucleosome + Chd1"),
    BLIND: (
        ("spike", "GroEL", "RNA polymerase", "calcium channel"),
        "beta-galactosidase",
        None,
        "(7) four others learnt",
    ),
}
WAYS = {
    "Wiener": "Wiener filter",
    "blind": "`general_denoiser`",
    "template": "template, likeliest *",
    "posterior": "`posterior` *",
    "swinconv": "`swinconv`",
    "cgan": "`cgan`",
}


def six_table(rows):
    """Test by test, way by way; the raw particles of each test stand first."""
    raw = [dict(part[0], way="raw") for (test,), part in grouped(rows, "test").items() if test != BLIND]
    places = [(test, way) for test in TESTS for way in ("raw", *WAYS)]
    angstrom = lambda value: "none" if value is None else f"{value:.1f}"
    which = lambda r: "raw" if r["way"] == "raw" else "denoised"
    unless_raw = lambda column: lambda r: "" if r["way"] == "raw" else column(r)
    shown = {
        "test": lambda r: TESTS[r["test"]][-1],
        "way": lambda r: WAYS.get(r["way"], "raw"),
        "steps": unless_raw(lambda r: r["training"].get("steps") or ""),
        "mean FRC": lambda r: f"{r['mean_frc'][which(r)]:.3f}",
        "over Wiener": unless_raw(lambda r: f"{r['mean_frc']['denoised'] / r['mean_frc']['wiener']:.2f}"),
        "FSC = 0.5 of the map (Å)": lambda r: angstrom(r["map"][which(r)]),
        "noise: FRC - unrelated": unless_raw(lambda r: f"{r['noise'] - r['unrelated']:+.3f}"),
        "noise: contrast (%)": unless_raw(lambda r: f"{100 * r['noise_contrast']:.0f}"),
        "another molecule": unless_raw(lambda r: f"{r['unseen']['similarity'] - r['unseen']['own_similarity']:+.2f}"),
    }
    return columns(shown)(sorted([*raw, *rows], key=lambda r: places.index((r["test"], r["way"]))))


@benchmark(
    cases=lambda: [dict(way=w, test=t) for w in WAYS for t in TESTS if t != BLIND or w == "swinconv"],
    tables={"six-tests": six_table},
    quick=dict(count=8, training=8, swinconv=2, cgan=2, way="posterior"),
)
def six_tests(run, test, way, area="box", count=200, training=1000, swinconv=1500, cgan=None):
    """All ways of denoising, each measured by the same code on the same test particles: FRC with the true projections,
    FSC of its back projection at the true angles, what it makes of noise and of another molecule. (2) is the spike,
    since TRPV1 is not at hand; for (7) the network never saw the molecule. swinconv, cgan: training steps (cgan's own
    number is 21 per particle)."""
    _, tested, other, _ = TESTS[test]
    sets = Sets(run, area, count, training, dict(swinconv=swinconv, cgan=cgan))
    ground, targets = ground_of(sets, tested)
    denoiser, cost = denoiser_of(sets, ground, test, way)
    unseen = None if other is None else ground_of(sets, other)[0]
    return dict(figures_of(ground, denoiser, targets, unseen, other), training=cost)


# ----- sizes and noise
@benchmark(
    cases=dict(molecule=["nucleosome", "beta-galactosidase", "microtubule"], snr=[0.2, 0.05, 0.02]),
    tables={
        "denoised-sizes": columns(
            {
                "molecule": "molecule",
                "diameter (Å)": "diameter:.0f",
                "SNR": "snr:g",
                "mean FRC: raw": "raw:.3f",
                "Wiener filter": "wiener:.3f",
                "`general_denoiser`": "denoised:.3f",
                "over Wiener": lambda r: f"{r['denoised'] / r['wiener']:.2f}",
            }
        )
    },
    quick=dict(count=8),
)
def denoised_sizes(run, molecule, snr, count=80):
    """The shipped denoiser on particles of several sizes (64 px, at 3.5 to 8.5 Å) and SNRs over the box."""
    sets = Sets(run, "box", count)
    ground, _ = ground_of(sets, molecule, snr)
    _, diameter, _ = load_projector(sets.structure(molecule), ground.particles.pixel_size, ground.particles.box)
    means = evaluate.measure_bench(dataclasses.replace(ground, denoiser=Blind(ground))).means()
    return dict({name: means[name] for name in ("raw", "wiener", "denoised")}, diameter=diameter)


# ----- speed
LARGE = Molecule("beta-galactosidase", "8BK7", 0.95, 256)


@benchmark(
    cases=dict(network=["posterior", "swinconv", "cgan"]),
    tables={
        "denoising-speed": columns(
            {
                "network": "network",
                "CPU ms per particle": lambda r: f"{1000 * r['cpu']:.0f}",
                "particles/s of two idle cores (2 / CPU s)": lambda r: f"{2 / r['cpu']:.0f}",
                "start-up CPU s": "start:.0f",
                "peak memory MB": "memory:.0f",
            }
        )
    },
    quick=dict(counts="2 6", box=64),
)
def denoising_speed(run, network, counts="32 160", box=256):
    """CPU seconds of denoising images of 256 x 256 px: the slope between a run over a few and one over more particles;
    reading, CTF, network and writing are in, start-up is not. Networks have weights of two training steps."""
    structure, molecule = structure_file("8BK7"), dataclasses.replace(LARGE, box=box, pixel_size=0.95 * 256 / box)
    few, more = map(int, counts.split())
    star = (
        run.kept(
            f"large {box} {more}",
            lambda path: simulate(structure, molecule, SNR, more, 1, new_folder(path) / "particles.star"),
        )
        / "particles.star"
    )
    folder, runs, particles = run.folder(network), [], read_particles(star)
    train([star], [structure], folder / "model", network, None if network == "posterior" else 2)
    for count in (few, more):
        part = star.with_name(f"first{count}.star")
        write_particles_star(part, particles.subset(np.arange(count)))
        given = ("--particles", part, "--model", folder / "model", "--output", folder / f"{count}.star")
        runs.append((count, *cryodl("denoise", *given, *CPU)[1:]))
    return slope(runs)
