# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs kept on disk, so that a continued or changed training can use them again."""

import hashlib
import json
import typing
from pathlib import Path

import numpy as np
import torch

from ... import __version__
from ...io.files import whole_file
from .crops import LabelledImage

UNET = 32.0  # working diameter of folders that were begun when there was no other


def cache_folder(
    cache: str, names: typing.Sequence[str], seed: int, tag: int, faint: float, diameter_px: float = UNET
) -> Path:
    """The folder within `cache` of the micrographs of these structures, seed, tag, share of faint ones and working
    diameter; another version has another."""
    known = [__version__, list(names), seed, tag, faint, *([diameter_px] if diameter_px != UNET else [])]
    key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
    folder = Path(cache) / f"scenes-{tag}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
