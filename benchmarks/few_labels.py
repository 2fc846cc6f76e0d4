# SPDX-License-Identifier: GPL-3.0-or-later
"""The six networks trained on the same few positives, beside Topaz trained on the same ones.

Ours are told what a person who boxed a few particles knows: those boxes, nothing else.
"""

from parts import NETWORKS, draw_labels, expected_particles, f1_ap, pick_and_score, table, train

FEW = 100


def mode(network, count):
    """What the labels are said to mean (--labels), as docs/labels.md advises; the network topaz is made for sparse
    ones.

    boxes: background is proposed by the program. sparse: positive-unlabelled learning, and the program is told how many
    particles there are, as Topaz is.
    """
    return "boxes" if count <= FEW and network != "topaz" else "sparse"


def run(bench):
    for real in bench.sets:
        for count in bench.options.labels:
            for seed in range(bench.options.draws):
                for network in bench.options.networks:
                    bench.once(
                        f"labels/{real.name}/{count}/{seed}/{network}", lambda: _ours(bench, real, count, seed, network)
                    )
                if bench.topaz and bench.options.train_topaz:
                    bench.once(f"labels/{real.name}/{count}/{seed}/Topaz", lambda: _topaz(bench, real, count, seed))


def _labels(bench, real, count, seed):
    folder = bench.output / "labels" / f"{real.name}-{count}-{seed}"
    return folder, draw_labels(real, count, seed, folder)[0]


def _ours(bench, real, count, seed, network):
    folder, used = _labels(bench, real, count, seed)
    key = f"{real.name} {count} {seed} {network}"
    model = bench.folder(f"model {key}")
    options = ("--network", network, "--labels", mode(network, count), "--seed", seed)
    if mode(network, count) == "sparse":
        options += ("--expected-particles", expected_particles(real))
    cost = train(real, folder, model, *options)
    return dict(cost, labels=used, **pick_and_score(bench, real, model, f"picks {key}"))


def _topaz(bench, real, count, seed):
    folder, used = _labels(bench, real, count, seed)
    model, cost = bench.topaz.train(real, folder, bench.folder(f"topaz {real.name} {count} {seed}"))
    out = bench.output / "work" / f"topaz-{real.name}-{count}-{seed}.txt"
    return dict(cost, labels=used, **bench.topaz.score_set(real, model, out))


def tables(bench):
    rows = []
    for real in bench.sets:
        for count in bench.options.labels:
            found = [bench.figures.get(f"labels/{real.name}/{count}/0/{n}") for n in (*NETWORKS, "Topaz")]
            if any(found):
                used = next(f["labels"] for f in found if f)
                rows.append([real.name, used, *map(f1_ap, found)])
    return (
        f"Best F1 / AP (F1 at the default threshold); one draw of labels. Ours: --labels boxes up to {FEW} "
        "positives (the network topaz: sparse), else sparse with the true number of particles, which Topaz is "
        "told, too. Topaz: 300 updates of 128 from scratch.\n\n"
        + table(["set", "positives", *NETWORKS, "Topaz 0.3.20"], rows)
    )
