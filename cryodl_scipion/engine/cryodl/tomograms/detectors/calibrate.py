# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds of a detector, species by species, on data that it has not learnt from."""

import dataclasses
import typing

import numpy as np
import torch

from ...core.devices import fast_dtype
from ...core.matching import best_f_beta, f_beta, match_picks
from .labels import Labelled
from .predict import DISTANCE, MIN_SCORE, Candidates, add_peaks, block_ranges, filled_up

USUAL = 0.5  # threshold of a species without held-out particles
MATCH = 0.25  # diameters (half of the radius) within which a detection is of a particle
BLOCK_VOXELS = 1.5e7


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """threshold: minimum score of a species. metrics: {name: number} on the held-out particles."""

    threshold: float
    metrics: dict[str, typing.Any]


def calibrate_species(
    network: torch.nn.Module,
    method: typing.Any,
    validation: typing.Sequence[Labelled],
    diameters_px: typing.Sequence[float],
    beta: float,
) -> list[Calibrated]:
    """Calibrated of each species. diameters_px: of the species, in working px."""
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


def _calibrated(hit: np.ndarray, scores: np.ndarray, count: int, beta: float) -> Calibrated:
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
    return Calibrated(round(threshold, 4), metrics)


@torch.inference_mode()
def candidates_in(network: torch.nn.Module, method: typing.Any, volume: torch.Tensor) -> list[Candidates]:
    """Candidates of each species in a whole volume (z, y, x) that is in memory, in px of it."""
    network.eval()
    device = next(network.parameters()).device
    dtype = fast_dtype(device)
    found: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for whole, kept in block_ranges(volume.shape, BLOCK_VOXELS, method):
        voxels = filled_up(volume[tuple(slice(a, b) for a, b in whole)].float(), method.granularity)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            maps = network(voxels.to(device))[0].float().sigmoid().cpu()
        found = found or [[] for _ in maps]
        add_peaks(found, maps, whole, kept)
    return [Candidates(*(np.concatenate(part) for part in zip(*each))) for each in found]
