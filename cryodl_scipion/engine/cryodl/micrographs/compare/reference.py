# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks and a reference as configs of comparisons name them, and metrics of picks against a reference."""

from __future__ import annotations

import dataclasses
import os
import typing

import numpy as np

from ...contract import ComparePicksConfig, ConsensusPicksConfig, EvaluatePicksConfig
from ...core.matching import score_matched
from ...io.coordinates import align_keys, has_coordinates, read_coordinates
from ...io.files import expand_paths, name_micrographs
from ...io.micrographs import micrograph_shape
from ..pickers.pick_record import CANDIDATES
from .agreement import match_micrographs, pooled, within_border

Positions = typing.Mapping[str, tuple[np.ndarray, np.ndarray]]  # {micrograph: (yx, scores)}
Shapes = typing.Mapping[str, tuple[int, int]] | None
COLUMNS = ("precision", "recall", "f1", "average_precision", "best_f1", "best_threshold", "picks", "reference")


def match_distance(config: ComparePicksConfig | ConsensusPicksConfig | EvaluatePicksConfig) -> float:
    """Largest distance of a matched pair in px, of a config with tolerance, particle_diameter and pixel_size."""
    return config.tolerance * config.particle_diameter / 2 / config.pixel_size


def micrograph_shapes(config: ComparePicksConfig | EvaluatePicksConfig) -> Shapes:
    """{name: (h, w)} of the config's micrographs; None if it names none."""
    if not config.micrographs:
        return None
    return {n: micrograph_shape(p) for n, p in name_micrographs(expand_paths(config.micrographs))}


def read_reference(config: ComparePicksConfig | EvaluatePicksConfig, shapes: Shapes) -> Positions:
    """The reference under the micrographs' names, without its border and without other micrographs."""
    reference = read_coordinates(typing.cast("str", config.reference))  # only asked for where there is one
    return within_border(align_keys(reference, shapes) if shapes else reference, shapes, config.border)


def check_common(
    source: str, picks: Positions, config: ComparePicksConfig | EvaluatePicksConfig, reference: Positions
) -> None:
    """Raises ValueError if picks and reference have no micrograph in common."""
    if not set(reference) & set(picks):
        raise ValueError(
            f"{source} and {config.reference} have no micrograph in common: the picks are on {sorted(picks)[:4]}, "
            f"the reference on {sorted(reference)[:4]}. Names are compared without folder and extension."
        )


def candidates_beside(picks: str) -> str | None:
    """The folder of all candidates beside picks. None where there are none: picks of another program, or of a run that
    found no particles of any size."""
    folder = os.path.join(picks, CANDIDATES)
    return folder if has_coordinates(folder) else None


def pick_metrics(config: EvaluatePicksConfig, picks: str | None = None) -> dict[str, typing.Any]:
    """Metrics of picks against a reference: pooled at the top, per micrograph under 'micrographs'.

    picks: others than the config's. Micrographs without a reference are left out, and counted in 'picks_elsewhere'.
    'missing' names micrographs that have a reference and no picks. Raises ValueError if the config's picks and the
    reference have no micrograph in common.
    """
    shapes, distance = micrograph_shapes(config), match_distance(config)
    reference = read_reference(config, shapes)
    found = align_keys(read_coordinates(picks or config.coordinates), reference)
    if picks is None:
        check_common(config.coordinates, found, config, reference)
    matches = match_micrographs(within_border(found, shapes, config.border), reference, list(reference), distance)
    missing = [n for n in reference if n not in found]
    return dict(
        dataclasses.asdict(score_matched(*pooled(matches), config.threshold)),
        tolerance=config.tolerance,
        match_distance_px=distance,
        micrographs_without_picks=len(missing),
        missing=missing,
        picks_elsewhere=sum(len(v[1]) for k, v in found.items() if k not in reference),
        micrographs={n: dataclasses.asdict(score_matched(*m, config.threshold)) for n, m in matches.items()},
    )


def print_table(rows: typing.Sequence[tuple[str, dict[str, float]]], what: str) -> None:
    """rows: (name, metrics) pairs; what: the word over the names."""
    print("  ".join(f"{c:>17}" for c in COLUMNS) + f"  {what}")
    for name, row in rows:
        values = (f"{row[c]:17.4f}" if isinstance(row[c], float) else f"{row[c]:17d}" for c in COLUMNS)
        print("  ".join(values) + f"  {name}")
