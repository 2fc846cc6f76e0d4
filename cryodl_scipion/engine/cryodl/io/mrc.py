# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers and data of MRC files, plain, .gz or .bz2. No more is read than the header's shape asks for and the file and
the memory can hold: a damaged header costs nothing. Density maps in MRC files."""

import bz2
import dataclasses
import gzip
import io
import os
import typing
import warnings
import zlib
from pathlib import Path

import mrcfile
import mrcfile.mrcinterpreter
import numpy as np

from ..contract.reading import reader
from . import files, memory, messages


def write_map(path: str | os.PathLike[str], density: typing.Any, pixel_size: float) -> None:
    """Write a density, whole or not at all. density: (d, d, d) zyx, on the CPU. pixel_size: Å."""
    with files.whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(np.asarray(density, np.float32))
        mrc.set_volume()
        mrc.voxel_size = pixel_size


def write_halves(path: Path, densities: typing.Iterable[typing.Any], pixel_size: float) -> None:
    """Write a map and half-maps: NAME.mrc, NAME_half1.mrc, NAME_half2.mrc. densities: (d, d, d) each. pixel_size: Å."""
    for ending, density in zip(("", "_half1", "_half2"), densities):
        write_map(path.with_name(f"{path.stem}{ending}.mrc"), density, pixel_size)


HEADER = 1024  # bytes
MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_COMPLEX = {4: np.complex64}
_IMOD_STAMP, _IMOD_AT = 1146047817, slice(40, 48)  # and where stamp and flags lie in mrcfile's extra2
# What mrcfile and the decompressors raise for broken files.
_ERRORS = (ValueError, OSError, EOFError, RuntimeError, AttributeError, OverflowError, zlib.error)
Opener = typing.Callable[..., io.BufferedIOBase]
_HDF = b"\x89HDF\r\n\x1a\n"  # how a file of HDF 5 begins
_OPENERS: dict[bytes, Opener] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}
_BLOCK = 1 << 24  # bytes that are read at once
_VOLUME_STACK = 401  # of ISPG, from which on a file holds several volumes


@dataclasses.dataclass(frozen=True)
class MrcHeader:
    """Header of an MRC file. record: as mrcfile names its entries. shape: (nz, ny, nx) as in the file. start: bytes
    before the data. opener: opens the file for reading, decompressed."""

    record: np.recarray
    shape: tuple[int, int, int]
    start: int
    opener: Opener

    @property
    def mode(self) -> int:
        """MRC's number for the type of the values."""
        return int(self.record.mode)

    @property
    def dtype(self) -> np.dtype | None:
        """Of the values, in the file's byte order; None for a mode that is not read."""
        kind = {**MODES, **_COMPLEX}.get(self.mode)
        if kind is None:
            return None
        if self.mode == 0 and self.signed is False:
            return np.dtype(np.uint8)
        return np.dtype(kind).newbyteorder(self.record.mode.dtype.byteorder)

    @property
    def signed(self) -> bool | None:
        """Whether bytes are, None where the header does not say. IMOD wrote unsigned bytes as mode 0 for years, and
        says so in a flag of its own; of other programs the range of values tells, if they state one."""
        stamp, flags = np.frombuffer(self.record.extra2.tobytes()[_IMOD_AT], self.record.mode.dtype)
        if stamp == _IMOD_STAMP:
            return bool(flags & 1)
        if 0 <= self.record.dmin and 127 < self.record.dmax <= 255:
            return False
        return True if self.record.dmin < 0 else None

    @property
    def voxels_zyx(self) -> np.ndarray:
        """(3,) Å, as stated: they may make no sense; 0 where no count is."""
        counts = np.array([max(0, int(self.record["m" + axis])) for axis in "zyx"])
        return np.array([float(self.record.cella[axis]) for axis in "zyx"]) / np.maximum(counts, 1) * (counts > 0)

    @property
    def nbytes(self) -> int:
        """Of the data, as the header promises them."""
        return int(np.prod([max(0, n) for n in self.shape], dtype=object)) * (self.dtype.itemsize if self.dtype else 1)


@reader
def read_header(path: str | os.PathLike[str]) -> MrcHeader:
    """Header of an MRC file; the extended header and the data are not touched. Raises ValueError that names the file
    and says what is wrong with it."""
    files.check_utf8_name(path)
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder; an MRC file is needed.")
    try:
        with open(path, "rb") as file:
            opener = _OPENERS.get(file.read(2), typing.cast("Opener", open))
        with opener(path, "rb") as file:
            head = file.read(HEADER)
        if head[:8] == _HDF:
            raise ValueError(
                "it is an HDF file, as EMAN2 writes. Convert it: `e2proc2d.py NAME.hdf NAME.mrcs` for images, "
                "`e2proc3d.py NAME.hdf NAME.mrc` for a volume"
            )
        if len(head) < HEADER:
            raise ValueError(f"it has {len(head)} bytes, less than an MRC header")
        record = _parse(head)
        extended = int(record.nsymbt)
    except _ERRORS as error:
        raise ValueError(f"{path} is not a readable MRC file: {error}.") from None
    shape = (int(record.nz), int(record.ny), int(record.nx))
    if extended < 0 or opener is open and HEADER + extended > os.path.getsize(path):
        if bytes(record.map)[:3] != b"MAP":
            found = "is text, not" if head.isascii() and b"\0" not in head else "does not begin with"
            raise ValueError(f"{path} is not a readable MRC file: it {found} an MRC header. Give a map or image.")
        raise ValueError(
            f"{path} is damaged or truncated: its header states an extended header of {extended} bytes (NSYMBT), but "
            f"the file has {os.path.getsize(path)}. Copy it again."
        )
    return MrcHeader(record, shape, HEADER + extended, opener)


