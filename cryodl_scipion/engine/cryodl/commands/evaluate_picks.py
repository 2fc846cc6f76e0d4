# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-picks`: precision, recall, F1 and average precision of picks, per micrograph and pooled."""
import dataclasses
import json
import os
import sys

import numpy as np

from ..geometry import inside
from ..io.coordinates import align_keys, read_coordinates
from ..io.files import expand_paths, name_micrographs
from ..io.micrographs import micrograph_shape
from ..matching import match_picks, score_matched
from .pick import CANDIDATES

NOTHING = (np.zeros((0, 2)), np.zeros(0))


def run(config):
    """Print the figures; beside them, those of all candidates where `cryodl pick` left its candidates."""
    figures = evaluate(config)
    missing = figures.pop("missing")
    if missing:
        print(f"Note: {len(missing)} micrographs of the reference have no picks, which counts all their particles as missed: "
              f"{', '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}. Restrict the comparison with --micrographs.",
              file=sys.stderr)
    candidates = os.path.join(config.coordinates, CANDIDATES)
    if os.path.isdir(candidates):
        figures["all_candidates"] = evaluate(dataclasses.replace(config, coordinates=candidates))
        del figures["all_candidates"]["micrographs"], figures["all_candidates"]["missing"]
    if config.json:
        print(json.dumps(figures, indent=2))
        return
    columns = ("precision", "recall", "f1", "average_precision", "best_f1", "best_threshold", "picks", "reference")
    print("  ".join(f"{c:>17}" for c in columns) + "  micrograph")
    rows = list(figures["micrographs"].items()) + [("all together", figures)]
    if "all_candidates" in figures:
        rows.append(("(all candidates, whatever their score)", figures["all_candidates"]))
    for name, row in rows:
        print("  ".join(f"{row[c]:17.4f}" if isinstance(row[c], float) else f"{row[c]:17d}" for c in columns)
              + f"  {name}")


def evaluate(config):
    """Figures of picks against a reference: pooled at the top, per micrograph under 'micrographs'.

    config: EvaluatePicksConfig. Micrographs without a reference are left out, and counted in 'picks_elsewhere'.
    'missing' names micrographs that have a reference and no picks. Raises ValueError if picks and reference have no
    micrograph in common.
    """
    picks, reference = read_coordinates(config.coordinates), read_coordinates(config.reference)
    shapes = None
    if config.micrographs:
        shapes = {n: micrograph_shape(p) for n, p in name_micrographs(expand_paths(config.micrographs))}
        reference = align_keys(reference, shapes)
    picks = align_keys(picks, reference)
    names = [n for n in reference if shapes is None or n in shapes]
    if not set(names) & set(picks):
        raise ValueError(f"{config.coordinates} and {config.reference} have no micrograph in common: picks are of "
                         f"{sorted(picks)[:4]}, the reference is of {sorted(names)[:4]}. Names are compared without "
                         "folder and extension.")
    distance = config.tolerance * config.particle_diameter / 2 / config.pixel_size
    hits, scores, counts = {}, {}, {}
    for name in names:
        shape = shapes[name] if shapes else None
        yx, score = _kept(*picks.get(name, NOTHING), shape, config.border)
        truth, _ = _kept(*reference[name], shape, config.border)
        hits[name], scores[name], counts[name] = match_picks(yx, truth, distance), score, len(truth)
    pooled = score_matched(np.concatenate(list(hits.values())), np.concatenate(list(scores.values())),
                           sum(counts.values()), config.threshold)
    return dict(dataclasses.asdict(pooled), tolerance=config.tolerance, match_distance_px=distance,
                micrographs_without_picks=sum(n not in picks for n in names), missing=[n for n in names if n not in picks],
                picks_elsewhere=sum(len(v[1]) for k, v in picks.items() if k not in names),
                micrographs={n: dataclasses.asdict(score_matched(hits[n], scores[n], counts[n], config.threshold))
                             for n in names})


def _kept(yx, scores, shape, border):
    keep = inside(yx, shape, border) if border and shape else np.ones(len(yx), bool)
    return yx[keep], scores[keep]
