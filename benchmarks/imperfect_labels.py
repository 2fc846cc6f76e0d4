# SPDX-License-Identifier: GPL-3.0-or-later
"""How labels that are missing or wrong change what is picked: EMPIAR-10017, four micrographs to train, eight to test.

missing: so many per cent of the particles are not labelled. wrong: all particles are labelled, and so many positions
without any (at least 0.75 diameters from every particle) that they make up that part of the labels.
"""

from pathlib import Path

import numpy as np
from parts import NETWORKS, engine_path, f1_ap, pick_and_score, table, train

NAME = "empiar10017"
KINDS = ("complete", "sparse", "boxes")
CASES = {
    "all": (0.0, 0.0),
    "20 % missing": (0.2, 0.0),
    "50 % missing": (0.5, 0.0),
    "90 % missing": (0.9, 0.0),
    "20 % wrong": (0.0, 0.2),
    "50 % wrong": (0.0, 0.5),
}


def spoil(ground_truth_yx, shape, diameter, missing, wrong, rng):
    """Labels (n, 2) of one micrograph in px, of which parts are missing or wrong.

    ground_truth_yx: (m, 2). shape: (h, w). missing: fraction of it left out. wrong: fraction of the labels that are on
    no particle.
    """
    kept = ground_truth_yx[rng.random(len(ground_truth_yx)) >= missing]
    number, empty = int(round(len(kept) * wrong / (1 - wrong))), []
    while len(empty) < number:
        position = rng.uniform(diameter, np.array(shape) - diameter)
        if np.linalg.norm(ground_truth_yx - position, axis=1).min() > 0.75 * diameter:
            empty.append(position)
    return np.vstack([kept, *empty]) if empty else kept


def write_labels(folder, micrographs, ground_truth, diameter, case, seed):
    """A folder of spoiled coordinates for these micrographs."""
    from cryodl.io.coordinates import write_coordinates
    from cryodl.io.micrographs import micrograph_shape

    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for path in micrographs:
        name = Path(path).stem
        yx = spoil(ground_truth[name][0], micrograph_shape(path), diameter, *CASES[case], rng)
        write_coordinates(folder / f"{name}.star", yx, np.ones(len(yx)))


def run(bench):
    real = bench.real(NAME)
    for network in bench.options.networks:
        for kind in bench.options.kinds:
            for case in bench.options.cases:
                bench.once(_key(network, kind, case), lambda: _measure(bench, real, network, kind, case))


def _key(network, kind, case):
    return f"imperfect/{network}/{kind}/{case}"


def _measure(bench, real, network, kind, case):
    """Figures on the test micrographs, and the cost of the training."""
    engine_path()
    from cryodl.io.coordinates import read_coordinates

    key = f"imperfect {network} {kind} {case}"
    labels, model = bench.folder(f"labels {key}"), bench.folder(f"model {key}")
    write_labels(labels, real.train, read_coordinates(real.ground_truth), real.diameter_px, case, seed=0)
    cost = train(real, labels, model, "--network", network, "--labels", kind)
    return dict(cost, **pick_and_score(bench, real, model, f"picks {key}"))


def tables(bench):
    """One row for each kind of labels and case, one column for each network."""
    shown = [n for n in NETWORKS if any(k.startswith(f"imperfect/{n}/") for k in bench.figures)]
    rows = []
    for kind in KINDS:
        for case in CASES:
            found = [bench.figures.get(_key(network, kind, case)) for network in shown]
            if any(found):
                rows.append([kind, case, *map(f1_ap, found)])
    return table(["labels taken for", "labels given", *shown], rows)
