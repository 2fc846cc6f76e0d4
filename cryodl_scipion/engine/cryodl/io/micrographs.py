# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading micrographs: MRC (modes 0, 1, 2, 6, 12; plain, .gz, .bz2) and TIFF. Writing them: MRC. Images in TIFF files,
plain, .gz or .bz2: the first page, of which no more is taken than the file can hold."""

import bz2
import contextlib
import gzip
import io
import logging
import os
import typing
from collections import Counter

import mrcfile
import numpy as np
from tifffile import TiffFile, TiffPage

from ..contract.reading import absent, reader
from . import memory, messages
from .files import check_utf8_name, expand_paths, name_micrographs, read_some, whole_file
from .mrc import header_pixel_size, read_data, read_header

MAX_EXPANDED = 512 << 20  # bytes of a compressed file
LARGE = 1e12  # of a micrograph's values: the squares of 1e8 pixels have a sum then, as 32-bit numbers
BINNED, MOST_BINNED = 1.2, 4  # factor between two pixel sizes beyond what a calibration changes; and of sides
MAX_DENSE = 2000  # values in bytes over those in the file; deflate and LZW reach 1400
_OPENERS: dict[str, typing.Callable[..., io.BufferedIOBase]] = {".gz": gzip.open, ".bz2": bz2.open}


Found = typing.TypeVar("Found")


@reader
def read_tiff(path: str | os.PathLike[str]) -> np.ndarray:
    """The first image of a file, rows from the last one on, as RELION counts y (frames.py). (h, w) of the file's type.
    Raises ValueError that names the file: no TIFF, damaged, colours, several images, larger than the memory."""
    return _first_page(path, lambda page: np.asarray(_checked(page, path).asarray(maxworkers=1))[..., ::-1, :])


def _first_page(path: str | os.PathLike[str], read: typing.Callable[[TiffPage], Found]) -> Found:
    """What `read` makes of a file's first image; every codec raises types of its own, which are left to `reader`."""
    check_utf8_name(path)
    try:
        with _quiet(), _open(path) as file:
            with TiffFile(file) as tiff:
                page = tiff.pages.first
                _check_single(tiff, page)
                return read(page)
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None


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


def _check_single(tiff: TiffFile, page: TiffPage) -> None:
    """Raises _Refused for colours and movies. Of pages only two are looked at: a damaged chain may have no end."""
    if page.samplesperpixel > 1:
        raise _Refused(
            f"has {page.samplesperpixel} values in each pixel, as a colour picture has; a micrograph has one. Save it "
            "in grey levels, or give the micrograph that the picture was made of."
        )
    if (int((tiff.imagej_metadata or {}).get("images", 1)) if tiff.is_imagej else 1) <= 1:
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


def _checked(page: TiffPage, path: str | os.PathLike[str]) -> TiffPage:
    """The page. Raises _Refused if its tags promise more than the file has, TooLittleMemory beyond the memory."""
    if page.dtype is None:
        raise _Refused("is not a readable TIFF file: the type of its values is not known.")
    shape = tuple(int(n) for n in page.shape)
    size = int(np.prod(shape, dtype=object)) * page.dtype.itemsize
    there = sum(int(n) for n in page.databytecounts)
    if size > MAX_DENSE * max(1, min(there, page.parent.filehandle.size)):
        raise _Refused(
            f"is damaged: its tags promise {' x '.join(map(str, shape[::-1]))} values, and the file holds "
            f"{there} bytes of them. Copy it again."
        )
    memory.require_memory(
        size + 4 * (size // page.dtype.itemsize),
        f"{path} ({' x '.join(map(str, shape[::-1]))} values)",
        "Bin it, or use a machine with more memory.",
    )
    return page


_CONVERT = "has a format that is not read. Convert it to MRC: "
# Files that are often given instead of micrographs, and what to do with them; EMAN2's .hdf are known by their content.
_OTHERS = {
    ".eer": "is a movie; motion-correct it first (RELION's protocol *motion correction*)",
    **dict.fromkeys((".dm3", ".dm4"), _CONVERT + "`dm2mrc NAME NAME.mrc` of IMOD"),
    **dict.fromkeys((".ser", ".emd"), _CONVERT + "`e2proc2d.py NAME NAME.mrc` of EMAN2"),
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "is a picture with 256 grey levels; give the micrograph itself"),
}


@reader
def read_micrograph(path: str | os.PathLike[str]) -> np.ndarray:
    """The image of a micrograph file, rows as RELION counts them: an MRC's as they lie in the file, a TIFF's from the
    last one. A stack of one image is taken as the image. Not-a-number pixels are left as they are; values whose squares
    are no 32-bit numbers are divided by a power of ten, which is said. (h, w) float32.
    Raises FileNotFoundError, or ValueError that says what is wrong with the file."""
    with _usable(path):
        image = read_tiff(path) if is_tiff(path) else read_data(path, read_header(path))
    if image.ndim == 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 2:
        raise ValueError(
            f"{path} has an array of shape {tuple(image.shape)}; a micrograph must be one image. Movies must be "
            "averaged (motion-corrected) first."
        )
    if min(image.shape) < 16:
        raise ValueError(f"{path} is {image.shape[1]} x {image.shape[0]} px, which is too small for a micrograph.")
    if np.iscomplexobj(image):
        raise ValueError(f"{path} has complex numbers (a Fourier transform); give the micrograph itself.")
    try:
        with np.errstate(over="raise"):
            image = np.ascontiguousarray(image, dtype=np.float32)
    except FloatingPointError:
        raise ValueError(
            f"{path} has values up to {np.abs(image[np.isfinite(image)]).max():.3g}, above the range of 32-bit "
            "numbers (3.4e38). It is damaged, or must be scaled."
        ) from None
    usual = finite_median(np.abs(image[::7, ::7]))
    if usual and not 1 / LARGE < usual < LARGE:
        unit = np.float32(10.0 ** np.floor(np.log10(usual)))
        messages.warn(f"{path} has values of about {usual:.0e}, out of range: they were divided by {unit:.0e}.")
        return image / unit
    return image


