# SPDX-License-Identifier: GPL-3.0-or-later
"""The general model on molecules that it never saw, beside Topaz's pretrained detectors and our trained picker."""

import os
import sys

from common import ROOT, measure
from parts import f1_ap, link_coordinates, pick_and_score, table

DETECTORS = ("resnet8_u64", "resnet16_u64")
# Structures of the set's own molecule, which the general model must not have seen either.
RELATIVES = {
    "empiar10017": ("8BK7",),
    "empiar10028": (
        "2YKR_30S",
        "4V4R_30S",
        "4UPY",
        "SIM_4V4R_50S_10A",
        "SIM_4V4R_70S_10A",
        "SIM_4V4R_70S_5A",
        "SIM_5MRC_10A",
        "SIM_4V94_10A",
        "EMD-2566_3J6B_chain9",
    ),
    "empiar10947": (),
}


def run(bench):
    for real in bench.sets:
        for rule in ("model", "f1"):
            bench.once(
                f"general/{real.name}/{rule}",
                lambda: pick_and_score(
                    bench, real, bench.general(real.name), f"general {real.name} {rule}", "--threshold-rule", rule
                ),
            )
        for detector in DETECTORS if bench.topaz else ():
            bench.once(
                f"topaz/{real.name}/{detector}",
                lambda: bench.topaz.score_set(real, detector, bench.output / "work" / f"{real.name}-{detector}.txt"),
            )
        if bench.topaz and bench.options.train_topaz:
            bench.once(f"topaz/{real.name}/trained", lambda: _trained_topaz(bench, real))
        bench.once(
            f"trained/{real.name}", lambda: pick_and_score(bench, real, bench.trained(real), f"trained {real.name}")
        )


def _trained_topaz(bench, real):
    """Topaz trained on all labels of the set's training micrographs."""
    links = link_coordinates(real, real.train, bench.folder(f"labels of Topaz {real.name}"))
    model, cost = bench.topaz.train(real, links, bench.folder(f"topaz {real.name}"))
    return dict(cost, **bench.topaz.score_set(real, model, bench.output / "work" / f"{real.name}-topaz.txt"))


def tables(bench):
    rows = []
    for real in bench.sets:
        figures = [
            bench.figures.get(f"{key}")
            for key in (
                f"general/{real.name}/model",
                *(f"topaz/{real.name}/{d}" for d in (*DETECTORS, "trained")),
                f"trained/{real.name}",
            )
        ]
        per_micrograph = bench.figures.get(f"general/{real.name}/f1")
        ratio = figures[0]["best_f1"] / figures[-1]["best_f1"] if figures[0] and figures[-1] else None
        rows.append(
            [real.name, f1_ap(figures[0]), per_micrograph and per_micrograph["f1"], *map(f1_ap, figures[1:]), ratio]
        )
    return (
        "Best F1 / AP (F1 at the default threshold). Our general model without this set and without structures "
        "of its molecule; Topaz's detectors may have seen these sets, which was not checked.\n\n"
        + table(
            [
                "set",
                "general, set left out",
                "F1 with threshold rule f1",
                *(f"Topaz {d}" for d in DETECTORS),
                "Topaz trained on the set",
                "unet trained on the set",
                "general / trained, best F1",
            ],
            rows,
        )
    )


def train_without(bench, name, model):
    """Train the general model without a set and its molecule's structures: hours on a CPU."""
    model.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, CRYODL_PYTHON=sys.executable, CRYODL_DATA=str(bench.data.resolve()))
    measure(
        [
            "bash",
            ROOT / "scripts" / "train-general-model",
            model,
            "--leave-out",
            name,
            *RELATIVES[name],
            *bench.options.general_training.split(),
        ],
        environment,
    )
