# SPDX-License-Identifier: GPL-3.0-or-later
"""Where volumes lie in space: the origin in an MRC header, or the translation of an OME-Zarr folder."""

from __future__ import annotations

import os

import numpy as np

from .mrc import read_header
from .zarr_arrays import ZarrVolume, is_zarr

_START, _ORIGIN = 16, 196  # bytes of the header before NXSTART and ORIGIN
FARTHEST = 100_000  # voxels from the origin; a start beyond is no position


def origin_of(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Where the first voxel of a volume lies.

    Of an MRC file the header's origin, or else its start (NXSTART), as ChimeraX takes them; of an OME-Zarr folder its
    translation.

    Returns
    -------
    tuple of float
        Å along x, y, z; zeros where the header makes no sense.
    """
    if os.path.isdir(path) and is_zarr(path):
        return ZarrVolume(path).origin_zyx[::-1]
    header = read_header(path).record
    voxel = np.array([float(header.cella[axis]) / max(1, int(header["m" + axis])) for axis in "xyz"])
    return tuple(header_origin(header, voxel).tolist())


def header_origin(header: np.recarray, voxels_xyz: np.ndarray) -> np.ndarray:
    """Where the first voxel of an MRC file lies: the header's origin, or where that is zero its start (NXSTART ...).

    Parameters
    ----------
    header : recarray
        As mrcfile has it.
    voxels_xyz : ndarray, (3,)
        Å.

    Returns
    -------
    ndarray, (3,)
        Å along x, y, z; zeros where the header makes no sense: some programs leave entries as they are in memory.
    """
    origin = np.array([float(header["origin"][axis]) for axis in "xyz"])
    if origin.any() and np.isfinite(origin).all():
        return origin
    # of columns, rows and sections: the axes of the file
    axes = [int(header[name]) for name in ("mapc", "mapr", "maps")]
    axes = axes if any(axes) else [1, 2, 3]
    starts = np.array([int(header[name]) for name in ("nxstart", "nystart", "nzstart")])
    if sorted(axes) != [1, 2, 3] or np.abs(starts).max() > FARTHEST:
        return np.zeros(3)
    moved = starts[np.argsort(axes)] * voxels_xyz
    return moved if np.isfinite(moved).all() else np.zeros(3)


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
