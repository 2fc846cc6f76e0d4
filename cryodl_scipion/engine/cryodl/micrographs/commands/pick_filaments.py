# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-filaments`: micrographs in, one <micrograph>.star with segments along filaments each out.

Beside each lies a record of its input and parameters, <micrograph>.json: a micrograph that has not changed is not
picked again. Trace the filaments of all micrographs that are not done yet."""

import functools
import typing
from pathlib import Path

from ...contract import PickFilamentsConfig, PickFilamentsOutputs, counted, network_words, read_card
from ...io import micrographs, pick_sets, stamps
from ...io.model import find_model, read_model
from ...learning.task import method_of
from ...running.runner import PROGRAM, Run, command
from ..filaments import trace, train
from ..pickers import load_network, pictures

KIND = "filaments of a micrograph"
SETTINGS = ("pixel_size", "filament_diameter", "contrast", "keep_edges")
ABSENT = {"keep_edges": True}  # what version 0.1.0 did, whose records do not name it
AGAIN = "Choose another --output, or pick again with --overwrite."


@command
def pick_filaments(config: PickFilamentsConfig, run: Run) -> PickFilamentsOutputs:
    named = micrographs.named_micrographs(config.micrographs, run.names, config.pixel_size)
    model, folder = find_model(config.model, "filament_picker"), Path(config.output)
    settings = _settings(config, read_card(str(model), "filament_picker"))
    patterns = ("{}.star", f"{pictures.PICTURES}/{{}}.png")
    files = stamps.ItemRecords(folder, KIND, settings, *patterns, remedy=AGAIN, absent=ABSENT)
    files.prepare(named, pick_sets.TUBE.encode())
    named = run.of_one_binning(named, config.pixel_size, files.forget)

    @functools.cache
    def picker() -> train.FilamentPicker:
        card, weights = read_model(model, "filament_picker")
        method = method_of("filament_picker", card["network"])
        print(f"Tracing {config.contrast} filaments on {run.device_name} with {model}.")
        return train.FilamentPicker(method, load_network(method, weights, model), run.device, contrast=config.contrast)

    def pick_one(name: str, path: str) -> stamps.Record:
        made = _pick_one(name, path, picker(), files)
        run.warn(*picker().notes)
        return made

    known = {} if config.overwrite else files.unchanged(named)
    records = run.each(named, "micrograph", "picked", pick_one, known, files.forget, begin=picker)
    # picked, and not gone since
    first = [(name, path) for name, path in named if name in records and Path(path).exists()][: config.pictures]
    made = PickFilamentsOutputs(
        folder=str(folder),
        coordinates={n: str(folder / f"{n}.star") for n in records},
        counts={n: r["segments"] for n, r in records.items()},
        filaments={n: r["filaments"] for n, r in records.items()},
        lengths={n: r["length"] for n, r in records.items()},
        at_edges={n: r.get("at_edges", 0) for n, r in records.items()},
        segments=sum(r["segments"] for r in records.values()),
        model=str(model),
        pictures=trace.draw_filaments(first, folder, config.pixel_size) if first else {},
        threshold=settings["threshold"],
        filament_diameter=settings["filament_diameter"],
        segment_distance=settings["segment_distance"],
        pixel_size=config.pixel_size,
    )
    run.summary(
        f"{counted(sum(made.filaments.values()), 'filament')}, {counted(made.segments, 'segment')} in "
        f"{counted(len(made.counts), 'micrograph')}: {made.folder}/<micrograph>.star"
    )
    run.methods(
        f"Segments along filaments were picked with {PROGRAM}, by "
        f"{network_words('filament_picker', 'unet')} trained on simulated micrographs."
    )
    if at_edges := sum((made.at_edges or {}).values()):
        run.summary(
            f"{counted(at_edges, 'more trace')} left out: along the edge of a carbon film, of a filled margin or of "
            "the field (--keep-edges keeps them)."
        )
    if not made.segments:
        run.warn(
            f"No filament was found, assuming {config.contrast} protein (--contrast). Check pixel size and filament "
            "diameter, or lower the threshold."
        )
    return made


def _settings(config: PickFilamentsConfig, card: typing.Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    diameter, own = config.filament_diameter, lambda value, default: default if value is None else value
    return dict(
        {key: getattr(config, key) for key in SETTINGS},
        threshold=own(config.threshold, card["threshold"]),
        minimum_length=own(config.minimum_length, 5.0 * diameter),
        segment_distance=own(config.segment_distance, 0.5 * diameter),
        border=own(config.border, 0.5 * diameter),
        weights_sha256=card["weights_sha256"],
    )


def _pick_one(name: str, path: str, picker: train.FilamentPicker, files: stamps.ItemRecords) -> stamps.Record:
    made_of, image, settings = stamps.stamp_of(path), micrographs.read_micrograph(path), files.settings
    wanted = [settings[key] for key in ("filament_diameter", "threshold", "minimum_length", "keep_edges")]
    traces, at_edges = picker.lines(image, settings["pixel_size"], *wanted)
    apart, border = settings["segment_distance"], settings["border"]
    segments = trace.place_segments(traces, settings["pixel_size"], apart, image.shape, border)
    trace.write_segments(str(files.folder / f"{name}.star"), segments)
    return files.write(
        name,
        made_of,
        segments=len(segments.tube),
        filaments=len(segments.lengths),
        length=float(segments.lengths.sum()),
        at_edges=at_edges,
    )
