# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of particle images, 'number@stack', and the stack files they refer to."""

import os
import typing
from pathlib import Path

import numpy as np

from .stacks import stack_shape
from .texts import Texts


def split_name(name: str) -> tuple[int, str]:
    """Number and stack of an image name; a name without a number is a file of one image.

    Parameters
    ----------
    name : str
        'number@stack'.

    Returns
    -------
    number : int
        From 1.

    Raises
    ------
    ValueError
        If the number is none.
    """
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

    found = Texts.of(stacks())
    return numbers, found


def find_images(
    path: str | os.PathLike[str], stacks: typing.Sequence[str], numbers: typing.Sequence[int] | np.ndarray
) -> tuple[np.ndarray, int]:
    """The files that a STAR file's images are in.

    path: the STAR file. stacks: (n,) names of stacks in it, relative to its folder, one above, or the current one.
    numbers: (n,) places in them, from 1. Returns paths (n,) and the box in px. Raises FileNotFoundError or ValueError
    for stacks that are missing, too short or of several box sizes.
    """
    found, boxes, maximum = dict[str, str](), dict[int, str](), dict[str, int]()
    for stack, number in zip(stacks, numbers):
        maximum[stack] = max(maximum.get(stack, 0), int(number))
    for stack, number in maximum.items():
        found[stack] = find_file(path, stack)
        shape = stack_shape(found[stack])
        if number > shape[0]:
            raise ValueError(
                f"{path} names image {number} of {found[stack]}, which has only {shape[0]}. The stack is truncated, "
                "or does not belong to this STAR file."
            )
        boxes.setdefault(shape[1], found[stack])
    if len(boxes) > 1:
        (box, file), (other, second) = list(boxes.items())[:2]
        raise ValueError(
            f"{path} has images of {box} px ({file}) and of {other} px ({second}); one box size is "
            "needed. Extract them again, or give them in two STAR files."
        )
    return np.array([found[stack] for stack in stacks], object), next(iter(boxes))


def find_file(path: str | os.PathLike[str], stack: str, what: str = "stack") -> str:
    """Path of a file that a STAR file names, relative to its folder, one above, or the current one.

    Parameters
    ----------
    path : path
        The STAR file.
    stack : str
        The name in it.
    what : str
        It is, for the message.

    Raises
    ------
    FileNotFoundError
        If it is in none of them.
    """
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
    the new file.
    """
    stack = split_name(name)[1]
    if os.path.isabs(stack):
        return None
    folder = Path(target).absolute().parent
    root = Path(str(file)[: -len(stack)]).absolute()
    return root if root in (Path.cwd(), folder, *folder.parents) else folder


def names_of(
    files: typing.Sequence[str] | np.ndarray, numbers: typing.Sequence[int] | np.ndarray, base: Path | None
) -> Texts:
    """'number@stack' of images. files: (n,) stacks. numbers: (n,) positions in them, 0-based. base: see
    names_base."""
    stacks = {file: os.path.abspath(file) if base is None else os.path.relpath(file, base) for file in set(files)}
    return Texts.of(f"{number + 1:06d}@{stacks[file]}" for number, file in zip(numbers, files))
