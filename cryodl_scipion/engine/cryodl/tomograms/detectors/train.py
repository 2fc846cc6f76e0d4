# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of detectors: crops around particles of all species alike, and how heat maps are learnt. Model card of a
detector, with thresholds of its species from held-out data, and warnings about the training."""

import math
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import TrainDetectorConfig, counted
from ...contract.frames import rescaled
from ...core import augment, devices
from ...core.matching import best_f_beta, f_beta, match_picks
from ...learning.recipe import TrainingRun
from ...learning.task import NetworkTask
from .labels import GatheredLabels, Labelled
from .predict import DISTANCE, MIN_SCORE, Candidates, add_peaks, block_ranges, filled_up
from .unet3d import STRIDE, HeatMapUNet

WIDTH = 0.15  # standard deviation of a particle's spot in the heat map, in diameters
SHARPEST = 1.0  # of it in cells of the heat map, at least
POSITIVE = 100.0  # weight of the cells of the sharpest spot; wider ones have less, so that all particles count alike
ANYWHERE = 0.25  # part of the crops that lie anywhere, not at a particle
FEW_VALIDATED = 4  # particles for validation, below which they cannot tell good weights from bad ones
MAX_VALIDATED = 32  # crops


def heat_map(points: np.ndarray, width: float, shape: typing.Sequence[int]) -> torch.Tensor:
    """(z, y, x) float32: 1 at the particles, falling as a Gaussian; the larger of two that overlap. points: (n, 3) zyx
    in cells. width: cells."""
    result, reach = torch.zeros(tuple(shape)), math.ceil(3 * width)
    for point in points:
        low = [max(0, math.floor(p) - reach) for p in point]
        high = [min(n, math.floor(p) + reach + 2) for p, n in zip(point, shape)]
        if any(a >= b for a, b in zip(low, high)):
            continue
        axes = [torch.exp(-((torch.arange(a, b) - p) ** 2) / (2 * width**2)) for a, b, p in zip(low, high, point)]
        spot = (axes[0][:, None, None] * axes[1][:, None] * axes[2]).float()
        part = result[tuple(slice(a, b) for a, b in zip(low, high))]
        torch.maximum(part, spot, out=part)
    return result


class DetectorTask(NetworkTask):
    """A detector's network on Labelled tomograms. network: of it. batch_size: crops per step, or None."""

    example_name = "crops"
    patience = 8

    def __init__(
        self,
        method: HeatMapUNet,
        network: torch.nn.Module,
        gathered: GatheredLabels,
        training: list[Labelled],
        validation: list[Labelled],
        batch_size: int | None = None,
    ) -> None:
        self.method, self.training, self.validation = method, training, validation
        self.batch_size = batch_size or method.batch_size
        cell = STRIDE * gathered.pixel_size
        self.widths = [max(SHARPEST, WIDTH * diameter / cell) for diameter in gathered.diameters]
        self.weights = torch.tensor([POSITIVE * (SHARPEST / w) ** 3 for w in self.widths])[:, None, None, None]
        # (species, tomogram, particle) of all that is learnt
        self.positions = [
            [(t, n) for t, one in enumerate(training) for n in range(len(one.points[s]))]
            for s in range(len(gathered.species))
        ]
        self.default_steps = method.default_steps(sum(map(len, self.positions)))
        self.learn("detector", network, method.learning_rate, torch.channels_last_3d)
        order = [
            (one, points[n])
            for n in range(max((len(p) for one in validation for p in one.points), default=0))
            for one in validation
            for points in one.points
            if n < len(points)
        ]
        self.crops = [self._cut(one, np.rint(point - method.crop / 2)) for one, point in order[:MAX_VALIDATED]]
        self.validates_poorly = sum(len(p) for one in validation for p in one.points) < FEW_VALIDATED

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        views = [augmented_crop(*self._crop(rng), rng) for _ in range(self.batch_size)]
        return [torch.stack(part) for part in zip(*views)]

    def _crop(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        if rng.random() < ANYWHERE:
            one = self.training[rng.integers(len(self.training))]
            corner = [int(rng.integers(max(1, n - self.method.crop + 1))) for n in one.volume.shape]
        else:
            species = int(rng.integers(len(self.positions)))
            tomogram, number = self.positions[species][rng.integers(len(self.positions[species]))]
            one, reach = self.training[tomogram], self.method.crop // 2 - 8
            corner = np.rint(one.points[species][number] - self.method.crop / 2 + rng.uniform(-reach, reach, 3))
        return self._cut(one, corner)

    def _cut(self, one: Labelled, corner: typing.Any) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, c, c, c) voxels and (species, c / 2, ...) heat maps; mirrored beyond the tomogram's border."""
        crop = self.method.crop
        start = [int(min(max(0, n - crop), max(0, c))) for c, n in zip(corner, one.volume.shape)]
        part = filled_up(one.volume[tuple(slice(a, a + crop) for a in start)].float(), crop)[0]
        cells = [rescaled(points - start, 1 / STRIDE) for points in one.points]
        maps = [heat_map(points, width, [crop // STRIDE] * 3) for points, width in zip(cells, self.widths)]
        return part, torch.stack(maps)

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Cross entropy with the heat maps, in which the spots weigh more than the ground."""
        maps = batch[1]
        weight = 1 + self.weights.to(maps.device) * maps
        return (F.binary_cross_entropy_with_logits(output, maps, reduction="none") * weight).mean()

    def validate(self) -> dict[str, float]:
        """metric: mean over the species of the correlation of answers and heat maps in the validation crops."""
        network = self.networks["detector"]
        device = next(network.parameters()).device
        with devices.autocast(device):
            outputs = [network(voxels[None].to(device)).float().cpu()[0] for voxels, _ in self.crops]
        answers, maps = torch.stack(outputs), torch.stack([maps for _, maps in self.crops])
        loss = float(self.loss(answers, answers, maps))
        scores = answers.sigmoid().transpose(0, 1).flatten(1)
        ground_truth = maps.transpose(0, 1).flatten(1)
        alike = torch.nn.functional.cosine_similarity(
            scores - scores.mean(1, keepdim=True), ground_truth - ground_truth.mean(1, keepdim=True)
        )[ground_truth.amax(dim=1) > 0.5]
        correlation = float(alike.mean()) if len(alike) else 0.0
        return {"metric": correlation, "loss": loss, "correlation": correlation}


def augmented_crop(
    voxels: torch.Tensor, maps: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A crop mirrored along its axes (the missing wedge stays where it is), with other sharpness, contrast, noise."""
    axes = [axis for axis in (1, 2, 3) if rng.random() < 0.5]
    voxels, maps = voxels.flip(axes), maps.flip(axes)
    if rng.random() < 0.7:
        voxels = varied_sharpness(voxels, float(rng.uniform(-1.0, 1.0)))
    return augment.vary_contrast(voxels, rng), maps


def varied_sharpness(voxels: torch.Tensor, strength: float) -> torch.Tensor:
    """Voxels (1, z, y, x) smoothed (up to 1) or sharpened (down to -1): the amplitudes at half the sampling frequency
    change by a factor of e at most, and the variance stays."""
    square = sum(
        k.reshape([-1 if axis == n else 1 for n in range(3)]) ** 2
        for axis, k in enumerate(
            [torch.fft.fftfreq(n) for n in voxels.shape[1:3]] + [torch.fft.rfftfreq(voxels.shape[3])]
        )
    )
    changed = torch.fft.rfftn(voxels, dim=(1, 2, 3)) * torch.exp(-strength * 4 * square)
    result = torch.fft.irfftn(changed, s=voxels.shape[1:], dim=(1, 2, 3))
    return result * (voxels.std() / result.std().clamp(min=1e-6))


USUAL = 0.5  # threshold of a species without held-out particles
MATCH = 0.25  # diameters (half of the radius) within which a detection is of a particle
BLOCK_VOXELS = 1.5e7


def calibrate_species(
    network: torch.nn.Module,
    method: typing.Any,
    validation: typing.Sequence[Labelled],
    diameters_px: typing.Sequence[float],
    beta: float,
) -> list[tuple[float, dict[str, typing.Any]]]:
    """Of each species its minimum score, and metrics on the held-out particles. diameters_px: in working px."""
    hits: list[list[np.ndarray]] = [[] for _ in diameters_px]
    scores: list[list[np.ndarray]] = [[] for _ in diameters_px]
    counts = [0] * len(diameters_px)
    for one in validation:
        for number, candidates in enumerate(candidates_in(network, method, one.volume)):
            diameter = diameters_px[number]
            found = candidates.best(DISTANCE * diameter, MIN_SCORE)
            hits[number].append(match_picks(found.zyx, one.points[number], MATCH * diameter))
            scores[number].append(found.scores)
            counts[number] += len(one.points[number])
    return [_calibrated(np.concatenate(h), np.concatenate(s), n, beta) for h, s, n in zip(hits, scores, counts)]


def _calibrated(hit: np.ndarray, scores: np.ndarray, count: int, beta: float) -> tuple[float, dict[str, typing.Any]]:
    threshold, _ = best_f_beta(hit, scores, count, beta) if count else (USUAL, 0.0)
    kept = scores >= threshold
    true = int(hit[kept].sum())
    metrics = dict(
        particles=count,
        found=true,
        false=int(kept.sum()) - true,
        recall=round(true / count, 4) if count else None,
        precision=round(true / max(int(kept.sum()), 1), 4) if count else None,
        f_beta=round(f_beta(true, int(kept.sum()) - true, count - true, beta), 4) if count else None,
    )
    return round(threshold, 4), metrics


@torch.inference_mode()
def candidates_in(network: torch.nn.Module, method: typing.Any, volume: torch.Tensor) -> list[Candidates]:
    """Candidates of each species in a whole volume (z, y, x) that is in memory, in px of it."""
    network.eval()
    device = next(network.parameters()).device
    found: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for whole, kept in block_ranges(volume.shape, BLOCK_VOXELS, method):
        voxels = filled_up(volume[tuple(slice(a, b) for a, b in whole)].float(), method.granularity)
        with devices.autocast(device):
            maps = network(voxels.to(device))[0].float().sigmoid().cpu()
        found = found or [[] for _ in maps]
        add_peaks(found, maps, whole, kept)
    return [Candidates(*(np.concatenate(part) for part in zip(*each))) for each in found]


POOR = 0.3  # F-beta on held-out particles
FEW = 10  # held-out particles below which a threshold is uncertain


def model_card(
    config: TrainDetectorConfig, gathered: GatheredLabels, task: DetectorTask, split_in_words: str, run: TrainingRun
) -> dict[str, typing.Any]:
    """The model card: all that detecting and a reader need to know. task and run: after training."""
    sizes = [diameter / gathered.pixel_size for diameter in gathered.diameters]
    network, method = task.networks["detector"], task.method
    thresholds, metrics = zip(*calibrate_species(network, method, task.validation, sizes, config.beta))
    count = lambda part: [sum(len(one.points[n]) for one in part) for n in range(len(gathered.species))]
    return dict(
        kind="detector",
        name=Path(config.output).name,
        network=config.network,
        species=list(gathered.species),
        diameters=list(gathered.diameters),
        pixel_size=gathered.pixel_size,
        trained_pixel_size=gathered.trained_pixel_size,
        thresholds=list(thresholds),
        beta=config.beta,
        skew=round(gathered.skew, 4),
        particles=dict(zip(gathered.species, count(task.training))),
        validation=dict(zip(gathered.species, metrics)),
        training_tomograms=sorted({one.name for one in task.training}),
        validation_tomograms=sorted({one.name for one in task.validation}),
        split=split_in_words,
        training=run.record(),
    )


def card_warnings(card: dict[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    for name in card["species"]:
        metrics = card["validation"][name]
        if not metrics["particles"]:
            yield (
                f"No particle of {name} was held out, so it is not known how well it was learnt, and its threshold "
                "is not validated. Label more."
            )
        elif metrics["f_beta"] < POOR:
            yield (
                f"Of {name} {metrics['found']} of {metrics['particles']} held-out particles were found, with "
                f"{metrics['false']} false detections: it was hardly learnt. Check coordinates and diameter, or "
                "label more."
            )
        elif metrics["particles"] < FEW:
            number = counted(metrics["particles"], "particle")
            yield f"Only {number} of {name} for validation: its metrics and threshold are uncertain."
