# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-integrity`: particles of a complex in; the probability of each composition for each of them out.
Compare all particles with all compositions; a killed run continues."""

import typing
from pathlib import Path

import numpy as np

from ...contract import AssessIntegrityConfig, AssessIntegrityOutputs, counted, say_if, write_json
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
    source, pixel_size, diameter = assessment.candidates.source, particles.pixel_size, assessment.diameter
    explanation, search = explained_by(source, assessment.mean, pixel_size, diameter, run.device, SAMPLE, STEP)
    doubts = explanation.warnings(config.particles, MEAN)
    # how images that show something else seem to be treated is no advice
    notes = (
        assessment.notes
        + tight_notes(particles.path, particles.box * pixel_size, "The complex", diameter)
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
    # made-up particles say nothing of a set that shows something else
    told, shown = verdict.answers and not doubts, verdict.probability.any(1)
    kind = np.where(told & shown, verdict.probability.argmax(1) + 1, 0)  # 0: without a class
    fractions = dict(fractions=verdict.fractions, fractions_low=verdict.low, fractions_high=verdict.high)
    record = dict(
        names=names,
        count=len(particles),
        told_apart=told,
        counts=dict(zip(names, np.bincount(kind, minlength=len(names) + 1)[1:].tolist())) if told else {},
        **{key: dict(zip(names, map(float, values))) if told else {} for key, values in fractions.items()},
        separation=float(verdict.probability[shown].max(1).mean()),
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
    warnings = say_if(
        not told, f"{reason} No particle has a class (rlnClassNumber 0); the probabilities serve to sort them.{better}"
    ) + say_if(
        told and not shown.all(),
        f"{(~shown).sum()} of {len(particles)} particles show these compositions less than nearly all made-up "
        "particles do: they show something else, lack another part, or have wrong angles. They have no class "
        "(rlnClassNumber 0), probabilities of 0, and no part in the fractions.",
    )
    run.warn(*warnings)
    write_json(folder / "integrity.json", dict(record, warnings=notes + warnings))
    candidates.draw_examples(
        assessment.candidates, assessment.projectors, evidence, names, verdict.probability, folder / "examples.png"
    )
    return _write(run, particles, record, verdict, kind, folder)


def _write(
    run: Run,
    particles: particle_sets.ParticleSet,
    record: dict[str, typing.Any],
    verdict: calibration.CompositionVerdict,
    kind: np.ndarray,
    folder: Path,
) -> AssessIntegrityOutputs:
    """All outputs into the folder. kind: (n,) number of each particle's composition, from 1 on; 0 without a class."""
    probability, names, counts = verdict.probability, record["names"], record["counts"]
    told, separation = record["told_apart"], record["separation"]
    rows = (
        [name, ["", *names][number], *(f"{p:.6f}" for p in row)]
        for name, number, row in zip(particles.names, kind, probability)
    )
    files.write_csv((folder / "probabilities.csv"), ["name", "composition", *names], rows)
    changes = {
        **particles.without_numbered("cryodlProbability"),  # an earlier run may have had more compositions
        "rlnClassNumber": kind.tolist(),
        **{f"cryodlProbability{i + 1}": [f"{p:.6f}" for p in column] for i, column in enumerate(probability.T)},
    }
    plot_probabilities(names, probability[probability.any(1)], folder / "probabilities.png")
    # its image names are relative to where the folder will be, which has the same parent
    particle_sets.write_particles_star(folder / "particles.star", particles, changes)
    parts = ", ".join(
        f"{name} {100 * part:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        for name, part, low, high in zip(names, verdict.fractions, verdict.low, verdict.high)
    )
    if told:
        said = ", ".join(f"{name}: {number}" for name, number in counts.items())
        run.summary(
            f"Most probable composition of {counted(sum(counts.values()), 'particle')}: {said}. {run.config.output}",
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
