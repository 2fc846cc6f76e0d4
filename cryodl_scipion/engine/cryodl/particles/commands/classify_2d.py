# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl classify-2d`: particles in; the same particles with their 2-D class, and the classes' averages, out. Sort
into classes, or add to those of an earlier run; a stopped run goes on in its working folder."""

from pathlib import Path

import numpy as np

from ...contract import Classify2DConfig, Classify2DOutputs, counted
from ...io.particle_sets import UNUSABLE, ParticleSet, read_particles
from ...running.runner import PROGRAM, Run, command
from ..classes2d import earlier_classes
from ..classes2d.classify import Classification, Pass, classify
from ..classes2d.records import ClassSettings, Records, class_settings, load_or_make
from ..classes2d.results import finished_answer, former_of, load_ranker, write_answer, write_forming

GOOD = 0.5  # score from which an average counts as good
# likeness of averages: simulated molecules have up to 0.67 with all views (the proteasome), and 0.80 to 0.92 with one
# within 5 degrees
ALIKE = 0.75
WORK = "work"  # folder in the output's, for what is needed till all is done


@command
def classify_2d(config: Classify2DConfig, run: Run) -> Classify2DOutputs:
    if config.again and config.classes_from is None:
        raise ValueError("--again needs the folder of an earlier run: give --classes-from.")
    former = None if config.classes_from is None else earlier_classes.read_former(config.classes_from)
    if former is not None:
        config = earlier_classes.taken_config(config, former)
    particles = read_particles(config.particles, need=("raw",))
    adds = former is not None and not config.again  # to the classes of the earlier run
    if not adds and len(particles) < 2 * config.classes:
        raise ValueError(
            f"{config.particles} has {counted(len(particles), 'particle')} for {config.classes} classes (--classes); "
            "at least two for each class are needed, and a few tens are better. Choose fewer classes."
        )
    ranker = load_ranker()
    settings = (
        class_settings(config, particles)
        if former is None
        else earlier_classes.former_settings(config, particles, former)
    )
    members = earlier_classes.particle_keys(particles)
    run.warn(*settings.notes, *(earlier_classes.check_members(config, members, former) if former is not None else []))
    device, folder = run.device, run.folder(config.particles, *dict.fromkeys(particles.files))
    print(
        f"{'Assigning' if adds else 'Classifying'} {len(particles)} particles {'to' if adds else 'into'} "
        f"{config.classes} classes with detail to {settings.resolution:.1f} Å on {run.device_name}."
    )
    records = _records(folder / WORK, particles, settings, run, config, 0 if adds else 2 * config.classes)
    if former is not None and adds:
        work, converged = Classification(records, config.classes, former.reach_px, run.seed, device), former.converged
        with run.progress(len(records), "particle") as bar:
            work.assign_all(former.bank(device), bar.update, add=True)
        members = np.concatenate([former.members, members])
    else:
        work, converged = _classify(records, config, settings, former, run)
    answer = finished_answer(work, particles, settings, ranker, former if adds else None)
    made = write_answer(folder, config.output, particles, answer, len(records) if adds else 0, converged)
    if not answer.probabilities.any():
        run.warn(f"The images of {config.particles} cannot be told from noise; `select-classes` keeps none of them.")
    sums = former_of(config, settings, work, answer, converged, members)
    earlier_classes.write_former(folder / earlier_classes.SUMS, sums)
    run.discard(WORK)
    _tell(run, config, made, particles.optics is not None)
    if earlier_classes.likeness(sums, answer.quality >= GOOD) > ALIKE:
        run.warn(
            "The averages look like each other: there may be few distinct views (unless the molecule looks alike from "
            "all sides). A first map shows which are missing; a tilted specimen would add some."
        )
    return made


def _tell(run: Run, config: Classify2DConfig, made: Classify2DOutputs, has_ctf: bool) -> None:
    good = [count for count, score in zip(made.counts, made.scores) if count and score >= GOOD]
    run.summary(
        f"{counted(sum(map(bool, made.counts)), 'class', 'classes')} of {counted(made.count, 'particle')}: "
        f"{made.classes}",
        f"{len(good)} averages have a score of at least {GOOD:g}; they contain {sum(good)} particles.",
    )
    run.methods(
        f"Particles were classified into {config.classes} 2-D classes with {PROGRAM}: first by comparison "
        "with single ones, then with aligned class averages, whose CTF was "
        f"{'corrected' if config.correct_ctf and has_ctf else 'not corrected'}."
    )
    if not made.converged and not made.assigned:
        run.warn(
            f"The classes still changed after {counted(config.epochs, 'pass', 'passes')} (--epochs); use more passes "
            "for stable classes."
        )


def _records(
    folder: Path, particles: ParticleSet, settings: ClassSettings, run: Run, config: Classify2DConfig, minimum: int
) -> Records:
    folder.mkdir(exist_ok=True)
    with run.progress(len(particles), "particle") as bar:
        records = load_or_make(folder, settings.particles, settings.scale, bar.update)
    for row in np.setdiff1d(np.arange(len(particles)), records.rows):
        reason = UNUSABLE.format(particles.numbers[row] + 1, "in no class (rlnClassNumber 0)")
        run.skip(particles.names[row], str(particles.files[row]), reason, "particle")
    if len(records) < minimum:
        raise ValueError(
            f"{config.particles}: only {len(records)} of {len(particles)} images can be used (the others have "
            f"non-finite or constant values), too few for {config.classes} classes (--classes). Extract them again."
        )
    return records


def _classify(
    records: Records,
    config: Classify2DConfig,
    settings: ClassSettings,
    former: earlier_classes.FormerClasses | None,
    run: Run,
) -> tuple[Classification, bool]:
    def said(work: Classification, done: Pass) -> None:
        way = f" on the way to {config.classes}" if done.classes != config.classes else ""
        print(
            f"Stage {done.level + 1}, {done.classes} classes{way}, pass {done.epoch + 1}: "
            f"mean score {done.score:.2f}, {100 * done.changed:.0f} % changed their class.",
            flush=True,
        )
        write_forming(records.folder, work, done.level, settings)

    bank = None if former is None else former.bank(run.device)
    return classify(records, config.classes, settings.reach_px, config.epochs, run.seed, run.device, said, bank)
