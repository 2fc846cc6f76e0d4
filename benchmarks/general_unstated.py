# SPDX-License-Identifier: GPL-3.0-or-later
"""The general model with nothing given: no label, no diameter, no threshold; and with a diameter stated wrong."""

import json

from common import evaluate
from parts import f1_ap, pick, table

FACTORS = (0.6, 0.72, 0.85, 1.0, 1.2, 1.4, 1.6)  # of the published diameter


def run(bench):
    for real in bench.sets:
        for factor in (None, *FACTORS):
            bench.once(f"unstated/{real.name}/{factor}", lambda: _measure(bench, real, factor))


def _measure(bench, real, factor):
    """Figures on all micrographs of the set, the diameter that was picked at, and the F1 that the log promises."""
    folder = bench.folder(f"unstated {real.name} {factor}")
    record = folder.with_suffix(".json")
    cost = pick(
        real.micrographs,
        real.pixel_size,
        factor and round(factor * real.diameter, 1),
        bench.model(real.name),
        folder,
        "--result",
        record,
    )
    outputs = json.loads(record.read_text())["outputs"]
    return dict(
        picked_figures(real, folder, real.micrographs),
        test=picked_figures(real, folder, real.test),  # those that trained pickers and Topaz are evaluated on
        diameter=outputs["picked_diameter"],
        expected=(outputs["expected"] or {}).get("f1"),
        cpu=cost["cpu"],
    )


def picked_figures(real, folder, micrographs):
    """Best F1, average precision and F1 at the default threshold, of some micrographs of a RealSet."""
    figures = evaluate(folder, real.ground_truth, real.pixel_size, real.diameter, real.border, micrographs, 0)
    every = figures["all_candidates"]
    return dict(best_f1=every["best_f1"], ap=every["average_precision"], f1=figures["f1"])


def tables(bench):
    figures = lambda real, factor: bench.figures.get(f"unstated/{real.name}/{factor}")
    rows = []
    for real in bench.sets:
        f = figures(real, None)
        rows.append(
            [
                real.name,
                f1_ap(f),
                f and round(f["diameter"]),
                round(real.diameter),
                *((f or {}).get(k) for k in ("expected", "cpu")),
            ]
        )
    wrong = [[real.name, *((figures(real, factor) or {}).get("f1") for factor in FACTORS)] for real in bench.sets]
    return (
        "Nothing given, all micrographs: best F1 / AP (F1 at the default threshold).\n\n"
        + table(["set", "figures", "diameter found (Å)", "published (Å)", "F1 promised", "CPU seconds"], rows)
        + "\n\nF1 at the default threshold with a stated diameter of so many times the published one:\n\n"
        + table(["set", *map(str, FACTORS)], wrong)
    )
