# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in TIFF files, plain, .gz or .bz2: the first page, of which no more is taken than the file can hold."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import logging
import os
import typing

import numpy as np

from ..contract.reading import reader
from .files import check_utf8_name
from .memory import TooLittleMemory, require_memory

if typing.TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MAX_EXPANDED = 512 << 20  # bytes of a compressed file
MAX_DENSE = 2000  # values in bytes over those in the file; deflate and LZW reach 1400
_OPENERS: dict[str, typing.Callable[..., io.BufferedIOBase]] = {".gz": gzip.open, ".bz2": bz2.open}


Found = typing.TypeVar("Found")


@reader
def read_tiff(path: str | os.PathLike[str]) -> np.ndarray:
    """The first image of a file, rows from the last one on, as RELION counts y (frames.py).

    Returns
    -------
    ndarray, (h, w)
        Of the file's type.

    Raises
    ------
    ValueError
        That names the file: no TIFF, damaged, colours, several images, larger than the memory.
    """
    return _first_page(path, lambda page: _values(page, path))


@reader
def tiff_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(h, w) of the first image of a file, from its tags alone. Raises as read_tiff does for damaged tags."""
    return _first_page(path, lambda page: (int(page.shape[-2]), int(page.shape[-1])))


def _values(page: TiffPage, path: str | os.PathLike[str]) -> np.ndarray:
    _check_size(page, tuple(int(n) for n in page.shape), path)
    return np.asarray(page.asarray(maxworkers=1))[..., ::-1, :]


def _first_page(path: str | os.PathLike[str], read: typing.Callable[[TiffPage], Found]) -> Found:
    """What `read` makes of a file's first image; whatever goes wrong is a ValueError that names the file."""
    check_utf8_name(path)
    try:
        with _quiet(), _open(path) as file:
            import tifffile

            with tifffile.TiffFile(file) as tiff:
                page = tiff.pages.first
                _check_grey(page)
                _check_single(tiff, page)
                return read(page)
    except TooLittleMemory:
        raise
    except Exception as error:  # every codec raises types of its own; whichever it is, this file cannot be read
        if isinstance(error, _Refused):
            raise ValueError(f"{path} {error}") from None
        raise ValueError(f"{path} is not a readable TIFF file: {error}.") from None


class _Refused(ValueError):
    """A sentence about a file that could be understood."""


@contextlib.contextmanager
def _quiet() -> typing.Iterator[None]:
    """Without tifffile's own log of what is broken; what matters is raised with the file's name."""
    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _open(path: str | os.PathLike[str]) -> typing.BinaryIO:
    opener = _OPENERS.get(os.path.splitext(path)[1].lower())
    if opener is None:
        return open(path, "rb")
    with opener(path, "rb") as file:
        values = file.read(MAX_EXPANDED + 1)
    if len(values) > MAX_EXPANDED:
        raise _Refused(f"expands to more than {MAX_EXPANDED >> 20} MB. Give the file as it is without compression.")
    return io.BytesIO(values)


def _check_grey(page: TiffPage) -> None:
    """Raises _Refused for pixels of several values."""
    if page.samplesperpixel > 1:
        raise _Refused(
            f"is a colour picture ({page.samplesperpixel} values in each pixel); a micrograph has one. Save it in grey "
            "levels, or give the micrograph that the picture was made of."
        )


def _check_single(tiff: TiffFile, page: TiffPage) -> None:
    """Raises _Refused for a movie. Only the second page is looked at: a damaged chain of pages may have no end."""
    several = int((tiff.imagej_metadata or {}).get("images", 1)) if tiff.is_imagej else 1
    if several <= 1:
        try:
            second = tiff.pages[1]
        except Exception:  # there is none, or the chain is damaged: the first page is whole all the same
            return
        if second.offset == page.offset or second.shape != page.shape:
            return
    raise _Refused(
        f"has an array of shape (2 or more, {', '.join(map(str, page.shape))}); a micrograph must be one "
        "image. Movies must be averaged (motion-corrected) first."
    )


def _check_size(page: TiffPage, shape: tuple[int, ...], path: str | os.PathLike[str]) -> None:
    """Raises _Refused if the tags promise more than the file has, TooLittleMemory if it is more than the memory."""
    if page.dtype is None:
        raise _Refused("is not a readable TIFF file: the type of its values is not known.")
    size = int(np.prod(shape, dtype=object)) * page.dtype.itemsize
    there = sum(int(n) for n in page.databytecounts)
    if size > MAX_DENSE * max(1, min(there, page.parent.filehandle.size)):
        raise _Refused(
            f"is damaged: its tags promise {' x '.join(map(str, shape[::-1]))} values, and the file holds "
            f"{there} bytes of them. Copy it again."
        )
    require_memory(
        size + 4 * (size // page.dtype.itemsize),
        f"{path} ({' x '.join(map(str, shape[::-1]))} values)",
        "Bin it, or use a machine with more memory.",
    )
