# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of the classifiers on simulated subtomograms of six structures, at four SNRs and three tilt ranges.

Each is trained on subtomograms of the same SNR and tilt range, which tell their class and nothing else (neither angles
nor shifts), and tested on others. Ours with several seeds of training set and method; the published networks with
those of --published-seeds and more subtomograms (--published-training), as they learn by steps.
"""

import json

import numpy as np
from common import cryodl
from parts import table
from tomo_data import subtomograms, without_angles

TEST_SEED, OURS = 1000, "likelihood"


def run(bench):
    options = bench.options
    for snr in options.snrs:
        for tilt in options.tilts:
            for network in options.classifiers:
                for seed in seeds(options, network):
                    bench.once(key(options, network, snr, tilt, seed), lambda: measure(bench, network, snr, tilt, seed))


def seeds(options, network):
    return options.classification_seeds if network == OURS else options.published_seeds


def key(options, network, snr, tilt, seed):
    how = "" if network == OURS else f"/{options.published_training}x{options.published_resolution:g}"
    return f"classification/{network}/{snr:g}/{tilt}/{seed}{how}"


def measure(bench, network, snr, tilt, seed):
    options = bench.options
    name = key(options, network, snr, tilt, seed)
    model = bench.output / "models" / name.replace("/", "-")
    count = options.training if network == OURS else options.published_training
    train = without_angles(subtomograms(bench, snr, tilt, count, seed))
    test = without_angles(subtomograms(bench, snr, tilt, options.test, TEST_SEED))
    published = [] if network == OURS else ["--resolution", options.published_resolution]
    steps = ["--steps", options.steps] if options.steps and network != OURS else []
    train_cpu = None
    if not model.exists():
        model.parent.mkdir(exist_ok=True)
        _, train_cpu, _, _ = cryodl(
            "train-classifier",
            "--subtomograms",
            train,
            "--network",
            network,
            "--seed",
            seed,
            "--tilt-min",
            -tilt,
            "--tilt-max",
            tilt,
            "--output",
            model,
            "--device",
            "cpu",
            "--threads",
            1,
            *published,
            *steps,
        )
    folder = bench.folder(name)
    folder.mkdir()
    _, cpu, _, _ = cryodl(
        "classify-subtomograms",
        "--subtomograms",
        test,
        "--model",
        model,
        "--ground-truth",
        "--rejected-fraction",
        0,
        "--no-averages",
        "--tilt-min",
        -tilt,
        "--tilt-max",
        tilt,
        "--output",
        folder / "found.star",
        "--result",
        folder / "result.json",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    outputs = json.loads((folder / "result.json").read_text())["outputs"]
    return dict(accuracy=outputs["accuracy"], train_cpu=train_cpu, classify_cpu=cpu)


def tables(bench):
    options, rows = bench.options, []
    for snr in options.snrs:
        for tilt in options.tilts:
            rows.append(
                [f"{snr:g}", f"±{tilt}°", *[_cell(bench, network, snr, tilt) for network in options.classifiers]]
            )
    return table(["SNR", "tilts", *options.classifiers], rows)


def _cell(bench, network, snr, tilt):
    found = [bench.figures.get(key(bench.options, network, snr, tilt, seed)) for seed in seeds(bench.options, network)]
    accuracies = [f["accuracy"] for f in found if f]
    if not accuracies:
        return None
    if len(accuracies) == 1:
        return accuracies[0]
    error = np.std(accuracies, ddof=1) / len(accuracies) ** 0.5
    return f"{np.mean(accuracies):.3f} ± {error:.3f} ({len(accuracies)} seeds)"
