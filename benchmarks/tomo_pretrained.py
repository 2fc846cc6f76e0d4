# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped segmenters on tomograms that they never saw, no tile drawn; and what ten tiles add.

Simulated cells of three settings that the training did not have, with a ribosome (the mitochondrial one, 5MRC) and
other structures that it did not have; the real envelopes of EMD-1155; noise alone, as it is and smoothed. Dice is that
of `cryodl evaluate-segmentation` at the score 0.5. Ten tiles are drawn in one tomogram of a setting and judged on
another.
"""

import itertools
import json
import types

import numpy as np
from common import cryodl
from parts import engine_path, table
from tomo_data import features, structure, tiles_to_draw

FEATURES = ("membrane", "ribosome", "microtubule", "filament")
RIBOSOME, OTHERS = (
    "maps/SIM_5MRC_10A.mrc.gz",
    ("complexes/3J9I.pdb.gz", "complexes/8BK7.cif.gz", "complexes/4ZXB.cif.gz"),
)
BASIC = dict(vesicles=3, membranes=1, microtubules=4, filaments=10, size=224, thickness=72)
# Lengths in Å. Each differs from the training: one kind of bilayer and filament, everything in one tomogram.
SETTINGS = {
    "13 Å, ±60 by 3°, SNR 0.3": {"pixel_size": 13, "snr": 0.3},
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
DRAWN_ON, TENS = "13 Å, ±60 by 3°, SNR 0.3", ("membrane", "ribosome")
PAIRS = ((78, 77), (77, 78))  # seeds of the tomogram that is drawn in, and of the one that is judged on
ANOTHER = 79  # seed of a second tomogram of each setting
REAL, REAL_PIXEL_SIZE, ENVELOPE = "tomo_emd1155_hiv", 16.4, 1
SMOOTHED = (0.0, 1.5, 3.0, 5.0)  # px, of Gaussian noise
UNLIMITED = ("--noise-limit", 100)  # the scores as the models give them


def run(bench):
    for setting in SETTINGS:
        bench.once(f"pretrained/{setting}", lambda: measure(bench, setting))
        bench.once(f"pretrained/{setting}, another", lambda: measure(bench, setting, ANOTHER))
    bench.once("pretrained/EMD-1155", lambda: real(bench))
    for width in SMOOTHED:
        bench.once(f"pretrained/noise {width:g}", lambda: noise(bench, width, *UNLIMITED))
        bench.once(f"pretrained/noise {width:g} limited", lambda: noise(bench, width))
    for feature in TENS:
        for train, test in PAIRS:
            bench.once(f"pretrained/ten tiles/{feature} {train} {test}", lambda: sharpened(bench, feature, train, test))


def cells(bench, setting, seed):
    """Folder of one simulated tomogram of a setting; made if it is not there."""
    folder = bench.output / "cells" / f"pretrained {setting} {seed}".replace("/", "-")
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        options = dict(BASIC, **SETTINGS[setting])
        flags = []
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            flags += [flag] if value is True else [flag, value]
        cryodl(
            "simulate-tomograms",
            *("--structures", structure(bench, RIBOSOME), *(structure(bench, other) for other in OTHERS)),
            *("--copies", 30, 20, 20, 20, "--seed", seed, "--output", folder, "--device", "cpu", "--threads", 1),
            *flags,
        )
    return folder


def labels_of(folder):
    """{feature: label} of simulated cells, the ribosome called so."""
    found = features(folder)
    return dict(found, ribosome=found[structure_name()])


def structure_name():
    return RIBOSOME.split("/")[-1].split(".")[0]


def segmented(tomogram, folder, models, *more):
    """CPU seconds, result.json's outputs; scores are in folder/scores."""
    folder.mkdir()
    result = folder / "result.json"
    _, cpu, _, memory = cryodl(
        *("segment", "--tomograms", tomogram, "--model", *models, "--output", folder / "scores"),
        *("--device", "cpu", "--threads", 1, "--result", result, *more),
    )
    return cpu, memory, json.loads(result.read_text())["outputs"]


def judged(scores, labels, label, pixel_size, folder):
    """Figures of one feature."""
    cryodl(
        *("evaluate-segmentation", "--segmentations", scores, "--labels", labels, "--label", label),
        *("--pixel-size", pixel_size, "--output", folder),
    )
    found = next(iter(json.loads((folder / "evaluation.json").read_text())["features"].values()))
    return {name: found[name] for name in ("dice", "precision", "recall", "best_dice", "best_threshold")}


def measure(bench, setting, seed=77):
    """{feature: figures} on one tomogram of a setting."""
    cell, folder = cells(bench, setting, seed), bench.folder(f"pretrained {setting}")
    cpu, memory, outputs = segmented(cell / "tomograms" / "*.mrc", folder, FEATURES, *UNLIMITED)
    noise_found = next(iter(outputs["noise"].values()))
    found = {}
    for feature, label in labels_of(cell).items():
        if feature in FEATURES:
            scores = folder / "scores" / f"*__{feature}.mrc"
            size = SETTINGS[setting]["pixel_size"]
            found[feature] = judged(scores, cell / "labels" / "*.mrc", label, size, folder / feature)
            found[feature]["noise"] = noise_found[feature]["noise"]
    return dict(features=found, cpu=cpu, memory=memory)


