# SPDX-License-Identifier: GPL-3.0-or-later
"""Where volumes lie in space: the origin in an MRC header, or the translation of an OME-Zarr folder."""

from __future__ import annotations

import math
import os

import numpy as np

from .mrc import read_header
from .zarr_arrays import ZarrVolume, is_zarr

_START, _ORIGIN = 16, 196  # bytes of the header before NXSTART and ORIGIN


def origin_of(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Where the first voxel of a volume lies.

    Of an MRC file the header's origin, or else its start (NXSTART), as ChimeraX takes them; of an OME-Zarr folder its
    translation.

    Parameters
    ----------
    path : path

    Returns
    -------
    tuple of float
        Å along x, y, z; zeros where the header makes no sense.
    """
    if os.path.isdir(path) and is_zarr(path):
        return ZarrVolume(path).origin_zyx[::-1]
    header = read_header(path).record
    origin = [float(header.origin[axis]) for axis in "xyz"]
    if not any(origin) or not all(map(math.isfinite, origin)):
        # of columns, rows and sections: the axes of the file
        start = np.zeros(3)
        for axis, count in zip(
            (header.mapc, header.mapr, header.maps), (header.nxstart, header.nystart, header.nzstart)
        ):
            if 1 <= int(axis) <= 3:
                start[int(axis) - 1] = int(count)
        far = 10 * max(int(header.nx), int(header.ny), int(header.nz))
        voxel = [float(header.cella[axis]) / max(1, int(header["m" + axis])) for axis in "xyz"]
        origin = list(start * voxel) if np.abs(start).max() <= far else [0.0] * 3
    return tuple(origin)


def keep_origin(path: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    """Give a new volume the origin of the tomogram that it was made of, so that other programs lay them on each other.

    Parameters
    ----------
    path : path
        Of an MRC file that volume_writer.new_volume made.
    source : path
        The tomogram: an MRC file or an OME-Zarr folder.
    """
    start = np.zeros(3, "<i4")
    if os.path.isdir(source):
        origin, in_order = np.array(origin_of(source), "<f4"), True
    else:
        header = read_header(source).record
        origin = np.array([float(header.origin[axis]) for axis in "xyz"], "<f4")
        start[:] = [int(header.nxstart), int(header.nystart), int(header.nzstart)]
        in_order = (int(header.mapc), int(header.mapr), int(header.maps)) == (1, 2, 3)
    with open(path, "r+b") as file:
        if np.isfinite(origin).all():
            file.seek(_ORIGIN)
            file.write(origin.tobytes())
        if in_order:
            file.seek(_START)
            file.write(start.tobytes())
