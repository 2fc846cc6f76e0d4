# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of tomograms from ten tiles and without any, their cost, and the classification of subtomograms."""

import csv
import json

import numpy as np
from bench import CPU, benchmark, columns, costs, cryodl, data_folder, flags, groups, mean, of_all, recorded
from recipes.other_tomograms import make_cell
from recipes.tomograms import (
    PIXEL_SIZE,
    cells,
    features,
    structure,
    subtomograms,
    tiles_to_draw,
    unoriented,
    write_volume,
)
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from cryodl.core.projections import rotation_matrices
from cryodl.io.subtomograms import read_subtomograms
from cryodl.io.tomograms import Tomogram

RIBOSOME = "SIM_4V4R_70S_10A"
FEATURES = ("membrane", "microtubule", "filament", RIBOSOME)
CELL = dict(vesicles=3, membranes=1, microtubules=6, filaments=12, snr=0.3, count=2, pixel_size=PIXEL_SIZE)


def drawn_cells(run, seed, size, thickness):
    copies = [round(number * (size / 256) ** 2) for number in (45, 40)]
    values = dict(CELL, size=size, thickness=thickness, seed=seed)
    return cells(run, f"snr0.3 seed{seed} {size}", (RIBOSOME, "3J9I"), copies, **values)


def trained(run, folder, tomograms, labels, label, feature, *options, pixel_size=PIXEL_SIZE):
    given = ("--tomograms", tomograms, "--labels", labels, "--label", label, "--feature", feature)
    model = folder / "model"
    return model, cryodl("train-segmenter", *given, "--pixel-size", pixel_size, "--output", model, *CPU, *options)


