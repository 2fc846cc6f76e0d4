# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of denoised tomograms: denoise.json says what is in it, by which model and with which controls."""

from __future__ import annotations

import contextlib
import json
import typing
from pathlib import Path

import numpy as np

from ...io.memory import WORKING_MEMORY
from ...io.stamps import stamp
from ...io.volume_writer import VolumeWriter
from .halves import HalfSource
from .predict import TomogramDenoiser
from .spectra import HalfScale

RECORD, HALVES = "denoise.json", ("even", "odd")
LABEL = "cryodl: denoised{}, for viewing and segmenting; not for averaging"
_WORDS = dict(weights="model", halves="choice of denoised halves (--halves)")


def read_record(folder: Path, config: typing.Any, card: dict) -> dict:
    """What denoise.json says, or will say. Raises ValueError if the folder is of another run."""
    mine = dict(weights=card["weights_sha256"], halves=config.halves)
    path = folder / RECORD
    if not path.exists():
        return dict(settings=mine, tomograms={})
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found, _ = dict(record["settings"]), dict(record["tomograms"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged, or was written by another program. Choose another --output.") from None
    other = " and ".join(words for key, words in _WORDS.items() if found.get(key) != mine[key])
    if other:
        raise ValueError(f"{folder} has tomograms denoised with another {other}. Choose another --output.")
    return record


def finished(source: HalfSource, record: dict, folder: Path) -> bool:
    """Whether the output is of the inputs as they are now."""
    entry = record["tomograms"].get(source.name)
    if entry is None or not all((folder / file).exists() for file in entry["files"]):
        return False
    same = entry["made_of"] == stamp(*source.paths) and entry["pixel_size"] == source.pixel_size
    if not same:
        print(f"{source.paths[0]} has changed since it was denoised; it is denoised again.")
    return same


def write_denoised(
    source: HalfSource, denoiser: TomogramDenoiser, scale: HalfScale, config: typing.Any, folder: Path
) -> list[str]:
    """Write the denoised volume, and those of the halves if they are asked for. Returns the names of the files."""
    from ...io.progress import ProgressBar

    label = LABEL.format(", wedge filled" if denoiser.card["fills_wedge"] else "")
    both = config.halves and len(source.volumes) == 2
    names = [f"{source.name}.mrc", *(f"{source.name}_{half}.mrc" for half in HALVES if both)]
    total, like = int(np.prod(source.shape, dtype=np.int64)), source.paths[0]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(VolumeWriter(folder / name, source.shape, source.pixel_size, np.float32, label, like))
            for name in names
        ]
        bar = stack.enter_context(
            ProgressBar(total=total, unit="voxel", unit_scale=True, desc=source.name, mininterval=1.0)
        )
        for position, blocks in denoiser.blocks(source.volumes, scale, WORKING_MEMORY):
            mean = np.mean(blocks, axis=0)
            for writer, block in zip(writers, [mean, *blocks] if both else [mean]):
                writer.write_block(position, block)
            bar.update(mean.size)
    return names


def model_notes(config: typing.Any, card: dict) -> typing.Iterator[str]:
    """Sentences about a model that may not serve."""
    if config.model and config.fill_wedge and not card["fills_wedge"]:
        raise ValueError(
            f"The model {config.model} was trained without the missing wedge, which --fill-wedge needs. Leave one of "
            "them out."
        )
    if not config.model and config.fill_wedge != card["fills_wedge"]:
        raise ValueError(
            f"{config.output} has a model that was trained {'with' if card['fills_wedge'] else 'without'} the "
            "missing wedge (--fill-wedge). Choose another --output."
        )
    found, filtered = (card["validation"].get(key, 0.0) for key in ("correlation", "wiener_correlation"))
    if found <= filtered:
        yield (
            f"On held-out rows the network is no better than a Wiener filter (correlation {found:.3f} against "
            f"{filtered:.3f}); it has learned too little. Use more tomograms or more --steps."
        )
    if card["fills_wedge"]:
        yield (
            "The content of the missing wedge is predicted by the network: do not use it for measurements. In "
            "measured Fourier coefficients that were hidden from the network, its prediction correlated by "
            f"{card['validation'].get('wedge_correlation', 0.0):.3f} with the other raw half (the measured "
            f"coefficients by {card['validation'].get('wedge_measured_correlation', 0.0):.3f})."
        )
