# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl labels-from-classes`: particles of kept and rejected 2-D classes in, a folder of labels out.

The folder is that of `pick-by-hand` (byhand/store.py), with from_classes.json. Only micrographs with particles have
labels. Read both lists of particles, compare them with each other and with the picks, and write the labels."""

import dataclasses
import shlex
import typing
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...contract import (
    LabelsFromClassesConfig,
    LabelsFromClassesOutputs,
    config_to_dict,
    counted,
    some_names,
    write_json,
)
from ...io import coordinates, micrographs, particle_positions
from ...running.runner import Run, command
from ..byhand import from_classes
from ..byhand.store import FROM_CLASSES, HandPicks

_NO_PICKS = np.zeros((0, 2)), np.zeros(0)
FEW = 20  # kept particles; labels of fewer are said to be few


@command
def labels_from_classes(config: LabelsFromClassesConfig, run: Run) -> LabelsFromClassesOutputs:
    folder = Path(config.output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} (--output) exists and is not an empty folder. Choose another name.")
    named = dict(micrographs.named_micrographs(config.micrographs, run.names, config.pixel_size))
    reach = particle_positions.SAME * config.particle_diameter / config.pixel_size
    kept = _particles(config.kept, "--kept", named, config, run)
    classified = _particles(config.classified, "--classified", named, config, run) if config.classified else {}
    picks = (
        coordinates.align_keys(coordinates.read_coordinates(config.coordinates, config.flip_y), named)
        if config.coordinates
        else {}
    )
    with_particles = [(name, path) for name, path in named.items() if name in kept or name in classified]
    shapes = run.each(with_particles, "micrograph", "read", lambda _, path: micrographs.micrograph_shape(path))
    kept, classified = ({k: v for k, v in one.items() if k in shapes} for one in (kept, classified))
    kept = from_classes.within_micrographs(kept, f"{config.kept} (--kept)", named, shapes, config, run)
    classified = from_classes.within_micrographs(
        classified, f"{config.classified} (--classified)", named, shapes, config, run
    )
    if config.coordinates:
        run.warn(
            *from_classes.check_on_picks(kept, picks, shapes, reach, config),
            *from_classes.check_scores(kept, picks, reach, config),
        )
    else:
        run.warn(*from_classes.check_corner([*kept.items(), *classified.items()], shapes, config))
    labels = {}
    for name in shapes:
        good = kept.get(name, from_classes.NOTHING)
        bad = from_classes.rejected_of(classified.get(name, from_classes.NOTHING), good, reach)
        labels[name] = from_classes.labels_of_classes(
            good, bad, picks.get(name, _NO_PICKS), shapes[name], reach, config.minimum_score
        )
    count = lambda one, certain: sum(pick.certain == certain for pick in one.picks)
    made = LabelsFromClassesOutputs(
        folder=config.output,
        certain={name: count(one, True) for name, one in labels.items()},
        removed={name: len(one.removed) for name, one in labels.items()},
        unconfirmed={name: count(one, False) for name, one in labels.items()},
        merged=sum(one.merged for one in labels.values()),
        pixel_size=config.pixel_size,
    )
    if not any(made.certain.values()) and config.minimum_score is not None:
        raise ValueError(
            f"No kept particle has a score of at least {config.minimum_score:g} (--minimum-score). Give a lower one, "
            "or none if the picks have no scores."
        )
    run.warn(*_warnings(config, sum(made.certain.values()), sum(made.removed.values())))
    folder.mkdir(parents=True, exist_ok=True)
    # first: a folder that was not finished is not taken for complete labels
    made_from = dataclasses.replace(config, micrographs=())
    write_json(folder / FROM_CLASSES, dict(command="labels-from-classes", parameters=config_to_dict(made_from)))
    store = HandPicks(config.output, list(labels), by="by 2-D classes")
    for name, one in labels.items():
        store.write(name, one.picks, one.removed, named[name])
    _say(config, made, run)
    return made


def _particles(
    path: str, flag: str, named: Mapping[str, str], config: LabelsFromClassesConfig, run: Run
) -> dict[str, from_classes.Extracted]:
    """{name: Extracted} of the micrographs at hand; what belongs to others is warned of."""
    found = particle_positions.read_particle_positions(path, config.flip_y)
    aligned = coordinates.align_keys(found, named)
    if not set(aligned) & set(named):
        raise ValueError(
            f"No particle of {path} ({flag}) is of these micrographs. Its particles are of {some_names(found)}; the "
            f"micrographs are {some_names(named)}. Names are compared without folder and extension. Give the "
            "micrographs that were picked."
        )
    if others := [key for key in aligned if key not in named]:
        count = sum(len(aligned[key]) for key in others)
        run.warn(
            f"{counted(count, 'particle')} of {path} ({flag}) are of {counted(len(others), 'micrograph')} that are not "
            f"given, and are not used: {some_names(others)}."
        )
    return {
        key: from_classes.placed(one, config.scale, config.pixel_size) for key, one in aligned.items() if key in named
    }


def _warnings(config: LabelsFromClassesConfig, certain: int, removed: int) -> typing.Iterator[str]:
    if not removed and config.classified:
        yield (
            f"All particles of {config.classified} (--classified) are among the kept ones, so nothing teaches what is "
            "no particle. Give the particles as they were before classes were selected."
        )
    elif not removed:
        yield (
            "No particle counts as rejected. Give all particles that were classified (--classified), so that those of "
            "bad classes teach what is no particle."
        )
    if certain < FEW:
        lower = "" if config.minimum_score is None else ", or give a lower --minimum-score"
        yield (
            f"Only {counted(certain, 'kept particle')} of {config.kept} (--kept) became "
            f"{'a label' if certain == 1 else 'labels'}: fewer than {FEW} are little to learn from. Check that these "
            f"are all particles of the good classes{lower}."
        )


def _say(config: LabelsFromClassesConfig, made: LabelsFromClassesOutputs, run: Run) -> None:
    certain, removed, unconfirmed = (sum(counts.values()) for counts in (made.certain, made.removed, made.unconfirmed))
    run.summary(
        f"{counted(certain, 'kept particle')} certain, {counted(removed, 'rejected one')} removed, "
        f"{counted(unconfirmed, 'pick')} unconfirmed, in {counted(len(made.certain), 'micrograph')}: {config.output}."
    )
    if made.merged:
        run.summary(
            f"Left out: {made.merged}, at the position of another kept particle or moved out of the micrograph."
        )
    run.methods(
        f"{counted(certain, 'particle')} of selected 2-D classes were labels, and {counted(removed, 'particle')} of "
        "the other classes examples of what is no particle."
    )
    if config.coordinates and config.minimum_score is None:
        print(
            "Good classes of faint particles also contain noise. If the picks have scores of `cryodl pick`, "
            "--minimum-score 0.5 leaves most of it out."
        )
    words = ["cryodl", "train-picker", "--micrographs", *config.micrographs]
    words += ["--names", *run.names] if run.names else []
    words += ["--coordinates", config.output, "--pixel-size", f"{config.pixel_size:g}"]
    words += ["--particle-diameter", f"{config.particle_diameter:g}", "--start-from", "general", "--output", "MODEL"]
    print(f"Train on them:\n  {shlex.join(words)}")
