# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of 2-D classes by their scores."""

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import SelectClassesConfig, SelectClassesOutputs, expected_good, particle_cut, write_json
from ...io.particle_sets import ParticleSet, StackWriter, write_particles_star
from ...io.relion_tables import number_columns, whole_column
from ...io.stacks import find_images, read_images, split_names
from ...io.star import read_tables, write_tables
from .results import CLASSES, COUNT, PARTICLES, PROBABILITY, STACK

REJECTED = "rejected.star"
# Outputs that selection.json holds, too.
METRICS = "kept count dropped unclassified noise probability threshold expected_good".split()


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """classes.star. path: of the file. numbers: (k,) int, as in rlnClassNumber of the particles. scores: (k,) from 0 to
    1. counts: (k,) int. images: (k,) names 'number@stack'. columns: all of the table, {name: list of str}."""

    path: str
    numbers: np.ndarray
    scores: np.ndarray
    counts: np.ndarray
    images: typing.Sequence[str]
    columns: dict[str, typing.Sequence[str]]


def read_classes(path: str) -> ClassTable:
    """The ClassTable of a file. Raises FileNotFoundError or ValueError that name the file and what it lacks."""
    columns = next((t for t in read_tables(path).values() if "rlnReferenceImage" in t), {})
    missing = [name for name in ("rlnReferenceImage", "rlnClassNumber", "rlnClassScore", COUNT) if name not in columns]
    if missing:
        raise ValueError(
            f"{path} is not a table of classes with scores: it has no {missing[0]}. Give the classes.star that `cryodl "
            "classify-2d` wrote. Classes of other programs are selected there: RELION's model.star has no such scores."
        )
    scores, numbers, counts = (
        typing.cast("np.ndarray", values)  # none is missing
        for values in (
            number_columns(path, columns, ("rlnClassScore",), "class"),
            whole_column(path, columns, "rlnClassNumber", "class"),
            whole_column(path, columns, COUNT, "class"),
        )
    )
    return ClassTable(str(path), numbers, scores[:, 0], counts, columns["rlnReferenceImage"], dict(columns))


def signal_of(particles: ParticleSet) -> np.ndarray:
    """(n,) probability that each particle shows more than noise; 1 for sets of versions that did not tell it."""
    found = number_columns(str(particles.path), particles.columns, (PROBABILITY,))
    return np.ones(len(particles)) if found is None else found[:, 0]


def write_selection(
    folder: Path, config: SelectClassesConfig, particles: ParticleSet, table: ClassTable, kept: list[int], used: float
) -> SelectClassesOutputs:
    """Write the chosen particles and classes, the other particles, and selection.json, into a working folder. used:
    the threshold. Returns the outputs, with their final paths."""
    classes = typing.cast("np.ndarray", particles.classes)  # select-classes reads no particles without
    of_kept, probabilities = np.isin(classes, kept), signal_of(particles)
    cut = particle_cut(probabilities[of_kept].tolist(), float(probabilities[classes > 0].mean()), config.good_lost)
    chosen = of_kept & (probabilities >= cut)
    write_particles_star(folder / PARTICLES, particles.subset(chosen))
    if not chosen.all():
        write_particles_star(folder / REJECTED, particles.subset(~chosen))
    _write_classes(folder, table, np.nonzero(np.isin(table.numbers, kept))[0], particles.pixel_size)
    unclassified = int((classes == 0).sum())
    every = [
        dict(number=int(n), score=round(float(s), 4), particles=int(c), kept=int(n) in kept)
        for n, s, c in zip(table.numbers, table.scores, table.counts)
    ]
    score_of = dict(zip(table.numbers.tolist(), table.scores.tolist()))
    quality, final = [score_of[number] for number in classes[of_kept].tolist()], Path(config.output)
    made = SelectClassesOutputs(
        particles=str(final / PARTICLES),
        rejected=None if chosen.all() else str(final / REJECTED),
        classes=str(final / CLASSES),
        stack=str(final / STACK),
        selection=str(final / "selection.json"),
        kept=kept,
        count=int(chosen.sum()),
        dropped=int(len(particles) - of_kept.sum()) - unclassified,
        unclassified=unclassified,
        noise=int(of_kept.sum() - chosen.sum()),
        probability=round(cut, 4),
        threshold=round(used, 4),
        expected_good=round(expected_good(quality, (probabilities[of_kept] >= cut).tolist()), 4),
        pixel_size=particles.pixel_size,
    )
    metrics = {name: made[name] for name in METRICS}
    write_json(folder / "selection.json", dict(minimum_particles=config.minimum_particles, classes=every, **metrics))
    return made


def _write_classes(folder: Path, table: ClassTable, rows: np.ndarray, pixel_size: float) -> None:
    """classes.mrcs and classes.star of some rows of a table; the classes keep their numbers."""
    numbers, stacks = split_names([table.images[row] for row in rows])
    images = read_images(
        find_images(table.path, stacks, numbers, words=("average", "stack of averages"))[0], numbers - 1
    )
    with StackWriter(str(folder / STACK), len(rows), images.shape[-1], pixel_size) as stack:
        stack.add(images)
    columns: dict[str, typing.Any] = {name: [values[row] for row in rows] for name, values in table.columns.items()}
    columns["rlnReferenceImage"] = [f"{position + 1:06d}@{STACK}" for position in range(len(rows))]
    write_tables(folder / CLASSES, {"classes": columns})
