# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes written slab by slab, so that they may be larger than the memory. tomograms.py reads them. Where volumes lie
in space: the origin in an MRC header, or the translation of an OME-Zarr folder."""

import os
import typing
import warnings

import mrcfile
import numpy as np

from . import files, zarr_arrays
from .mrc import HEADER, read_header

_START, _ORIGIN = 16, 196  # bytes of the header before NXSTART and ORIGIN
FARTHEST = 100_000  # voxels from the origin; a start beyond is no position


def origin_of(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Where the first voxel of a volume lies. Of an MRC file the header's origin, or else its start (NXSTART), as
    ChimeraX takes them; of an OME-Zarr folder its translation. Returns Å along x, y, z; zeros where the header makes no
    sense."""
    if os.path.isdir(path) and zarr_arrays.is_zarr(path):
        return zarr_arrays.ZarrVolume(path).origin_zyx[::-1]
    header = read_header(path)
    return tuple(header_origin(header.record, header.voxels_zyx[::-1]).tolist())


def header_origin(header: np.recarray, voxels_xyz: np.ndarray) -> np.ndarray:
    """Where the first voxel of an MRC file lies: the header's origin, or where that is zero its start (NXSTART ...).
    header: as mrcfile has it. voxels_xyz: (3,) Å. Returns (3,) Å along x, y, z; zeros where the header makes no sense:
    some programs leave entries as they are in memory."""
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
    path: of an MRC file that volume_writer.new_volume made. source: the tomogram: an MRC file or an OME-Zarr folder."""
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


_BLOCK = 1 << 24  # bytes


class VolumeWriter:
    """A volume that is written slab by slab: with VolumeWriter(path, shape, pixel_size, dtype) as volume:
    volume.write(z, slab). It gets its name when all slices were written, and not before. shape: (z, y, x). dtype: int8,
    int16, uint16, float16 or float32. Labels are int8 up to 127, else uint16. like: file of the tomogram whose origin
    the volume has."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        shape: typing.Sequence[int],
        pixel_size: float,
        dtype: typing.Any,
        label: str = "",
        like: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path, self._whole = str(path), files.whole_file(path)
        temporary = self._whole.__enter__()
        try:
            new_volume(temporary, shape, pixel_size, dtype, label)
            if like is not None:
                keep_origin(temporary, like)
            self._volume = OpenVolume(temporary, shape, dtype)
        except BaseException as error:
            self._whole.__exit__(type(error), error, error.__traceback__)
            raise
        self._voxels, self._written = int(shape[1]) * int(shape[2]), np.zeros(int(shape[0]), np.int64)

    def __enter__(self) -> "VolumeWriter":
        return self

    def write(self, z: int, slab: np.ndarray) -> None:
        """Write slices z, z + 1, ...; slab: (n, y, x) array."""
        self.write_block((z, 0, 0), slab)

    def write_block(self, position: typing.Sequence[int], block: np.ndarray) -> None:
        """Write a (z, y, x) block whose first voxel is at the position; blocks may not overlap."""
        self._volume.write_block(position, block)
        self._written[position[0] : position[0] + len(block)] += block[0].size

    def __exit__(self, kind: typing.Any, error: typing.Any, trace: typing.Any) -> None:
        whole = self._written == self._voxels
        if kind is None and not whole.all():
            error = RuntimeError(f"Only {whole.sum()} of {len(whole)} slices of {self.path} were written.")
            kind = RuntimeError
        self._volume.close(complete=kind is None)
        self._whole.__exit__(kind, error, trace)
        if isinstance(error, RuntimeError) and trace is None:
            raise error


class OpenVolume:
    """The slices of a volume's file that new_volume made, written in any order. known: [lowest, highest, sum, sum of
    squares] of what an earlier process wrote there. Slices are written to the file, not to a memory map: what is
    written there counts as memory of the process, and a full disk would kill it."""

    def __init__(
        self, path: str | os.PathLike[str], shape: typing.Sequence[int], dtype: typing.Any, known: typing.Any = None
    ) -> None:
        self.shape, self._dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self.known = list(known or [np.inf, -np.inf, 0.0, 0.0])
        self._file = open(path, "r+b")

    def write(self, z: int, slab: np.ndarray) -> None:
        """Write slices z, z + 1, ...; slab: (n, y, x) array."""
        self.write_block((z, 0, 0), slab)

    def write_block(self, position: typing.Sequence[int], block: np.ndarray) -> None:
        """Write a (z, y, x) block whose first voxel is at the position, row by row."""
        block = np.ascontiguousarray(block, self._dtype)
        if any(not 0 <= a <= n - m for a, n, m in zip(position, self.shape, block.shape)):
            raise ValueError(f"A block of shape {block.shape} at {position} is not part of a volume of {self.shape}.")
        z, y, x = position
        whole = block.shape[2] == self.shape[2]  # then the rows of a slice lie one after another in the file
        for number, values in enumerate(block, z):
            for row, line in enumerate([values] if whole else values, y):
                self._seek(number, row, x)
                self._file.write(line.data)
        self._count(block)

    def _seek(self, z: int, y: int, x: int) -> None:
        self._file.seek(HEADER + ((z * self.shape[1] + y) * self.shape[2] + x) * self._dtype.itemsize)

    def _count(self, slab: np.ndarray) -> None:
        for values in slab:  # one slice at a time, for the memory of its copies
            values = values.astype(np.float32)
            self.known = [
                min(self.known[0], float(values.min())),
                max(self.known[1], float(values.max())),
                self.known[2] + float(values.sum(dtype=np.float64)),
                self.known[3] + float(np.square(values).sum(dtype=np.float64)),
            ]

    def flush(self) -> None:
        """Give all that was written to the system, so that it outlives the process."""
        self._file.flush()

    def close(self, complete: bool) -> None:
        """complete: True if all slices are there; then the header gets their range, mean and deviation."""
        if complete:
            low, high, total, squares = self.known
            count = float(np.prod(self.shape, dtype=np.int64))
            mean = total / count
            for position, values in ((76, (low, high, mean)), (216, (max(0.0, squares / count - mean**2) ** 0.5,))):
                self._file.seek(position)
                self._file.write(np.array(values, "<f4").data)
        self._file.close()


def new_volume(
    path: str | os.PathLike[str],
    shape: typing.Sequence[int],
    pixel_size: float,
    dtype: typing.Any,
    label: str = "",
    stack: bool = False,
) -> None:
    """Make the file of a volume of zeros, to be opened by OpenVolume. shape: (z, y, x). pixel_size: Å/px. label: line
    for the header. stack: whether its slices are images of their own."""
    shape, dtype = tuple(int(n) for n in shape), np.dtype(dtype)
    with warnings.catch_warnings(action="ignore"), mrcfile.new(path, overwrite=True) as mrc:  # for its header
        mrc.set_data(np.zeros((1, 1, 1), dtype))
        mrc.set_image_stack() if stack else mrc.set_volume()
        mrc.header.nz, mrc.header.ny, mrc.header.nx = shape
        mrc.header.mz, mrc.header.my, mrc.header.mx = 1 if stack else shape[0], *shape[1:]
        mrc.voxel_size = pixel_size
        if label:
            mrc.add_label(label)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with open(path, "r+b") as file:  # in written blocks: a full disk is told now, and kills no memory map later
        file.seek(HEADER)
        for start in range(0, size, _BLOCK):
            file.write(bytes(min(_BLOCK, size - start)))
        file.truncate()
