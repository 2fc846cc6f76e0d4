# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-integrity`: particles of a complex in; the probability of each composition for each of them out.
Compare all particles with all compositions; a killed run continues."""

import typing
from pathlib import Path

import numpy as np

from ...contract import AssessIntegrityConfig, AssessIntegrityOutputs, counted, write_json
from ...io import files, particle_sets, progress
from ...running.runner import PROGRAM, Run, command
from ..denoisers.plots import plot_probabilities
from ..integrity import calibration, candidates
from ..integrity.assessment import STEP, assessment_of
from ..orientations.explained import ERRORS, SAMPLE, explained_by
from ..orientations.structure import size_notes, tight_notes

CHUNK = 256  # particles whose evidence is kept together: what a stopped run loses at most
PARTS, MEAN = "evidence", "the mean of these compositions"  # folder of the chunks; what stands for all


@command
def assess_integrity(config: AssessIntegrityConfig, run: Run) -> AssessIntegrityOutputs:
    need = ("ctf", "raw", "angles") if config.orientations == "given" else ("ctf", "raw")
    particles = particle_sets.usable(particle_sets.read_particles(config.particles, need=need), run.skip)
    names = list(config.names) or [Path(path).name.split(".")[0] for path in config.structures]
    if len(set(names)) < len(names):
        raise ValueError(f"Two compositions have the same name ({', '.join(names)}). Give different names (--names).")
    assessment = assessment_of(config, particles, run.device)  # what it refuses leaves no folder behind
    print(
        f"Comparing {len(particles)} particles with {len(assessment.projectors)} compositions, "
        + ("near their given angles." if assessment.given else "in all orientations.")
    )
    folder = run.folder(config.particles, *config.structures, *dict.fromkeys(particles.files))
    given = (assessment.candidates.source, assessment.mean, particles.pixel_size, assessment.diameter, run.device)
    explanation, search = explained_by(*given, SAMPLE, STEP)
    doubts = explanation.warnings(config.particles, MEAN)
    # how images that show something else seem to be treated is no advice
    notes = (
        assessment.notes
        + tight_notes(particles.path, particles.box * particles.pixel_size, "The complex", assessment.diameter)
        + (doubts or assessment.candidates.notes)
        + (size_notes(search, config.particles, MEAN, near=not doubts) if explanation.signal >= ERRORS else [])
    )
    run.warn(*notes)
    # another symmetry, as a program of another version may find, means other evidence
    kept = folder / PARTS / assessment.candidates.symmetry
    kept.mkdir(parents=True, exist_ok=True)
    if not (kept / "learnt.json").exists():
        assessment.learn_strength()
        write_json(kept / "learnt.json", dict(strength=assessment.strength))
    assessment.strength = files.read_kept(kept / "learnt.json")["strength"]
    parts = [
        assessment.kept_evidence(kept / f"{start:09d}.npz", np.arange(len(particles))[start : start + CHUNK])
        for start in progress.ProgressBar(range(0, len(particles), CHUNK), unit="chunk", mininterval=1.0)
    ]
    evidence, image = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}, particles.same_images()
    verdict = calibration.judged(evidence["logs"], assessment.made_up(evidence["matrices"], kept), image)
    run.discard(PARTS)
    # made-up particles say nothing of images that show something else
    told = verdict.answers and not doubts
    fractions = dict(fractions=verdict.fractions, fractions_low=verdict.low, fractions_high=verdict.high)
    record = dict(
        names=names,
        count=len(particles),
        told_apart=told,
        counts=dict(zip(names, np.bincount(verdict.probability.argmax(1), minlength=len(names)).tolist()))
        if told
        else {},
        **{key: dict(zip(names, map(float, values))) if told else {} for key, values in fractions.items()},
        separation=float(verdict.probability.max(1).mean()),
        simulated_accuracy=verdict.told,
        strength=assessment.strength * (1 + verdict.strength),
        wobble=assessment.wobble,
        explained=explanation.whole,
        orientations="given" if assessment.given else "search",
        structures=[str(s) for s in config.structures],
    )
    share = f"{100 * verdict.told:.0f} % of made-up particles, as many of each composition, were told"
    reason = (
        f"{share} right, but these particles are not like them (see above). Remove those first that show other things."
        if verdict.answers
        else f"Single images do not tell these compositions apart: only {share} right."
    )
    better = "" if assessment.given else " Angles of a refinement improve it."
    warnings = [
        f"{reason} No particle has a class (rlnClassNumber 0); the probabilities serve to sort them.{better}"
    ] * (not told)
    run.warn(*warnings)
    write_json(folder / "integrity.json", dict(record, warnings=notes + warnings))
    candidates.draw_examples(
        assessment.candidates, assessment.projectors, evidence, names, verdict.probability, folder / "examples.png"
    )
    return _write(run, particles, record, verdict, folder)


def _write(
    run: Run,
    particles: particle_sets.ParticleSet,
    record: dict[str, typing.Any],
    verdict: calibration.CompositionVerdict,
    folder: Path,
) -> AssessIntegrityOutputs:
    """All outputs into the folder. Where the compositions cannot be told apart, particles have no class."""
    probability, names, told = verdict.probability, record["names"], record["told_apart"]
    counts, separation, kind = record["counts"], record["separation"], probability.argmax(1)
    rows = (
        [name, names[row.argmax()] if told else "", *(f"{p:.6f}" for p in row)]
        for name, row in zip(particles.names, probability)
    )
    files.write_csv((folder / "probabilities.csv"), ["name", "composition", *names], rows)
    changes = {
        **particles.without_numbered("cryodlProbability"),  # an earlier run may have had more compositions
        "rlnClassNumber": (kind + 1 if told else 0 * kind).tolist(),
        **{f"cryodlProbability{i + 1}": [f"{p:.6f}" for p in column] for i, column in enumerate(probability.T)},
    }
    plot_probabilities(names, probability, folder / "probabilities.png")
    # its image names are relative to where the folder will be, which has the same parent
    particle_sets.write_particles_star(folder / "particles.star", particles, changes)
    parts = ", ".join(
        f"{name} {100 * part:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        for name, part, low, high in zip(names, verdict.fractions, verdict.low, verdict.high)
    )
    if told:
        said = ", ".join(f"{name}: {number}" for name, number in counts.items())
        run.summary(
            f"Most probable composition of {counted(len(particles), 'particle')}: {said}. {run.config.output}",
            f"About {min(100 * separation, 99):.0f} % of these classes are expected to be correct, if none is junk.",
            f"Fractions of the set, if none is junk (95 % interval): {parts}.",
        )
        run.methods(
            f"The compositions {', '.join(names)} were distinguished for each of "
            f"{counted(len(particles), 'particle')} with {PROGRAM}, from the raw images, with probabilities "
            f"calibrated on simulated particles; fractions: {parts}."
        )
    else:
        run.summary(f"{counted(len(particles), 'particle')} without a class: {run.config.output}")
    return AssessIntegrityOutputs(
        particles=run.at("particles.star"),
        table=run.at("probabilities.csv"),
        integrity=run.at("integrity.json"),
        counts=counts,
        names=list(names),
        separation=separation if told else None,
        pictures=[run.at("probabilities.png"), run.at("examples.png")],
        pixel_size=particles.pixel_size,
    )
