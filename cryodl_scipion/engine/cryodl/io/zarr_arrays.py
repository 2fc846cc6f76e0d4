# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays of OME-Zarr folders, of which only the chunks that are asked for are read.

Zarr 2 and 3 with fixed chunks, plain or compressed (blosc, zstd, gzip, zlib, lz4), in folders on disk. Sharded arrays
and other filters are refused by name.
"""

from __future__ import annotations

import itertools
import json
import os
import typing
from pathlib import Path

import numpy as np

# What metadata calls a unit of length, in Å. A scale without a unit is taken for Å, as copick writes it.
_UNITS = {"angstrom": 1.0, "nanometer": 10.0, "micrometer": 1e4, None: 1.0, "": 1.0}


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the folder of a Zarr array or group."""
    return any((Path(path) / name).is_file() for name in (".zarray", ".zgroup", ".zattrs", "zarr.json"))


class ZarrVolume:
    """A volume (z, y, x) of a Zarr array, or the finest one of an OME-Zarr group.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    pixel_size : float or None
        Å/px; None where the metadata do not say.

    Raises
    ------
    ValueError
        For what cannot be read; the message says what.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        group, self._folder = Path(path), Path(path)
        self.pixel_size = None
        multiscales = _attributes(group).get("multiscales")
        if multiscales:
            level = multiscales[0]["datasets"][0]
            self._folder = group / level["path"]
            self.pixel_size = _pixel_size(multiscales[0], level)
        shape, self._chunks, self.dtype, self._key, self._decode, self._fill = _described(self._folder)
        extra = len(shape) - 3  # channels and times of one
        if extra < 0 or any(n != 1 for n in shape[:extra]):
            raise ValueError(
                f"{path} holds an array of {' x '.join(map(str, shape))}; a volume has three axes z, y, x."
            )
        self._extra, self.shape = extra, tuple(shape[extra:])

    def __getitem__(self, ranges: tuple[slice, ...]) -> np.ndarray:
        """Array of the places of up to three slices of step 1; the rest is whole."""
        ranges = tuple(ranges) + (slice(None),) * (3 - len(ranges))
        spans = [s.indices(n)[:2] for s, n in zip(ranges, self.shape)]
        result = np.full([max(0, b - a) for a, b in spans], self._fill, self.dtype)
        sides = self._chunks[self._extra :]
        for position in itertools.product(
            *(range(a // n, -(-b // n)) if b > a else () for (a, b), n in zip(spans, sides))
        ):
            chunk = self._chunk((0,) * self._extra + position)
            if chunk is None:
                continue
            chunk = chunk.reshape(sides)
            here, there = [], []
            for k, n, (a, b) in zip(position, sides, spans):
                low, high = max(a, k * n), min(b, (k + 1) * n)
                here.append(slice(low - a, high - a))
                there.append(slice(low - k * n, high - k * n))
            result[tuple(here)] = chunk[tuple(there)]
        return result

    def _chunk(self, position: tuple[int, ...]) -> np.ndarray | None:
        """A chunk; None if it is not stored, which means that it is all of the fill value."""
        path = self._folder / self._key(position)
        if not path.is_file():
            return None
        try:
            data = self._decode(path.read_bytes())
            return np.frombuffer(data, self.dtype, int(np.prod(self._chunks)))
        except Exception as error:  # whatever a decompressor raises
            raise ValueError(f"{path} is damaged ({error}). Copy it again.") from None


def _attributes(folder: Path) -> dict[str, typing.Any]:
    if (folder / "zarr.json").is_file():
        found = _json(folder / "zarr.json").get("attributes", {})
        return dict(found.get("ome", found))
    return _json(folder / ".zattrs") if (folder / ".zattrs").is_file() else {}


def _json(path: Path) -> dict[str, typing.Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not readable ({error}).") from None


def _pixel_size(multiscale: dict[str, typing.Any], level: dict[str, typing.Any]) -> float | None:
    scales = [t["scale"] for t in level.get("coordinateTransformations", []) if t.get("type") == "scale"]
    units = [axis.get("unit") for axis in multiscale.get("axes", []) if isinstance(axis, dict)][-1:]
    if not scales or (units or [None])[0] not in _UNITS:
        return None
    return float(scales[0][-1]) * _UNITS[(units or [None])[0]]


def _described(folder: Path) -> tuple[typing.Any, ...]:
    """Shape, chunks, type, key of a chunk, decoder and fill value of an array."""
    if (folder / ".zarray").is_file():
        found = _json(folder / ".zarray")
        if found.get("filters") or found.get("order", "C") != "C":
            raise ValueError(f"{folder} has filters or Fortran's order, which are not read. Write it plainly.")
        between = found.get("dimension_separator", ".")
        key = lambda position: between.join(map(str, position))
        decode = _decoder((found.get("compressor") or {}).get("id"), folder)
        return found["shape"], found["chunks"], np.dtype(found["dtype"]), key, decode, found.get("fill_value") or 0
    if (folder / "zarr.json").is_file():
        found = _json(folder / "zarr.json")
        if found.get("node_type") != "array":
            raise ValueError(f"{folder} is a group without multiscales; give the folder of the array in it.")
        codecs = found["codecs"]
        names = [codec["name"] for codec in codecs]
        if names[0] != "bytes" or len(names) > 2 + ("crc32c" in names):
            raise ValueError(f"{folder} is stored with {', '.join(names)}, which is not read. Write it plainly.")
        order = "<" if (codecs[0].get("configuration") or {}).get("endian", "little") == "little" else ">"
        between = found["chunk_key_encoding"].get("configuration", {}).get("separator", "/")
        key = lambda position: between.join(["c", *map(str, position)])
        decode = _decoder(names[1] if len(names) > 1 else None, folder)
        chunks = found["chunk_grid"]["configuration"]["chunk_shape"]
        dtype = np.dtype(found["data_type"]).newbyteorder(order)
        return found["shape"], chunks, dtype, key, decode, found.get("fill_value") or 0
    raise ValueError(f"{folder} is no Zarr array: it has neither .zarray nor zarr.json.")


def _decoder(name: str | None, folder: Path) -> typing.Callable[[bytes], bytes | bytearray]:
    """Function that decompresses a chunk."""
    if name is None:
        return lambda data: data
    import imagecodecs

    known: dict[str, typing.Callable[[bytes], bytes | bytearray]] = dict(
        blosc=imagecodecs.blosc_decode,
        zstd=imagecodecs.zstd_decode,
        gzip=imagecodecs.gzip_decode,
        zlib=imagecodecs.zlib_decode,
        lz4=lambda data: imagecodecs.lz4_decode(data, header=True),
    )
    if name not in known:
        raise ValueError(f"{folder} is compressed by {name}, which is not read; {', '.join(known)} are.")
    return known[name]