def real(bench):
    """Figures of the membrane on the envelopes of the two virions."""
    data, folder = bench.data / REAL, bench.folder("pretrained real")
    _, _, outputs = segmented(data / "tomogram.mrc", folder, ["membrane"], "--pixel-size", REAL_PIXEL_SIZE)
    scores = folder / "scores" / "*__membrane.mrc"
    found = judged(scores, data / "reference_labels.mrc", ENVELOPE, REAL_PIXEL_SIZE, folder / "judged")
    return dict(found, noise=next(iter(outputs["noise"].values()))["membrane"]["noise"])


def noise(bench, width, *more):
    """{feature: part of the voxels of a volume of noise alone that reach 0.5}. width: px of a Gaussian, 0 for none."""
    engine_path()
    from scipy.ndimage import gaussian_filter

    from cryodl.io.tomograms import Tomogram, VolumeWriter

    folder = bench.folder(f"pretrained noise {width} {len(more)}")
    values = np.random.default_rng(5).standard_normal((96, 256, 256)).astype(np.float32)
    values = gaussian_filter(values, width) if width else values
    path = bench.output / f"noise_{width:g}.mrc"
    with VolumeWriter(path, values.shape, 13.0, np.float32) as writer:
        writer.write(0, values)
    _, _, outputs = segmented(path, folder, FEATURES, *more)
    files = next(iter(outputs["files"].values()))
    return {feature: float((Tomogram(files[feature]).raw() >= 0.5).mean()) for feature in FEATURES}


def sharpened(bench, feature, train, test):
    """Figures on the test tomogram of the shipped model, of it trained further on ten tiles, and of ten tiles alone."""
    train, test = cells(bench, DRAWN_ON, train), cells(bench, DRAWN_ON, test)
    label, size = labels_of(train)[feature], SETTINGS[DRAWN_ON]["pixel_size"]
    drawn, found = bench.folder(f"pretrained ten {feature} labels"), {"shipped": shipped(bench, feature, test, label)}
    tiles_to_draw(train, label, drawn)
    starts = {"shipped and ten tiles": ("--start-from", feature, "--network", "unet32"), "ten tiles": ()}
    for name, start in starts.items():
        folder = bench.folder(f"pretrained ten {feature} {name}")
        folder.mkdir()
        _, cpu, _, _ = cryodl(
            *("train-segmenter", "--tomograms", train / "tomograms" / "*.mrc", "--labels", drawn / "*.mrc"),
            *("--label", label, "--feature", feature, "--pixel-size", size, "--output", folder / "model"),
            *("--device", "cpu", "--threads", 1, *start),
        )
        segmented(test / "tomograms" / "*.mrc", folder / "segmented", [folder / "model"])
        scores = folder / "segmented" / "scores" / "*.mrc"
        found[name] = dict(judged(scores, test / "labels" / "*.mrc", label, size, folder / "judged"), train_cpu=cpu)
    return found


def shipped(bench, feature, cell, label):
    """Figures of the shipped model as it is."""
    folder = bench.folder(f"pretrained shipped {feature} {cell.name}")
    segmented(cell / "tomograms" / "*.mrc", folder, [feature])
    scores, size = folder / "scores" / "*.mrc", SETTINGS[DRAWN_ON]["pixel_size"]
    return judged(scores, cell / "labels" / "*.mrc", label, size, folder / "judged")


def tables(bench):
    get, none = bench.figures.get, types.SimpleNamespace(get=lambda key: None)
    rows = []
    for setting in SETTINGS:
        found = (get(f"pretrained/{setting}") or {}).get("features", {})
        for feature in FEATURES:
            rows.append([setting, feature, *_row(found.get(feature, none))])
    rows.append(["EMD-1155 (real)", "membrane", *_row(get("pretrained/EMD-1155") or none)])
    first = table(["tomogram", "feature", "Dice", "precision", "recall", "best Dice", "found in its noise (%)"], rows)
    rows = []
    for width in SMOOTHED:
        for limited in ("", " limited"):
            found = get(f"pretrained/noise {width:g}{limited}") or {}
            name = f"smoothed by {width:g} px" if width else "white"
            rows.append([name + limited, *[_percent(found.get(f)) for f in FEATURES]])
    second = table(["noise", *(f"{feature} (%)" for feature in FEATURES)], rows)
    rows = []
    for feature, (train, test) in itertools.product(TENS, PAIRS):
        found = get(f"pretrained/ten tiles/{feature} {train} {test}") or {}
        dice = [(found.get(name) or {}).get("dice") for name in ("shipped", "shipped and ten tiles", "ten tiles")]
        rows.append([f"{feature} ({train}, {test})", *dice])
    third = table(["feature", "Dice, shipped", "shipped and ten tiles", "ten tiles alone"], rows)
    return f"{first}\n\n{second}\n\n{third}"


def _row(found):
    return [*(found.get(key) for key in ("dice", "precision", "recall", "best_dice")), _percent(found.get("noise"))]


def _percent(part):
    return None if part is None else f"{100 * part:.2g}"
