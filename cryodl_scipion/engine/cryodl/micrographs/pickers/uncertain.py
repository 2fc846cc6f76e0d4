# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions of micrographs that are left out of training and validation: circles around coordinates, or masks."""

import os
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...core.geometry import map_positions
from ...io.coordinates import COORDINATE_SUFFIXES, read_coordinates
from ...io.files import micrograph_key
from ...io.micrographs import micrograph_shape, read_micrograph


class Uncertain(typing.NamedTuple):
    """circles: (n, 2) yx of their centres in px of the micrograph. mask: path of a mask file, or None."""

    circles: np.ndarray
    mask: str | None = None


def read_uncertain(source: str | os.PathLike[str]) -> dict[str, Uncertain]:
    """{micrograph key: Uncertain} of a folder (or one file) with coordinates, masks or both. Raises FileNotFoundError,
    or ValueError if there are neither, or two masks for one key."""
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"Uncertain regions (--uncertain) {source} do not exist.")
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if not p.name.startswith("."))
    masks, with_coordinates = dict[str, str](), any(p.suffix.lower() in COORDINATE_SUFFIXES for p in files)
    for path in (p for p in files if p.suffix.lower() == ".mrc"):
        key = micrograph_key(path)
        if key in masks:
            raise ValueError(f"There are two masks for the micrograph {key}: {masks[key]} and {path}. Keep one.")
        masks[key] = str(path)
    if not masks and not with_coordinates:
        raise ValueError(
            f"{source} (--uncertain) has neither coordinates (.star, .box, .txt) nor masks (<micrograph>.mrc)."
        )
    circles = {key: yx for key, (yx, _) in read_coordinates(source).items()} if with_coordinates else {}
    return {key: Uncertain(circles.get(key, np.zeros((0, 2))), masks.get(key)) for key in {**circles, **masks}}


def check_mask(mask: str | os.PathLike[str], path: str | os.PathLike[str], shape: tuple[int, ...]) -> None:
    """Raises ValueError if a mask file has not the size (h, w) of its micrograph at `path`."""
    found = micrograph_shape(mask)
    if tuple(found) != tuple(shape):
        raise ValueError(
            f"The mask {mask} (--uncertain) has {found[1]} x {found[0]} px, but its micrograph {path} has {shape[1]} "
            f"x {shape[0]} px. Make a mask of the micrograph's size."
        )


def certain_area(
    uncertain: Uncertain, shape: tuple[int, ...], working_shape: tuple[int, ...], diameter: float
) -> torch.Tensor:
    """(h, w) bool tensor of working_shape: True where nothing is uncertain. uncertain: Uncertain. shape: of the
    micrograph. diameter: working px; circles are one diameter wide. Raises ValueError as read_micrograph does, and if
    nothing is certain."""
    certain = torch.ones(working_shape, dtype=torch.bool)
    rows, columns = torch.arange(working_shape[0])[:, None], torch.arange(working_shape[1])[None]
    for y, x in map_positions(uncertain.circles, shape, working_shape):
        certain &= (rows - y) ** 2 + (columns - x) ** 2 > (diameter / 2) ** 2
    if uncertain.mask:
        marked = torch.from_numpy((read_micrograph(uncertain.mask) != 0).astype(np.float32))
        # a working pixel is uncertain if any pixel under it is
        certain &= F.adaptive_max_pool2d(marked[None, None], tuple(working_shape))[0, 0] == 0
    if not certain.any():
        raise ValueError("all of it is marked as uncertain (--uncertain), so it cannot be used for training.")
    return certain
