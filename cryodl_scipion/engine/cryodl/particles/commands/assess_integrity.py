# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-integrity`: particles of a complex in; the probability of each composition for each of them out."""

import dataclasses
import json
import os
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import AssessIntegrityConfig, AssessIntegrityOutputs, counted, write_json
from ...core.projections import Projector
from ...io.files import whole_file, write_csv
from ...io.particle_sets import ParticleSet, read_particles, write_particles_star
from ...io.progress import ProgressBar
from ...likelihood.observed import Observed
from ...likelihood.reference import HalfDisc
from ...runner import PROGRAM, Run, command
from ...simulate.particle_images import voxel_notes
from ..denoisers.plots import plot_probabilities
from ..integrity.candidates import Given, Searched, draw_examples
from ..integrity.compositions import learnt_weights, load_compositions
from ..integrity.evidence import Comparison, Evidence, fitted_amplitude, fitted_priors, probabilities, weighted
from ..orientations.explained import explained_by

STEP = 7.5  # degrees between neighbouring directions of the search
CHUNK = 256  # particles whose evidence is kept together: what a stopped run loses at most
SAMPLE = 96  # particles from which the common strength is learnt
ROUNDS = 3  # of that
SIMULATED = 160  # particles made up to learn how sure the answers may be
PARTS = "evidence"  # folder of the chunks
LEARNT = ("strength", "temperature", "search_weight", "simulated_accuracy", "explained")  # what integrity.json keeps
HARDLY = 0.7  # expected part of right classes below which the compositions can hardly be told apart
OVERSTATED = 0.1  # of the classes: by so many more than of made-up particles are said to be right
SEEN = 12.0  # mean log-likelihood, below which the orientation of a single particle is not to be had


@command
def assess_integrity(config: AssessIntegrityConfig, run: Run) -> AssessIntegrityOutputs:
    """Compare all particles with all compositions; a killed run continues."""
    need = ("ctf", "raw", "angles") if config.orientations == "given" else ("ctf", "raw")
    particles = read_particles(config.particles, need=need)
    names = _names(config)
    assessment = _prepare(config, particles, run)  # what it refuses leaves no folder behind
    folder = run.folder(config.particles, *config.structures)
    source, diameter = assessment["candidates"].source, assessment["diameter"]
    explanation = explained_by(source, assessment["mean"], particles.pixel_size, diameter, run.device)
    assessment["explained"] = explanation.whole
    doubts = explanation.warnings(config.particles, "these compositions")
    # how images that show something else seem to be treated is no advice
    notes = assessment["notes"] + (doubts or assessment["candidates"].notes)
    run.warn(*notes)
    evidence = _all_evidence(assessment, folder)
    run.discard(PARTS)
    return _write(run, particles, names, assessment, evidence, folder, notes)


def _names(config: AssessIntegrityConfig) -> list[str]:
    """Names of the compositions. Raises ValueError if two are the same."""
    names = list(config.names) or [Path(path).name.split(".")[0] for path in config.structures]
    if len(set(names)) < len(names):
        raise ValueError(f"Two compositions have the same name ({', '.join(names)}). Give different names (--names).")
    return names


def _prepare(config: AssessIntegrityConfig, particles: ParticleSet, run: Run) -> dict[str, typing.Any]:
    """What all particles are compared with: {comparison, candidates, strength, notes, projectors, diameter}."""
    finest = 2 * particles.pixel_size
    densities, diameter, notes = load_compositions(config.structures, particles.pixel_size, particles.box, finest)
    notes = [note for path in config.structures for note in voxel_notes(path, particles.pixel_size)] + notes
    projectors = [Projector(density.to(run.device)) for density in densities]
    mean = Projector((sum(densities) / len(densities)).to(run.device))
    given = particles.angles is not None and config.orientations != "search"
    print(
        f"Comparing {len(particles)} particles with {len(densities)} compositions, "
        + ("near their given angles." if given else "in all orientations.")
    )
    source = Given if given else Searched
    candidates = source(particles, mean, diameter, config.contrast, STEP, finest, run.device)
    disc = HalfDisc(particles.box, particles.box * particles.pixel_size / finest, run.device)
    comparison = Comparison(projectors, disc, candidates.gain, STEP, diameter / particles.pixel_size)
    return dict(
        comparison=comparison,
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


def _both(assessment: dict[str, typing.Any], rows: np.ndarray) -> tuple[Evidence, torch.Tensor | None]:
    """Evidence of some particles, and the log-likelihoods (m, c) of the whole search, or None."""
    searched = assessment["candidates"].searched(rows, assessment["projectors"], assessment["strength"])
    return _evidence(assessment, rows), searched


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


def _all_evidence(assessment: dict[str, typing.Any], folder: Path) -> dict[str, np.ndarray]:
    """{logs (n, c), calibrated, fine (n, c), as they come, matrices, shifts, as arrays} of all particles, chunk by
    chunk; chunks that are there are not made anew."""
    count = len(assessment["candidates"].source.particles)
    (folder / PARTS).mkdir(exist_ok=True)
    learnt = folder / PARTS / "learnt.json"
    if not learnt.exists():
        _learn_amplitude(assessment, count)
        weights, accuracy = learnt_weights(
            lambda candidates, rows: _both(dict(assessment, candidates=candidates), rows),
            assessment["candidates"],
            assessment["projectors"],
            assessment["strength"],
            SIMULATED,
        )
        learnt_here = dict(strength=assessment["strength"], temperature=weights[0], search_weight=weights[1])
        write_json(learnt, dict(learnt_here, simulated_accuracy=accuracy))
    assessment.update(json.loads(learnt.read_text(encoding="utf-8")))
    parts = []
    for start in ProgressBar(range(0, count, CHUNK), unit="chunk", mininterval=1.0):
        path = folder / PARTS / f"{start:09d}.npz"
        if not path.exists():
            found, coarse = _both(assessment, np.arange(start, min(start + CHUNK, count)))
            weights = assessment["temperature"], assessment["search_weight"]
            logs = weighted(found.logs, coarse, weights).cpu()
            with whole_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(
                    file, logs=logs, fine=found.logs.cpu(), matrices=found.matrices.cpu(), shifts=found.shifts_yx.cpu()
                )
        with np.load(path) as stored:
            parts.append({key: stored[key] for key in stored.files})
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}


