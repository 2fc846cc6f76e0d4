# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes written as OME-Zarr folders (0.4, Zarr 2) with coarser levels, chunk by chunk."""

import itertools
import math
import os
import typing
from pathlib import Path

import numpy as np

from ..contract.result import write_json
from . import messages, tomograms, zarr_arrays

CHUNK = 64  # voxels along each side
COARSEST = 256  # px: a level that is no larger has none below it
# What the chunks are compressed with, in the words of Zarr's metadata; the usual one of Zarr's own library.
COMPRESSOR = dict(id="blosc", cname="zstd", clevel=5, shuffle=1, blocksize=0)


def write_zarr(
    folder: str | os.PathLike[str],
    tomogram: tomograms.Tomogram,
    pixel_size: float,
    origin: typing.Sequence[float] = (0.0, 0.0, 0.0),
    labels: bool = False,
) -> int:
    """Write a volume as an OME-Zarr group, in a new folder, and return its number of levels. tomogram: read chunk by
    chunk. pixel_size: Å/px. origin: Å of the first voxel along x, y and z. labels: the values are labels: coarser
    levels take one of eight voxels instead of their mean, and the group says so."""
    group, shape = Path(folder), tuple(tomogram.shape)
    group.mkdir(parents=True)
    dtype = np.dtype(np.uint8) if labels and tomogram.dtype == np.int8 else np.dtype(tomogram.dtype)
    if unknown := _write_level(
        group / "0", shape, dtype, lambda spans: (tomogram.labels if labels else tomogram.raw)(*spans)
    ):
        messages.warn(
            f"{tomogram.path} holds {unknown} values that are not finite numbers (NaN or infinite); {group.name} has "
            "them, too. Reconstruct it again, or replace them."
        )
    levels = 1
    while max(shape) > COARSEST:
        finer, shape = zarr_arrays.ZarrVolume(group / str(levels - 1)), tuple(-(-n // 2) for n in shape)
        _write_level(group / str(levels), shape, dtype, lambda spans, finer=finer: _halved(finer, spans, labels))
        levels += 1
    write_json(group / ".zgroup", dict(zarr_format=2))
    write_json(group / ".zattrs", _group_attributes(group.name, levels, pixel_size, origin, labels))
    return levels


def _write_level(folder: Path, shape: tuple[int, ...], dtype: np.dtype, read: typing.Callable[..., np.ndarray]) -> int:
    """One array of what `read` gives of three spans (start, stop). Returns how many values are no finite numbers."""
    import imagecodecs

    chunks, unknown = [min(CHUNK, n) for n in shape], 0
    folder.mkdir()
    described: dict[str, typing.Any] = dict(
        zarr_format=2,
        shape=list(shape),
        chunks=chunks,
        dtype=dtype.newbyteorder("<").str,
        compressor=COMPRESSOR,
        fill_value=0,
        order="C",
        filters=None,
        dimension_separator="/",
    )
    for position in itertools.product(*(range(-(-n // c)) for n, c in zip(shape, chunks))):
        chunk = np.zeros(chunks, described["dtype"])
        values = read([(k * c, min((k + 1) * c, n)) for k, c, n in zip(position, chunks, shape)])
        chunk[tuple(slice(0, n) for n in values.shape)] = values
        unknown += int((~np.isfinite(values)).sum())
        path = folder.joinpath(*map(str, position))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            imagecodecs.blosc_encode(
                chunk.tobytes(), level=5, compressor="zstd", shuffle=1, typesize=chunk.itemsize, numthreads=1
            )
        )
    write_json(folder / ".zarray", described)  # last: a folder without it is no array
    return unknown


def _halved(finer: zarr_arrays.ZarrVolume, spans: typing.Sequence[tuple[int, int]], labels: bool) -> np.ndarray:
    """Values of spans of the next coarser level: of eight voxels the mean, or of labels the first."""
    part = finer[tuple(slice(2 * a, min(2 * b, n)) for (a, b), n in zip(spans, finer.shape))]
    if labels:
        return part[::2, ::2, ::2]
    part = np.pad(part.astype(np.float32), [(0, n % 2) for n in part.shape], "edge")
    z, y, x = (n // 2 for n in part.shape)
    mean: np.ndarray = part.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
    return mean if finer.dtype.kind == "f" else np.rint(mean)


def _group_attributes(
    name: str, levels: int, pixel_size: float, origin: typing.Sequence[float], labels: bool
) -> dict[str, typing.Any]:
    """What OME-Zarr 0.4 wants to be said of a group."""
    datasets = []
    for level in range(levels):
        # the middle of a coarser voxel lies between those that it is made of; a label is that of the first
        shift = 0.0 if labels else (2**level - 1) / 2 * pixel_size
        moved = [float(o) + shift if math.isfinite(o) else shift for o in origin[::-1]]
        transforms: list[dict[str, typing.Any]] = [dict(type="scale", scale=[pixel_size * 2**level] * 3)]
        if any(moved):
            transforms.append(dict(type="translation", translation=moved))
        datasets.append(dict(path=str(level), coordinateTransformations=transforms))
    axes = [dict(name=axis, type="space", unit="angstrom") for axis in "zyx"]
    multiscale = dict(version="0.4", name=name.removesuffix(".zarr"), axes=axes, datasets=datasets)
    attributes: dict[str, typing.Any] = dict(multiscales=[multiscale])
    if labels:
        attributes["image-label"] = dict(version="0.4")
    return attributes
