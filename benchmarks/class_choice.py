# SPDX-License-Identifier: GPL-3.0-or-later
"""Good and bad particles that the choice of 2-D classes keeps, on made-up sets of molecules that no ranker learnt from.

    PYTHON benchmarks/class_choice.py --work FOLDER [--output benchmarks/figures/class_choice.json]

The sets of class_sets.py, with few and many particles for each class and few and many bad ones. The value of a choice
is g²/(g + b) for g good and b bad particles, over that of all good ones alone: the signal of a map from them. Choices:
all classes; those with a score of 0.5 (fixed); the one of `select-classes` without a threshold (adapted); the best of
whole classes, with the ground truth known; a score of 0.5 by a former ranker (former). error: of the scores, mean.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from class_sets import class_set
from common import ROOT

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
MOLECULES = ("6VXX", "6O1M", "3J9I", "8BK7", "7QPD", "9BE6")
SIZES = ((30, 6), (60, 6), (100, 10), (200, 10))  # particles for each class, classes
BAD = (0.1, 0.4)
SNR = 0.05
FIXED = 0.5  # a score asked for


def value(counts, good, kept):
    """Signal of a map from the kept classes, over that from all good particles alone."""
    g, n = (counts * good)[kept].sum(), counts[kept].sum()
    return float(g**2 / max(n, 1) / max((counts * good).sum(), 1e-9))


def choices(found, scores):
    """{name of the choice: (k,) bool}"""
    from cryodl.contract import chosen_classes

    numbers = np.arange(len(scores))
    kept, _ = chosen_classes(numbers.tolist(), scores.tolist(), found.counts.tolist(), None, 1)
    adapted = np.isin(numbers, kept)
    return {"all": scores >= 0, "fixed": scores >= FIXED, "adapted": adapted, "best": _best(found)}


def _best(found):
    order = np.argsort(-found.good, kind="stable")
    tried = [np.isin(np.arange(len(order)), order[:number]) for number in range(1, len(order) + 1)]
    return max(tried, key=lambda kept: value(found.counts, found.good, kept))


def row_of(found, kept):
    """Parts of the good and bad particles that are kept, and the value."""
    good, bad = found.counts * found.good, found.counts * (1 - found.good)
    return dict(
        good=float(good[kept].sum() / good.sum()),
        bad=float(bad[kept].sum() / max(bad.sum(), 1e-9)),
        value=value(found.counts, found.good, kept),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the sets are kept")
    parser.add_argument("--molecules", nargs="+", default=MOLECULES)
    parser.add_argument("--ranker", help="a model folder instead of the shipped one")
    parser.add_argument("--former", help="the model folder of a former ranker, which chose at 0.5: the row 'former'")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    import torch

    from cryodl.particles.classes2d.ranker import load_ranker

    torch.set_num_threads(1)
    ranker, rows = load_ranker(options.ranker), []
    former = load_ranker(options.former) if options.former else None
    scored = lambda model, one: model.scores_of(*map(torch.from_numpy, (one.images, one.numbers)))
    for each, classes in SIZES:
        for bad in BAD:
            found = [class_set(options.work, m, each * classes, classes, bad, SNR, 11) for m in options.molecules]
            per = [choices(one, scored(ranker, one)) for one in found]
            error = np.concatenate([np.abs(scored(ranker, one) - one.good) for one in found]).mean()
            for one, choice in zip(found, per):
                if former is not None:
                    choice["former"] = scored(former, one) >= FIXED
            for name in per[0]:
                parts = [row_of(one, choice[name]) for one, choice in zip(found, per)]
                mean = {key: round(float(np.mean([part[key] for part in parts])), 3) for key in parts[0]}
                worst = round(min(part["value"] for part in parts), 3)
                rows.append(dict(each=each, bad_part=bad, choice=name, **mean, worst=worst, error=round(error, 3)))
                print(json.dumps(rows[-1]), flush=True)
    if options.output:
        options.output.write_text(json.dumps(dict(snr=SNR, molecules=options.molecules, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
