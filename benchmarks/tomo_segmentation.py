# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks trained on ten drawn tiles of a feature and a hundred without it, on tomograms that they never saw.

The tomograms for training and for testing are simulated with different seeds. Dice and boundary error are those of
`cryodl evaluate-segmentation` at the score 0.5. The last rows have an annotator who draws every fifth stroke wrong.
"""

import json

from common import cryodl
from parts import table
from tomo_data import PIXEL_SIZE, RIBOSOME, cells, features, structure, tiles_to_draw

TRAIN_SEED, TEST_SEED, WRONG = 1, 2, 0.2
NETWORKS_WITH_NOISE = ("unet",)


def names(bench):
    """Features that are tested, as the simulator calls them."""
    return ("membrane", "microtubule", "filament", structure(bench, RIBOSOME).stem)


def run(bench):
    for feature in names(bench):
        for network in bench.options.segmenters:
            for seed in bench.options.segmentation_seeds:
                bench.once(key(feature, network, seed), lambda: measure(bench, feature, network, seed))
        for network in NETWORKS_WITH_NOISE:
            for seed in bench.options.segmentation_seeds:
                bench.once(key(feature, network, seed, WRONG), lambda: measure(bench, feature, network, seed, WRONG))


def key(feature, network, seed, wrong=0.0):
    return f"segmentation/{feature}/{network}/{seed}" + (f"/wrong{wrong:g}" if wrong else "")


def trained(bench, feature, network, seed, wrong=0.0):
    """Model folder and the cost of its training; trained if it is not there."""
    name = key(feature, network, seed, wrong)
    model = bench.output / "models" / name.replace("/", "-")
    cost = model.with_suffix(".json")
    if not cost.exists():
        train = cells(bench, TRAIN_SEED)
        label = features(train)[feature]
        drawn = bench.folder(f"{name} labels")
        tiles = tiles_to_draw(train, label, drawn, seed, wrong)
        model.parent.mkdir(exist_ok=True)
        _, cpu, wall, memory = cryodl(
            "train-segmenter",
            "--tomograms",
            train / "tomograms" / "*.mrc",
            "--labels",
            drawn / "*.mrc",
            "--label",
            label,
            "--feature",
            feature,
            "--pixel-size",
            PIXEL_SIZE,
            "--network",
            network,
            "--seed",
            seed,
            "--output",
            model,
            "--device",
            "cpu",
            "--threads",
            1,
        )
        cost.write_text(json.dumps(dict(cpu=cpu, wall=wall, memory=memory, tiles=tiles)))
    return model, json.loads(cost.read_text())


def measure(bench, feature, network, seed, wrong=0.0):
    """Figures of one network for one feature on the test tomograms."""
    model, cost = trained(bench, feature, network, seed, wrong)
    test, folder = cells(bench, TEST_SEED), bench.folder(key(feature, network, seed, wrong))
    folder.mkdir()
    _, cpu, _, _ = cryodl(
        "segment",
        "--tomograms",
        test / "tomograms" / "*.mrc",
        "--model",
        model,
        "--output",
        folder / "scores",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    cryodl(
        "evaluate-segmentation",
        "--segmentations",
        folder / "scores" / "*.mrc",
        "--labels",
        test / "labels" / "*.mrc",
        "--label",
        features(test)[feature],
        "--pixel-size",
        PIXEL_SIZE,
        "--output",
        folder / "evaluated",
    )
    found = json.loads((folder / "evaluated" / "evaluation.json").read_text())
    return dict(
        next(iter(found["features"].values())),
        train_cpu=cost["cpu"],
        train_wall=cost["wall"],
        train_memory=cost["memory"],
        segment_cpu=cpu,
    )


def tables(bench):
    get = bench.figures.get
    rows, seeds = [], bench.options.segmentation_seeds
    for feature in names(bench):
        for network, wrong in [(n, 0.0) for n in bench.options.segmenters] + [(n, WRONG) for n in NETWORKS_WITH_NOISE]:
            found = [get(key(feature, network, seed, wrong)) for seed in seeds]
            found = [f for f in found if f]
            label = network + (f", {wrong:.0%} wrong strokes" if wrong else "")
            if found:
                rows.append(
                    [
                        feature,
                        label,
                        _mean(found, "dice"),
                        _words(_mean(found, "boundary_error"), ".1f"),
                        *[_words(_mean(found, name), ".0f") for name in ("train_cpu", "segment_cpu")],
                    ]
                )
            else:
                rows.append([feature, label, None, None, None, None])
    return table(["feature", "network", "Dice", "boundary error (Å)", "training (CPU s)", "segmenting (CPU s)"], rows)


def _mean(found, name):
    """Mean of a figure over seeds; None if one has none: nothing was found, so there is no boundary."""
    values = [figures[name] for figures in found]
    return None if any(v is None for v in values) else sum(values) / len(values)


def _words(value, form):
    return "nothing found" if value is None else format(value, form)
