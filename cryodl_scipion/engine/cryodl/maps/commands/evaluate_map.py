# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-map`: a map against its atomic model, and its half-maps against each other."""

import dataclasses
import itertools
import typing

import numpy as np

from ...contract import EvaluateMapConfig, EvaluateMapOutputs, half_map_resolutions, half_map_verdict, split_verdict
from ...running.runner import Run, command
from ..measures import doubt, half_map_test, measure, report
from ..measures import volume as volumes
from ..measures.atoms import check_overlap, dense_mask, read_atoms

Metrics = dict[str, typing.Any]

MIN_AGREEMENT = 0.1  # local correlation at the atoms, below which map and model are not of one molecule, or apart
BETTER = 0.1  # local correlation that a misplaced model gains where it belongs; a fitted one gains none elsewhere
SIZED = 0.025  # local correlation that another pixel size gains: models of the right size gain 0.013 at most
ONE_HAND = 0.5  # local correlation from which on the hand is right: mirrored real maps have 0.34 at most


@command
def evaluate_map(config: EvaluateMapConfig, run: Run) -> EvaluateMapOutputs:
    run.take_device("cpu")
    metrics, details = map_metrics(config, run)
    if config.output:
        report.write_report(run.folder(continues=False), metrics, details)
    run.summary(*report.evaluation_in_words(metrics))
    run.methods(report.evaluation_methods(metrics))
    of = lambda name, there=True: f"{str(config.output).rstrip('/')}/{name}" if config.output and there else None
    found = {field.name: metrics.get(field.name) for field in dataclasses.fields(EvaluateMapOutputs)}
    files: Metrics = dict(evaluation=of("evaluation.json"), doubt=of("doubt.mrc", "doubt" in details))
    return EvaluateMapOutputs(**{**found, **files})


def map_metrics(config: EvaluateMapConfig, run: Run) -> tuple[Metrics, Metrics]:
    """Metrics as JSON holds them, and details for pictures."""
    volume, mask = volumes.read_volume(config.map, config.pixel_size), None
    volumes.check_positive(volume)
    if config.mask:
        mask, said = volumes.read_mask(config.mask, volume, config.pixel_size)
        run.warn(*said)
    halves = [volumes.read_volume(path, config.pixel_size, "half-map") for path in config.half_maps]
    for half in halves:
        run.warn(*volumes.check_same_grid(volume, half, "half-map"))
        if volumes.check_contrast(half, volume) > volumes.SAME_MAP:
            run.warn(
                f"The map {config.map} and the half-map {half.path} are the same: the metrics of the map are those "
                "of half of the data."
            )
    processed = [volumes.read_volume(path, config.pixel_size, "processed half-map") for path in config.processed]
    for half in processed:
        volumes.check_same_grid(volume, half, "processed half-map")
    for both in filter(None, (processed, halves)):
        volumes.check_halves(both)
    if halves and not volume.isotropic:
        run.warn(f"The voxels of {config.map} are not cubic: local resolution was not measured.")
    metrics: Metrics = dict(map=str(config.map), mask=str(config.mask), structure=config.structure)
    details: Metrics = dict(volume=volume)
    if config.structure:
        mask = _against_model(config, volume, mask, metrics, details, run)
    elif mask is None:
        metrics["mask"] = "around what is dense in the half-maps"
        mask = dense_mask(halves[0].data + halves[1].data, volume.voxels_zyx)
    if halves:
        halves = [volumes.above_solvent(half, mask) for half in halves]
        metrics["half_maps"], details["half_maps"] = measure.measure_halves(halves, mask, config.resolution)
        run.warn(*measure.dependent(halves, details["half_maps"]["fsc"]), *measure.unlike(volume, halves))
    if processed:
        data, test = half_map_test.of_their_halves(processed, halves, mask), "half_map_test"
        metrics[test], details[test], details["doubt"] = doubt.tested_halves(halves, data, mask)
        run.warn(*split_verdict(half_map_verdict(half_map_resolutions(metrics[test]))[1])[1])
    return metrics, details


def _against_model(
    config: EvaluateMapConfig,
    volume: volumes.Volume,
    mask: np.ndarray | None,
    metrics: Metrics,
    details: Metrics,
    run: Run,
) -> np.ndarray:
    """Adds the metrics of a map and of the one before against the model, and their details. Returns the mask."""
    atoms = read_atoms(str(config.structure))
    run.warn(*atoms.notes, *check_overlap(volume, atoms))
    before = volumes.read_volume(config.before, config.pixel_size) if config.before else None
    if before is not None:
        run.warn(*volumes.check_same_grid(volume, before, "original map"))
    reference = details["reference"] = measure.reference_for(volume, atoms, mask, config.mask_radius)
    measured, details["map"] = measure.measure_map(volume, reference)
    metrics.update(atoms=len(atoms), **measured)
    if not config.mask:
        metrics["mask"] = f"{config.mask_radius:g} Å around the structure"
    if before is not None:
        metrics["before"], details["before"] = measure.measure_map(before, reference)
        details["before_volume"] = before
        run.warn(*_misfits(before, reference, metrics["before"]["local_correlation"]))
    run.warn(*_misfits(volume, reference, metrics["local_correlation"]))
    return reference.mask


def _misfits(volume: volumes.Volume, reference: measure.MapReference, agreement: float) -> typing.Iterator[str]:
    """Sentences about a map that fits the model better elsewhere, mirrored, with other axes or of another size."""
    map_, model = volume.path, reference.atoms.path
    move, there = measure.better_place(volume, reference)
    offset = ", ".join(f"{d:.1f}" for d in (move * volume.voxels_zyx)[::-1])
    better = f" Moved by ({offset}) Å (x, y, z), it has {there:.2f}." * (there > agreement + BETTER)
    ways = [*(np.diag(1 - 2 * axis) for axis in np.eye(3)), *map(np.array, [*itertools.permutations(np.eye(3))][1:])]
    fits = [measure.better_place(volume, reference, way)[1] for way in ways] if agreement < ONE_HAND else [0.0]
    best, way = max(fits), ways[int(np.argmax(fits))]
    if best > max(agreement, there) + BETTER and (way < 0).any():
        yield (
            f"{map_} is of the other hand than {model}, or the model is turned: their local "
            f"correlation is {agreement:.2f} at the model's atoms, and of the mirrored map {best:.2f}. Fit the "
            "model again; if that does not help, flip the map along one axis, or the model."
        )
    elif best > max(agreement, there) + BETTER:
        yield (
            f"{map_} and {model} have their axes in different orders: their local correlation is {agreement:.2f} "
            f"at the model's atoms, and {best:.2f} where the map's x, y and z are the model's "
            f"{', '.join('xyz'[n] for n in way.argmax(axis=0))}. Write the map again with its axes exchanged."
        )
    elif better or agreement < MIN_AGREEMENT:
        yield (
            f"{map_} and {model} {'agree better elsewhere' if better else 'hardly agree'}: their "
            f"local correlation is {agreement:.2f} at the model's atoms.{better} Check the fit of the model, the map's "
            "origin, its pixel size and its hand."
        )
    scale, sized = measure.better_scale(volume, reference, there)
    if sized > there + SIZED:
        yield (
            f"The pixel size of {map_} may be wrong by some {abs(scale - 1):.0%}: the model {model} fits it with "
            f"a local correlation of {sized:.2f} in place of {there:.2f} where the map's voxels are "
            f"{volume.pixel_size / scale:.4g} in place of {volume.pixel_size:.4g} Å wide. Calibrate the magnification."
        )
