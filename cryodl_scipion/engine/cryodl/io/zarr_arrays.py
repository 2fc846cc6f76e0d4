# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays of OME-Zarr folders, of which only the chunks that are asked for are read. Zarr 2 and 3 with fixed chunks,
plain or compressed (blosc, zstd, gzip, zlib, lz4), in folders on disk. Sharded arrays and other filters are refused."""

import itertools
import json
import os
import re
import typing
import zlib
from pathlib import Path

import numpy as np

from ..contract.reading import reader
from .messages import warn

# What metadata calls a unit of length, in Å. A scale without a unit is taken for Å, as copick writes it.
_UNITS = {"angstrom": 1.0, "nanometer": 10.0, "micrometer": 1e4, None: 1.0, "": 1.0}
_CHECKSUM = 4  # bytes of crc32c behind a chunk
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib's word for either header
_LARGEST, _MOST = 1 << 16, 1 << 40  # voxels along an axis, and in all
_LARGEST_CHUNK = 1 << 30  # bytes


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the folder of a Zarr array or group."""
    return any((Path(path) / name).is_file() for name in (".zarray", ".zgroup", ".zattrs", "zarr.json"))


class ZarrVolume:
    """A volume (z, y, x) of a Zarr array, or the finest one of an OME-Zarr group. voxel_zyx: Å; None where the metadata
    do not say. origin_zyx: Å, where the first voxel lies: the translation, or zeros. Raises ValueError for what cannot
    be read; the message says what."""

    @reader
    def __init__(self, path: str | os.PathLike[str]) -> None:
        group, self._folder = Path(path), Path(path)
        self.voxel_zyx: tuple[float, ...] | None = None
        self.origin_zyx: tuple[float, ...] = (0.0, 0.0, 0.0)
        if multiscales := _attributes(group).get("multiscales"):
            level = multiscales[0]["datasets"][0]
            self._folder = group / level["path"]
        shape, self._chunks, self.dtype, self._key, self._decode, fill = _described(self._folder)
        _check_sizes(self._folder, shape, self._chunks, self.dtype)
        self._fill = np.full((), fill, self.dtype)[()]
        extra = len(shape) - 3  # channels and times of one
        if extra < 0 or any(n != 1 for n in shape[:extra]):
            raise ValueError(
                f"{path} holds an array of {' x '.join(map(str, shape))}; a volume has three axes z, y, x."
            )
        self._extra, self.shape = extra, tuple(shape[extra:])
        if multiscales:
            self.voxel_zyx, self.origin_zyx = _placed(multiscales[0], level, path)
        self._check_stored(path, shape)

    def _check_stored(self, path: str | os.PathLike[str], shape: typing.Sequence[int]) -> None:
        """Look for a chunk that is stored. One that is not is all of the fill value, and of labels without any label
        none need be stored. Raises ValueError for a volume of grey values without any: it was not copied as a whole, or
        its chunks have other names."""
        for folder, _, names in os.walk(self._folder):  # as long as there are files, whatever the shape says
            for name in names:
                numbers = re.findall(r"\d+", os.path.relpath(os.path.join(folder, name), self._folder))
                position = tuple(int(number) for number in numbers[-len(shape) :])
                inside = all(k * c < n for k, c, n in zip(position, self._chunks, shape))
                if len(position) == len(shape) and inside and Path(folder, name) == self._folder / self._key(position):
                    return
        first = self._folder / self._key((0,) * len(shape))
        if self.dtype.kind not in "biu":
            raise ValueError(
                f"{path} holds none of its chunks; the first should be {first}. Copy the whole folder again, or write "
                "it with all its chunks."
            )
        warn(
            f"{path} holds none of its chunks, so all its voxels are {self._fill} (its fill value). If there should be "
            f"others, copy the whole folder again; the first chunk should be {first}."
        )

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
        count = int(np.prod(self._chunks))
        try:
            return np.frombuffer(self._decode(path.read_bytes(), count * self.dtype.itemsize), self.dtype)
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


