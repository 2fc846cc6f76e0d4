# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a tomogram denoiser on the user's tomograms: which parts of them, and what its card says. Training of a
tomogram denoiser on regions of half tomograms, and its metrics on regions that it does not see."""

import os
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import AllSkipped, DenoiseTomogramsConfig, Skipped, in_words
from ...core.devices import autocast
from ...core.fourier import correlation
from ...io import files, memory
from ...learning.recipe import TrainingRun
from ...learning.task import NetworkTask, method_of
from ...learning.training import Schedule
from ..segmenters.working_scale import skewness
from .examples import Region, SubvolumeExample, Tilts, answered, draw, inputs_of, weighted_volumes
from .halves import SEEN, HalfSource, held_out_rows, measured_halves
from .spectra import HalfScale

VALIDATION_BATCHES = 8
FILLED_FROM = 0.3  # part of the steps from which the wedge of an input is filled by the network itself


class TomogramTask(NetworkTask):
    """tilts: to fill the wedge, else None."""

    example_name = "cubes"

    def __init__(
        self,
        method: typing.Any,
        network: torch.nn.Module,
        training: list[Region],
        validation: list[Region],
        device: torch.device,
        tilts: Tilts | None = None,
    ) -> None:
        self.method, self.training, self.validation = method, training, validation
        self.device, self.tilts, self.batch_size = device, tilts, method.batch_size
        self.learn("denoiser", network, method.learning_rate, torch.channels_last_3d)
        fitting = [min(n for region in part for n in region.halves.shape[1:]) for part in (training, validation)]
        self.sides = [int(min(method.crop, n // method.granularity * method.granularity)) for n in fitting]

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        fill = self._fill if self.tilts and self.progress >= FILLED_FROM else None
        return _stacked(self._draw(self.training, self.sides[0], rng, fill))

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Mean squared difference from the other half, where it was measured. output: correction of what is seen."""
        seen, hidden, weight = batch[:3]
        return weighted_volumes(seen[:, 1:] + output - hidden, weight).square().mean()

    def validate(self) -> dict[str, float]:
        rng, drawn = np.random.default_rng(12345), []
        fill = self._fill if self.tilts else None
        for _ in range(VALIDATION_BATCHES):
            seen, target, weight, unseen, raw = _stacked(self._draw(self.validation, self.sides[1], rng, fill))
            found = self._answers(seen)
            pairs = [(x, weight) for x in (found, seen[:, 1:], target)]
            pairs += [(x, weight * unseen) for x in (found, raw, target)] if self.tilts else []
            drawn.append([weighted_volumes(x, w) for x, w in pairs])
        answer, wiener, hidden, *apart = (torch.cat(x) for x in zip(*drawn))
        figure = correlation(answer, hidden)
        metrics = dict(
            metric=figure,
            loss=float((answer - hidden).square().mean()),
            correlation=figure,
            wiener_correlation=correlation(wiener, hidden),
        )
        if apart:  # where the network was given nothing, and what the other half would have told there
            metrics["wedge_correlation"] = correlation(apart[0], apart[2])
            metrics["wedge_measured_correlation"] = correlation(apart[1], apart[2])
            metrics["wedge_error"] = float((apart[0] - apart[2]).square().mean() / apart[2].square().mean())
        return metrics

    def _draw(
        self, parts: list[Region], side: int, rng: np.random.Generator, fill: typing.Any
    ) -> list[SubvolumeExample]:
        sizes = np.array([region.halves.numel() for region in parts], float)
        chosen = rng.choice(len(parts), self.batch_size, p=sizes / sizes.sum())
        return [draw(parts[n], side, rng, self.tilts, fill) for n in chosen]

    def _fill(self, half: torch.Tensor, scale: HalfScale) -> torch.Tensor:
        return self._answers(inputs_of(half, scale)[None])[0, 0] * scale.strength

    @torch.no_grad()
    def _answers(self, seen: torch.Tensor) -> torch.Tensor:
        network = self.networks["denoiser"]
        network.eval()
        with autocast(self.device):
            return answered(network, seen.to(self.device)).cpu()


def _stacked(examples: list[SubvolumeExample]) -> list[torch.Tensor]:
    return [torch.stack(x) for x in zip(*((e.seen, e.hidden, e.weight, e.unseen, e.raw) for e in examples))]


VALIDATIONS = 8
MAX_VOXELS = 32_000_000  # of each half in memory, 0.26 GB in all; of larger or more tomograms only parts are learned
CUBE = 128  # px of such a part


