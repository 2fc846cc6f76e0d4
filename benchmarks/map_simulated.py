# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated maps of molecules that the shipped model never saw, nor any that shares a chain with them.

Input: as deposited, sharpened by Guinier's B-factor and filtered by the half-maps' FSC. Best sharpening: of the input,
by the B-factor whose Q-score is highest. One soft mask for all, made from the model.
"""

import os
import time

from map_cases import SCORED, case_of, compared, model_name, removed, simulate
from map_tables import comparison, cut_off, floors, not_reached, worst

MOLECULES = ("1OEL", "6VXX", "1WCM", "3J9I", "1U6G", "5GJV")
RESOLUTIONS = (3.0, 4.0, 5.0, 6.0)


def run(bench):
    for molecule in bench.options.molecules:
        for resolution in bench.options.resolutions:
            bench.once(key(model_name(bench), molecule, resolution), lambda: measure(bench, molecule, resolution))


def key(model, molecule, resolution):
    return f"maps simulated/{model}/{molecule}/{resolution:g}"


def measure(bench, molecule, resolution, model=None):
    """Comparison of one simulated map, and the CPU seconds that all of it took."""
    begin, wall = os.times(), time.monotonic()
    work = bench.folder(f"map {molecule} {resolution:g}")
    structure = simulate(bench, molecule, resolution, work / "map")
    case = case_of(work / "map_full.mrc", structure, resolution)
    figures = compared(bench, case, work / "map_full.mrc", work, model)
    removed(work)
    cpu = sum(end - start for end, start in zip(os.times()[:4], begin[:4]))  # this process and its commands
    return dict(figures, cpu=cpu, wall=time.monotonic() - wall)


def tables(bench):
    options, found = bench.options, {}
    for molecule in options.molecules:
        for resolution in options.resolutions:
            figures = bench.figures.get(key(model_name(bench), molecule, resolution))
            if figures:
                found[f"{molecule} at {resolution:g} Å"] = figures
    groups = {f"{r:g} Å": [f for name, f in found.items() if name.endswith(f" {r:g} Å")] for r in options.resolutions}
    rows = [((name, len(part)), part) for name, part in groups.items()]
    every = list(found.values())
    text = comparison(["resolution", "maps"], [*rows, (("mean", len(every)), every)])
    if not found:
        return text
    name, lost = worst(found)
    lines = [
        *floors(every, groups),
        f"- Worst single map, in the mask: {lost:+.2f} Å ({name}).",
        "",
        *cut_off(every),
        *not_reached(every),
    ]
    cost = (
        f"{sum(f['cpu'] for f in every) / 60:.1f} CPU minutes for all of it, of one thread; "
        f"{sum(f['cost']['cpu'] for f in every) / 60:.1f} of them for improving. Q-scores of up to {SCORED} atoms "
        "of each molecule, drawn at random, the same ones in all maps."
    )
    singles = comparison(["map"], [((name,), [f]) for name, f in found.items()])
    return "\n".join([text, "", *lines, "", cost, "", "Each map:", "", singles])
