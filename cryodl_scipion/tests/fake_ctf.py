# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake engine says of CTFs. The number in a micrograph's name decides: mic_002 has 12000 Å, mic_009 no
rings."""

import json
import os

import mrcfile
import numpy as np

from cryodl import contract


def estimate(config):
    """Metrics of each micrograph, and its spectrum; estimated.log tells what was done."""
    folder = os.path.splitext(config.output)[0]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(os.path.dirname(config.output), "..", "estimated.log"), "a") as log:
        log.write("".join(name + "\n" for name in config.names))
    metrics, skipped = {}, []
    for name, path in zip(config.names, config.micrographs):
        number = int(name.rsplit("_", 1)[1])
        if os.path.getsize(path) < 4096 or number == 9:
            reason = "no significant Thon rings" if number == 9 else "the file is shorter than its header says"
            skipped.append(contract.Skipped(name, path, reason))
            continue
        metrics[name] = dict(
            defocus_u=10000.0 + 1000 * number,
            defocus_v=9800.0 + 1000 * number,
            phase_shift=0.0,
            defocus_angle=10.0 * number,
            resolution=4.0,
            correlation=0.8,
            strength=30.0,
        )
        with mrcfile.new(os.path.join(folder, name + ".mrc"), overwrite=True) as mrc:
            mrc.set_data(np.random.default_rng(number).random((64, 64), np.float32))
        frequency = np.linspace(0.03, 0.2, 50)
        wave = (0.5 * np.cos(900 * frequency**2)).tolist()
        with open(os.path.join(folder, name + ".json"), "w") as file:
            json.dump(dict(profile=dict(frequency=frequency.tolist(), data=wave, model=wave)), file)
    if not metrics:
        raise contract.AllSkipped(
            f"The CTF of none of the {len(skipped)} micrographs could be estimated. The first: {skipped[0].reason}"
        )
    return dict(
        star=config.output,
        folder=folder,
        fits=metrics,
        spectra={name: os.path.join(folder, name + ".mrc") for name in metrics},
    ), skipped


WORK = {"estimate-ctf": estimate}
