# SPDX-License-Identifier: GPL-3.0-or-later
"""A small tomogram with dark rods of which the labels are known, and the command that learns them."""

import json

import mrcfile
import numpy as np

from cryodl.contract import Result
from cryodl.running.cli import main

PIXEL = 10.0  # Å/px
ROD, BALL = 1, 2


def write_volume(path, data, pixel_size=PIXEL):
    """A (z, y, x) array as an MRC volume. Returns its path as text."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_volume()
        mrc.voxel_size = pixel_size
    return str(path)


def rods(shape=(20, 128, 160), seed=0, noise=0.5):
    """A tomogram (float32) and its labels (uint8): dark rods along y or x, ROD, and dark balls, BALL, in noise."""
    rng, labels = np.random.default_rng(seed), np.zeros(shape, np.uint8)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for number in range(10):
        cz, cy, cx = (rng.uniform(0, n) for n in shape)
        across = (x - cx) ** 2 if number % 2 else (y - cy) ** 2
        along = np.abs(y - cy) if number % 2 else np.abs(x - cx)
        labels[(across + (z - cz) ** 2 < 9) & (along < 40)] = ROD
        cz, cy, cx = (rng.uniform(0, n) for n in shape)
        labels[((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < 36) & (labels == 0)] = BALL
    return (noise * rng.standard_normal(shape) - 2.0 * (labels > 0)).astype(np.float32), labels


def write_project(folder, count=1, **options):
    """folder/tomo/t0.mrc ... and folder/labels/t0.mrc ... Returns the label arrays."""
    for name in ("tomo", "labels"):
        (folder / name).mkdir()
    found = []
    for number in range(count):
        tomogram, labels = rods(seed=number, **options)
        write_volume(folder / f"tomo/t{number}.mrc", tomogram)
        write_volume(folder / f"labels/t{number}.mrc", labels.view(np.int8))
        found.append(labels)
    return found


def train(folder, *more, output="model", source=None, steps=4):
    """Exit code of the command. source: arguments that say what to learn from, instead of the project's label
    volumes.
    """
    source = source or [
        "--tomograms",
        str(folder / "tomo/*.mrc"),
        "--labels",
        str(folder / "labels/*.mrc"),
        "--label",
        str(ROD),
    ]
    return main(
        [
            "train-segmenter",
            *source,
            "--output",
            str(folder / output),
            *f"--device cpu --threads 1 --steps {steps} --batch-size 2".split(),
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )


def card(folder, name="model"):
    return json.loads((folder / name / "card.json").read_text())


def result(folder):
    return Result.read(folder / "result.json")
