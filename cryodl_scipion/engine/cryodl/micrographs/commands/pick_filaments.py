# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-filaments`: micrographs in, one <micrograph>.star with segments along filaments each out.

Beside each lies a record of its input and parameters, <micrograph>.json: a micrograph that has not changed is not
picked again. Result.outputs are the contract's PickFilamentsOutputs. Bad micrographs are in Result.skipped.
"""

import os
import typing
from pathlib import Path

from ...contract import AllSkipped, PickFilamentsConfig, Result, counted, in_words, read_card, said_skipped
from ...contract.micrographs.filaments import PickFilamentsOutputs
from ...contract.result import write_json
from ...io.each_item import each_item
from ...io.files import expand_paths, name_micrographs
from ...io.item_records import earlier_record
from ...io.micrographs import pixel_size_warnings
from ...io.model import find_model, read_model
from ...io.stamps import stamp
from ...io.warn import warn
from ..pickers.kept import PICTURES

KIND = "filaments of a micrograph"
SETTINGS = ("pixel_size", "filament_diameter", "contrast", "keep_edges")
BEFORE = {"keep_edges": True}  # what earlier versions did, whose records do not name it


def run(config: PickFilamentsConfig) -> Result:
    """Trace the filaments of all micrographs that are not done yet.

    Raises
    ------
    AllSkipped
        No micrograph could be picked.
    ValueError
        The folder holds filaments that were picked with other parameters.
    """
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    model = find_model(config.model, "filament_picker")
    card = read_card(str(model), "filament_picker")
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(config, card)
    notes = list(pixel_size_warnings([path for _, path in named], config.pixel_size))
    for note in notes:
        warn(note)
    records = {} if config.overwrite else _earlier(folder, named, settings)
    todo = [pair for pair in named if pair[0] not in records]
    print(f"{counted(len(named), 'micrograph')}, {len(records)} of them already picked.")
    skipped: list = []
    device = (
        _pick(todo, config, model, settings, folder, records, skipped, notes) if todo else "none: no network was run"
    )
    if len(skipped) == len(named):
        raise AllSkipped(f"None of the {len(named)} micrographs could be picked. The first: {in_words(skipped[0])}")
    outputs = _outputs(config, model, settings, folder, {n: records[n] for n, _ in named if n in records}, dict(named))
    print(
        f"{counted(sum(outputs['filaments'].values()), 'filament')}, {counted(outputs['segments'], 'segment')} in "
        f"{counted(len(outputs['counts']), 'micrograph')}: {folder}/<micrograph>.star"
    )
    at_edges = sum((outputs["at_edges"] or {}).values())
    if at_edges:
        print(
            f"{counted(at_edges, 'more trace')} left out: along the edge of a carbon film or of a filled margin "
            "(--keep-edges keeps them)."
        )
    warnings = notes + said_skipped(skipped, "micrograph") + _nothing_found(outputs, config)
    return Result("pick-filaments", outputs, device=device, skipped=tuple(skipped), warnings=tuple(warnings))


def _settings(config: PickFilamentsConfig, card: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """What decides the segments, {name: value}."""
    diameter = config.filament_diameter
    own = lambda value, default: default if value is None else value
    return dict(
        {key: getattr(config, key) for key in SETTINGS},
        threshold=own(config.threshold, card["threshold"]),
        minimum_length=own(config.minimum_length, 5.0 * diameter),
        segment_distance=own(config.segment_distance, 0.5 * diameter),
        border=own(config.border, 0.5 * diameter),
        weights_sha256=card["weights_sha256"],
    )


def _earlier(folder: Path, named: list, settings: dict[str, typing.Any]) -> dict[str, dict]:
    """{name: record} of the micrographs that were picked before and have not changed."""
    found = {}
    for name, path in named:
        record = earlier_record(
            folder / f"{name}.json",
            KIND,
            settings,
            "is not the record of picked filaments",
            "has filaments that were picked with other parameters",
            "Choose another --output, or pick again with --overwrite.",
            BEFORE,
        )
        if record is None or not (folder / f"{name}.star").exists():
            continue
        # what was found in a micrograph that is gone is there
        if not os.path.exists(path) or record["stamp"] == stamp(path):
            found[name] = record
    return found


def _pick(
    todo: list,
    config: PickFilamentsConfig,
    model: Path,
    settings: dict[str, typing.Any],
    folder: Path,
    records: dict[str, dict],
    skipped: list,
    notes: list,
) -> str:
    """Write and add the record of each micrograph as it is done. Returns the device in words."""
    from ...core.devices import choose_device, device_name, set_threads
    from ...learning.registry import method_of
    from ..filaments.predict import FilamentPicker
    from ..pickers import load_network

    device = choose_device()
    set_threads()
    card, weights = read_model(model, "filament_picker")
    method = method_of("filament_picker", card["network"])
    picker = FilamentPicker(method, load_network(method, weights, model), device, config.memory, config.contrast)
    print(f"Tracing {config.contrast} filaments on {device_name(device)} with {model}.")

    def pick(name: str, path: str) -> None:
        records[name] = _pick_one(name, path, picker, settings, folder)

    def skip(name: str) -> None:
        """Filaments of a replaced micrograph do not stay beside the others."""
        for file in (f"{name}.star", f"{name}.json", f"{PICTURES}/{name}.png"):
            (folder / file).unlink(missing_ok=True)

    skipped += each_item(todo, "micrograph", pick, skip)
    notes += picker.notes
    return device_name(device)


def _pick_one(
    name: str, path: str, picker: typing.Any, settings: dict[str, typing.Any], folder: Path
) -> dict[str, typing.Any]:
    """The record of one micrograph, which is written after its STAR file."""
    from ...io.micrographs import read_micrograph
    from ..filaments.segments import place_segments, write_segments

    made_of = stamp(path) if os.path.exists(path) else None
    image, pixel_size = read_micrograph(path), settings["pixel_size"]
    traces, at_edges = picker.lines(
        image,
        pixel_size,
        settings["filament_diameter"],
        settings["threshold"],
        settings["minimum_length"],
        settings["keep_edges"],
    )
    segments = place_segments(traces, pixel_size, settings["segment_distance"], image.shape, settings["border"])
    write_segments(str(folder / f"{name}.star"), segments)
    record = dict(
        kind=KIND,
        stamp=made_of,
        settings=settings,
        segments=len(segments.tube),
        filaments=len(segments.lengths),
        length=float(segments.lengths.sum()),
        at_edges=at_edges,
    )
    write_json(str(folder / f"{name}.json"), record)
    return record


def _outputs(
    config: PickFilamentsConfig,
    model: Path,
    settings: dict[str, typing.Any],
    folder: Path,
    records: dict[str, dict],
    paths: dict[str, str],
) -> PickFilamentsOutputs:
    """What the folder holds of these micrographs."""
    pictures: dict[str, str] = {}
    if config.pictures:
        from ..filaments.pictures import draw_filaments

        first = [(n, paths[n]) for n in records][: config.pictures]
        pictures = draw_filaments(first, folder, config.pixel_size)
        print(f"Pictures of {counted(len(first), 'micrograph')}: {folder}/pictures")
    return PickFilamentsOutputs(
        folder=str(folder),
        coordinates={n: str(folder / f"{n}.star") for n in records},
        counts={n: r["segments"] for n, r in records.items()},
        filaments={n: r["filaments"] for n, r in records.items()},
        lengths={n: r["length"] for n, r in records.items()},
        at_edges={n: r.get("at_edges", 0) for n, r in records.items()},
        segments=sum(r["segments"] for r in records.values()),
        model=str(model),
        pictures=pictures,
        **{key: settings[key] for key in ("threshold", "filament_diameter", "segment_distance")},
        pixel_size=config.pixel_size,
    )


def _nothing_found(outputs: PickFilamentsOutputs, config: PickFilamentsConfig) -> list[str]:
    if outputs["segments"]:
        return []
    return [
        f"No filament was found, assuming {config.contrast} protein (--contrast). Check pixel size and filament "
        "diameter, or lower the threshold."
    ]
