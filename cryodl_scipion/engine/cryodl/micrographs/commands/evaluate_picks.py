# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-picks`: precision, recall, F1 and average precision of picks, per micrograph and pooled."""

from __future__ import annotations

import dataclasses
import json
import os
import typing

from ...contract import ComparePicksConfig, ConsensusPicksConfig, EvaluatePicksConfig, Result
from ...contract.micrographs.comparing import EvaluatePicksOutputs
from ...core.matching import score_matched
from ...io.coordinates import align_keys, has_coordinates, read_coordinates
from ...io.files import expand_paths, name_micrographs
from ...io.micrographs import micrograph_shape
from ..compare.agreement import match_micrographs, pooled, within_border
from ..pickers.pick_record import CANDIDATES

if typing.TYPE_CHECKING:
    import numpy as np

    _Positions = typing.Mapping[str, tuple[np.ndarray, np.ndarray]]

COLUMNS = ("precision", "recall", "f1", "average_precision", "best_f1", "best_threshold", "picks", "reference")


def run(config: EvaluatePicksConfig) -> Result:
    """Print the metrics; beside them, those of all candidates where `cryodl pick` left its candidates."""
    metrics = pick_metrics(config)
    missing = metrics.pop("missing")
    warnings = []
    if missing:
        warnings.append(
            f"{len(missing)} micrographs of the reference have no picks; all their particles count as missed: "
            f"{', '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}. Restrict the comparison with "
            "--micrographs."
        )
    candidates = candidates_beside(config.coordinates)
    if candidates:
        metrics["all_candidates"] = _candidate_metrics(config, candidates)
    _print(config, metrics)
    split = {name: metrics.pop(name, None) for name in ("micrographs", "all_candidates")}
    return Result(
        "evaluate-picks", EvaluatePicksOutputs(metrics=metrics, missing=missing, **split), warnings=tuple(warnings)
    )


def _print(config: EvaluatePicksConfig, metrics: dict[str, typing.Any]) -> None:
    if config.json:
        print(json.dumps(metrics, indent=2))
        return
    rows = list(metrics["micrographs"].items()) + [("all together", metrics)]
    if "all_candidates" in metrics:
        rows.append(("(all candidates, whatever their score)", metrics["all_candidates"]))
    print_table(rows, "micrograph")


def print_table(rows: typing.Sequence[tuple[str, dict[str, float]]], what: str) -> None:
    """rows: (name, metrics) pairs; what: the word over the names."""
    print("  ".join(f"{c:>17}" for c in COLUMNS) + f"  {what}")
    for name, row in rows:
        print(
            "  ".join(f"{row[c]:17.4f}" if isinstance(row[c], float) else f"{row[c]:17d}" for c in COLUMNS)
            + f"  {name}"
        )


def match_distance(config: ComparePicksConfig | ConsensusPicksConfig | EvaluatePicksConfig) -> float:
    """Largest distance of a matched pair in px, of a config with tolerance, particle_diameter and pixel_size."""
    return config.tolerance * config.particle_diameter / 2 / config.pixel_size


def micrograph_shapes(config: ComparePicksConfig | EvaluatePicksConfig) -> dict[str, tuple[int, int]] | None:
    """{name: (h, w)} of the config's micrographs; None if it names none."""
    if not config.micrographs:
        return None
    return {n: micrograph_shape(p) for n, p in name_micrographs(expand_paths(config.micrographs))}


def read_reference(
    config: ComparePicksConfig | EvaluatePicksConfig, shapes: typing.Mapping[str, tuple[int, int]] | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The reference under the micrographs' names, without its border and without other micrographs."""
    reference = read_coordinates(typing.cast("str", config.reference))  # only asked for where there is one
    return within_border(align_keys(reference, shapes) if shapes else reference, shapes, config.border)


def check_common(
    source: str,
    picks: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    config: ComparePicksConfig | EvaluatePicksConfig,
    reference: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Raises ValueError if picks and reference have no micrograph in common."""
    if not set(reference) & set(picks):
        raise ValueError(
            f"{source} and {config.reference} have no micrograph in common: the picks are on {sorted(picks)[:4]}, "
            f"the reference on {sorted(reference)[:4]}. Names are compared without folder and extension."
        )


def pick_metrics(config: EvaluatePicksConfig) -> dict[str, typing.Any]:
    """Metrics of picks against a reference: pooled at the top, per micrograph under 'micrographs'.

    config: EvaluatePicksConfig. Micrographs without a reference are left out, and counted in 'picks_elsewhere'.
    'missing' names micrographs that have a reference and no picks. Raises ValueError if picks and reference have no
    micrograph in common.
    """
    shapes = micrograph_shapes(config)
    reference = read_reference(config, shapes)
    picks = align_keys(read_coordinates(config.coordinates), reference)
    check_common(config.coordinates, picks, config, reference)
    return _metrics(config, picks, reference, shapes)


def candidates_beside(picks: str) -> str | None:
    """The folder of all candidates beside picks. None where there are none: picks of another program, or of a run that
    found no particles of any size."""
    folder = os.path.join(picks, CANDIDATES)
    return folder if has_coordinates(folder) else None


def _candidate_metrics(config: EvaluatePicksConfig, candidates: str) -> dict[str, typing.Any]:
    """Metrics of all candidates. Some micrographs with picks may have none: no particles were found there."""
    shapes = micrograph_shapes(config)
    reference = read_reference(config, shapes)
    metrics = _metrics(config, align_keys(read_coordinates(candidates), reference), reference, shapes)
    return {key: value for key, value in metrics.items() if key not in ("micrographs", "missing")}


def _metrics(
    config: EvaluatePicksConfig,
    picks: _Positions,
    reference: _Positions,
    shapes: typing.Mapping[str, tuple[int, int]] | None,
) -> dict[str, typing.Any]:
    distance = match_distance(config)
    matches = match_micrographs(within_border(picks, shapes, config.border), reference, list(reference), distance)
    total = score_matched(*pooled(matches), config.threshold)
    missing = [n for n in reference if n not in picks]
    return dict(
        dataclasses.asdict(total),
        tolerance=config.tolerance,
        match_distance_px=distance,
        micrographs_without_picks=len(missing),
        missing=missing,
        picks_elsewhere=sum(len(v[1]) for k, v in picks.items() if k not in reference),
        micrographs={n: dataclasses.asdict(score_matched(*m, config.threshold)) for n, m in matches.items()},
    )
