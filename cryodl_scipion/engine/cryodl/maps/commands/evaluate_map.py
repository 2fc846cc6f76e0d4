# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-map`: a map against its atomic model, and its half-maps against each other.

Result.outputs are the contract's EvaluateMapOutputs. Only the half-map test has a network to run; without it
the device is the CPU, whatever was asked for.
"""

from __future__ import annotations

import json
import typing

from ...contract import EvaluateMapConfig, Result, half_map_resolutions, half_map_verdict, split_verdict
from ...contract.maps.evaluating import EvaluateMapOutputs

if typing.TYPE_CHECKING:
    import torch

    from ..improvers.run import Improver
    from ..measures.measure import MapReference
    from ..measures.volume import Volume

INVERTED = -0.1  # correlation of a half-map with the other, or with the map, below which one is upside down
SAME = 0.99999  # correlation of a map with itself after a change of its numbers' format
MIN_AGREEMENT = 0.1  # local correlation at the atoms, below which map and model are not of one molecule, or apart


def run(config: EvaluateMapConfig) -> Result:
    """Print the metrics; with an output folder also write them, with tables and pictures."""
    from ...core.devices import choose_device, device_name, set_threads
    from ...io.unfinished import check_output, finish_folder, working_folder

    if config.output:
        check_output(config.output)
    device = choose_device(None if config.improver else "cpu")
    set_threads()
    metrics, details, warnings = map_metrics(config, device)
    if config.output:
        from ..measures.report import write_report

        folder = working_folder(config, continues=False)
        write_report(folder, metrics, details)
        finish_folder(folder, config.output)
    if config.json:
        print(json.dumps(dict(metrics, warnings=warnings), indent=2))
    else:
        print_metrics(metrics)
    evaluation = f"{str(config.output).rstrip('/')}/evaluation.json" if config.output else None
    outputs = EvaluateMapOutputs(
        evaluation=evaluation,
        **{
            name: metrics.get(name)
            for name in (
                "fsc05_angstrom",
                "fsc0143_angstrom",
                "q_score",
                "local_correlation",
                "before",
                "half_maps",
                "half_map_test",
            )
        },
    )
    return Result("evaluate-map", outputs, device=device_name(device), warnings=tuple(warnings))


def map_metrics(
    config: EvaluateMapConfig, device: torch.device
) -> tuple[dict[str, typing.Any], dict[str, typing.Any], list[str]]:
    """Metrics as JSON holds them, details for pictures, and sentences for the user.

    config: EvaluateMapConfig. device: torch.device of the half-map test.
    """
    from ..measures.atoms import check_overlap, read_atoms
    from ..measures.measure import measure_map, reference_for
    from ..measures.volume import check_positive, check_same_grid, other_position, read_mask, read_volume

    volume, atoms = read_volume(config.map, config.pixel_size), read_atoms(config.structure)
    check_positive(volume)
    warnings = [*atoms.notes, *check_overlap(volume, atoms)]
    mask = None
    if config.mask:
        mask, said = read_mask(config.mask, volume, config.pixel_size)
        warnings += said
    halves, said = _read_halves(config, volume)
    warnings += said
    improver = _improver(config, device)
    before = read_volume(config.before, config.pixel_size) if config.before else None
    if before is not None:
        check_same_grid(volume, before, "original map")
        warnings += other_position(volume, before, "original map")
    reference = reference_for(volume, atoms, mask, config.mask_radius)
    metrics, details = measure_map(volume, reference)
    metrics = dict(
        map=str(config.map),
        structure=str(config.structure),
        atoms=len(atoms),
        mask=str(config.mask) if config.mask else f"{config.mask_radius:g} Å around the structure",
        **metrics,
    )
    details = dict(map=details, volume=volume, reference=reference)
    if before is not None:
        metrics["before"], details["before"] = measure_map(before, reference)
        details["before_volume"] = before
    if metrics["local_correlation"] < MIN_AGREEMENT:
        warnings.append(
            f"{config.map} and {config.structure} hardly agree: their local correlation is "
            f"{metrics['local_correlation']:.2f} at the atoms. Check the fit of the model, the map's origin and its "
            "handedness."
        )
    if halves:
        found, sentences = _halves(config, halves, reference, details, improver)
        metrics.update(found)
        warnings += sentences
    return metrics, details, warnings


def _improver(config: EvaluateMapConfig, device: torch.device) -> Improver | None:
    from ..improvers.run import load_improver

    return load_improver(config.improver, device) if config.improver else None


def _read_halves(config: EvaluateMapConfig, volume: Volume) -> tuple[list[Volume], list[str]]:
    """The half-maps, [] if there are none, and sentences for the user. Raises ValueError if they do not fit."""
    from ..measures.volume import check_same_grid, other_position, read_volume

    halves = [read_volume(path, config.pixel_size, "half-map") for path in config.half_maps]
    sentences = []
    for half in halves:
        check_same_grid(volume, half, "half-map")
        sentences += other_position(volume, half, "half-map")
        if check_contrast(half, volume) > SAME:
            sentences.append(
                f"The map {config.map} and the half-map {half.path} are the same: the metrics of the map are those "
                "of half of the data."
            )
    if halves:
        check_halves(halves)
        if not volume.isotropic:
            sentences.append(f"The voxels of {config.map} are not cubic: local resolution was not measured.")
    return halves, sentences


def _halves(
    config: EvaluateMapConfig,
    halves: typing.Sequence[Volume],
    reference: MapReference,
    details: dict[str, typing.Any],
    improver: Improver | None,
) -> tuple[dict[str, typing.Any], list[str]]:
    """Metrics of the half-maps, and of the half-map test if there is an improver; and sentences for the user."""
    from ..measures.half_map_test import half_map_test
    from ..measures.measure import dependent, measure_halves

    found: dict[str, typing.Any] = {}
    found["half_maps"], details["half_maps"] = measure_halves(halves, reference.mask, config.resolution)
    sentences = dependent(halves, details["half_maps"]["fsc"])
    if improver is not None:
        improved = [improver.improve(half) for half in halves]
        test, details["half_map_test"], shared = half_map_test(halves, improved, reference.mask)
        test = found["half_map_test"] = dict(test, **shared.metrics())
        sentences += split_verdict(half_map_verdict(half_map_resolutions(test))[1])[1]
    return found, sentences


def check_contrast(half: Volume, volume: Volume) -> float:
    """The correlation of a half-map with the map of all data, on the same grid; above SAME they are one map. Raises
    ValueError if it is upside down."""
    import numpy as np

    found = float(np.corrcoef(half.data.ravel(), volume.data.ravel())[0, 1])
    if found < INVERTED:
        raise ValueError(
            f"The half-map {half.path} and the map {volume.path} have opposite contrast: their correlation is "
            f"{found:.2f}. Invert the one whose protein is negative (relion_image_handler --multiply_constant -1)."
        )
    return found


def check_halves(halves: typing.Sequence[Volume]) -> None:
    """Raises ValueError if both half-maps are the same map, so that nothing would be measured, or of opposite
    contrast."""
    if check_contrast(*halves) > SAME:
        raise ValueError(
            f"The half-maps {halves[0].path} and {halves[1].path} are the same map. Give the two maps of "
            "independent halves of the data."
        )


def print_metrics(metrics: typing.Mapping[str, typing.Any]) -> None:
    """The metrics as a table in words."""
    angstrom = lambda value: "not reached" if value is None else f"{value:.2f} Å"
    columns = [("map", metrics)] + ([("before", metrics["before"])] if metrics.get("before") else [])
    print(f"{'':44}" + "".join(f"{name:>14}" for name, _ in columns))
    for label, name in (
        ("map-model FSC 0.5, masked", "fsc05_angstrom"),
        ("map-model FSC 0.143, masked", "fsc0143_angstrom"),
        ("map-model FSC 0.5, whole box", "fsc05_unmasked_angstrom"),
    ):
        print(f"{label:44}" + "".join(f"{angstrom(values[name]):>14}" for _, values in columns))
    for label, name in (
        ("Q-score, mean of the atoms", "q_score"),
        ("local correlation at the atoms", "local_correlation"),
    ):
        print(f"{label:44}" + "".join(f"{values[name]:14.3f}" for _, values in columns))
    halves = metrics.get("half_maps")
    if halves:
        local = halves.get("local_resolution_angstrom")
        print(f"{'half-maps, FSC 0.143':44}{angstrom(halves['resolution_angstrom']):>14}")
        if local:
            print(
                f"{'local resolution, median (10 % to 90 %)':44}{angstrom(local['median']):>14}  "
                f"({local['p10']:.2f} to {local['p90']:.2f})"
            )
    test = half_map_resolutions(metrics.get("half_map_test"))
    for name in [name for name in test if name not in ("gain", "unexplained")]:
        print(f"{'half-map test, ' + name + ', FSC 0.143':44}{angstrom(test[name]):>14}")
    if test:
        for sentence in split_verdict(half_map_verdict(test)[1][1:])[0]:
            print(sentence)
