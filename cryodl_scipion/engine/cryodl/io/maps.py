# SPDX-License-Identifier: GPL-3.0-or-later
"""Density maps in MRC files."""

import os
import typing
from pathlib import Path

import numpy as np

from .files import whole_file


def write_map(path: str | os.PathLike[str], density: typing.Any, pixel_size: float) -> None:
    """Write a density, whole or not at all.

    Parameters
    ----------
    density : ndarray or Tensor, (d, d, d)
        zyx, on the CPU.
    pixel_size : float, Å
        Of its voxels.
    """
    import mrcfile

    with whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(np.asarray(density, np.float32))
        mrc.set_volume()
        mrc.voxel_size = pixel_size


def write_halves(path: Path, densities: typing.Iterable[typing.Any], pixel_size: float) -> None:
    """Write a map and its half-maps: NAME.mrc, NAME_half1.mrc, NAME_half2.mrc.

    Parameters
    ----------
    path : Path
        Of the map.
    densities : iterable of ndarray or Tensor, (d, d, d) each
        The map, the first and the second half-map.
    pixel_size : float, Å
    """
    for ending, density in zip(("", "_half1", "_half2"), densities):
        write_map(path.with_name(f"{path.stem}{ending}.mrc"), density, pixel_size)