def finite_median(values: np.ndarray) -> float:
    """The median of the numbers that are neither NaN nor infinite; 0 if there are none. values: array of any shape."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0


@reader
def micrograph_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(h, w) px of a micrograph, from its header alone. Raises what read_micrograph does."""
    with _usable(path):
        if is_tiff(path):
            return _first_page(path, lambda page: (int(page.shape[-2]), int(page.shape[-1])))
        return read_header(path).shape[1:]


def pixel_size_warnings(paths: typing.Sequence[str], pixel_size: float, apart: float = 0.02) -> list[str]:
    """Sentences about headers that contradict the pixel size given, or each other. It is used all the same. Headers
    often lie (a binned image with the old value; 1.0 for "unknown" is passed over), so this is no error, but nothing
    makes a picker miss everything as surely as a wrong pixel size. pixel_size: Å/px. apart: tolerance."""
    found: dict[float, list[str]] = {}
    for path in paths:
        size = None if is_tiff(path) else header_pixel_size(path)
        if size is not None and abs(size / pixel_size - 1) > apart:
            found.setdefault(round(size, 2), []).append(path)
    return [
        f"The header of {files[0]}{f' (and {len(files) - 1} more)' if len(files) > 1 else ''} says {size:g} Å/px; "
        f"{pixel_size:g} Å/px (--pixel-size) is used."
        for size, files in sorted(found.items())
    ]


def of_other_binning(paths: typing.Sequence[str], pixel_size: float) -> dict[str, str]:
    """{file: what is wrong} of micrographs that are surely of another pixel size than the others: their headers say so,
    and show the others' field by what they say, in another number of pixels; or they have a whole part or multiple of
    the sides that most have. pixel_size: Å/px, of the others."""
    stated = ((path, header_pixel_size(path) or pixel_size) for path in paths if not is_tiff(path))
    odd = {path: size for path, size in stated if not 1 / BINNED < size / pixel_size < BINNED}
    found = dict(read_some(lambda path: (path, micrograph_shape(path)), paths, len(paths)))
    usual = np.median([max(shape) for path, shape in found.items() if path not in odd] or [0])
    told = {
        path: f"its header says {size:.4g} Å/px, not {pixel_size:g} (--pixel-size), and with {max(found[path])} px it "
        f"is as wide as others are with {usual:.0f}. Give it in a run of its own, or at the others' pixel size."
        for path, size in odd.items()
        if path in found and abs(max(found[path]) * size / pixel_size - usual) < 0.1 * usual
    }
    most, count = Counter(found.values()).most_common(1)[0] if found else ((0, 0), 0)
    if 2 * count <= len(found):
        return told
    for path, shape in found.items():
        small, large = np.array(sorted([shape, most]))  # turned, 4000 x 2000 px are none of 2000 x 4000
        times = round(large[0] / small[0])  # up to a cut row
        if path not in told and 1 < times <= MOST_BINNED and not ((large - times * small) // times).any():
            told[path] = (
                f"it has {shape[1]} x {shape[0]} px, others {most[1]} x {most[0]}: it seems to be of another "
                "binning, whatever its header says. Give it in a run of its own, with its pixel size."
            )
    return told


def named_micrographs(
    given: typing.Sequence[str], names: typing.Sequence[str], pixel_size: float
) -> list[tuple[str, str]]:
    """Names and files of micrographs; headers that contradict the pixel size are warned of. given: files, patterns or a
    list file. names: instead of those of the files; empty for these. pixel_size: Å/px."""
    named = name_micrographs(expand_paths(given, names), names)
    for sentence in pixel_size_warnings([path for _, path in named], pixel_size):
        messages.warn(sentence)
    return named


def write_micrograph(
    path: str | os.PathLike[str], image: np.ndarray, pixel_size: float, *labels: typing.Sequence[str]
) -> None:
    """Write an image as an MRC file of its type, whole or not at all. image: (h, w). pixel_size: Å/px. *labels: lines
    for the header, at most 80 letters each."""
    with whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(image)
        mrc.voxel_size = pixel_size
        for label in labels:
            mrc.add_label(label)


def is_tiff(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name is that of a TIFF, compressed or not."""
    return str(path).lower().removesuffix(".gz").removesuffix(".bz2").endswith((".tif", ".tiff"))


@contextlib.contextmanager
def _usable(path: str | os.PathLike[str]) -> typing.Iterator[None]:
    """Refuses a file that cannot be a micrograph. One that may not be read is a bad file, as one that is damaged: it is
    skipped, and the others are used."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"Micrograph {path} {absent(path)}.")
    if other := _OTHERS.get(os.path.splitext(path)[1].lower()):
        raise ValueError(f"{path} {other}. Micrographs are read from MRC and TIFF files, also .gz and .bz2.")
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} is empty (0 bytes); it was probably not copied completely.")
    try:
        yield
    except PermissionError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from None
