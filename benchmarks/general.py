# SPDX-License-Identifier: GPL-3.0-or-later
"""The general model on molecules that it never saw, beside Topaz's pretrained detectors and our trained picker."""
import glob

from bench import f1_ap, pick_and_score, table
from common import SETS, cryodl
from topaz import SCALES

DETECTORS = ("resnet8_u64", "resnet16_u64")
# Structures of the set's own molecule, which the general model must not have seen either.
RELATIVES = {"empiar10017": ("8BK7", "6CVN", "betagal_ngl"),
             "empiar10028": ("SIM_4V4R_70S_5A", "SIM_4V4R_70S_10A", "SIM_4V4R_50S_10A", "SIM_5MRC_10A", "4V4R_30S",
                             "2YKR_30S", "EMD-2566_3J6B_chain9"),
             "empiar10947": ()}


def run(bench):
    for real in bench.sets:
        bench.once(f"trained/{real.name}", lambda: pick_and_score(bench, real, bench.trained(real), f"trained {real.name}"))
        for rule in ("model", "f1"):
            bench.once(f"general/{real.name}/{rule}", lambda: pick_and_score(
                bench, real, bench.general(real.name), f"general {real.name} {rule}", "--threshold-rule", rule))
        for detector in DETECTORS if bench.topaz else ():
            bench.once(f"topaz/{real.name}/{detector}", lambda: bench.topaz.score_set(
                real, detector, bench.output / "work" / f"{real.name}-{detector}.txt"))


def tables(bench):
    rows = []
    for real in bench.sets:
        figures = [bench.figures.get(f"{key}") for key in (
            f"general/{real.name}/model", *(f"topaz/{real.name}/{d}" for d in DETECTORS), f"trained/{real.name}")]
        per_micrograph = bench.figures.get(f"general/{real.name}/f1")
        ratio = figures[0]["best_f1"] / figures[-1]["best_f1"] if figures[0] and figures[-1] else None
        rows.append([real.name, f1_ap(figures[0]), per_micrograph and per_micrograph["f1"], *map(f1_ap, figures[1:]), ratio])
    return ("Best F1 / AP (F1 at the default threshold). Our general model without this set and without structures of its "
            "molecule; Topaz's detectors may have seen these sets, which was not checked.\n\n"
            + table(["set", "general, set left out", "F1 with threshold rule f1", *(f"Topaz {d}, scale {list(SCALES.values())}"
                                                                              .replace(", scale [4, 2, 2]", "") for d in DETECTORS),
                     "unet trained on the set", "general / trained, best F1"], rows))


def train_without(bench, name, model):
    """Train the general model without a set and its molecule's structures. Small (`--general-steps`), on the CPU slow."""
    model.parent.mkdir(parents=True, exist_ok=True)
    rows = ["name,micrographs,coordinates,pixel_size,particle_diameter"]
    for real in map(bench.real, SETS):
        folder = (bench.data / real.folder).resolve()
        rows.append(f"{real.name},{folder}/micrographs/*.mrc,{real.truth.resolve()},{real.pixel_size},{real.diameter}")
    listed = bench.output / "sets.csv"
    listed.write_text("\n".join(rows) + "\n")
    structures = [path for kind in ("complexes", "maps", "small") for path in
                  sorted(glob.glob(str(bench.data / "structures" / kind / "*.gz"))) if ".model." not in path]
    cryodl("train-general-picker", "--structures", *structures, "--sets", listed, "--leave-out", name, *RELATIVES[name],
           "--output", model, *bench.options.general_training.split())
