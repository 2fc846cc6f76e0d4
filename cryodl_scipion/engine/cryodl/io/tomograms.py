# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms and volumes as large as the disk holds: read by memory map; volume_writer.py writes them."""

import os
import typing

import numpy as np

from ..contract.reading import absent, reader
from . import stacks, zarr_arrays
from .mrc import MODES, MrcHeader, axes_zyx, doubt_sign, read_header

SLAB = 4  # slices that are read at a time: what a map has read counts as memory of the process
SCORES = "cryodl: scores of"  # how a label of the header of score volumes begins


class Tomogram:
    """A volume in an MRC file, or in an OME-Zarr folder, of which only what is asked for is read. path: str. shape: (z,
    y, x). dtype: of the file. pixel_size: Å/px of the header, None where it says nothing (0, or 1 for "unknown").
    says_scores: whether the header calls the values scores. Raises FileNotFoundError or ValueError: what is wrong."""

    @reader
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self._zarr, self.says_scores = str(path), None, False
        if os.path.isdir(self.path) and zarr_arrays.is_zarr(self.path):
            self._zarr = zarr_arrays.ZarrVolume(self.path)
            self.shape, zyx = self._zarr.shape, self._zarr.voxel_zyx
            self.pixel_size = (
                _cubic(zyx[::-1], self.path, "metadata") if zyx and all(0 < s < np.inf for s in zyx) else None
            )
            dtype = self._zarr.dtype
            if dtype.kind not in "iuf" or dtype.itemsize > 4 and dtype.kind != "f":
                raise ValueError(
                    f"{path} holds {dtype} numbers; volumes hold whole numbers of up to 4 bytes, or floats."
                )
            self.dtype = np.dtype(np.float32) if dtype.itemsize == 8 else dtype.newbyteorder("=")
            return
        if not os.path.isfile(self.path):
            raise FileNotFoundError(f"The volume {path} {absent(path)}.")
        if self.path.lower().endswith((".gz", ".bz2")):
            raise ValueError(
                f"{path} is compressed; tomograms are read by parts, which needs the plain file. Decompress it first."
            )
        self._header = header = read_header(self.path)
        dtype, needed = _dtype(header, self.path), header.start + header.nbytes
        if min(header.shape) < 1 or os.path.getsize(self.path) < needed:
            raise ValueError(
                f"{path} is damaged or cut short: its header promises {header.shape[2]} x {header.shape[1]} x "
                f"{header.shape[0]} values, {needed} bytes; it has {os.path.getsize(self.path)}. Copy it again."
            )
        self._axes = axes_zyx(header.record, self.path)
        self.shape, self.dtype = self._data.shape, dtype.newbyteorder("=")
        self.pixel_size = _pixel_size(header, self.path)
        self.says_scores = SCORES.encode() in header.record.label.tobytes()

    @property
    def _data(self) -> np.ndarray | zarr_arrays.ZarrVolume:
        """The volume, to be cut by slices. A file is mapped anew each time, in _copied for each slab: what a map has
        read counts as memory of the process as long as the map lives, and that is whole pages around what was asked."""
        if self._zarr is not None:
            return self._zarr
        header = self._header
        return np.memmap(self.path, _dtype(header, self.path), "r", header.start, header.shape).transpose(self._axes)

    def part(self, *ranges: tuple[int, int]) -> np.ndarray:
        """(z, y, x) float32 array, a copy, of the positions [start, stop) given for the first axes; the rest is whole.
        Raises ValueError for values that are not finite numbers."""
        part = self._copied(ranges, np.float32)
        if self.dtype.kind == "f" and not np.isfinite(part).all():
            raise ValueError(
                f"{self.path} holds values that are not finite numbers (NaN or infinite). Reconstruct it "
                "again, or replace them."
            )
        if self._zarr is None:
            doubt_sign(self.path, self._header, part)
        return part

    def raw(self, *ranges: tuple[int, int]) -> np.ndarray:
        """As part, of the file's own type."""
        return self._copied(ranges, self.dtype)

    def _copied(self, ranges: typing.Sequence[tuple[int, int]], dtype: typing.Any) -> np.ndarray:
        cut = tuple(slice(*r) for r in ranges)
        if self._zarr is not None:
            return np.array(self._zarr[cut], dtype)
        found = np.empty(self._data[cut].shape, dtype)
        for start in range(0, len(found), SLAB):
            found[start : start + SLAB] = self._data[cut][start : start + SLAB]
        return found

    def labels(self, *ranges: tuple[int, int], otherwise: str = "") -> np.ndarray:
        """As raw, of a label volume: whole numbers. Bytes are read as 0 to 255, whatever their sign. otherwise:
        sentence for the user whose file holds other numbers, or scores by its header, which raise ValueError."""
        if self.says_scores and self.dtype in (np.int8, np.float16, np.float32):
            raise ValueError(
                f"{self.path} holds scores by its header, not labels. If labels got that header from another file, "
                f"convert them with `newstack -mode 1`. {otherwise}".rstrip()
            )
        values = self.raw(*ranges)
        if values.dtype == np.int8:
            return values.view(np.uint8)
        if values.dtype.kind != "f":
            return values
        if not np.isfinite(values).all():
            raise ValueError(f"The label volume {self.path} holds values that are not finite numbers. {otherwise}")
        labels = np.rint(values).astype(np.int32)
        if (labels != values).any():
            raise ValueError(
                f"{self.path} holds values such as {values[labels != values][0]:g}; label volumes hold "
                f"whole numbers. {otherwise}"
            )
        return labels


def mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """(stop - start,) places of an axis of `size` values to take for [start, stop), where those before the first and
    after the last are mirrored."""
    period = max(1, 2 * size - 2)
    positions = np.arange(start, stop) % period
    return np.where(positions < size, positions, period - positions)


def mirrored_part(volume: Tomogram, ranges: typing.Iterable[tuple[int, int]]) -> np.ndarray:
    """(z, y, x) float32 of three ranges [start, stop), mirrored beyond the volume's borders."""
    positions = [mirrored(*ends, size) for ends, size in zip(ranges, volume.shape)]
    part = volume.part(*((int(p.min()), int(p.max()) + 1) for p in positions))
    for axis, position in enumerate(positions):
        index = position - position.min()
        if len(index) != part.shape[axis] or (np.diff(index) != 1).any():
            part = part.take(index, axis)
    return part


def sides_of(shape: typing.Sequence[int]) -> str:
    """Columns, rows and slices of a (z, y, x) shape: 960 x 928 x 300."""
    return " x ".join(str(n) for n in reversed(shape))


def _cubic(sizes_xyz: typing.Sequence[float], path: str, stated: str) -> float:
    """The side of a voxel, Å, as it is stated in the header or the metadata. Raises ValueError if it is no cube."""
    if max(sizes_xyz) / min(sizes_xyz) > 1 + stacks.UNEQUAL:
        sides = " x ".join(f"{size:g}" for size in sizes_xyz)
        raise ValueError(
            f"{path} has voxels of {sides} Å by its {stated}; they must be cubes. Resample the volume, or correct the "
            f"{stated}."
        )
    return sizes_xyz[0]


def working_pixel_size(tomogram: Tomogram, given: float | None, labels: float | None = None) -> tuple[float, str]:
    """Pixel size to take for a tomogram. given: Å/px of the request. labels: Å/px of its labels, for a header that says
    nothing. Returns it, and a sentence for the user or "". Raises ValueError if there is no pixel size at all."""
    if given is not None:
        found = tomogram.pixel_size
        if found is not None and abs(found / given - 1) > 0.02:
            return given, f"The header of {tomogram.path} says {found:g} Å/px; {given:g} Å/px was used instead."
        return given, ""
    if tomogram.pixel_size is not None:
        return tomogram.pixel_size, ""
    if labels is not None:
        return labels, f"The header of {tomogram.path} has no pixel size; that of its labels is used."
    raise ValueError(
        f"The header of {tomogram.path} has no pixel size (it says 0 or less, or the 1 of programs "
        "that write none). Give --pixel-size."
    )


def _dtype(found: MrcHeader, path: str) -> np.dtype:
    if found.dtype is None or found.mode not in MODES:
        raise ValueError(
            f"{path} has the MRC mode {found.mode}; modes {', '.join(str(m) for m in MODES)} are read. Convert it "
            "first."
        )
    return found.dtype


def _pixel_size(header: MrcHeader, path: str) -> float | None:
    """Å/px, None if the header says nothing."""
    sizes = header.voxels_zyx[::-1].tolist()
    if all(abs(size - 1) < 1e-3 for size in sizes) or not all(0.05 < size < 1000 for size in sizes):
        return None
    return _cubic(sizes, path, "header")
