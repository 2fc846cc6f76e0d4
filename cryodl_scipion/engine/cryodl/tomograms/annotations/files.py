# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an annotations folder: annotations.json, drawings.mrc and tiles.mrc.

The stacks are written first, the JSON last, each by rename. A crash in between leaves the earlier JSON with newer
stacks, which is why a position in a stack that the JSON on the disk still names is never given to another tile.
"""

import os
import typing

import numpy as np

from ...contract.annotations import TABLE, VERSION
from ...contract.result import write_json
from ...io.files import whole_file
from ...io.mrc import read_header
from ...io.volume_writer import OpenVolume, new_volume


def write_table(folder: str, table: typing.Mapping[str, typing.Any]) -> None:
    """Write the table of a folder of annotations."""
    write_json(os.path.join(folder, TABLE), dict(version=VERSION, **table))


def read_stack(folder: str, name: str, needed: typing.Sequence[tuple[int | None, int]]) -> np.ndarray | None:
    """(n, h, w) memory map of a stack, None if there is none.

    needed: [(place, side)] of images that must be there; a place of None stands for none. Raises ValueError if one is
    not, or if the file cannot be read.
    """
    path, there = os.path.join(folder, name), [(position, side) for position, side in needed if position is not None]
    if not there and not os.path.exists(path):
        return None
    try:
        header = read_header(path)
        if header.dtype is None:
            raise ValueError(f"its mode is {header.mode}")
        data = np.memmap(path, header.dtype, "r", header.start, header.shape)
    except (ValueError, OSError, OverflowError) as error:
        raise ValueError(
            f"{path} is missing, or not a readable MRC stack ({error}). Copy the whole folder again."
        ) from None
    if any(position >= data.shape[0] or side > min(data.shape[1:]) for position, side in there):
        raise ValueError(
            f"{path} does not hold all images that {TABLE} in the same folder lists. Copy the whole folder again."
        )
    return data


def write_tile_stack(
    folder: str,
    name: str,
    images: typing.Mapping[int, np.ndarray],
    count: int,
    side: int,
    dtype: type[np.float32] | type[np.int16],
    fill: int,
) -> None:
    """Write a stack of `count` square images, whole or not at all.

    images: {row: (h, h) array}, h <= side. Rows without an image, and what lies beside smaller ones, hold `fill`.
    """
    with whole_file(os.path.join(folder, name)) as temporary:
        new_volume(temporary, (count, side, side), 0.0, dtype, stack=True)
        stack, complete = OpenVolume(temporary, (count, side, side), dtype), False
        try:
            for position in range(count):
                page = np.full((1, side, side), fill, dtype)
                if position in images:
                    image = images[position]
                    page[0, : image.shape[0], : image.shape[1]] = image
                stack.write(position, page)
            complete = True
        finally:
            stack.close(complete)
