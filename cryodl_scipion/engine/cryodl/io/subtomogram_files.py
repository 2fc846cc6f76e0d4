# SPDX-License-Identifier: GPL-3.0-or-later
"""The files behind a set of subtomograms: volumes, and the weights that say what of their transform was measured."""

from __future__ import annotations

import functools
import os
import typing

import numpy as np

from ..contract.reading import reader
from .image_names import find_file, split_name
from .tomograms import Tomogram

if typing.TYPE_CHECKING:
    import torch

WEIGHTS = "rlnCtfImage"  # column that names the weights
_MEASURED = 0.99  # quantile of a file of weights that counts as measured in full: a few coefficients are in every image
_MINIMUM = 0.05  # of that: smaller sums of CTF² would give noise alone


def find_volumes(
    path: str | os.PathLike[str], names: typing.Sequence[str], numbers: typing.Sequence[int] | np.ndarray
) -> tuple[np.ndarray, int]:
    """Paths (n,) of the volumes of a STAR file, and their box in px."""
    found, boxes, maximum = dict[str, str](), dict[int, str](), dict[str, int]()
    for name, number in zip(names, numbers):
        maximum[name] = max(maximum.get(name, 0), int(number))
    for name, number in maximum.items():
        found[name] = find_file(path, name, "volume")
        z, y, x = opened_volume(found[name]).shape
        if x != y or z % x:
            raise ValueError(
                f"{found[name]} has {x} x {y} x {z} voxels; subtomograms must be cubes (in files of many, one after "
                "another along z). Stacks of 2-D images, which RELION 5 can write, are not supported: extract 3-D "
                "subtomograms."
            )
        if number * x > z:
            raise ValueError(
                f"{path} names subtomogram {number} of {found[name]}, which has only {z // x}. The file is "
                "truncated, or does not belong to this STAR file."
            )
        boxes.setdefault(x, found[name])
    if len(boxes) > 1:
        (box, file), (other, second) = list(boxes.items())[:2]
        raise ValueError(
            f"{path} has subtomograms of {box} px ({file}) and of {other} px ({second}); one box size is "
            "needed. Extract them again, or give them in two STAR files."
        )
    return np.array([found[name] for name in names], object), next(iter(boxes))


def find_weights(
    path: str | os.PathLike[str], columns: typing.Mapping[str, typing.Sequence[str]], box: int
) -> np.ndarray | None:
    """Paths (n,) of the volumes of weights, or None. Raises ValueError for those of another size than the box."""
    if WEIGHTS not in columns or all(name in ("", "None") for name in columns[WEIGHTS]):
        return None
    found = {}
    for name in columns[WEIGHTS]:
        if name in ("", "None"):
            raise ValueError(
                f"{path} names weights ({WEIGHTS}) for some subtomograms and none for others. Give them "
                "in two STAR files."
            )
        if name not in found:
            found[name] = find_file(path, split_name(name)[1], "volume of weights")
            shape = opened_volume(found[name]).shape
            if shape not in ((box, box, box), (box, box, box // 2 + 1), (2 * box, box, box // 2 + 1)):
                raise ValueError(
                    f"The weights {found[name]} have {' x '.join(map(str, shape[::-1]))} values; for "
                    f"subtomograms of {box} px they must have {box} x {box} x {box}, or "
                    f"{box // 2 + 1} x {box} x {box} (half of the transform)."
                )
    return np.array([found[name] for name in columns[WEIGHTS]], object)


@functools.lru_cache(maxsize=2**16)  # headers only; reading one takes longer than reading a subtomogram
def _header(path: str, size: int, changed: int) -> Tomogram:
    return Tomogram(path)


def opened_volume(path: str | os.PathLike[str]) -> Tomogram:
    """Tomogram of a path; its size and time of the last change make that a replaced file is opened anew."""
    state = os.stat(path)
    return _header(str(path), state.st_size, state.st_mtime_ns)


@reader
def read_weights(path: str | os.PathLike[str], box: int) -> np.ndarray:
    """(box, box, box // 2 + 1) float32 in [0, 1] on the grid of rfftn.

    RELION has half of the transform in its usual order (followed, in RELION 4, by another volume of multiplicities), or
    all of it with the origin at voxel box // 2, from which RELION takes the coefficient k at box // 2 - k.
    """
    values = raw_weights(path, box)
    return np.clip(values / np.quantile(values, _MEASURED), 0, 1).astype(np.float32)


def raw_weights(path: str | os.PathLike[str], box: int) -> np.ndarray:
    """As read_weights, of any size. Raises ValueError for a file of zeros."""
    values = np.abs(opened_volume(path).part((0, box)))
    if values.shape[2] == box:
        positions = (box // 2 - np.rint(np.fft.fftfreq(box) * box).astype(int)) % box
        values = values[np.ix_(positions, positions, positions[: box // 2 + 1])]
    if not np.quantile(values, _MEASURED) > 0:
        raise ValueError(f"The weights {path} are zero almost everywhere. Extract the subtomogram again.")
    return values.astype(np.float32, copy=False)


@reader
def read_sums(path: str | os.PathLike[str], box: int) -> np.ndarray:
    """(box, box, box // 2 + 1) float32: sums of CTF², of any size; zero where they are too small to divide by.

    RELION 4's also count the images that hold a coefficient, which become fewer as one over the frequency; those of
    other programs may not. What is a fair part of the largest in either way is kept.
    """
    sums, squares = raw_weights(path, box), (np.fft.fftfreq(box) * box) ** 2
    radius = np.sqrt(squares[:, None, None] + squares[:, None] + np.arange(box // 2 + 1) ** 2)
    kept = np.any([values > _MINIMUM * np.quantile(values, _MEASURED) for values in (sums, sums * radius)], axis=0)
    return sums * kept


def divided(volumes: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Tensor (n, d, d, d) multiplied by its CTF, divided by sums of CTF² (n, d, d, d // 2 + 1); 0 where these are 0."""
    import torch

    axes = (1, 2, 3)
    found = torch.fft.rfftn(volumes, dim=axes)
    return torch.fft.irfftn(torch.where(sums > 0, found / sums, torch.zeros_like(found)), s=volumes.shape[1:], dim=axes)