def segmented(tomograms, folder, models, *options):
    """Outputs and cost of `cryodl segment`; scores are in folder/scores."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs, _, cost = recorded(
        "segment", folder / "scores", "--tomograms", tomograms, "--model", *models, *CPU, *options
    )
    return outputs, cost


def judged(scores, labels, label, folder, *options, pixel_size=PIXEL_SIZE):
    """Figures of one feature, of `cryodl evaluate-segmentation` at the score 0.5."""
    given = ("--segmentations", scores, "--labels", labels, "--label", label, "--pixel-size", pixel_size)
    cryodl("evaluate-segmentation", *given, *options, "--output", folder)
    return next(iter(json.loads((folder / "evaluation.json").read_text())["features"].values()))


missed = lambda part: any(r["boundary_error"] is None for r in part)
features_table = groups(
    ("feature", "network"),
    {
        "feature": lambda part: part[0]["feature"].replace(RIBOSOME, "70S ribosome"),
        "network": "network",
        "Dice, seeds 1, 2, 3": lambda part: ", ".join(f"{r['dice']:.3f}" for r in part),
        "mean": lambda part: of_all("dice", ".3f")(part) if len(part) > 1 else "-",
        "boundary error, mean (Å)": lambda p: "nothing found" if missed(p) else of_all("boundary_error", ".1f")(p),
        "training (CPU s)": of_all("train_cpu", ".0f"),
    },
)


@benchmark(
    cases=lambda: [
        dict(feature=feature, network=network, seed=seed)
        for feature in FEATURES
        for network in ("unet", "unet2d", "unet3d", "eman2", "unet, 20% wrong strokes")
        for seed in ((1,) if network == "eman2" else (1, 2, 3))
    ],
    tables={"tomogram-features": features_table},
    quick=dict(size=160, thickness=40, options="--steps 4", network="unet2d"),
)
def tomo_segmentation(run, feature, network, seed, size=256, thickness=80, options=""):
    """Networks trained on ten drawn tiles of a feature and a hundred without it, on tomograms that they never saw,
    simulated with another seed; and an annotator who draws every fifth stroke wrong."""
    learn, test = (drawn_cells(run, number, size, thickness) for number in (1, 2))
    name, wrong = network.split(",")[0], 0.2 if "wrong" in network else 0.0
    folder = run.folder(f"{feature} {network} {seed}")
    tiles_to_draw(learn, features(learn)[feature], folder / "labels", seed, wrong)
    more = ("--network", name, "--seed", seed, *options.split())
    tomograms, label = learn / "tomograms" / "*.mrc", features(learn)[feature]
    model, cost = trained(run, folder, tomograms, folder / "labels" / "*.mrc", label, feature, *more)
    _, segmenting = segmented(test / "tomograms" / "*.mrc", folder / "found", [model])
    label = features(test)[feature]
    found = judged(folder / "found" / "scores" / "*.mrc", test / "labels" / "*.mrc", label, folder / "judged")
    return dict(found, train_cpu=cost[1], train_memory=cost[3], segment_cpu=segmenting[1])


# ----- the real tomogram of two HIV-1 virions; labels are spheres that were fitted to the envelopes
EMD_1155, REAL_PIXEL_SIZE, ENVELOPE = "tomo_emd1155_hiv", 16.4, 1


def half(path, border, upper, output):
    """The label volume with everything on the other side of y = border not annotated."""
    volume = Tomogram(path).raw().astype(np.int16)
    y = np.arange(volume.shape[1])
    volume[:, (y < border) if upper else (y >= border)] = 255
    return write_volume(output, volume, REAL_PIXEL_SIZE, np.int16)


@benchmark(
    cases=dict(network=["unet", "eman2"], trained_on=[0, 1]),
    tables={
        "tomogram-real": columns(
            {
                "network": "network",
                "trained on": lambda r: f"virion {r['trained_on'] + 1}",
                "tested on": lambda r: f"virion {2 - r['trained_on']}",
                **{name: f"{name.lower()}:.3f" for name in ("Dice", "precision", "recall")},
                "boundary error (Å)": "boundary_error:.0f",
            }
        )
    },
    quick=dict(options="--steps 4"),
)
def tomo_real(run, network, trained_on, options=""):
    """EMD-1155: trained on one virion's envelope, tested on the other's. The spheres are a reference by fit, which
    bumps of one or two voxels leave; no network can reach a Dice near 1 with it."""
    data, folder = data_folder() / EMD_1155, run.work(f"{network} {trained_on}")
    with open(data / "virions.csv", newline="") as file:
        centres = [float(row["y_voxel"]) for row in csv.DictReader(file)]
    labels = [
        half(data / "reference_labels.mrc", sum(centres) / 2, v == int(np.argmax(centres)), folder / f"labels{v}.mrc")
        for v in (trained_on, 1 - trained_on)
    ]
    more, tomogram = ("--network", network, *options.split()), data / "tomogram.mrc"
    size = dict(pixel_size=REAL_PIXEL_SIZE)
    model, cost = trained(run, folder, tomogram, labels[0], ENVELOPE, "envelope", *more, **size)
    segmented(tomogram, folder, [model])
    return dict(
        judged(folder / "scores" / "*.mrc", labels[1], ENVELOPE, folder / "judged", *("--tomograms", tomogram), **size),
        train_cpu=cost[1],
    )


# ----- cost
WHOLE = 512 * 2048 * 2048
SIZES = ("512 x 512 x 96", "1024 x 1024 x 128", "1024 x 1024 x 256")


@benchmark(
    cases=lambda: [
        *(dict(network="unet", size=size, features=1) for size in SIZES),
        dict(network="unet", size=SIZES[1], features=2),
        dict(network="eman2", size=SIZES[0], features=1),
    ],
    tables={
        "tomogram-speed": columns(
            {
                "network": "network",
                "features": "features",
                "tomogram (px)": "size",
                "CPU s": "cpu:.0f",
                "wall s": "wall:.0f",
                "CPU s per 10^9 voxels": lambda r: f"{r['cpu'] / r['voxels'] * 1e9:.0f}",
                "memory (MB)": "memory:.0f",
                "2048 x 2048 x 512 with 2 threads (min, extrapolated)": lambda r: (
                    f"{r['wall'] * WHOLE / r['voxels'] / 60:.1f}"
                ),
            }
        )
    },
    quick=dict(size="192 x 192 x 32", cell=160),
)
def tomo_speed(run, network, size, features, cell=256):
    """Processor time and memory of segmenting tomograms of noise; that of 2048 x 2048 x 512 is extrapolated, as times
    at three sizes are proportional. Networks have weights of two training steps."""
    shape, rng = tuple(int(n) for n in reversed(size.split(" x "))), np.random.default_rng(0)
    folder, learn = run.work(f"{network} {size} {features}"), drawn_cells(run, 1, cell, 80)
    noise = np.clip(rng.normal(0, 30, shape).astype(np.float32), -127, 127)
    path, models = write_volume(folder / "noise.mrc", noise, kind=np.int8), []
    for label, feature in enumerate(("membrane", "microtubule")[:features], 1):
        given = (learn / "tomograms" / "*.mrc", learn / "labels" / "*.mrc", label, feature)
        models.append(trained(run, folder / feature, *given, "--network", network, "--steps", 2)[0])
    _, cost = segmented(path, folder, models, "--threads", 2)
    return dict(costs(cost), voxels=int(np.prod(shape)))


# ----- classification of subtomograms
def classes_table(rows):
    """Ours by SNR and tilts: the mean of the seeds and its standard error."""
    ours = [r for r in rows if r["network"] == "likelihood"]
    spread = lambda a: f" ± {np.std(a, ddof=1) / len(a) ** 0.5:.3f}" if len(a) > 1 else ""
    of = lambda tilt: lambda part: [r["accuracy"] for r in part if r["tilt"] == tilt]
    each = lambda tilt: lambda part: f"{np.mean(of(tilt)(part)):.3f}{spread(of(tilt)(part))}"
    tilts = {f"±{tilt}°": each(tilt) for tilt in sorted({r["tilt"] for r in ours}, reverse=True)}
    return groups(("snr",), {"SNR": "snr:g", **tilts})(ours)


def published_table(rows):
    names = dict.fromkeys(r["network"] for r in rows if r["network"] != "likelihood")
    words = lambda a: f"{mean(a):.3f}" if a else "not measured"
    of = lambda name: lambda part: words([r["accuracy"] for r in part if r["network"] == name])
    each = {**{f"`{name}`": of(name) for name in names}, "`likelihood` (mean)": of("likelihood")}
    there = {(r["tilt"], r["snr"]) for r in rows if r["network"] in names}
    tilted = {"SNR": "snr:g", "tilts": lambda part: f"±{part[0]['tilt']}°"}
    return groups(("tilt", "snr"), {**tilted, **each})([r for r in rows if (r["tilt"], r["snr"]) in there])


@benchmark(
    cases=lambda: [
        dict(network=network, snr=snr, tilt=tilt, seed=seed)
        for network in ("likelihood", "dsrf3d", "rb3d", "cb3d")
        for tilt in (60, 50, 40)
        for snr in (0.5, 0.1, 0.05, 0.03)
        for seed in ((1, 2, 3) if network == "likelihood" else (1,))
    ],
    tables={"subtomogram-classes": classes_table, "subtomogram-published": published_table},
    quick=dict(training=4, test=3),
)
def tomo_classification(run, network, snr, tilt, seed, training=None, test=30, box=40, resolution=60.0, steps=None):
    """Accuracy on simulated subtomograms of six structures, with neither angles nor shifts told: from 60 of each. The
    published networks learn by steps, from 200 of each and to 60 Å: with the 40 Å of their paper they do not begin to
    learn at SNR 0.1. Their rows with a cost were tested on 50 of each."""
    ours = network == "likelihood"
    learn = subtomograms(run, snr, tilt, training or (60 if ours else 200), seed, box)
    known = subtomograms(run, snr, tilt, test, 1000, box)
    folder, tilts = run.work(f"{network} {snr} {tilt} {seed}"), ("--tilt-min", -tilt, "--tilt-max", tilt)
    more = () if ours else ("--resolution", resolution, *(("--steps", steps) if steps else ()))
    given = ("--subtomograms", learn, "--network", network, "--seed", seed, *tilts, *more, *CPU)
    train_cpu = cryodl("train-classifier", *given, "--output", folder / "model")[1]
    training = json.loads((folder / "model" / "card.json").read_text())["training"]
    given = ("--subtomograms", known, "--model", folder / "model", "--ground-truth", "--rejected-fraction", 0)
    outputs, _, cost = recorded("classify-subtomograms", folder / "found.star", *given, *tilts, *CPU)
    return dict(accuracy=outputs["accuracy"], steps=training.get("steps"), train_cpu=train_cpu, classify_cpu=cost[1])


# ----- alignment of subtomograms
@benchmark(
    cases=lambda: [dict(box=64, count=100), dict(box=128, count=20)],
    tables={
        "subtomogram-alignment": columns(
            {
                "box (px)": "box",
                "subtomograms": "count",
                "CPU s of each": "cpu:.1f",
                "median error": lambda r: f"{r['median']:.1f}°",
                "within 10°": lambda r: f"{r['within']:.0%}",
                "memory (MB)": "memory:.0f",
            }
        )
    },
    quick=dict(box=32, count=12),
)
def subtomogram_alignment(run, box, count, snr=0.1, width=384.0):
    """70S ribosomes, ±60°, aligned to a common average that begins from nothing, neither angles nor shifts told, by
    `classify-subtomograms --align search`; detail to four pixels. Error: after the rotation that is common to all."""
    folder = run.work(f"{box} {count}")
    given = flags(structures=structure(run, RIBOSOME), snr=snr, count=count, box=box, pixel_size=width / box, seed=1)
    cryodl("simulate-subtomograms", *given, "--output", folder / "all.star", *CPU)
    unoriented(folder)
    given = flags(subtomograms=folder / "unoriented.star", align="search", classes=2)
    _, _, cost = recorded("classify-subtomograms", folder / "found.star", *given, *CPU)
    found, true = (
        Rotation.from_matrix(rotation_matrices(read_subtomograms(folder / f"{name}.star").angles))
        for name in ("found", "all")
    )
    common = found * true.inv()
    errors = min(np.degrees([(common * one.inv()).magnitude() for one in common]), key=np.median)
    return dict(costs(cost), cpu=cost[1] / count, median=float(np.median(errors)), within=float((errors < 10).mean()))


# ----- the shipped segmenters, no tile drawn; and what ten tiles add
SHIPPED = ("membrane", "ribosome", "microtubule", "filament")
UNSEEN = dict(ribosome="SIM_5MRC_10A", proteasome="3J9I", betagal="8BK7", receptor="4ZXB")
BASIC = dict(vesicles=3, membranes=1, microtubules=4, filaments=10, size=224, thickness=72)


# Lengths in Å. Each differs from the training: one kind of bilayer and filament, everything in one tomogram.
SETTINGS = {
    "13 Å, ±60 by 3°, SNR 0.3": {"pixel_size": 13, "snr": 0.3},
    "13 Å, ±60 by 3°, SNR 0.1": {"pixel_size": 13, "snr": 0.1},
    "13 Å, ±60 by 3°, SNR 0.03": {"pixel_size": 13, "snr": 0.03},
    "10 Å, ±50 by 2°, SNR 0.1": {
        "pixel_size": 10,
        "snr": 0.1,
        "tilt_min": -50,
        "tilt_max": 50,
        "tilt_step": 2,
        "dose": 120,
        "defocus": 50000,
        "alignment_error": 6,
        "ctf_gradient": True,
        "membrane_proteins": 2,
        "crowding": 0.1,
    },
    "16 Å, ±60 by 3°, SNR 0.6, gold": {
        "pixel_size": 16,
        "snr": 0.6,  # much of the variance is that of the gold
        "fiducials": 3,
        "defocus": 30000,
        "crowding": 0.15,
    },
}
# Of another generator (recipes/other_tomograms.py): Å/px, SNR, tilts in degrees
CONDITIONS = ((10, 0.3, 60), (10, 0.1, 50), (10, 0.05, 60), (14, 0.3, 50), (14, 0.1, 60), (14, 0.05, 50))
VIEWS = {60: dict(tilt=60, step=3, defocus=30000), 50: dict(tilt=50, step=2, defocus=50000)}
ELSEWHERE = {
    f"another generator: {size} Å, ±{tilt}°, SNR {snr:g}": dict(VIEWS[tilt], pixel_size=size, snr=snr, seed=seed)
    for seed, (size, snr, tilt) in enumerate(CONDITIONS, 621)
}
SMOOTHED = (0.0, 1.5, 3.0, 5.0)  # px, of Gaussian noise
DRAWN = "13 Å, ±60 by 3°, SNR 0.3"


def unseen_cell(run, setting, seed=77):
    """One tomogram of a setting and of structures that the training did not have."""
    if setting in ELSEWHERE:
        return run.kept(f"elsewhere/{ELSEWHERE[setting]['seed']}", lambda path: make_cell(path, **ELSEWHERE[setting]))
    return cells(
        run, f"{setting} {seed}".replace("/", "-"), UNSEEN, (30, 20, 20, 20), **BASIC, **SETTINGS[setting], seed=seed
    )


def percent(value):
    return f"{100 * value:.2g}"


@benchmark(
    cases=dict(tomogram=[*SETTINGS, *ELSEWHERE, "EMD-1155 (real)"]),
    tables={
        "general-segmenters": groups(
            ("tomogram",),
            {
                "tomogram": "tomogram",
                **{
                    name: lambda part, name=name: "".join(
                        f"{r['dice']:.3f} ({r['best_dice']:.3f}), {r['precision']:.2f} / {r['recall']:.2f}"
                        for r in part
                        if r["feature"] == name
                    )
                    for name in SHIPPED
                },
            },
        )
    },
    quick=dict(tomogram="EMD-1155 (real)"),
)
def general_segmenters(run, tomogram):
    """The shipped segmenters on tomograms that they never saw: cells of settings and structures that the training did
    not have, cells of another generator, and the envelopes of EMD-1155. One row for each feature."""
    folder, keys = run.folder(tomogram), ("dice", "precision", "recall", "best_dice", "best_threshold")
    if tomogram.startswith("EMD"):
        data, size = data_folder() / EMD_1155, dict(pixel_size=REAL_PIXEL_SIZE)
        outputs, _ = segmented(data / "tomogram.mrc", folder, ["membrane"], "--pixel-size", REAL_PIXEL_SIZE)
        asked, labels = {"membrane": ENVELOPE}, data / "reference_labels.mrc"
    else:
        cell, size = unseen_cell(run, tomogram), dict(pixel_size=(SETTINGS | ELSEWHERE)[tomogram]["pixel_size"])
        outputs, _ = segmented(cell / "tomograms" / "*.mrc", folder, SHIPPED)
        asked, labels = {f: label for f, label in features(cell).items() if f in SHIPPED}, cell / "labels" / "*.mrc"
    noise, rows = next(iter(outputs["noise"].values())), []
    for feature, label in sorted(asked.items(), key=lambda one: SHIPPED.index(one[0])):
        found = judged(folder / "scores" / f"*__{feature}.mrc", labels, label, folder / feature, **size)
        rows.append(dict({key: found[key] for key in keys}, feature=feature, noise=noise[feature]["noise"]))
    return rows


@benchmark(
    cases=dict(width=SMOOTHED),
    tables={
        "segmented-noise": columns(
            {
                "noise": lambda r: f"smoothed by {r['width']:g} px" if r["width"] else "white",
                **{f"{feature} (%)": lambda r, feature=feature: percent(r[feature]) for feature in SHIPPED},
            }
        )
    },
    quick=dict(side=128),
)
def segmented_noise(run, width, side=256):
    """The part of noise alone that the shipped segmenters take for a feature. width: px of a Gaussian, 0 for none."""
    folder = run.work(f"{width}")
    values = np.random.default_rng(5).standard_normal((96, side, side)).astype(np.float32)
    path = write_volume(folder / "noise.mrc", gaussian_filter(values, width) if width else values)
    files = next(iter(segmented(path, folder, SHIPPED)[0]["files"].values()))
    return {feature: float((Tomogram(files[feature]).raw() >= 0.5).mean()) for feature in SHIPPED}


dice = lambda name: lambda r: f"{r[name]['dice']:.3f}" if name in r else "not measured"
kept = lambda r: " (kept)" * (r["shipped and ten tiles"]["dice"] == r["shipped"]["dice"])
tiles_table = columns(
    {
        "drawn in, evaluated on": lambda r: "first, second" if r["drawn"] == 77 else "second, first",
        "feature": "feature",
        "shipped model": dice("shipped"),
        "ten tiles added to it": lambda r: dice("shipped and ten tiles")(r) + kept(r),
        "ten tiles alone": dice("ten tiles"),
    }
)


@benchmark(
    cases=dict(feature=["membrane", "ribosome", "filament"], drawn=[78, 77]),
    tables={"ten-tiles": tiles_table},
    quick=dict(options="--steps 4"),
)
def ten_tiles(run, feature, drawn, options=""):
    """Ten tiles drawn in one tomogram, judged on another of the same setting (seeds 77 and 78): the shipped model, it
    trained further on them, and they alone."""
    learn, test = (unseen_cell(run, DRAWN, seed) for seed in (drawn, 155 - drawn))
    label, folder = features(learn)[feature], run.folder(f"{feature} {drawn}")
    tiles_to_draw(learn, label, folder / "labels")
    found, alone = {}, ("--network", "unet")
    for name, start in {"shipped": None, "shipped and ten tiles": (), "ten tiles": alone}.items():
        model, work = feature, folder / name.replace(" ", "_")
        if start is not None:
            given = (learn / "tomograms" / "*.mrc", folder / "labels" / "*.mrc", label, feature)
            model, _ = trained(run, work, *given, *start, *options.split())
        segmented(test / "tomograms" / "*.mrc", work, [model])
        found[name] = judged(work / "scores" / "*.mrc", test / "labels" / "*.mrc", label, work / "judged")
    return found
