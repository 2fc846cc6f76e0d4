# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoised micrographs of the fake engine: the input smoothed over 3 px, or the mean of even and odd; a model without a
net."""

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
        raise contract.AllSkipped(f"None of the {len(config.micrographs)} micrographs could be read.")
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
        resolution=card["resolution"],
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


WORK = {"denoise-micrographs": denoiseMicrographs}