def _write(
    run: Run,
    particles: ParticleSet,
    names: typing.Sequence[str],
    assessment: dict[str, typing.Any],
    evidence: typing.Mapping[str, np.ndarray],
    folder: Path,
    notes: list[str],
) -> AssessIntegrityOutputs:
    """All outputs into the folder."""
    config: AssessIntegrityConfig = run.config
    logs = torch.from_numpy(evidence["logs"])
    priors = fitted_priors(logs)
    probability = probabilities(logs, priors).numpy()
    kind = probability.argmax(1)
    counts = {name: int((kind == number).sum()) for number, name in enumerate(names)}
    separation = float(probability.max(1).mean())
    _write_table(folder / "probabilities.csv", particles, names, probability, kind)
    changes = {"rlnClassNumber": (kind + 1).tolist()}
    changes.update({f"cryodlProbability{i + 1}": [f"{p:.6f}" for p in probability[:, i]] for i in range(len(names))})
    plot_probabilities(names, probability, folder / "probabilities.png")
    draw_examples(
        assessment["candidates"], assessment["projectors"], evidence, names, probability, folder / "examples.png"
    )
    record = dict(
        names=names,
        count=len(particles),
        counts=counts,
        priors=priors.tolist(),
        separation=separation,
        mean_probability=dict(zip(names, probability.mean(0).tolist())),
        **{key: assessment[key] for key in LEARNT},
        orientations="given" if assessment["given"] else "search",
        structures=[str(s) for s in config.structures],
        log_likelihood=float(evidence["fine"].max(1).mean()),
    )
    warnings = list(_warnings(record))
    run.warn(*warnings)
    write_json(folder / "integrity.json", dict(record, warnings=notes + warnings))
    # its image names are relative to where the folder will be, which has the same parent
    write_particles_star(folder / "particles.star", particles, changes)
    said = ", ".join(f"{name}: {number}" for name, number in counts.items())
    run.summary(
        f"Most probable composition of {counted(len(particles), 'particle')}: {said}. {config.output}",
        f"About {100 * separation:.0f} % of these classes are expected to be correct.",
    )
    run.methods(
        f"The compositions {', '.join(names)} were distinguished for each of {counted(len(particles), 'particle')} "
        "with "
        f"{PROGRAM}, from the raw images; the most probable was {said}."
    )
    at = lambda name: os.path.join(config.output, name)
    return AssessIntegrityOutputs(
        particles=at("particles.star"),
        table=at("probabilities.csv"),
        integrity=at("integrity.json"),
        counts=counts,
        names=list(names),
        separation=separation,
        pictures=[at("probabilities.png"), at("examples.png")],
        pixel_size=particles.pixel_size,
    )


def _write_table(
    path: str | os.PathLike[str],
    particles: ParticleSet,
    names: typing.Sequence[str],
    probability: np.ndarray,
    kind: np.ndarray,
) -> None:
    found = zip(particles.names, kind, probability)
    rows = ([name, names[number], *(f"{p:.6f}" for p in row)] for name, number, row in found)
    write_csv(path, ["name", "composition", *names], rows)


def _warnings(record: dict[str, typing.Any]) -> typing.Iterator[str]:
    if record["orientations"] == "search" and record["log_likelihood"] < SEEN:
        yield (
            "Single images show too little of these compositions to find their orientation (mean log-likelihood "
            f"{record['log_likelihood']:.1f}, {SEEN:g} are needed). Use the angles of a refinement, or a smaller "
            "pixel size."
        )
    made_up = record["simulated_accuracy"]
    if made_up is not None and record["separation"] - made_up > OVERSTATED:
        yield (
            f"According to the probabilities {100 * record['separation']:.0f} % of the classes are correct, but for "
            f"simulated particles like these only {100 * made_up:.0f} % were. Trust the second value; the angles of "
            "a refinement improve it."
        )
    if record["separation"] < HARDLY:
        yield (
            f"Only {100 * record['separation']:.0f} % of the classes are expected to be correct: single images "
            "hardly distinguish these compositions. Use the probabilities, not the classes."
        )
