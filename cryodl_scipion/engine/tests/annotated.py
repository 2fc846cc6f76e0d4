# SPDX-License-Identifier: GPL-3.0-or-later
"""A small tomogram and what is drawn on it."""

import warnings

import mrcfile
import numpy as np

from cryodl.tomograms.annotations.store import open_annotations

SHAPE = (9, 70, 90)  # z, y, x
PIXEL = 8.0  # Å/px
SIZE = 16


def write_volume(path, data, pixel_size=PIXEL):
    """A (z, y, x) array as an MRC volume. Returns its path as text."""
    with warnings.catch_warnings(action="ignore"), mrcfile.new(path, overwrite=True) as mrc:  # of NaN
        mrc.set_data(data)
        mrc.set_volume()
        mrc.voxel_size = pixel_size
    return str(path)


def numbered_tomogram(path, shape=SHAPE):
    """A tomogram whose voxels know their position: 10000 z + 100 y + x."""
    z, y, x = np.indices(shape)
    return write_volume(path, (10000 * z + 100 * y + x).astype(np.float32))


def square(size=SIZE, start=4, stop=8, value=1):
    """A drawing with a square of one value."""
    drawing = np.zeros((size, size), np.int16)
    drawing[start:stop, start:stop] = value
    return drawing


def store_with_tomogram(folder, name="tomo"):
    """An empty store in folder/annotations beside folder/tomo.mrc."""
    path = numbered_tomogram(folder / f"{name}.mrc")
    store = open_annotations(folder / "annotations")
    store.set_path(name, path, SHAPE)
    return store
