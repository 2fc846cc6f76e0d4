#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What corrections by hand are worth on real sets: the first micrographs are corrected, the others test.

    PYTHON benchmarks/corrections.py [--sets empiar10947 ...] [--corrections 50] [--seeds 0,1,2] [--wrong 0,0.2]
                                     [--by auto-pick] [--folder DIR] [--write FILE]

The general model picks. A human is simulated by the published marks: half of the corrections remove picks that are on
no mark, half add marks that have no pick, drawn at random from the first micrographs (three, of EMPIAR-10017 four); all
of either if there are fewer. Of wrong corrections, half remove a pick that is on a mark and half add a position without
a mark. `train-picker` learns from the folder, beginning with the general model, or `auto-pick` does, beside its own
confident picks of all micrographs. F1 is judged on the other micrographs at the default threshold, and at the best one.
PYTHON is the engine's; data as in picking.py. Finished parts in DIR are not done again. FILE of --write keeps the
figures of other commands.
"""

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, SETS, cryodl, data_folder, evaluate

DIAMETERS = {"empiar10017": 191, "empiar10028": 300, "empiar10947": 220}  # Å, published; as on the form


def simulated(ground_truth, picks, reach, number, wrong, rng):
    """Corrections of some micrographs by one who knows the truth.

    Parameters
    ----------
    ground_truth, picks : dict
        {name: (n, 2) yx px} of the marks and of the machine's picks.
    reach : float
        Px within which a pick is on a mark.
    number : int
        Corrections in all.
    wrong : float
        Part of them that are wrong.

    Returns
    -------
    list of (name, y, x) that are added, and list that are removed.
    """
    from cryodl.core.matching import match_picks

    def drawn(positions, count):
        return [positions[i] for i in rng.permutation(len(positions))[:count]]

    def listed(select):
        return [(name, *position) for name in ground_truth for position in select(name)]

    hits = {name: match_picks(picks[name], ground_truth[name], reach) for name in ground_truth}
    missed = listed(lambda n: ground_truth[n][~match_picks(ground_truth[n], picks[n], reach)])
    half = number // 2
    bad = int(round(wrong * half))
    removed = drawn(listed(lambda n: picks[n][~hits[n]]), half - bad) + drawn(listed(lambda n: picks[n][hits[n]]), bad)
    added = drawn(missed, number - half - bad)
    while bad:
        name = list(ground_truth)[rng.integers(len(ground_truth))]
        position = rng.uniform(ground_truth[name].min(0), ground_truth[name].max(0))
        if np.linalg.norm(ground_truth[name] - position, axis=1).min() > 1.5 * reach:
            added.append((name, *position))
            bad -= 1
    return added, removed


def correct(folder, machine, added, removed):
    """Write the corrections as the window of picks does. machine: folder of the picks. Returns the places' number."""
    from cryodl.micrographs.byhand.store import HandPicks, Pick

    names = sorted({name for name, *_ in added + removed})
    store = HandPicks(str(folder), names, str(machine))
    for name in names:
        picks, _ = store.read(name)
        gone = [p for p in picks if any((name, p.y, p.x) == tuple(position) for position in removed)]
        new = [Pick(float(y), float(x)) for n, y, x in added if n == name]
        store.write(name, [p for p in picks if p not in gone] + new, gone)


def measured(name, picks, data, micrographs):
    """Figures of a folder of picks of a set."""
    folder, pixel_size, diameter, border, _ = SETS[name]
    figures = evaluate(picks, data / folder / "coords", pixel_size, diameter * pixel_size, border, micrographs)
    every = figures["all_candidates"]
    found = dict(f1=figures["f1"], best_f1=every["best_f1"], ap=every["average_precision"])
    return {key: round(value, 4) for key, value in found.items()}


def pick(name, micrographs, model, output, *more):
    """Pick, if it was not done before."""
    cryodl(
        "pick",
        "--micrographs",
        *micrographs,
        "--pixel-size",
        SETS[name][1],
        "--model",
        model,
        "--output",
        output,
        "--pictures",
        0,
        "--avoid",
        "nothing",
        "--device",
        "cpu",
        "--threads",
        1,
        *more,
    )
    return output


def run(name, options, data, folder):
    """{case: figures} of a set."""
    from cryodl.io.coordinates import read_coordinates

    place, _, diameter, _, training = SETS[name]
    learned = {"train-picker": by_training, "auto-pick": by_auto_pick}
    micrographs = sorted((data / place / "micrographs").glob("*.mrc"))
    learn, test = micrographs[:training], micrographs[training:]
    machine = pick(name, micrographs, "general", folder / "general")
    ground_truth, picks = (
        {p.stem: read_coordinates(source)[p.stem][0] for p in learn} for source in (data / place / "coords", machine)
    )
    figures = {"before": measured(name, machine, data, test)}
    for wrong in options.wrong:
        for seed in options.seeds:
            case = f"{wrong:g} wrong, seed {seed}"
            work, rng = folder / case.replace(" ", "_").replace(",", ""), np.random.default_rng(seed)
            added, removed = simulated(ground_truth, picks, diameter / 2, options.corrections, wrong, rng)
            correct(work / "labels", machine, added, removed)
            found = learned[options.by](name, learn, test, work)
            case = case if options.by == "train-picker" else f"{options.by}, {case}"
            figures[case] = dict(measured(name, found, data, test), added=len(added), removed=len(removed))
            print(name, case, figures[case], flush=True)
    return figures


def by_training(name, learn, test, work):
    """Folder of picks of the test micrographs, by a picker that learned from the corrections."""
    if not (work / "model").exists():
        common = ("--pixel-size", SETS[name][1], "--particle-diameter", DIAMETERS[name], "--start-from", "general")
        given = ("--micrographs", *learn, "--coordinates", work / "labels", "--device", "cpu", "--threads", 1)
        cryodl("train-picker", *given, *common, "--output", work / "model")
    return pick(name, test, work / "model", work / "picks")


def by_auto_pick(name, learn, test, work):
    """Folder of picks of all micrographs, by rounds that learn from the corrections and from their own picks."""
    given = ("--micrographs", *learn, *test, "--pixel-size", SETS[name][1], "--corrections", work / "labels")
    cryodl("auto-pick", *given, "--output", work / "auto", "--device", "cpu", "--threads", 1)
    return work / "auto"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=DIAMETERS, default=list(DIAMETERS))
    parser.add_argument("--corrections", type=int, default=50)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--wrong", type=lambda text: [float(word) for word in text.split(",")], default=[0.0, 0.2])
    parser.add_argument("--by", choices=["train-picker", "auto-pick"], default="train-picker")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
    data = data_folder()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            figures = run(name, options, data, (options.folder or Path(temporary)) / name)
            if options.write:
                write(options, name, figures)


def write(options, name, figures):
    """The figures of a set, and the command, to the file of --write."""
    kept = json.loads(options.write.read_text()) if options.write.exists() else {}
    sets = kept.get("sets", {})
    sets[name] = {**sets.get(name, {}), **figures}
    command = f"PYTHON benchmarks/corrections.py {shlex.join(sys.argv[1:])}"
    kept = dict(kept, commands=sorted({*kept.get("commands", []), command}), sets=sets)
    options.write.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
