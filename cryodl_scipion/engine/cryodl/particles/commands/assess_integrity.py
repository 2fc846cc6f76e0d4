# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-integrity`: particles of a complex in; the probability of each composition for each of them out.
Compare all particles with all compositions; a killed run continues."""

import dataclasses
import json
import os
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import AssessIntegrityConfig, AssessIntegrityOutputs, counted, write_json
from ...core.projections import Projector, rotation_matrices
from ...io import files, particle_sets, progress
from ...likelihood.observed import Observed
from ...likelihood.reference import HalfDisc
from ...runner import PROGRAM, Run, command
from ...simulate.particle_images import voxel_notes
from ..denoisers.plots import plot_probabilities
from ..integrity import calibration, compositions
from ..integrity.candidates import Given, Searched, draw_examples
from ..integrity.evidence import Comparison, Evidence, fitted_amplitude, fitted_priors
from ..orientations.explained import explained_by

STEP = 7.5  # degrees between neighbouring directions of the search
CHUNK = 256  # particles whose evidence is kept together: what a stopped run loses at most
SAMPLE = 96  # particles from which the common strength is learnt
ROUNDS = 3  # of that
SIMULATED, EACH = 240, 60  # particles made up to learn what likelihoods are worth, and at least of each composition
PARTS = "evidence"  # folder of the chunks
MOVED = 1.538  # median length of a vector of three normal numbers of standard deviation 1
STEADY = 1.0  # degrees about each axis: given angles that are so near the truth count as right


@command
def assess_integrity(config: AssessIntegrityConfig, run: Run) -> AssessIntegrityOutputs:
    need = ("ctf", "raw", "angles") if config.orientations == "given" else ("ctf", "raw")
    particles = particle_sets.read_particles(config.particles, need=need)
    names = list(config.names) or [Path(path).name.split(".")[0] for path in config.structures]
    if len(set(names)) < len(names):
        raise ValueError(f"Two compositions have the same name ({', '.join(names)}). Give different names (--names).")
    assessment = _prepare(config, particles, run)  # what it refuses leaves no folder behind
    folder = run.folder(config.particles, *config.structures)
    source, diameter = assessment["candidates"].source, assessment["diameter"]
    explanation = explained_by(source, assessment["mean"], particles.pixel_size, diameter, run.device)
    assessment["explained"] = explanation.whole
    assessment["doubts"] = doubts = explanation.warnings(config.particles, "these compositions")
    # how images that show something else seem to be treated is no advice
    notes = assessment["notes"] + (doubts or assessment["candidates"].notes)
    run.warn(*notes)
    count = len(assessment["candidates"].source.particles)
    (folder / PARTS).mkdir(exist_ok=True)
    learnt = folder / PARTS / "learnt.json"
    if not learnt.exists():
        _learn_amplitude(assessment, count)
        write_json(learnt, dict(strength=assessment["strength"]))
    assessment.update(json.loads(learnt.read_text(encoding="utf-8")))
    parts = [
        _kept_evidence(folder / PARTS / f"{start:09d}.npz", assessment, np.arange(start, min(start + CHUNK, count)))
        for start in progress.ProgressBar(range(0, count, CHUNK), unit="chunk", mininterval=1.0)
    ]
    evidence = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    verdict = calibration.judged(evidence["logs"], _made_up(assessment, evidence, folder))
    run.discard(PARTS)
    return _write(run, particles, names, assessment, evidence, verdict, folder, notes)


def _prepare(config: AssessIntegrityConfig, particles: particle_sets.ParticleSet, run: Run) -> dict[str, typing.Any]:
    """What all particles are compared with: {comparison, candidates, strength, notes, projectors, diameter}."""
    finest = 2 * particles.pixel_size
    densities, diameter, notes = compositions.load_compositions(
        config.structures, particles.pixel_size, particles.box, finest
    )
    notes = [note for path in config.structures for note in voxel_notes(path, particles.pixel_size)] + notes
    projectors = [Projector(density.to(run.device)) for density in densities]
    mean = Projector((sum(densities) / len(densities)).to(run.device))
    given = particles.angles is not None and config.orientations != "search"
    print(
        f"Comparing {len(particles)} particles with {len(densities)} compositions, "
        + ("near their given angles." if given else "in all orientations.")
    )
    candidates = (Given if given else Searched)(particles, mean, diameter, config.contrast, STEP, finest, run.device)
    disc = HalfDisc(particles.box, particles.box * particles.pixel_size / finest, run.device)
    return dict(
        comparison=Comparison(projectors, disc, candidates.gain, STEP, diameter / particles.pixel_size),
        candidates=candidates,
        strength=None,
        notes=notes,
        projectors=projectors,
        mean=mean,
        diameter=diameter,
        given=given,
    )


def _evidence(assessment: dict[str, typing.Any], rows: np.ndarray, matrices: torch.Tensor | None = None) -> Evidence:
    """Evidence of some particles (array of int); its shifts are those of the images as they are in the file. matrices:
    candidates' rotations, searched if None."""
    candidates, comparison = assessment["candidates"], assessment["comparison"]
    observed = candidates.source.observed(rows, comparison.disc)
    offset = candidates.offset(rows)
    observed = Observed(observed.match * comparison.disc.ramp(-offset), observed.weight, comparison.disc)
    matrices = candidates.matrices(rows) if matrices is None else matrices
    found = comparison.evidence(observed, matrices, candidates.shifts, assessment["strength"])
    return dataclasses.replace(found, shifts_yx=found.shifts_yx + offset)


