# SPDX-License-Identifier: GPL-3.0-or-later
"""The six networks trained on the same few positives, beside Topaz trained on the same ones.

Ours are told what a person who boxed a few particles knows: those boxes, nothing else. MODES says how each uses them.
"""
from bench import NETWORKS, draw_labels, f1_ap, pick_and_score, table, train

# boxes: background is proposed by the program. sparse: positive-unlabelled learning, as Topaz's own.
MODES = {network: "boxes" for network in NETWORKS} | {"topaz": "sparse"}


def run(bench):
    for real in bench.sets:
        for count in bench.options.labels:
            for seed in range(bench.options.draws):
                for network in bench.options.networks:
                    bench.once(f"labels/{real.name}/{count}/{seed}/{network}",
                               lambda: _ours(bench, real, count, seed, network))
                if bench.topaz and bench.options.train_topaz:
                    bench.once(f"labels/{real.name}/{count}/{seed}/Topaz", lambda: _topaz(bench, real, count, seed))


def _labels(bench, real, count, seed):
    folder = bench.output / "labels" / f"{real.name}-{count}-{seed}"
    return folder, draw_labels(real, count, seed, folder)[0]


def _ours(bench, real, count, seed, network):
    folder, used = _labels(bench, real, count, seed)
    key = f"{real.name} {count} {seed} {network}"
    model = bench.folder(f"model {key}")
    cost = train(real, folder, model, "--network", network, "--labels", MODES[network], "--seed", seed)
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
    return (f"Best F1 / AP (F1 at the default threshold); one draw of labels. Labels are used as: "
            f"{', '.join(f'{n} {m}' for n, m in MODES.items())}. Topaz: 300 updates of 128 from scratch, told the true number "
            "of particles.\n\n" + table(["set", "positives", *NETWORKS, "Topaz 0.3.20"], rows))
