# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-map`: a map against its atomic model, and its half-maps against each other."""

import dataclasses
import typing

import numpy as np

from ...contract import EvaluateMapConfig, EvaluateMapOutputs, half_map_resolutions, half_map_verdict, split_verdict
from ...running.runner import Run, command
from ..measures import doubt, half_map_test, measure, report
from ..measures import volume as volumes
from ..measures.atoms import check_overlap, dense_mask, read_atoms

Metrics = dict[str, typing.Any]


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
    volumes.check_density(volume)
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
        run.warn(*measure.misfits(before, reference))
    run.warn(*measure.misfits(volume, reference))
    return reference.mask
