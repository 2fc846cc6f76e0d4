# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs kept on disk, so that a continued or changed training can use them again."""

from __future__ import annotations

import hashlib
import itertools
import json
import typing
from pathlib import Path

import numpy as np
import torch

from ... import __version__
from ...contract.result import write_json
from ...io.files import whole_file
from .crops import LabelledImage

if typing.TYPE_CHECKING:
    from ...simulate.pool import PoolMember

RECORD = "structures.json"
UNET = 32.0  # working diameter of folders that were begun when there was no other


def cache_folder(
    cache: str, members: typing.Sequence[PoolMember], seed: int, tag: int, faint: float, diameter_px: float = UNET
) -> Path:
    """The folder within `cache` of the micrographs of these structures, seed, tag, share of faint ones and working
    diameter; another version has another, and so have other structures of the same names."""
    names = [member.name for member in members]
    known = [__version__, names, seed, tag, faint, *([diameter_px] if diameter_px != UNET else [])]
    key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
    mine = [_summary(member) for member in members]
    for number in itertools.count(1):
        folder = Path(cache) / f"scenes-{tag}-{key}{f'-{number}' if number > 1 else ''}"
        record = folder / RECORD
        if not record.exists():  # of an older version, or new
            folder.mkdir(parents=True, exist_ok=True)
            write_json(record, mine)
            break
        if np.allclose(json.loads(record.read_text(encoding="utf-8")), mine, rtol=1e-3, atol=1e-6):
            break
    return folder


def _summary(member: PoolMember) -> list[float]:
    """Numbers that tell two structures apart, and differ little where one is computed on another machine."""
    density = member.density.double()
    thirds = [float(density.narrow(axis, 0, density.shape[axis] // 3).mean()) for axis in range(3)]
    return [member.extent, float(density.mean()), float(density.std()), *thirds]


def keep(path: Path, image: LabelledImage) -> None:
    """Write a simulated LabelledImage; images lose what float16 cannot hold."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            image=image.image.numpy().astype(np.float16),
            valid=np.packbits(image.valid.numpy()),
            allowed=np.packbits(typing.cast("torch.Tensor", image.allowed).numpy()),  # simulated ones have both
            positives=image.positives,
            size=typing.cast("float", image.size),
            name=image.name,
        )


def kept(path: Path) -> LabelledImage | None:
    """The LabelledImage of a file of `keep`, its image in float16; None if the file is not there."""
    try:
        with np.load(path) as stored:
            image = torch.from_numpy(stored["image"])
            masks = [_mask(stored[key], image.shape) for key in ("valid", "allowed")]
            return LabelledImage(
                str(stored["name"]),
                image,
                masks[0],
                stored["positives"],
                np.zeros((0, 2)),
                "complete",
                masks[1],
                size=float(stored["size"]),
            )
    except FileNotFoundError:
        return None


def _mask(bits: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool))
