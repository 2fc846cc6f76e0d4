# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a detector, with thresholds of its species from held-out data, and warnings about the training."""

import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainDetectorConfig, counted
from ...core.devices import autocast
from ...core.matching import best_f_beta, f_beta, match_picks
from ...learning.recipe import TrainingRun
from .labels import GatheredLabels, Labelled
from .predict import DISTANCE, MIN_SCORE, Candidates, add_peaks, block_ranges, filled_up
from .train import DetectorTask

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
        with autocast(device):
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