def train_tomogram_denoiser(training: TrainingRun, config: DenoiseTomogramsConfig, sources: list[HalfSource]) -> None:
    """Train on some of the tomograms and write the model's folder; a killed training continues.
    training: with the output of the model. sources: with halves. Raises AllSkipped if not one can be learned from."""
    training.take_folder(*(path for source in sources for path in source.paths))
    device, method = training.take_device(), method_of("tomogram_denoiser", config.network)
    memory.require_memory(16 * MAX_VOXELS, "Training", "Close other programs, or use a machine with more memory.")
    used, held_out, learnt, validation = load_regions(sources, config)
    training.start()
    tilts = Tilts(config.tilt_min, config.tilt_max) if config.fill_wedge else None
    task = TomogramTask(method, method.build(), learnt, validation, device, tilts)
    steps = config.steps or method.default_steps(config.fill_wedge)
    names = [source.name for source in used]
    print(
        f"Training the denoiser ({'with' if config.fill_wedge else 'without'} the missing wedge) on "
        f"{training.device_name}: {', '.join(names)}; {steps} steps."
    )
    schedule = Schedule(
        steps,
        max(1, -(-steps // VALIDATIONS)),
        steps,
        method.learning_rate,
        config.seed,
        ema=method.ema,
        tolerance=0.002,
        decay=method.decay,
    )
    training.fit(task, schedule)
    card = dict(
        kind="tomogram_denoiser",
        name=Path(config.output).name,
        network=config.network,
        pixel_size=float(np.median([source.pixel_size for source in used])),
        fills_wedge=config.fill_wedge,
        tilts=[config.tilt_min, config.tilt_max] if config.fill_wedge else [],
        gain=[round(float(g), 5) for g in np.mean([region.scale.gain for region in learnt], axis=0)],
        skew=round(float(np.mean([skewness(region.halves.mean(0)) for region in learnt])), 4),
        training=dict(
            tomograms=names,
            files=[list(source.paths) for source in used],
            held_out=[list(rows) for rows in held_out],
            **training.record(),
        ),
        validation=training.metrics(),
    )
    training.finish(card, task.networks["denoiser"].state_dict())


def unseen_rows(card: dict, source: HalfSource) -> tuple[int, int] | None:
    """[start, stop) of the rows of a tomogram that a model has not learned from; None: all of them. It has learned from
    a tomogram of this name or with one of these files, whatever way their paths are written."""
    learnt, mine = card["training"], set(map(os.path.realpath, source.paths))
    for name, paths, rows in zip(learnt["tomograms"], learnt["files"], learnt.get("held_out", ())):
        if (name == source.name or mine & set(map(os.path.realpath, paths))) and rows[1] <= source.shape[1]:
            return rows
    return None


def load_regions(
    sources: list[HalfSource], config: DenoiseTomogramsConfig
) -> tuple[list[HalfSource], list[tuple[int, int]], list[Region], list[Region]]:
    """Sources that are learned from, rows of them that are not, and Regions for training and for validation; bad ones
    are passed over, and said."""
    wanted = min(config.training_tomograms, len(sources))
    used: list[HalfSource] = []
    held_out: list[tuple[int, int]] = []
    parts: tuple[list[Region], list[Region]] = ([], [])
    bad: list[Skipped] = []
    for index in files.spread_first(range(len(sources)), wanted):
        if len(used) == wanted:
            break
        source, rng = sources[index], np.random.default_rng((config.seed, index))
        try:
            scale, _, _ = measured_halves(source)
            start, stop = held_out_rows(source)
            sides = [rows for rows in ((0, start), (stop, source.shape[1])) if rows[1] - rows[0] >= SEEN]
            sides = sides or [max((0, start), (stop, source.shape[1]), key=lambda rows: rows[1] - rows[0])]
            found = [
                [Region(halves, scale) for rows in parts for halves in _cut(source, scale, rows, maximum, rng)]
                for parts, maximum in (
                    (sides, MAX_VOXELS // (len(sides) * wanted)),
                    ([(start, stop)], MAX_VOXELS // (6 * wanted)),
                )
            ]
        except (ValueError, FileNotFoundError) as error:
            bad.append(Skipped(source.name, source.paths[0], str(error)))
            print(f"Not used for training: {in_words(bad[-1])}")
            continue
        used.append(source)
        held_out.append((start, stop))
        parts[0].extend(found[0])
        parts[1].extend(found[1])
    if not used:
        raise AllSkipped(f"None of the tomograms can be used for training. The first: {in_words(bad[0])}")
    return used, held_out, *parts


def _cut(
    source: HalfSource, scale: HalfScale, rows: tuple[int, int], maximum: int, rng: np.random.Generator
) -> typing.Iterator[torch.Tensor]:
    """(2, z, y, x) normalised halves of rows [start, stop): all of them, or random cubes of at most so many voxels."""
    shape = (source.shape[0], rows[1] - rows[0], source.shape[2])
    whole = np.prod(shape, dtype=np.int64) <= maximum
    sides = shape if whole else tuple(min(n, CUBE) for n in shape)
    for _ in range(1 if whole else max(1, int(maximum // np.prod(sides)))):
        corner = [int(rng.integers(n - side + 1)) for n, side in zip(shape, sides)]
        corner[1] += rows[0]
        ranges = [(c, c + side) for c, side in zip(corner, sides)]
        yield torch.stack([scale.normalised(torch.from_numpy(v.part(*ranges))) for v in source.volumes])
