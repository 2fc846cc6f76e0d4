# SPDX-License-Identifier: GPL-3.0-or-later
"""Small synthetic micrographs with known particles, for tests of the Scipion side."""

import json
import os

import mrcfile
import numpy as np

SIDE_X, SIDE_Y = 320, 256  # not square, so that x and y cannot be exchanged unnoticed
PIXEL_SIZE = 3.0
DIAMETER = 90.0
# (x, y, score): not symmetric under flips; integers and halves so that rounding shows
PARTICLES = [
    (40.0, 50.0, 0.9),
    (120.6, 60.0, 0.8),
    (200.0, 70.4, 0.7),
    (280.0, 200.0, 0.5),
    (100.0, 180.0, 0.3),
    (180.0, 210.0, 0.1),
]


def writeMicrographs(folder, count, particles=PARTICLES):
    """Write `count` micrographs with dark discs and, beside each, <file>.truth.json. Returns their paths."""
    os.makedirs(folder, exist_ok=True)
    return [writeMicrograph(os.path.join(folder, f"mic_{i:03d}.mrc"), i, particles) for i in range(1, count + 1)]


def writeMicrograph(path, seed, particles=PARTICLES):
    generator = np.random.RandomState(seed)
    image = generator.normal(0, 1, (SIDE_Y, SIDE_X)).astype(np.float32)
    y, x = np.mgrid[:SIDE_Y, :SIDE_X]
    for px, py, _ in particles:
        image -= 2.0 * (np.hypot(x - px, y - py) < DIAMETER / PIXEL_SIZE / 2)
    temporary = path + ".tmp"
    with mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(image)
        mrc.voxel_size = PIXEL_SIZE
    with open(path + ".truth.json", "w") as file:
        json.dump([list(p) for p in particles], file)
    os.rename(temporary, path)
    return path


def writeDamaged(path):
    """A file that begins as a micrograph does and ends too early."""
    whole = writeMicrograph(path, 1)
    with open(whole, "rb") as file:
        start = file.read(2000)
    with open(path, "wb") as file:
        file.write(start)
    return path
