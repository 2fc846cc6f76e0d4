# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl select-classes`: 2-D classes with scores in; the particles of the good ones out. Choose the classes and
write their particles."""

from pathlib import Path

import numpy as np

from ...contract import SelectClassesConfig, SelectClassesOutputs, chosen_classes, class_choice_warnings, counted
from ...io.particle_sets import read_particles
from ...running.runner import PROGRAM, Run, command
from ..classes2d.selection import read_classes, signal_of, write_selection


@command
def select_classes(config: SelectClassesConfig, run: Run) -> SelectClassesOutputs:
    table = read_classes(config.classes)
    particles = read_particles(config.particles or str(Path(config.classes).parent / "particles.star"))
    if particles.classes is None:
        raise ValueError(
            f"{particles.path} has no classes (rlnClassNumber). Give a particles.star that `cryodl classify-2d` "
            "wrote (--particles), or its classes.star in its own folder."
        )
    own = np.bincount(particles.classes, minlength=int(table.numbers.max()) + 1)
    if (config.particles and len(own) > table.numbers.max() + 1) or (own[table.numbers] > table.counts).any():
        raise ValueError(
            f"{particles.path} is not of the classes in {config.classes}: it has more classes, or more particles of "
            "one, than these (for a table with some of the rows, leave --particles out). Give particles (--particles) "
            "of the same run, or of a folder that this run added particles to (--classes-from; class numbers are new "
            "after --again)."
        )
    kept, used = chosen_classes(
        table.numbers.tolist(), table.scores.tolist(), table.counts.tolist(), config.threshold, config.minimum_particles
    )
    if not kept:
        raise ValueError(
            f"No class of {config.classes} has a score of {used:g} (--threshold) and enough particles "
            f"(--minimum-particles); the best score is {max(table.scores):.2f}. "
            "Choose a lower threshold, or check whether the picks are particles."
        )
    if not (np.isin(particles.classes, kept) & ((signal_of(particles) > 0) | (not config.good_lost))).any():
        raise ValueError(
            f"No particle of {particles.path} is in one of the kept classes and can be told from noise. Check the "
            "picks, or choose a lower threshold."
        )
    folder = run.folder(config.classes, str(particles.path), continues=False)
    made = write_selection(folder, config, particles, table, kept, used)
    run.warn(*class_choice_warnings(made.expected_good))
    run.summary(
        f"Score of at least {used:.2f}: kept {counted(len(kept), 'class', 'classes')} of "
        f"{np.count_nonzero(table.counts)} with "
        f"{counted(made.count, 'particle')}; {made.dropped} particles of other classes were left out"
        + (f", {made.unclassified} were in no class" if made.unclassified else "")
        + (f", {made.noise} more may show only noise (--good-lost {config.good_lost:g})." if made.noise else ".")
    )
    run.methods(
        f"The {made.count} particles of {len(kept)} 2-D classes with a score of at least {used:.2f} were kept with "
        f"{PROGRAM}."
    )
    return made