def _placed(
    multiscale: dict[str, typing.Any], level: dict[str, typing.Any], path: str | os.PathLike[str]
) -> tuple[tuple[float, ...] | None, tuple[float, ...]]:
    """Size of a voxel along z, y, x in Å, or None, and where the first one lies in Å. The transformations of the level
    come first, then those of the multiscale, of all levels. Raises ValueError for fewer than three entries."""
    axes = [axis.get("unit") if isinstance(axis, dict) else None for axis in multiscale.get("axes", [])]
    units = ([None] * 3 + axes)[-3:]
    scale, moved = None, np.zeros(3)
    for one in [t for part in (level, multiscale) for t in part.get("coordinateTransformations") or []]:
        entries = one.get(one.get("type"))
        if one.get("type") in ("scale", "translation") and entries is not None and len(entries) < 3:
            raise ValueError(
                f"{path} has a {one['type']} of {len(entries)} numbers in its metadata; a volume has three axes z, y, "
                "x. Correct the coordinateTransformations."
            )
        if one.get("type") == "scale" and "scale" in one:
            factor = np.array(one["scale"][-3:], float)
            scale, moved = factor if scale is None else scale * factor, moved * factor
        elif one.get("type") == "translation" and "translation" in one:
            moved = moved + np.array(one["translation"][-3:], float)
    if scale is None or any(unit not in _UNITS for unit in units):
        return None, (0.0, 0.0, 0.0)
    angstrom = np.array([_UNITS[unit] for unit in units])
    origin = moved * angstrom
    return tuple((scale * angstrom).tolist()), tuple((origin if np.isfinite(origin).all() else 0 * angstrom).tolist())


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
        checksum = names[-1] == "crc32c"  # only behind a chunk as it is stored
        if names[0] != "bytes" or "crc32c" in names[:-1] or len(names) > 2 + checksum:
            raise ValueError(f"{folder} is stored with {', '.join(names)}, which is not read. Write it plainly.")
        order = "<" if (codecs[0].get("configuration") or {}).get("endian", "little") == "little" else ">"
        key = _chunk_key(found["chunk_key_encoding"], folder)
        compressor = names[1] if len(names) > 1 and names[1] != "crc32c" else None
        decode = _decoder(compressor, folder, _CHECKSUM if checksum else 0)
        chunks = found["chunk_grid"]["configuration"]["chunk_shape"]
        dtype = np.dtype(found["data_type"]).newbyteorder(order)
        return found["shape"], chunks, dtype, key, decode, found.get("fill_value") or 0
    raise ValueError(f"{folder} is no Zarr array: it has neither .zarray nor zarr.json.")


def _check_sizes(folder: Path, shape: list[int], chunks: list[int], dtype: np.dtype) -> None:
    """Raises ValueError for sizes that no volume has: what they promise would be asked of the memory."""
    wrong = [n for n in (*shape, *chunks) if type(n) is not int or not 0 < n <= _LARGEST]
    if wrong or len(shape) != len(chunks) or dtype.kind not in "biuf" or np.prod(shape, dtype=object) > _MOST:
        raise ValueError(
            f"{folder} is damaged: its metadata state {dtype} numbers of shape {shape} in chunks of {chunks}. Copy it "
            "again."
        )
    if np.prod(chunks, dtype=object) * dtype.itemsize > _LARGEST_CHUNK:
        raise ValueError(
            f"{folder} has chunks of {' x '.join(map(str, chunks))} voxels, of which each needs more than "
            f"{_LARGEST_CHUNK >> 30} GB of memory. Write it with smaller chunks."
        )


def _chunk_key(encoding: dict[str, typing.Any], folder: Path) -> typing.Callable[[typing.Sequence[int]], str]:
    """Function from a chunk's position to its path, for the encodings of Zarr 3."""
    name, given = encoding.get("name", "default"), encoding.get("configuration") or {}
    if name not in ("default", "v2"):
        raise ValueError(f"{folder} names its chunks by {name}, which is not read; default and v2 are.")
    first, between = (["c"], given.get("separator", "/")) if name == "default" else ([], given.get("separator", "."))
    return lambda position: between.join([*first, *map(str, position)])


def _decoder(name: str | None, folder: Path, behind: int = 0) -> typing.Callable[[bytes, int], bytes | bytearray]:
    """Function that decompresses a chunk of so many bytes; it takes no memory for more, and raises ValueError for more
    or fewer. behind: bytes at the chunk's end that are not of it."""
    known: dict[str | None, typing.Callable[[bytes, int], bytes | bytearray]] = {
        None: lambda data, most: data,
        "blosc": _of_blosc,
        "zstd": _of_imagecodecs("zstd"),
        "gzip": _of_zlib,
        "zlib": _of_zlib,
        "lz4": _of_imagecodecs("lz4", header=True),
    }
    if name not in known:
        raise ValueError(f"{folder} is compressed by {name}, which is not read; {', '.join(filter(None, known))} are.")

    def decode(data: bytes, size: int) -> bytes | bytearray:
        found = known[name](data[: len(data) - behind], size + 1)
        if len(found) != size:
            much = "more" if len(found) > size else len(found)
            raise ValueError(f"its metadata state chunks of {size} bytes, it holds {much}")
        return found

    return decode


def _of_zlib(data: bytes, most: int) -> bytes:
    inflating = zlib.decompressobj(_GZIP_OR_ZLIB)
    found = inflating.decompress(data, most)
    if not inflating.eof and len(found) < most:
        raise ValueError("it was cut short")
    return found


def _of_blosc(data: bytes, most: int) -> bytes | bytearray:
    """What blosc made smaller. It believes its header, and would read behind the end of a chunk that was cut short."""
    stated = int.from_bytes(data[12:16], "little")
    if not 16 <= stated <= len(data):
        raise ValueError(f"its header states {stated} bytes, it has {len(data)}")
    return _of_imagecodecs("blosc")(data[:stated], most)


def _of_imagecodecs(name: str, **options: bool) -> typing.Callable[[bytes, int], bytes | bytearray]:
    """A decoder of imagecodecs, which is imported with the first chunk: Scipion's Python has none."""

    def decode(data: bytes, most: int) -> bytes | bytearray:
        import imagecodecs

        return getattr(imagecodecs, f"{name}_decode")(data, out=most, **options)

    return decode
