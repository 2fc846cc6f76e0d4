# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising tomograms of any size with a trained network, block by block, so that memory is bounded. The folder of
denoised tomograms: denoise.json says what is in it, by which model and with which controls."""

import contextlib
import itertools
import math
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import DenoiseTomogramsConfig
from ...core.devices import fast_dtype
from ...core.tiles import tile_spans
from ...io import files, progress, tomograms
from ...io.memory import WORKING_MEMORY
from ...io.volume_writer import VolumeWriter
from ...learning import inference, task
from .examples import MARGIN, answered, inputs_of
from .halves import HalfSource
from .spectra import HalfScale

SIDES = (640, 512, 448, 384, 320, 256, 208, 160, 128, 96, 80, 64, 48)  # px that a tile may have along an axis


class TomogramDenoiser:
    """A model of kind 'tomogram_denoiser', ready on a device."""

    def __init__(self, card: dict, weights: dict, device: torch.device) -> None:
        self.card, self.device, self.dtype = card, device, fast_dtype(device)
        self.method = task.method_of("tomogram_denoiser", card["network"])
        network = task.with_weights(self.method.build(), weights, card["name"], self.method.name)
        self._network = inference.for_inference(network, device, self.dtype)

    @torch.inference_mode()
    def answer(self, volume: torch.Tensor, scale: HalfScale) -> torch.Tensor:
        """(z, y, x) denoised volume of one whose sides are multiples of the granularity, in its own grey values."""
        correction = lambda inputs: self._network(inputs.to(self.device, self.dtype)).float().cpu()
        return scale.restored(answered(correction, inputs_of(scale.normalised(volume), scale)[None])[0, 0])

    def blocks(
        self, volumes: typing.Sequence[tomograms.Tomogram], scale: HalfScale, memory: float
    ) -> typing.Iterator[tuple[tuple[int, ...], list[np.ndarray]]]:
        """The denoised volumes block by block: the (z, y, x) place of a block, and a block of each volume. The tomogram
        is mirrored beyond its borders. memory: GB."""
        shape = volumes[0].shape
        spans = tile_plan(
            shape, memory * 1e9 / (self.method.bytes_per_voxel * (self.dtype.itemsize / 2) ** 0.5), self.method
        )
        for span in itertools.product(*spans):
            ranges = [(start - MARGIN, stop - MARGIN) for start, stop, _, _ in span]
            answers = [self.answer(torch.from_numpy(tomograms.mirrored_part(v, ranges)), scale) for v in volumes]
            starts = [max(0, low - MARGIN) for _, _, low, _ in span]
            stops = [min(n, high - MARGIN) for n, (_, _, _, high) in zip(shape, span)]
            if all(a < b for a, b in zip(starts, stops)):
                inside = tuple(slice(a + MARGIN - s[0], b + MARGIN - s[0]) for a, b, s in zip(starts, stops, span))
                yield tuple(starts), [answer[inside].numpy() for answer in answers]


def tile_plan(shape: typing.Sequence[int], voxels: float, method: typing.Any) -> list[list[tuple[int, int, int, int]]]:
    """What tile_spans gives for each axis of a tomogram with MARGIN px around it: the tiles of at most so many voxels
    that compute least twice; the smallest ones if none is small enough."""
    padded = [-(-(n + 2 * MARGIN) // method.granularity) * method.granularity for n in shape]
    minimum = 2 * method.overlap + method.granularity
    choices = [sorted({min(n, side) for side in SIDES if side >= minimum or side >= n}) for n in padded]
    cut = lambda sides: [tile_spans(n, s, method.overlap, method.granularity) for n, s in zip(padded, sides)]
    fitting = [sides for sides in itertools.product(*choices) if math.prod(sides) <= voxels]
    fitting = fitting or [tuple(axis[0] for axis in choices)]
    return cut(min(fitting, key=lambda sides: math.prod(sum(b - a for a, b, _, _ in axis) for axis in cut(sides))))


RECORD, HALVES = "denoise.json", ("even", "odd")
LABEL = "cryodl: denoised{}, for viewing and segmenting; not for averaging"


def prepare_outputs(folder: Path, named: typing.Sequence[typing.Any], both: bool) -> None:
    """files.prepare_folder of tomograms and, if both are denoised, their halves. named: of halves.named_tomograms."""
    inputs = [(one.name, path) for one in named for path in one.paths]
    for ending in ("", *(f"_{half}" for half in HALVES if both)):
        files.prepare_folder(inputs, folder, f"{ending}.mrc", LABEL.partition("{")[0].encode())


def write_denoised(
    source: HalfSource, denoiser: TomogramDenoiser, scale: HalfScale, config: DenoiseTomogramsConfig, folder: Path
) -> list[str]:
    """Write the denoised volume, and those of the halves if they are asked for. Returns the names of the files."""
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
            progress.ProgressBar(total=total, unit="voxel", unit_scale=True, desc=source.name, mininterval=1.0)
        )
        # larger blocks are hardly quicker: 57 instead of 62 CPU s for 1000 x 1000 x 300
        for position, blocks in denoiser.blocks(source.volumes, scale, WORKING_MEMORY / 6):
            mean = np.mean(blocks, axis=0)
            for writer, block in zip(writers, [mean, *blocks] if both else [mean]):
                writer.write_block(position, block)
            bar.update(mean.size)
    return names


def model_notes(config: DenoiseTomogramsConfig, card: dict) -> typing.Iterator[str]:
    """Sentences about a model that may not serve."""
    if config.model and config.fill_wedge and not card["fills_wedge"]:
        raise ValueError(
            f"The model {config.model} was trained without the missing wedge, which --fill-wedge needs. Leave one of "
            "them out."
        )
    learnt = {"fill_wedge": card["fills_wedge"], "network": card["network"], **card["training"]}
    learnt |= dict(zip(("tilt_min", "tilt_max"), card["tilts"]))  # none of a model that fills no wedge
    asked = {key: getattr(config, key) for key in ("fill_wedge", "network", "steps", "seed", "tilt_min", "tilt_max")}
    other = [key for key, value in asked.items() if value is not None and learnt.get(key, value) != value]
    if other and not config.model:
        words = (f"--{key.replace('_', '-')} {learnt[key]} (now {asked[key]})" for key in other)
        raise ValueError(
            f"{config.output} has a model that was trained with other parameters: {', '.join(words)}. Choose another "
            "--output, or give the model by --model."
        )
    found, filtered = (card["validation"].get(key, 0.0) for key in ("correlation", "wiener_correlation"))
    if found <= filtered:
        yield (
            f"On held-out rows the network is no better than a Wiener filter (correlation {found:.3f} against "
            f"{filtered:.3f}); it has learned too little. Use more tomograms or more --steps."
        )
    if card["validation"].get("wedge_error", 0.0) > 1:
        raise ValueError(
            f"What the model {card['name']} predicts where coefficients were hidden from it is further from what was "
            "measured there than nothing would be: it invents. Train one without --fill-wedge, or with more tomograms "
            "or --steps, in another --output."
        )
    if card["fills_wedge"]:
        yield (
            "The content of the missing wedge is predicted by the network: do not use it for measurements. In "
            "measured Fourier coefficients that were hidden from the network, its prediction correlated by "
            f"{card['validation'].get('wedge_correlation', 0.0):.3f} with the other raw half (the measured "
            f"coefficients by {card['validation'].get('wedge_measured_correlation', 0.0):.3f})."
        )
