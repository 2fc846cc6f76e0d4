# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking of many micrographs by templates: candidates of each, and one threshold for all of them together.

Candidates are kept in candidates/<micrograph>.star, and beside each a record of its input and parameters,
candidates/<micrograph>.json: a micrograph that has not changed is not compared again.
"""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ... import __version__
from ...contract import PickConfig, counted, score_text
from ...contract.micrographs.picking import PickOutputs
from ...core.geometry import inside
from ...io.coordinates import read_coordinates, write_coordinates
from ...io.micrographs import read_micrograph
from ...io.stamps import ItemRecords, Record, stamp, stamp_of
from ...runner import Run
from ..pickers.kept import PICTURES
from ..pickers.pick_record import CANDIDATES
from ..pickers.pictures import draw_first
from .match import candidates, threshold_by_negative
from .views import Templates, of_blobs, of_structure

KIND = "candidates by templates"
SETTINGS = ("pixel_size", "structure", "particle_diameter")
STEP = 24.0  # degrees between neighbouring projections, and between their in-plane rotations
DISTANCE = 0.6  # diameters between picks, if nothing else is asked for
AGAIN = "Choose another --output, or pick again with --overwrite."


def pick_by_templates(config: PickConfig, named: typing.Sequence[tuple[str, str]], run: Run) -> PickOutputs:
    """Compare all micrographs that are not done yet, and pick. named: names and files of micrographs."""
    folder = Path(config.output)
    if config.model not in ("", PickConfig.model):  # Scipion gives none
        run.warn("The model (--model) is not used: templates were chosen (--method).")
    patterns = ("{}.star", "../{}.star", f"../{PICTURES}/{{}}.png")
    files = ItemRecords(folder / CANDIDATES, KIND, _settings(config), *patterns, remedy=AGAIN)
    records = {} if config.overwrite else files.unchanged(named)
    if config.structure:
        templates = of_structure(config.structure, STEP)
    else:
        templates = of_blobs(float(config.particle_diameter or 0))
    print(
        f"{counted(len(named), 'micrograph')}, {len(records)} of them already picked; "
        f"{counted(len(templates.images), 'template')}, particle diameter {templates.diameter:.0f} Å."
    )
    for name, path in run.items([pair for pair in named if pair[0] not in records], "micrograph"):
        with run.item(name, path, files.forget):
            records[name] = _compare(name, path, config, templates, files, run)
    run.require_some(named, "micrograph", "picked")
    done = [(n, p) for n, p in named if n in records]
    there = [(n, p) for n, p in done if Path(p).exists()]
    made = _picked(config, templates, {name: records[name] for name, _ in done})
    pictures = draw_first(there, folder, config.pictures, config.pixel_size, templates.diameter)
    return _said(made, pictures, config, run)


def _settings(config: PickConfig) -> dict[str, typing.Any]:
    """What decides the candidates, {name: value}."""
    values = {key: getattr(config, key) for key in SETTINGS}
    own = dict(angular_step=STEP, contrast=_contrast(config), minimum_distance=config.minimum_distance)
    return dict(values, **own, structure_stamp=stamp(config.structure) if config.structure else None)


def _contrast(config: PickConfig) -> str:
    return "dark" if config.contrast == "auto" else config.contrast


def _compare(name: str, path: str, config: PickConfig, templates: Templates, files: ItemRecords, run: Run) -> Record:
    """The record of one micrograph, which is written after its candidates."""
    run.take_device("cpu")
    made_of, image = stamp_of(path), read_micrograph(path)
    apart = DISTANCE * templates.diameter if config.minimum_distance is None else config.minimum_distance
    yx, scores, false = candidates(image, config.pixel_size, templates, apart, _contrast(config) == "dark")
    write_coordinates(files.folder / f"{name}.star", yx, scores, f"cryodl: all candidates of {name}")
    return files.write(name, made_of, shape=list(image.shape), negative=[round(s, 5) for s in false.tolist()])


def _picked(config: PickConfig, templates: Templates, records: dict[str, Record]) -> PickOutputs:
    """Choose the threshold and write the picks."""
    folder, counts = Path(config.output), dict[str, int]()
    found = {n: next(iter(read_coordinates(folder / CANDIDATES / f"{n}.star").values())) for n in records}
    false = np.concatenate([np.asarray(record["negative"], float) for record in records.values()])
    threshold = config.threshold
    if threshold is None:
        threshold = threshold_by_negative(np.concatenate([scores for _, scores in found.values()]), false)
    for name, (yx, scores) in found.items():
        keep = (scores >= threshold) & inside(yx, records[name]["shape"], config.border / config.pixel_size)
        title = f"cryodl: picks of {name} with a correlation of at least {score_text(threshold)}"
        write_coordinates(folder / f"{name}.star", yx[keep], scores[keep], title)
        counts[name] = int(keep.sum())
    return PickOutputs(
        folder=str(folder),
        coordinates={n: str(folder / f"{n}.star") for n in records},
        candidates={n: str(folder / CANDIDATES / f"{n}.star") for n in records},
        counts=counts,
        picks=sum(counts.values()),
        threshold=threshold,
        threshold_uncertainty=None,
        thresholds=dict.fromkeys(records, threshold),
        particle_diameter=templates.diameter,
        contrast=_contrast(config),
        expected_particles={},
        expected=None,
        model="",
        pictures={},
        picked_diameter=templates.diameter,
        pixel_size=config.pixel_size,
        templates=len(templates.images),
        expected_false_picks=int((false >= threshold).sum()),
    )


def _said(made: PickOutputs, pictures: dict[str, str], config: PickConfig, run: Run) -> PickOutputs:
    run.summary(
        f"{counted(made.picks, 'pick')} in {counted(len(made.counts), 'micrograph')} with a correlation of at least "
        f"{score_text(made.threshold)}, {made.expected_false_picks} with inverted contrast: "
        f"{made.folder}/<micrograph>.star"
    )
    of = f"projections of {Path(config.structure).name}" if config.structure else "round blobs"
    run.methods(
        f"Particles were picked with cryodl {__version__} by correlation with {made.templates} {of}, at a correlation "
        f"coefficient of at least {score_text(made.threshold)}."
    )
    if not made.picks:
        run.warn(
            f"There are no picks, assuming {made.contrast} protein (--contrast): no position matches the templates "
            "better than positions in the micrographs with inverted contrast. Check pixel size and diameter, or set a "
            "threshold (--threshold)."
        )
    return dataclasses.replace(made, pictures=pictures)
