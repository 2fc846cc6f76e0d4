# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl select-classes`: 2-D classes with scores in; the particles of the good ones out.

Result.outputs are the contract's SelectClassesOutputs.
"""

from pathlib import Path

from ...contract import Result, SelectClassesConfig, chosen_classes, class_choice_warnings, counted
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn


def run(config: SelectClassesConfig) -> Result:
    """Write into <output>.partial; the folder gets its name last."""
    check_output(config.output)
    import numpy as np

    from ...io.particle_sets import read_particles
    from ..classes2d.selection import read_classes, write_selection

    table = read_classes(config.classes)
    particles = read_particles(config.particles or str(Path(config.classes).parent / "particles.star"))
    if particles.classes is None:
        raise ValueError(
            f"{particles.path} has no classes (rlnClassNumber). Give a particles.star that `cryodl classify-2d` "
            "wrote (--particles), or its classes.star in its own folder."
        )
    own = np.bincount(particles.classes, minlength=int(table.numbers.max()) + 1)
    if len(own) > table.numbers.max() + 1 or (own[table.numbers] > table.counts).any():
        raise ValueError(
            f"{particles.path} (--particles) is not of the classes in {config.classes}: it has more particles of a "
            "class than these classes count. Give particles of the same run, or of a folder that this run "
            "added particles to (--classes-from; class numbers are new after --again)."
        )
    kept, used = chosen_classes(
        table.numbers.tolist(), table.scores.tolist(), table.counts.tolist(), config.threshold, config.minimum_particles
    )
    if not kept:
        best = max(table.scores)
        raise ValueError(
            f"No class of {config.classes} has a score of {used:g} (--threshold) and "
            f"{counted(config.minimum_particles, 'particle')} (--minimum-particles); the best score is {best:.2f}. "
            "Choose a lower threshold, or check whether the picks are particles."
        )
    if not own[kept].any():
        raise ValueError(
            f"No particle of {particles.path} (--particles) is in one of the kept classes. Choose a lower threshold."
        )
    folder = working_folder(config, [config.classes, particles.path], continues=False)
    outputs = write_selection(folder, config, particles, table, kept, used)
    finish_folder(folder, config.output)
    warnings = class_choice_warnings(outputs.expected_good)
    for warning in warnings:
        warn(warning)
    print(
        f"Score of at least {used:.2f}: kept {counted(len(kept), 'class', 'classes')} of {len(table.numbers)} with "
        f"{counted(outputs.count, 'particle')}; {outputs.dropped} particles of other classes were left out"
        + (f", {outputs.unclassified} were in no class" if outputs.unclassified else "")
        + (f", {outputs.noise} more may show only noise (--good-lost {config.good_lost:g})." if outputs.noise else ".")
    )
    return Result("select-classes", outputs, warnings=tuple(warnings))
