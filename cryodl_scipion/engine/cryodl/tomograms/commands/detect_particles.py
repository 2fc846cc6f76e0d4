# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl detect-particles`: tomograms and a template or a trained detector in, particles' positions out.

A finished tomogram is not searched again, so that tomograms may arrive in several runs; other parameters are refused.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ... import __version__
from ...contract import DetectParticlesConfig, config_to_dict, counted
from ...contract.tomograms.detecting import DetectParticlesOutputs
from ...io.files import expand_paths, name_tomograms
from ...io.tomogram_coordinates import write_coordinates3d
from ...io.tomograms import Tomogram, working_pixel_size
from ...runner import Run, command
from ..detectors.answer import SpeciesFound, detection_columns, detections_in_words
from ..detectors.finder import NetworkFinder
from ..features.volumes import ALL, FolderRecord, join_points, refuse_name_of_all
from ..templates.finder import TemplateFinder

Finder = NetworkFinder | TemplateFinder

INDEX = "detect_particles.json"
FREE = ("tomograms", "output", "names")
CONTROL_WORDS = (
    "Numbers expected in noise are detections in copies of the tomogram with its spectrum and random phases. They "
    "do not include other structures that look like the particle, such as membranes, gold or carbon."
)


@command
def detect_particles(config: DetectParticlesConfig, run: Run) -> DetectParticlesOutputs:
    """Search what is not searched yet."""
    named = name_tomograms(expand_paths(config.tomograms), config.names)
    refuse_name_of_all(named)
    finder = (TemplateFinder if config.template else NetworkFinder)(config, named, run.device)
    run.warn(*finder.notes)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {k.replace("_", " "): v for k, v in config_to_dict(config).items() if k not in FREE}
    record = FolderRecord(folder / INDEX, dict(settings, **finder.identity))
    for name, path in named:
        with run.item(name, path):
            if not record.has(name, [path]):
                _search(config, name, path, folder, record, finder, run)
    run.require_some(named, "tomogram", "searched")
    bad = {each.item for each in run.skipped}
    outputs = _outputs(config, folder, record, [name for name, _ in named if name not in bad], finder)
    _tell(config, outputs, finder, run)
    run.warn(*_warnings(outputs))
    return outputs


def _search(
    config: DetectParticlesConfig, name: str, path: str, folder: Path, record: FolderRecord, finder: Finder, run: Run
) -> None:
    """Write the STAR file of a tomogram."""
    tomogram = Tomogram(path)
    pixel_size, note = working_pixel_size(tomogram, config.pixel_size, finder.typical_pixel_size)
    found, more = finder.search(name, tomogram, pixel_size)
    run.warn(*[note] if note else [], *more)
    found = [one.inside(tomogram.shape, config.border / pixel_size) for one in found]
    columns = detection_columns(name, found, tomogram.shape, pixel_size)
    write_coordinates3d(folder / f"{name}.star", [columns], [pixel_size])
    record.put(name, [path], _entry(name, found, pixel_size))


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
    join_points(folder, record)
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


def _tell(config: DetectParticlesConfig, made: DetectParticlesOutputs, finder: Finder, run: Run) -> None:
    """Summary and methods."""
    for name, counts in sorted(made.counts.items()):
        run.summary(*detections_in_words(name, counts, made.thresholds[name], made.expected_false_detections[name]))
    if any(made.expected_false_detections.values()):
        run.summary(CONTROL_WORDS)
    print(f"Coordinates: {config.output}/<tomogram>.star; {made.particles}.")
    total = sum(sum(counts.values()) for counts in made.counts.values())
    run.methods(
        f"{counted(total, 'particle')} of {', '.join(made.species)} were found in "
        f"{counted(len(made.counts), 'tomogram')} with cryodl {__version__} {finder.in_words}."
    )


def _warnings(outputs: DetectParticlesOutputs) -> typing.Iterator[str]:
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
