# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl compare-picks`: several sets of picks against a reference and against each other.

Result.outputs are the contract's ComparePicksOutputs.
"""

import dataclasses
import json
import typing
from pathlib import Path

import numpy as np

from ...contract import ComparePicksConfig, Result
from ...contract.micrographs.comparing import ComparePicksOutputs
from ...contract.result import write_json
from ...core.matching import precision_recall, score_matched
from ...io.coordinates import align_keys, read_coordinates
from ...io.pick_sets import lacking_in_words, name_sets, read_pick_sets
from ..compare.agreement import agreement_matrix, match_micrographs, pooled, within_border
from .evaluate_picks import (
    candidates_beside,
    check_common,
    match_distance,
    micrograph_shapes,
    print_table,
    read_reference,
)


def run(config: ComparePicksConfig) -> Result:
    """Print the metrics and the agreement of each pair; write them and their pictures if there is an output folder."""
    comparison, curves = compare(config)
    if config.json:
        print(json.dumps(comparison, indent=2))
    else:
        _print(comparison)
    files: dict[str, str | None] = dict(folder=None, comparison=None, agreement_plot=None, curves_plot=None)
    if config.output:
        files = _write(Path(config.output), comparison, curves)
    return Result("compare-picks", ComparePicksOutputs(**{**comparison, **files}), warnings=tuple(comparison["notes"]))


def compare(
    config: ComparePicksConfig,
) -> tuple[dict[str, typing.Any], dict[str, tuple[np.ndarray, np.ndarray, tuple[float, float]]]]:
    """The comparison as a dict that JSON can hold, and the curves of the sets.

    config: ComparePicksConfig. Returns the dict (see the module), and {set: (precision, recall, point)}: the curve over
    all scores, of the candidates where there are any, and (recall, precision) of the picks themselves; empty without a
    reference.
    """
    shapes, distance = micrograph_shapes(config), match_distance(config)
    reference = read_reference(config, shapes) if config.reference else None
    sets = _aligned(read_pick_sets(config.picks), reference if reference is not None else shapes)
    names = list(reference if reference is not None else shapes or _all_names(sets))
    if reference is not None:
        for name, path in name_sets(config.picks).items():
            check_common(path, sets[name], config, reference)
    notes = lacking_in_words(sets, names) + _elsewhere(sets, names)
    sets = {name: within_border(picks, shapes, config.border) for name, picks in sets.items()}
    metrics, candidates, curves = dict[str, typing.Any](), dict[str, typing.Any](), dict[str, typing.Any]()
    if reference is not None:
        metrics, candidates, curves = _against(reference, sets, config, shapes, distance)
    counts = {name: sum(len(picks[n][1]) for n in names if n in picks) for name, picks in sets.items()}
    matrix = agreement_matrix(sets, names, distance)
    return dict(
        sets=list(sets),
        counts=counts,
        metrics=metrics,
        all_candidates=candidates,
        agreement=matrix.tolist(),
        micrographs=len(names),
        reference=config.reference,
        tolerance=config.tolerance,
        match_distance_px=distance,
        notes=notes,
    ), curves


def _aligned(
    sets: typing.Mapping[str, typing.Any], names: typing.Mapping[str, tuple[int | np.ndarray, int | np.ndarray]] | None
) -> dict[str, typing.Any]:
    """The sets under the names of the reference or the micrographs, if there are any."""
    return {k: align_keys(picks, names) for k, picks in sets.items()} if names is not None else dict(sets)


def _all_names(sets: typing.Mapping[str, typing.Any]) -> list[str]:
    return sorted({name for picks in sets.values() for name in picks})


def _elsewhere(sets: typing.Mapping[str, typing.Any], names: typing.Sequence[str]) -> list[str]:
    """Sentences about picks that do not take part."""
    known = set(names)
    outside = {k: sum(len(v[1]) for n, v in picks.items() if n not in known) for k, picks in sets.items()}
    return [f"{count} picks of {k} are on micrographs that are not compared." for k, count in outside.items() if count]


def _against(
    reference: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    sets: typing.Mapping[str, typing.Any],
    config: ComparePicksConfig,
    shapes: typing.Mapping[str, tuple[int, int]] | None,
    distance: float,
) -> tuple[dict[str, typing.Any], dict[str, typing.Any], dict[str, tuple[np.ndarray, np.ndarray, tuple[float, float]]]]:
    """Metrics of the picks, metrics of all candidates where there are any, and curves."""
    metrics, candidates, curves = {}, {}, {}
    for name, path in name_sets(config.picks).items():
        metrics[name], curve = _score(sets[name], reference, distance)
        folder = candidates_beside(path)
        if folder:
            picks = within_border(align_keys(read_coordinates(folder), reference), shapes, config.border)
            candidates[name], curve = _score(picks, reference, distance)
        curves[name] = (*curve, (metrics[name]["recall"], metrics[name]["precision"]))
    return metrics, candidates, curves


def _score(
    picks: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    reference: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    distance: float,
) -> tuple[dict[str, float], tuple[np.ndarray, np.ndarray]]:
    """Metrics of all picks, whatever their score, and (precision, recall) at each of their scores."""
    hit, scores, count = pooled(match_micrographs(picks, reference, list(reference), distance))
    lowest = float(scores.min()) if len(scores) else 0.0
    curve = precision_recall(hit, scores, count)[1:] if count else (np.zeros(0), np.zeros(0))
    return dataclasses.asdict(score_matched(hit, scores, count, lowest)), curve


def _print(comparison: typing.Mapping[str, typing.Any]) -> None:
    rows = [
        (label, part[name])
        for name in comparison["sets"]
        for label, part in ((name, comparison["metrics"]), (f"{name} (all candidates)", comparison["all_candidates"]))
        if name in part
    ]
    if rows:
        print_table(rows, "set")
        print()
    print(
        f"Agreement: F1 of each pair on {comparison['micrographs']} micrographs, matched one to one within "
        f"{comparison['match_distance_px']:.1f} px."
    )
    for name, row in zip(comparison["sets"], comparison["agreement"]):
        print("  ".join(f"{value:6.3f}" for value in row) + f"  {name} ({comparison['counts'][name]} picks)")


def _write(
    folder: Path,
    comparison: typing.Mapping[str, typing.Any],
    curves: typing.Mapping[str, tuple[np.ndarray, np.ndarray, tuple[float, float]]],
) -> dict[str, str | None]:
    from ...io.plots import plot_agreement, plot_precision_recall

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "comparison.json", comparison)
    plot_agreement(comparison["sets"], comparison["agreement"], folder / "agreement.png")
    if curves:
        plot_precision_recall(curves, folder / "curves.png")
    else:
        (folder / "curves.png").unlink(missing_ok=True)  # of an earlier comparison with a reference
    return dict(
        folder=str(folder),
        comparison=str(folder / "comparison.json"),
        agreement_plot=str(folder / "agreement.png"),
        curves_plot=str(folder / "curves.png") if curves else None,
    )
