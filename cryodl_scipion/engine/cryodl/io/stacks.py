# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks of particle images (.mrcs): read by memory map, written as they come. Names of particle images,
'number@stack', and the stack files they refer to."""

import contextlib
import functools
import os
import typing
from pathlib import Path

import mrcfile
import numpy as np

from ..contract.reading import absent, reader
from .files import whole_file
from .memory import release_pages
from .mrc import MODES, MrcHeader, doubt_sign, read_header
from .texts import Texts
from .volume_writer import OpenVolume

FLAT = 1e-5  # of its largest value: an image whose values differ by less has no contrast
UNEQUAL = 0.01  # relative difference of two pixel sizes above which pixels are not square


@reader
def stack_shape(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """(images, h, w) of a stack, from its header and its length. Raises FileNotFoundError, or ValueError if the file is
    no stack of square images or is cut short. Pixels of two sizes along the axes are refused, too: nothing here could
    treat them right."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"The image stack {path} {absent(path)}.")
    try:
        header = read_header(path)
        voxel = header.voxels_zyx[1:]
    except (ValueError, OSError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable stack of images: {error}") from None
    mode, shape, start = header.mode, header.shape, header.start
    if mode not in MODES or min(shape) < 1 or header.opener is not open:
        raise ValueError(
            f"{path} is not a readable stack of images: mode {mode}, {shape[2]} x {shape[1]} x {shape[0]}. "
            "Uncompressed MRC stacks (.mrcs, .mrc) are supported."
        )
    needed = start + header.nbytes
    if os.path.getsize(path) < needed:
        raise ValueError(
            f"{path} is truncated: it has {os.path.getsize(path)} bytes, but its header states {shape[0]} images of "
            f"{shape[2]} x {shape[1]} px, {needed} bytes. Copy or extract it again."
        )
    if shape[1] != shape[2]:
        raise ValueError(f"{path} has images of {shape[2]} x {shape[1]} px; particles must be square.")
    if min(voxel) > 0 and max(voxel) / min(voxel) > 1 + UNEQUAL:
        raise ValueError(
            f"{path} has pixels of {voxel[1]:g} x {voxel[0]:g} Å by its header; they must be square. "
            "Resample the images, or correct the header."
        )
    return shape


@functools.lru_cache(maxsize=128)
def _mapped(path: str, size: int, changed: int) -> tuple[MrcHeader, np.ndarray]:
    """Header and (n, h, w) memory map of a stack; a replaced file, of another size or time, is mapped anew."""
    header = read_header(path)
    # stack_shape refuses modes without one
    return header, np.memmap(path, typing.cast("np.dtype", header.dtype), "r", header.start, header.shape)


def read_images(files: typing.Sequence[str] | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Images of stacks, (n, h, w) float32. Only what is asked for is read. files: (n,) paths. numbers: (n,) int,
    0-based. Raises ValueError that names an image with values that are no finite numbers."""
    images = read_as_stored(files, numbers)
    if len(bad := np.nonzero(~np.isfinite(images).all(axis=(1, 2)))[0]):
        raise ValueError(
            f"Image {numbers[bad[0]] + 1} of {files[bad[0]]} has values that are not finite numbers (NaN or "
            "infinite). Extract it again, or remove it from the particles."
        )
    return images


def read_as_stored(files: typing.Sequence[str] | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Images of stacks, (n, h, w) float32; what is no finite number is given as it stands in the file. files: (n,)
    paths. numbers: (n,) int, 0-based."""
    states = {path: os.stat(path) for path in set(files)}
    maps = {path: _mapped(path, state.st_size, state.st_mtime_ns) for path, state in states.items()}
    images = np.stack([np.array(maps[path][1][number], np.float32) for path, number in zip(files, numbers)])
    for path, number in dict(zip(files, numbers)).items():  # the last image of each
        header, stack = maps[path]
        doubt_sign(path, header, stack[number])
        release_pages(stack)  # else a large set would be held as a whole
    return images


def usable_images(images: np.ndarray) -> np.ndarray:
    """(n,) bool: which of (n, h, w) images have finite numbers alone, and not one value all over (but for rounding)."""
    low, high = images.min(axis=(1, 2)), images.max(axis=(1, 2))  # NaN where there is one
    with np.errstate(invalid="ignore"):
        return np.isfinite(low) & np.isfinite(high) & (high - low > FLAT * np.maximum(abs(low), abs(high)))


class StackWriter:
    """A stack that is written as its images come: with StackWriter(path, count, box, pixel_size) as stack:
    stack.add(images). The file appears when the block ends well and all `count` images are there. pixel_size: Å/px."""

    def __init__(self, path: str | os.PathLike[str], count: int, box: int, pixel_size: float) -> None:
        self.path, self.count, self.box, self.pixel_size, self.added = path, count, box, pixel_size, 0

    def __enter__(self) -> "StackWriter":
        self._exit = contextlib.ExitStack()
        temporary = self._exit.enter_context(whole_file(self.path))
        with mrcfile.new(temporary, overwrite=True) as mrc:  # for its header
            mrc.set_data(np.zeros((1, self.box, self.box), np.float32))
            mrc.set_image_stack()
            mrc.header.nz = self.count
            mrc.voxel_size = self.pixel_size
        self._file = OpenVolume(temporary, (self.count, self.box, self.box), "<f4")
        # before the file gets its name, which tells what hinders it
        self._exit.push(lambda kind, *_: self._file.close(complete=kind is None and self.added == self.count))
        return self

    def add(self, images: typing.Any) -> None:
        """Append (m, box, box) images, array or tensor on the CPU. Raises ValueError for more than promised."""
        self._file.write(self.added, np.asarray(images))
        self.added += len(images)

    def __exit__(self, kind: typing.Any, error: typing.Any, trace: typing.Any) -> bool | None:
        if kind is None and self.added < self.count:
            error = ValueError(f"{self.path} was to hold {self.count} images, but {self.added} came.")
            self._exit.__exit__(type(error), error, None)
            raise error
        return self._exit.__exit__(kind, error, trace)


def split_name(name: str) -> tuple[int, str]:
    """Number and stack of an image name; a name without a number is a file of one image. name: 'number@stack', the
    number from 1. Raises ValueError if it is none."""
    number, at, stack = name.partition("@")
    if not at:
        return 1, name
    if not number.isdigit() or int(number) < 1:
        raise ValueError(
            f"The image name {name!r} does not start with the number of the image in its stack, counted from 1."
        )
    return int(number), stack


def split_names(names: typing.Sequence[str]) -> tuple[np.ndarray, Texts]:
    """Numbers (n,), from 1, and stacks of image names; see split_name."""
    numbers = np.empty(len(names), np.int64)

    def stacks() -> typing.Iterator[str]:
        for row, name in enumerate(names):
            numbers[row], stack = split_name(name)
            yield stack

    return numbers, Texts.of(stacks())


def find_images(
    path: str | os.PathLike[str],
    names: typing.Sequence[str],
    numbers: typing.Sequence[int] | np.ndarray,
    measure: typing.Callable[[str], tuple[int, int]] = lambda stack: stack_shape(stack)[:2],
    words: tuple[str, str] = ("image", "stack"),
) -> tuple[np.ndarray, int]:
    """The files that a STAR file's images are in. path: the STAR file. names: (n,) of the files in it, relative to its
    folder, one above, or the current one. numbers: (n,) places in them, from 1. measure: gives how many a file holds,
    and their box. Returns paths (n,) and the box in px. Raises FileNotFoundError or ValueError for files that are
    missing, too short or of several box sizes."""
    found, boxes, maximum = dict[str, str](), dict[int, str](), dict[str, int]()
    for name, number in zip(names, numbers):
        maximum[name] = max(maximum.get(name, 0), int(number))
    for name, number in maximum.items():
        found[name] = find_file(path, name, words[1])
        count, box = measure(found[name])
        if number > count:
            raise ValueError(
                f"{path} names {words[0]} {number} of {found[name]}, which has only {count}. The {words[1]} is "
                "truncated, or of another STAR file: copy it again, or take the rows without an image out of the file."
            )
        boxes.setdefault(box, found[name])
    if len(boxes) > 1:
        (box, file), (other, second) = list(boxes.items())[:2]
        raise ValueError(
            f"{path} has {words[0]}s of {box} px ({file}) and of {other} px ({second}); one box size is needed. "
            "Extract them again, or give them in two STAR files."
        )
    return np.array([found[name] for name in names], object), next(iter(boxes))


def find_file(path: str | os.PathLike[str], stack: str, what: str = "stack") -> str:
    """Path of a file that a STAR file names, relative to its folder, one above, or the current one. what: it is, for
    the message. Raises FileNotFoundError if it is in none of them."""
    here = Path(path).absolute().parent
    folders = [here, *here.parents, Path.cwd()]
    hit = next((folder / stack for folder in folders if os.path.isfile(folder / stack)), None)  # False for any nonsense
    if hit is None:
        raise FileNotFoundError(
            f"{path} names the {what} {stack}, which is neither beside it, nor in a folder above it, nor in "
            f"{os.getcwd()}. Start in the project's folder, or copy the {what} to one of these folders."
        )
    return str(hit)


def names_base(name: str, file: str, target: str | os.PathLike[str]) -> Path | None:
    """Folder that image names of a new STAR file are relative to; None: the old names are absolute, and so are the new.
    It is the folder that the old names were relative to, if that lies above the new file or is the current one
    (RELION's project folder), else the new file's own. name: one of the old file, file: what it means. target: path of
    the new file."""
    stack = split_name(name)[1]
    if os.path.isabs(stack):
        return None
    folder, root = Path(target).absolute().parent, Path(str(file)[: -len(stack)]).absolute()
    return root if root in (Path.cwd(), folder, *folder.parents) else folder


def names_of(
    files: typing.Sequence[str] | np.ndarray, numbers: typing.Sequence[int] | np.ndarray, base: Path | None
) -> Texts:
    """'number@stack' of images. files: (n,) stacks. numbers: (n,) positions in them, 0-based. base: see names_base."""
    stacks = {file: os.path.abspath(file) if base is None else os.path.relpath(file, base) for file in set(files)}
    return Texts.of(f"{number + 1:06d}@{stacks[file]}" for number, file in zip(numbers, files))