def doubt_sign(path: str | os.PathLike[str], header: MrcHeader, values: np.ndarray) -> None:
    """Warns of values (any shape) below 0 that may be bytes from 128 on. path, header: of their file."""
    if header.dtype == np.int8 and header.signed is None and (values < 0).any():
        messages.warn(
            f"{path} has bytes (mode 0), and its header does not say whether they are signed. They are read as -128 "
            "to 127. If bright areas turn black, they are 0 to 255: convert the file with `newstack -mode 1`."
        )


def of_ordinary_size(values: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """Values (float32, finite) over a power of 2 if their squares would be infinite or 0, of which the user is told.
    path: of their file."""
    power = 64 * round(np.log2(values.std(dtype=float) or 1.0) / 64)
    if not power:
        return values
    messages.warn(f"The values of {path} are very large or small: they are divided by {2.0**power:.3g}.")
    return np.ldexp(values, -power)


def header_pixel_size(path: str | os.PathLike[str]) -> float | None:
    """Å/px in an MRC file's header; None if it says nothing (0 or 1, of programs that know none) or is not readable."""
    try:
        size = float(read_header(path).voxels_zyx[2])
    except (ValueError, OSError):  # who reads the data says what is wrong with them
        return None
    return size if 0.05 < size < 100 and abs(size - 1) > 1e-3 else None


def axes_zyx(record: np.recarray, path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Axes of a file's data that are z, y and x. Raises ValueError for a header in which they make no sense."""
    mapped = [int(record[name]) for name in ("maps", "mapr", "mapc")]
    if sorted(mapped) != [1, 2, 3]:
        if mapped == [0, 0, 0]:  # some programs leave them empty
            return (0, 1, 2)
        raise ValueError(
            f"The header of {path} has the axes {mapped[::-1]} (MAPC, MAPR, MAPS); they must be 1, 2 and 3."
        )
    return tuple(mapped.index(axis) for axis in (3, 2, 1))


def _parse(head: bytes) -> np.recarray:
    """mrcfile's record of 1024 bytes. It is given none of the extended header, which it would read at once."""
    with (
        warnings.catch_warnings(action="ignore"),
        mrcfile.mrcinterpreter.MrcInterpreter(
            io.BytesIO(head[:92] + bytes(4) + head[96:]), permissive=True, header_only=True
        ) as mrc,
    ):
        record = mrc.header.copy()
    record.nsymbt = np.frombuffer(head[92:96], record.nsymbt.dtype)[0]
    return record


@reader
def read_data(path: str | os.PathLike[str], header: MrcHeader) -> np.ndarray:
    """All values of an MRC file, of the file's type: (ny, nx) or (nz, ny, nx), four axes for a stack of volumes. Raises
    ValueError if the file is cut short, of an unknown mode, or larger than the memory."""
    size, what = header.nbytes, "{2} x {1} x {0} values of mode {3}".format(*header.shape, header.mode)
    if header.dtype is None or min(header.shape) < 1:
        raise ValueError(
            f"{path} is not a readable MRC file: its header states {what}. Modes 0, 1, 2, 6 and 12 are supported."
        )
    there = os.path.getsize(path) - header.start
    if header.opener is open and there < size:
        raise _cut_short(path, what, max(0, there) // header.dtype.itemsize)
    count = size // header.dtype.itemsize
    memory.require_memory(size + 4 * count, f"{path} ({what})", "Bin it, or use a machine with more memory.")
    values = _read_bytes(path, header, size)
    if len(values) < size:
        raise _cut_short(path, what, len(values) // header.dtype.itemsize)
    data = values.view(header.dtype).reshape(header.shape)
    doubt_sign(path, header, data)
    depth = int(header.record.mz)
    if int(header.record.ispg) >= _VOLUME_STACK and depth > 0 and header.shape[0] % depth == 0:
        return data.reshape(-1, depth, *header.shape[1:])
    return data[0] if header.shape[0] == 1 else data


def _read_bytes(path: str | os.PathLike[str], header: MrcHeader, size: int) -> np.ndarray:
    """(n,) bytes of the data, n at most `size`. Memory is taken as it fills, so that a header that lies costs none."""
    try:
        with header.opener(path, "rb") as file:
            file.seek(header.start)
            values, done = np.empty(size, np.uint8), 0
            while done < size:
                if not (found := file.readinto(values.data[done : done + _BLOCK])):
                    break
                done += found
            return values[:done]
    except MemoryError:
        raise memory.TooLittleMemory(
            f"{path} needs {size / memory.GIGABYTE:.3g} GB of memory, which this process did not get. Bin "
            "it, or use a machine with more memory."
        ) from None
    except _ERRORS as error:
        raise ValueError(f"{path} is not a readable MRC file: {error}.") from None


def _cut_short(path: str | os.PathLike[str], what: str, found: int) -> ValueError:
    return ValueError(
        f"{path} is damaged or truncated: its header states {what}, but {found or 'fewer'} could be read. Copy it "
        "again."
    )