def _learn_amplitude(assessment: dict[str, typing.Any], count: int) -> None:
    """The strength common to all compositions, from a sample, by expectation-maximisation."""
    rows = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int))
    assessment["strength"], matrices = 1.0, assessment["candidates"].matrices(rows)
    for _ in range(ROUNDS):
        found = _evidence(assessment, rows, matrices)
        new = fitted_amplitude(found, fitted_priors(found.logs.cpu()).to(found.logs.device))
        new = min(max(new, assessment["strength"] / 2), assessment["strength"] * 2)
        done = abs(new / assessment["strength"] - 1) < 0.02
        assessment["strength"] = new
        if done:
            return


def _kept_evidence(path: Path, assessment: dict[str, typing.Any], rows: np.ndarray) -> dict[str, np.ndarray]:
    if not path.exists():
        found = _evidence(assessment, rows)
        with files.whole_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, logs=found.logs.cpu(), matrices=found.matrices.cpu(), shifts=found.shifts_yx.cpu())
    with np.load(path) as stored:
        return {key: stored[key] for key in stored.files}


def _made_up(
    assessment: dict[str, typing.Any], evidence: typing.Mapping[str, np.ndarray], folder: Path
) -> calibration.MadeUp:
    """Made-up particles of known composition, compared like the real ones. Where given angles are farther from what
    fits best than those of made-up particles, which have the right ones, these are made again with angles as far off
    (assessment["wobble"], degrees about each axis)."""
    candidates, size = assessment["candidates"], len(assessment["projectors"])
    number = np.arange(max(SIMULATED // size, EACH) * size)
    kinds, strength = number % size, np.array(calibration.STRENGTHS)[number // size % len(calibration.STRENGTHS)]
    assessment["wobble"] = 0.0
    while True:
        wobble = assessment["wobble"]
        amplitudes = assessment["strength"] * (1 + strength)
        made = compositions.simulated(candidates, assessment["projectors"], kinds, amplitudes, wobble)
        other = dict(assessment, candidates=candidates.like(made))
        found = _kept_evidence(folder / PARTS / f"made_up_{wobble:.2f}.npz", other, number)
        if wobble or not assessment["given"]:
            break
        far = [
            _median_turn(*pair) for pair in ((candidates.particles, evidence["matrices"]), (made, found["matrices"]))
        ]
        wobble = np.sqrt(max(far[0] ** 2 - far[1] ** 2, 0)) / MOVED
        if wobble < STEADY:
            break
        assessment["wobble"] = float(wobble)
    return calibration.MadeUp(found["logs"], kinds, strength)


def _median_turn(particles: particle_sets.ParticleSet, matrices: np.ndarray) -> float:
    trace = np.einsum("nij,nij->n", rotation_matrices(particles.poses(np.arange(len(particles)))[0]), matrices)
    return float(np.median(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))))


def _write(
    run: Run,
    particles: particle_sets.ParticleSet,
    names: typing.Sequence[str],
    assessment: dict[str, typing.Any],
    evidence: typing.Mapping[str, np.ndarray],
    verdict: calibration.CompositionVerdict,
    folder: Path,
    notes: list[str],
) -> AssessIntegrityOutputs:
    """All outputs into the folder. Where the compositions cannot be told apart, particles have no class."""
    config: AssessIntegrityConfig = run.config
    probability, told = verdict.probability, _has_answer(assessment, verdict)
    kind = probability.argmax(1)
    counts = {name: int((kind == number).sum()) for number, name in enumerate(names)} if told else {}
    separation = float(probability.max(1).mean())
    rows = (
        [name, names[row.argmax()] if told else "", *(f"{p:.6f}" for p in row)]
        for name, row in zip(particles.names, probability)
    )
    files.write_csv((folder / "probabilities.csv"), ["name", "composition", *names], rows)
    changes = {"rlnClassNumber": (kind + 1 if told else 0 * kind).tolist()}
    changes.update({f"cryodlProbability{i + 1}": [f"{p:.6f}" for p in probability[:, i]] for i in range(len(names))})
    plot_probabilities(names, probability, folder / "probabilities.png")
    draw_examples(
        assessment["candidates"], assessment["projectors"], evidence, names, probability, folder / "examples.png"
    )
    record = dict(
        names=names,
        count=len(particles),
        told_apart=told,
        counts=counts,
        fractions=_by_name(names, verdict.fractions),
        fractions_low=_by_name(names, verdict.low),
        fractions_high=_by_name(names, verdict.high),
        separation=separation,
        simulated_accuracy=verdict.told,
        strength=assessment["strength"] * (1 + verdict.strength),
        wobble=assessment["wobble"],
        explained=assessment["explained"],
        orientations="given" if assessment["given"] else "search",
        structures=[str(s) for s in config.structures],
    )
    warnings = [] if told else [_no_answer(record, verdict.answers)]
    run.warn(*warnings)
    write_json(folder / "integrity.json", dict(record, warnings=notes + warnings))
    # its image names are relative to where the folder will be, which has the same parent
    particle_sets.write_particles_star(folder / "particles.star", particles, changes)
    parts = ", ".join(
        f"{name} {100 * part:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        for name, part, low, high in zip(names, verdict.fractions, verdict.low, verdict.high)
    )
    if told:
        said = ", ".join(f"{name}: {number}" for name, number in counts.items())
        run.summary(
            f"Most probable composition of {counted(len(particles), 'particle')}: {said}. {config.output}",
            f"About {100 * separation:.0f} % of these classes are expected to be correct.",
            f"Fractions of the set (95 % interval): {parts}.",
        )
        run.methods(
            f"The compositions {', '.join(names)} were distinguished for each of "
            f"{counted(len(particles), 'particle')} with {PROGRAM}, from the raw images, with probabilities "
            f"calibrated on simulated particles; fractions: {parts}."
        )
    else:
        run.summary(f"{counted(len(particles), 'particle')} without a class: {config.output}")
    at = lambda name: os.path.join(config.output, name)
    return AssessIntegrityOutputs(
        particles=at("particles.star"),
        table=at("probabilities.csv"),
        integrity=at("integrity.json"),
        counts=counts,
        names=list(names),
        separation=separation if told else None,
        pictures=[at("probabilities.png"), at("examples.png")],
        pixel_size=particles.pixel_size,
    )


def _by_name(names: typing.Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, map(float, values)))


def _has_answer(assessment: typing.Mapping[str, typing.Any], verdict: calibration.CompositionVerdict) -> bool:
    """Whether particles get classes. Made-up ones say nothing of images in which a search finds something else."""
    return verdict.answers and (assessment["given"] or not assessment["doubts"])


def _no_answer(record: dict[str, typing.Any], alike: bool) -> str:
    better = "" if record["orientations"] == "given" else " Angles of a refinement improve it."
    share = f"{100 * record['simulated_accuracy']:.0f} % of made-up particles, as many of each composition, were told"
    reason = (
        f"{share} right, but these particles are not like them (see above)."
        if alike
        else f"Single images do not tell these compositions apart: only {share} right."
    )
    return f"{reason} No particle has a class (rlnClassNumber 0); the probabilities serve to sort them.{better}"
