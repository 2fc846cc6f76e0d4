# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-templates`: micrographs and a structure, or a diameter, in; one <micrograph>.star each out.

Candidates are kept in candidates/<micrograph>.star, and beside each a record of its input and parameters,
candidates/<micrograph>.json: a micrograph that has not changed is not compared again. The threshold is that of all
micrographs together, so the picks are written last. Result.outputs are the contract's PickTemplatesOutputs.
"""

from __future__ import annotations

import os
import typing
from pathlib import Path

import numpy as np

from ...contract import AllSkipped, PickTemplatesConfig, Result, Skipped, counted, in_words, said_skipped, score_text
from ...contract.result import write_json
from ...io.coordinates import read_coordinates, write_coordinates
from ...io.each_item import each_item
from ...io.files import expand_paths, name_micrographs
from ...io.item_records import earlier_record
from ...io.micrographs import pixel_size_warnings
from ...io.stamps import stamp
from ...io.warn import warn
from ..pickers.kept import PICTURES

if typing.TYPE_CHECKING:
    from ..templates.views import Templates

KIND, CANDIDATES = "candidates by templates", "candidates"
SETTINGS = ("pixel_size", "structure", "particle_diameter", "angular_step", "contrast")
DISTANCE = 0.6  # diameters between picks, if nothing else is asked for


def run(config: PickTemplatesConfig) -> Result:
    """Compare all micrographs that are not done yet, and pick.

    Raises
    ------
    AllSkipped
        No micrograph could be compared.
    ValueError
        The folder holds candidates that were made with other parameters.
    """
    from ...core.devices import set_threads
    from ..templates.views import of_blobs, of_structure

    named = name_micrographs(expand_paths(config.micrographs), config.names)
    folder = Path(config.output)
    (folder / CANDIDATES).mkdir(parents=True, exist_ok=True)
    set_threads()
    settings = _settings(config)
    notes = list(pixel_size_warnings([path for _, path in named], config.pixel_size))
    for note in notes:
        warn(note)
    records = {} if config.overwrite else _earlier(folder, named, settings)
    if config.structure:
        templates = of_structure(config.structure, config.angular_step)
    else:
        templates = of_blobs(float(config.particle_diameter or 0))
    print(
        f"{counted(len(named), 'micrograph')}, {len(records)} of them already picked; "
        f"{counted(len(templates.images), 'template')}, particle diameter {templates.diameter:.0f} Å."
    )
    skipped = _compare([pair for pair in named if pair[0] not in records], config, templates, settings, records)
    if len(skipped) == len(named):
        raise AllSkipped(f"None of the {len(named)} micrographs could be picked. The first: {in_words(skipped[0])}")
    outputs = _pick(config, templates, [n for n, _ in named if n in records], records)
    if config.pictures:
        from ..pickers.pictures import draw_first

        good = [(n, p) for n, p in named if n in records and os.path.exists(p)]
        outputs["pictures"] = draw_first(good, folder, config.pictures, config.pixel_size, templates.diameter)
    notes += [*said_skipped(skipped, "micrograph"), *_nothing_found(outputs, config)]
    return Result("pick-templates", outputs, device="cpu", skipped=tuple(skipped), warnings=tuple(notes))


def _settings(config: PickTemplatesConfig) -> dict[str, typing.Any]:
    """What decides the candidates, {name: value}."""
    values = {key: getattr(config, key) for key in SETTINGS}
    values["minimum_distance"] = config.minimum_distance
    values["structure_stamp"] = stamp(config.structure) if config.structure else None
    return values


def _earlier(folder: Path, named: list, settings: dict[str, typing.Any]) -> dict[str, dict]:
    """{name: record} of the micrographs that were compared before and have not changed."""
    found = {}
    for name, path in named:
        record = earlier_record(
            folder / CANDIDATES / f"{name}.json",
            KIND,
            settings,
            "is not a record of template candidates",
            "has candidates that were made with other parameters",
            "Choose another --output, or pick again with --overwrite.",
        )
        if record is None or not (folder / CANDIDATES / f"{name}.star").exists():
            continue
        # what was found in a micrograph that is gone is there
        if not os.path.exists(path) or record["stamp"] == stamp(path):
            found[name] = record
    return found


def _compare(
    todo: list,
    config: PickTemplatesConfig,
    templates: Templates,
    settings: dict[str, typing.Any],
    records: dict[str, dict],
) -> list[Skipped]:
    """Write candidates and record of each micrograph as it is done, and add it to the records. Returns the Skipped."""

    def compare(name: str, path: str) -> None:
        records[name] = _compare_one(name, path, config, templates, settings)

    def skip(name: str) -> None:
        """Candidates of a replaced micrograph do not stay beside the others."""
        for file in (
            f"{CANDIDATES}/{name}.star",
            f"{CANDIDATES}/{name}.json",
            f"{name}.star",
            f"{PICTURES}/{name}.png",
        ):
            (Path(config.output) / file).unlink(missing_ok=True)

    return each_item(todo, "micrograph", compare, skip)


def _compare_one(
    name: str, path: str, config: PickTemplatesConfig, templates: Templates, settings: dict[str, typing.Any]
) -> dict[str, typing.Any]:
    """The record of one micrograph, which is written after its candidates."""
    from ...io.micrographs import read_micrograph
    from ..templates.match import candidates

    made_of = stamp(path) if os.path.exists(path) else None
    image = read_micrograph(path)
    apart = DISTANCE * templates.diameter if config.minimum_distance is None else config.minimum_distance
    yx, scores, false = candidates(image, config.pixel_size, templates, apart, config.contrast == "dark")
    folder = Path(config.output) / CANDIDATES
    write_coordinates(folder / f"{name}.star", yx, scores, f"cryodl: all candidates of {name}")
    record = dict(
        kind=KIND,
        stamp=made_of,
        settings=settings,
        shape=list(image.shape),
        negative=[round(s, 5) for s in false.tolist()],
    )
    write_json(str(folder / f"{name}.json"), record)
    return record


def _pick(
    config: PickTemplatesConfig, templates: Templates, names: typing.Sequence[str], records: dict[str, dict]
) -> dict[str, typing.Any]:
    """Choose the threshold, write the picks, and return the values of PickTemplatesOutputs."""
    from ...core.geometry import inside
    from ..templates.match import threshold_by_negative

    folder, counts = Path(config.output), dict[str, int]()
    found = {n: next(iter(read_coordinates(folder / CANDIDATES / f"{n}.star").values())) for n in names}
    false = np.concatenate([np.asarray(records[n]["negative"], float) for n in names])
    threshold = config.threshold
    if threshold is None:
        threshold = threshold_by_negative(np.concatenate([scores for _, scores in found.values()]), false)
    for name, (yx, scores) in found.items():
        keep = (scores >= threshold) & inside(yx, records[name]["shape"], config.border / config.pixel_size)
        title = f"cryodl: picks of {name} with a correlation of at least {score_text(threshold)}"
        write_coordinates(folder / f"{name}.star", yx[keep], scores[keep], title)
        counts[name] = int(keep.sum())
    picks, expected_false_picks = sum(counts.values()), int((false >= threshold).sum())
    print(
        f"{counted(picks, 'pick')} in {counted(len(names), 'micrograph')} with a correlation of at least "
        f"{score_text(threshold)}, {expected_false_picks} with inverted contrast: {folder}/<micrograph>.star"
    )
    return dict(
        folder=str(folder),
        coordinates={n: str(folder / f"{n}.star") for n in names},
        candidates={n: str(folder / CANDIDATES / f"{n}.star") for n in names},
        counts=counts,
        picks=picks,
        threshold=threshold,
        expected_false_picks=expected_false_picks,
        particle_diameter=templates.diameter,
        pixel_size=config.pixel_size,
        templates=len(templates.images),
        pictures={},
    )


def _nothing_found(outputs: dict[str, typing.Any], config: PickTemplatesConfig) -> list[str]:
    if outputs["picks"]:
        return []
    return [
        f"There are no picks, assuming {config.contrast} protein (--contrast): no position matches the templates "
        "better than positions in the micrographs with inverted contrast. Check pixel size and diameter, or set a "
        "threshold (--threshold)."
    ]
