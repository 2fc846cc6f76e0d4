# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl classify-2d`: particles in; the same particles with their 2-D class, and the classes' averages, out.

Result.outputs are the contract's Classify2DOutputs.
"""

from __future__ import annotations

import os
import typing
from pathlib import Path

from ...contract import Classify2DConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.particles.classes2d import Classify2DOutputs
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ..classes2d.former import FormerClasses
    from ..classes2d.records import Records

WORK = "work"  # folder in the output's, for what is needed till all is done
NAMED = 20  # unusable particles that are named


def run(config: Classify2DConfig) -> Result:
    """Sort into <output>.partial; a stopped run goes on there. The folder gets its name last."""
    check_output(config.output)
    import numpy as np

    from ...core.devices import choose_device, device_name, set_threads
    from ...io.particle_sets import read_particles
    from ..classes2d.answer import finished_answer, former_of, write_answer
    from ..classes2d.former import (
        SUMS,
        check_members,
        former_settings,
        particle_keys,
        read_former,
        taken_config,
        write_former,
    )
    from ..classes2d.ranker import load_ranker
    from ..classes2d.settings import class_settings

    if config.again and config.classes_from is None:
        raise ValueError("--again needs the folder of an earlier run: give --classes-from.")
    former = None if config.classes_from is None else read_former(config.classes_from)
    if former is not None:
        config = taken_config(config, former)
    particles = read_particles(config.particles)
    adds = former is not None and not config.again  # to the classes of the earlier run
    if not adds and len(particles) < 2 * config.classes:
        raise ValueError(
            f"{config.particles} has {counted(len(particles), 'particle')} for {config.classes} classes (--classes); "
            "at least two for each class are needed, and a few tens are better. Choose fewer classes."
        )
    ranker = load_ranker(config.ranker)  # a missing one is an error before the work
    settings = class_settings(config, particles) if former is None else former_settings(config, particles, former)
    members = particle_keys(particles)
    warnings = [*settings.notes, *(check_members(config, members, former) if former is not None else [])]
    device = choose_device(config.device)
    set_threads(config.threads)
    folder = working_folder(config, [config.particles])
    (folder / WORK).mkdir(exist_ok=True)
    for note in warnings:
        warn(note)
    print(
        f"{'Assigning' if adds else 'Classifying'} {len(particles)} particles {'to' if adds else 'into'} "
        f"{config.classes} classes with detail to {settings.resolution:.1f} Å on {device_name(device)}."
    )
    records, skipped = _records(folder / WORK, settings, config, 0 if adds else 2 * config.classes)
    if former is not None and not config.again:
        work, converged = _assign(records, config, former, device), former.converged
    else:
        work, converged = _classify(records, config, settings, device, former)
    if not converged and not adds:
        warnings.append(
            f"The classes still changed after {counted(config.epochs, 'pass', 'passes')} (--epochs); use more passes "
            "for stable classes."
        )
    answer = finished_answer(work, particles, records, settings, ranker, device, former if adds else None)
    outputs = write_answer(folder, config.output, particles, answer)
    if former is not None and adds:
        members = np.concatenate([former.members, members])
    write_former(folder / SUMS, former_of(config, settings, work, answer, converged, members))
    finish_folder(folder, config.output, WORK)
    print(
        f"Classes: {outputs['classes']}; {sum(score >= 0.5 for score in outputs['scores'])} of {config.classes} "
        "averages have a score of 0.5 or more."
    )
    return Result(
        "classify-2d",
        Classify2DOutputs(
            **outputs,
            assigned=len(records) if adds else 0,
            converged=converged,
            pixel_size=particles.pixel_size,
            box=particles.box,
        ),
        device=device_name(device),
        skipped=tuple(skipped),
        warnings=tuple(warnings + said_skipped(skipped, "particle")),
    )


def _records(
    folder: str | os.PathLike[str], settings: typing.Any, config: Classify2DConfig, minimum: int
) -> tuple[Records, list[Skipped]]:
    """Records, and a Skipped for each particle that has none. Raises ValueError if too few are left."""
    import numpy as np
    from tqdm import tqdm

    from ..classes2d.records import load_or_make

    particles = settings.particles
    with tqdm(total=len(particles), unit="particle", mininterval=1.0) as bar:
        records = load_or_make(Path(folder), particles, settings.scale, bar.update)
    missing = np.setdiff1d(np.arange(len(particles)), records.rows)
    skipped = [
        Skipped(
            particles.names[row],
            str(particles.files[row]),
            f"image {particles.numbers[row] + 1} has non-finite or constant values; it is in no class "
            "(rlnClassNumber 0).",
        )
        for row in missing
    ]
    for one in skipped[:NAMED]:
        warn(in_words(one))
    if len(skipped) > NAMED:
        warn(f"{len(skipped) - NAMED} more particles cannot be used; the result lists them.")
    if len(records) < minimum:
        raise ValueError(
            f"{config.particles}: only {len(records)} of {len(particles)} images can be used (the others have "
            f"non-finite or constant values), too few for {config.classes} classes (--classes). Extract them again."
        )
    return records, skipped


def _assign(records: Records, config: Classify2DConfig, former: FormerClasses, device: torch.device) -> typing.Any:
    from tqdm import tqdm

    from ..classes2d.classify import Classification

    work = Classification(records, config.classes, former.reach_px, config.seed, device)
    with tqdm(total=len(records), unit="particle", mininterval=1.0) as bar:
        work.assign_all(former.bank(device), bar.update, add=True)
    return work


def _classify(
    records: Records, config: Classify2DConfig, settings: typing.Any, device: torch.device, former: FormerClasses | None
) -> typing.Any:
    from ..classes2d.run import classify

    def said(done: typing.Any) -> None:
        print(
            f"{done.classes} classes, pass {done.epoch + 1}: mean score {done.score:.2f}, "
            f"{100 * done.changed:.0f} % changed their class.",
            flush=True,
        )

    bank = None if former is None else former.bank(device)
    return classify(records, config.classes, settings.reach_px, config.epochs, config.seed, device, said, bank)
