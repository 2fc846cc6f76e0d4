# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoised micrographs, and picks by hand, of the fake engine.

Denoised: the input smoothed over 3 px, or the mean of even and odd; a model without a net.
"""

import os

import mrcfile
import numpy as np
from fake_model import writeModel
from fake_stops import dieSometimes

from cryodl import contract


def denoiseMicrographs(config):
    """As `cryodl denoise-micrographs`; denoised.log tells what was done, and of how many a model was trained."""
    os.makedirs(config.output, exist_ok=True)
    model = config.model or os.path.join(config.output, "model")
    good = [path for path in config.micrographs if os.path.getsize(path) >= 4096]
    if not good:
        raise contract.AllSkipped(f"Of {contract.counted(len(config.micrographs), 'micrograph')}, none could be read.")
    if not os.path.exists(model):
        note(config, f"train {min(len(good), config.training_micrographs)}")
        writeModel(
            model,
            dict(
                kind="micrograph_denoiser",
                name="model",
                particle_diameter=None,
                threshold=None,
                method="even-odd" if config.even else "added-noise",
                resolution=8.0,
                pixel_sizes=[config.pixel_size],
                training=dict(micrographs=list(config.names), steps=5, seconds=1.0, stop_reason="done"),
                validation=dict(correlation=0.3, wiener_correlation=0.2),
            ),
        )
    files, skipped = {}, []
    for number, (name, path) in enumerate(zip(config.names, config.micrographs)):
        target = os.path.join(config.output, name + ".mrc")
        dieSometimes(config.output, number)
        if path not in good:
            skipped.append(contract.Skipped(name, path, "the file is shorter than its header says"))
            continue
        if not os.path.exists(target):
            note(config, name)
            write(target, *([config.even[number], config.odd[number]] if config.even else [path]))
        files[name] = target
    card = contract.read_card(model)
    return dict(
        micrographs=config.output,
        files=files,
        counts=dict.fromkeys(files, 1),
        model=model,
        method=card["method"],
        resolution=(card["method"] == "simulated" and config.resolution) or card["resolution"],
        pixel_size=config.pixel_size,
    ), skipped


def note(config, text):
    with open(os.path.join(config.output, "denoised.log"), "a") as log:
        log.write(text + "\n")


def write(target, *paths):
    image = np.mean([mrcfile.read(path) for path in paths], axis=0)
    image = np.mean([np.roll(image, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)
    with mrcfile.new(target + ".tmp", overwrite=True) as mrc:
        mrc.set_data(image.astype(np.float32))
    os.rename(target + ".tmp", target)


def pickByHand(config):
    """As `cryodl pick-by-hand`: on the first micrograph five picks were added, the first of the machine removed and an
    area ignored."""
    name, size = config.names[0], 64
    os.makedirs(os.path.join(config.coordinates, "removed"), exist_ok=True)
    os.makedirs(os.path.join(config.coordinates, "ignored"), exist_ok=True)
    begun = os.path.join(config.start_from or "", name + ".star")
    machine = [line.split() for line in open(begun) if line[:1].isdigit()] if os.path.exists(begun) else []
    rows = [[20 * number, 30, 1, 1] for number in range(1, 6)] + [row[:3] + [0] for row in machine[1:]]
    for folder, part in (("", rows), ("removed", [row[:3] + [1] for row in machine[:1]])):
        with open(os.path.join(config.coordinates, folder, name + ".star"), "w") as file:
            names = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", "cryodlCertain")
            file.write("\ndata_\n\nloop_\n" + "".join(f"_{n} #{i}\n" for i, n in enumerate(names, 1)))
            file.writelines(" ".join(map(str, [""] + row)) + "\n" for row in part)
    with mrcfile.new(os.path.join(config.coordinates, "ignored", name + ".mrc"), overwrite=True) as mrc:
        mrc.set_data(np.zeros((size, size), np.int8))
    return dict(
        folder=config.coordinates, counts={name: len(rows)}, removed={name: len(machine[:1])}, changed=[name]
    ), []


def labelsFromClasses(config):
    """As `cryodl labels-from-classes`: what is in both files is certain, the rest removed; nothing is compared."""
    parts = {}
    for word in ("kept", "classified"):
        path = getattr(config, word)
        lines = open(path).read().split("data_particles")[1].splitlines() if path else []
        rows = [line.split() for line in lines if line and line[0] not in "_#l"]
        parts[word] = [(row[0], row[1], row[2]) for row in rows]
    removed = [row for row in parts["classified"] if row not in parts["kept"]]
    for folder, rows in (("", parts["kept"]), ("removed", removed)):
        os.makedirs(os.path.join(config.output, folder), exist_ok=True)
        for name in {row[0] for row in rows}:
            with open(os.path.join(config.output, folder, name + ".star"), "w") as file:
                file.write("\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_cryodlCertain #3\n")
                file.writelines(f" {x} {y} 1\n" for mic, x, y in rows if mic == name)
    count = lambda rows: {name: sum(row[0] == name for row in rows) for name in config.names}
    return dict(
        folder=config.output,
        pixel_size=config.pixel_size,
        certain=count(parts["kept"]),
        removed=count(removed),
        unconfirmed=dict.fromkeys(config.names, 0),
        merged=0,
    ), []


WORK = {"denoise-micrographs": denoiseMicrographs, "pick-by-hand": pickByHand, "labels-from-classes": labelsFromClasses}
