# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl detect-particles`: tomograms and a template or a trained detector in, particles' positions out.

A finished tomogram is not searched again, so that tomograms may arrive in several runs; other parameters are refused.
Result.outputs are the contract's DetectParticlesOutputs. Tomograms that could not be searched are in Result.skipped.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import AllSkipped, DetectParticlesConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.tomograms.detecting import DetectParticlesOutputs
from ...io.files import expand_paths, name_tomograms
from ...io.warn import warn
from ..features.record import FolderRecord
from ..features.volumes import ALL, join_points

if typing.TYPE_CHECKING:
    import torch

    from ..detectors.answer import SpeciesFound
    from ..detectors.finder import NetworkFinder
    from ..templates.finder import TemplateFinder

    Finder = NetworkFinder | TemplateFinder

INDEX = "detect_particles.json"
FREE = ("tomograms", "output", "names", "memory", "device", "threads", "tilt_series_pixel_size")
CONTROL_WORDS = (
    "Numbers expected in noise are detections in copies of the tomogram with its spectrum and random phases. They "
    "do not include other structures that look like the particle, such as membranes, gold or carbon."
)


def run(config: DetectParticlesConfig) -> Result:
    """Search what is not searched yet."""
    from ...contract import config_to_dict
    from ...core.devices import choose_device, device_name, set_threads

    named = name_tomograms(expand_paths(config.tomograms), config.names)
    if "particles" in dict(named):
        raise ValueError(
            "A tomogram has the name 'particles', which the file of all detections uses. Give it another name "
            "(--names)."
        )
    device = choose_device()
    set_threads()
    finder = _finder(config, named, device)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {k.replace("_", " "): v for k, v in config_to_dict(config).items() if k not in FREE}
    record = FolderRecord(folder / INDEX, dict(settings, **finder.identity))
    for note in finder.notes:
        warn(note)
    skipped, notes = _search_all(config, named, folder, record, finder)
    bad = {s.item for s in skipped}
    done = [name for name, _ in named if name not in bad]
    if not done:
        raise AllSkipped(
            f"None of the {counted(len(named), 'tomogram')} could be searched. The first: {in_words(skipped[0])}"
        )
    outputs = _outputs(config, folder, record, done, finder)
    notes = [*finder.notes, *notes, *_warnings(outputs, skipped)]
    if any(outputs["expected_false_detections"].values()):
        print(CONTROL_WORDS)
    total = sum(sum(counts.values()) for counts in outputs["counts"].values())
    print(
        f"{counted(total, 'detection')} in {counted(len(done), 'tomogram')}: {folder}/<tomogram>.star; {folder / ALL}."
    )
    return Result(
        "detect-particles",
        outputs,
        device=device_name(device),
        skipped=tuple(skipped),
        warnings=tuple(dict.fromkeys(notes)),
    )


def _finder(config: DetectParticlesConfig, named: typing.Sequence[tuple[str, str]], device: torch.device) -> Finder:
    from ..detectors.finder import NetworkFinder
    from ..templates.finder import TemplateFinder

    return TemplateFinder(config, named, device) if config.template else NetworkFinder(config, named, device)


def _search_all(
    config: DetectParticlesConfig,
    named: typing.Sequence[tuple[str, str]],
    folder: Path,
    record: FolderRecord,
    finder: Finder,
) -> tuple[list[Skipped], list[str]]:
    """Write one STAR file after the other. Returns the Skipped, and sentences for the user."""
    from ...io.tomogram_coordinates import write_coordinates3d
    from ...io.tomograms import Tomogram, working_pixel_size
    from ..detectors.answer import detection_columns, detections_in_words

    skipped: list[Skipped] = []
    notes: list[str] = []
    for name, path in named:
        try:
            if record.has(name, [path]):
                continue
            tomogram = Tomogram(path)
            pixel_size, note = working_pixel_size(tomogram, config.pixel_size, finder.typical_pixel_size)
            found, more = finder.search(name, tomogram, pixel_size)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            print(f"Skipped {in_words(skipped[-1])}")
            continue
        notes += [*([note] if note else []), *more]
        for sentence in more:
            warn(sentence)
        found = [one.inside(tomogram.shape, config.border / pixel_size) for one in found]
        print(detections_in_words(name, found))
        columns = detection_columns(name, found, tomogram.shape, pixel_size)
        write_coordinates3d(folder / f"{name}.star", [columns], [pixel_size], config.tilt_series_pixel_size)
        entry = _entry(name, found, pixel_size)
        record.put(name, [path], dict(entry, tilt_series_pixel_size=config.tilt_series_pixel_size))
    return skipped, notes


def _entry(name: str, found: typing.Sequence[SpeciesFound], pixel_size: float) -> dict[str, typing.Any]:
    return dict(
        file=f"{name}.star",
        pixel_size=pixel_size,
        counts={one.name: len(one) for one in found},
        thresholds={one.name: one.threshold for one in found},
        by_chance={one.name: one.expected_false for one in found if one.expected_false is not None},
        diameters={one.name: one.diameter for one in found},
    )


def _outputs(
    config: DetectParticlesConfig, folder: Path, record: FolderRecord, done: typing.Sequence[str], finder: Finder
) -> DetectParticlesOutputs:
    join_points(folder, record, config.tilt_series_pixel_size)
    items = {name: record.items[name] for name in done}
    sizes = {item["pixel_size"] for item in items.values()}
    each = lambda key: {name: item[key] for name, item in items.items()}
    return DetectParticlesOutputs(
        files={name: str(folder / item["file"]) for name, item in items.items()},
        particles=str(folder / ALL),
        method="template" if config.template else "network",
        species=list(finder.species),
        counts=each("counts"),
        thresholds=each("thresholds"),
        expected_false_detections=each("by_chance"),
        diameters=next(iter(each("diameters").values())),
        pixel_size=sizes.pop() if len(sizes) == 1 else None,
        angular_step=finder.angular_step,
        orientations=finder.orientations,
        model=config.model,
    )


def _warnings(outputs: typing.Mapping[str, typing.Any], skipped: list[Skipped]) -> typing.Iterator[str]:
    yield from said_skipped(skipped, "tomogram")
    for species in outputs["species"]:
        without = [name for name, counts in outputs["counts"].items() if not counts.get(species)]
        if without:
            yield (
                f"No {species} was found in {len(without)} of {len(outputs['counts'])} tomograms "
                f"({', '.join(without[:5])}{' ...' if len(without) > 5 else ''}): no score reached the threshold."
            )
        doubtful = [
            name
            for name, counts in outputs["counts"].items()
            if counts.get(species)
            and outputs["expected_false_detections"][name].get(species, 0) > 0.5 * counts[species]
        ]
        if doubtful:
            yield (
                f"In {', '.join(doubtful[:5])}, noise alone is expected to give more than half of the detections of "
                f"{species}. Raise the threshold (--threshold)."
            )
