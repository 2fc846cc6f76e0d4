# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-map`: a map against its atomic model, and its half-maps against each other.

Measure; with an output folder also write the metrics, with tables and pictures."""

import typing

from ...contract import (
    MAP_METRICS,
    EvaluateMapConfig,
    EvaluateMapOutputs,
    counted,
    half_map_resolutions,
    half_map_verdict,
    resolution_in_words,
    split_verdict,
)
from ...running.runner import PROGRAM, Run, command
from ..measures import measure, report
from ..measures.atoms import check_overlap, read_atoms
from ..measures.doubt import tested_halves
from ..measures.half_map_test import of_their_halves
from ..measures.volume import (
    SAME_MAP,
    Volume,
    check_contrast,
    check_halves,
    check_positive,
    check_same_grid,
    other_position,
    read_mask,
    read_volume,
)

Metrics = dict[str, typing.Any]

MIN_AGREEMENT = 0.1  # local correlation at the atoms, below which map and model are not of one molecule, or apart


@command
def evaluate_map(config: EvaluateMapConfig, run: Run) -> EvaluateMapOutputs:
    run.take_device("cpu")
    metrics, details = map_metrics(config, run)
    if config.output:
        report.write_report(run.folder(continues=False), metrics, details)
    run.summary(*_in_words(metrics))
    run.methods(_methods(metrics))
    of = lambda name, there=True: f"{str(config.output).rstrip('/')}/{name}" if config.output and there else None
    return EvaluateMapOutputs(
        evaluation=of("evaluation.json"),
        fsc05_angstrom=metrics["fsc05_angstrom"],
        fsc0143_angstrom=metrics["fsc0143_angstrom"],
        q_score=metrics["q_score"],
        local_correlation=metrics["local_correlation"],
        before=metrics.get("before"),
        half_maps=metrics.get("half_maps"),
        half_map_test=metrics.get("half_map_test"),
        doubt=of("doubt.mrc", "doubt" in details),
    )


def map_metrics(config: EvaluateMapConfig, run: Run) -> tuple[Metrics, Metrics]:
    """Metrics as JSON holds them, and details for pictures."""
    volume, atoms = read_volume(config.map, config.pixel_size), read_atoms(config.structure)
    check_positive(volume)
    run.warn(*atoms.notes, *check_overlap(volume, atoms))
    mask = None
    if config.mask:
        mask, said = read_mask(config.mask, volume, config.pixel_size)
        run.warn(*said)
    halves = [read_volume(path, config.pixel_size, "half-map") for path in config.half_maps]
    for half in halves:
        check_same_grid(volume, half, "half-map")
        run.warn(*other_position(volume, half, "half-map"))
        if check_contrast(half, volume) > SAME_MAP:
            run.warn(
                f"The map {config.map} and the half-map {half.path} are the same: the metrics of the map are those "
                "of half of the data."
            )
    processed = [read_volume(path, config.pixel_size, "processed half-map") for path in config.processed]
    for half in processed:
        check_same_grid(volume, half, "processed half-map")
    if processed:
        check_halves(processed)
    if halves:
        check_halves(halves)
        if not volume.isotropic:
            run.warn(f"The voxels of {config.map} are not cubic: local resolution was not measured.")
    before = read_volume(config.before, config.pixel_size) if config.before else None
    if before is not None:
        check_same_grid(volume, before, "original map")
        run.warn(*other_position(volume, before, "original map"))
    reference = measure.reference_for(volume, atoms, mask, config.mask_radius)
    measured, details = measure.measure_map(volume, reference)
    metrics = dict(
        map=str(config.map),
        structure=str(config.structure),
        atoms=len(atoms),
        mask=str(config.mask) if config.mask else f"{config.mask_radius:g} Å around the structure",
        **measured,
    )
    details = dict(map=details, volume=volume, reference=reference)
    if before is not None:
        metrics["before"], details["before"] = measure.measure_map(before, reference)
        details["before_volume"] = before
    if metrics["local_correlation"] < MIN_AGREEMENT:
        run.warn(
            f"{config.map} and {config.structure} hardly agree: their local correlation is "
            f"{metrics['local_correlation']:.2f} at the atoms. Check the fit of the model, the map's origin and its "
            "handedness."
        )
    if halves:
        metrics.update(_halves(config, halves, processed, reference, details, run))
    return metrics, details


def _halves(
    config: EvaluateMapConfig,
    halves: typing.Sequence[Volume],
    processed: typing.Sequence[Volume],
    reference: measure.MapReference,
    details: Metrics,
    run: Run,
) -> Metrics:
    found: Metrics = {}
    found["half_maps"], details["half_maps"] = measure.measure_halves(halves, reference.mask, config.resolution)
    run.warn(*measure.dependent(halves, details["half_maps"]["fsc"]))
    if processed:
        data = of_their_halves(processed, halves, reference.mask)
        found["half_map_test"], details["half_map_test"], details["doubt"] = tested_halves(halves, data, reference.mask)
        run.warn(*split_verdict(half_map_verdict(half_map_resolutions(found["half_map_test"]))[1])[1])
    return found


def _in_words(metrics: Metrics) -> typing.Iterator[str]:
    before, halves = metrics.get("before"), metrics.get("half_maps")
    yield f"Against the model ({counted(metrics['atoms'], 'atom')}; mask: {metrics['mask']}):"
    for name, label in MAP_METRICS.items():
        yield f"{label}: {_value(name, metrics)}" + (f"; original {_value(name, before)}" if before else "")
    chains = metrics["q_score_chains"]
    if len(chains) > 1:
        yield "Q-score of the chains: " + ", ".join(f"{name} {q:.2f}" for name, q in list(chains.items())[:20])
    if halves:
        yield f"Half-maps, FSC 0.143: {resolution_in_words(halves['resolution_angstrom'])}"
        local = halves.get("local_resolution_angstrom")
        if local:
            yield (
                f"Local resolution, median (10 % to 90 %): {local['median']:.2f} Å ({local['p10']:.2f} to "
                f"{local['p90']:.2f})"
            )
    if metrics.get("half_map_test"):
        yield from split_verdict(half_map_verdict(half_map_resolutions(metrics["half_map_test"]))[1])[0]


def _value(name: str, metrics: Metrics) -> str:
    return resolution_in_words(metrics[name]) if name.endswith("angstrom") else f"{metrics[name]:.3f}"


def _methods(metrics: Metrics) -> str:
    text = (
        f"The map was compared with its atomic model with {PROGRAM}: their FSC falls to 0.5 at "
        f"{_value('fsc05_angstrom', metrics)}, the mean Q-score is {_value('q_score', metrics)}"
    )
    before, halves = metrics.get("before"), metrics.get("half_maps")
    if before:
        text += (
            f" (before improvement: {_value('fsc05_angstrom', before)} and {_value('q_score', before)}, with the same "
            "mask)"
        )
    if halves:
        text += f"; the FSC of the half-maps falls to 0.143 at {resolution_in_words(halves['resolution_angstrom'])}"
    return text + "."
