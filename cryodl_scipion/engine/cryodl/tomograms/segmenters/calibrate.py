# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of segmenters, so that a score of 0.5 means the same probability for every network. Training that
continues from a model: which of the two is better, and which calibration holds."""

import dataclasses
import math
import typing

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from ...core.calibration import calibrate, expected_calibration_error, fit_calibration

MAX_VOXELS = 100_000  # that the curve is fitted to


@dataclasses.dataclass(frozen=True)
class Counted:
    """How well raw scores rank the voxels: average_precision, best_dice (at the best threshold), auc."""

    average_precision: float
    best_dice: float
    auc: float

    @classmethod
    def of(cls, hit: np.ndarray, raw: np.ndarray) -> typing.Self:
        """hit (n,) bool: the feature is there. raw: (n,) scores of any range."""
        if not hit.any():
            return cls(0.0, 0.0, 0.5)
        order = np.argsort(-raw, kind="stable")
        found = np.cumsum(hit[order])
        number, total = np.arange(1, len(hit) + 1), found[-1]
        last = np.append(np.diff(raw[order]) != 0, True)  # equal scores stand or fall together
        found, number = found[last], number[last]
        recall, precision = found / total, found / number
        false = (number - found) / max(1, len(hit) - total)
        return cls(
            float(np.sum(np.diff(recall, prepend=0) * precision)),
            float((2 * found / (number + total)).max()),
            float(np.trapezoid(np.append(0, recall), np.append(0, false))) if total < len(hit) else 1.0,
        )


@dataclasses.dataclass(frozen=True)
class Calibration:
    """probability = 1 / (1 + exp(-(slope * raw + offset))); boundary: the probability above which voxels should be
    taken for the highest Dice. The score has its log odds less those of the boundary, so that it is at 0.5."""

    slope: float
    offset: float
    boundary: float

    @property
    def score_offset(self) -> float:
        """Offset by which scores are 0.5 at the boundary."""
        return self.offset - math.log(self.boundary / (1 - self.boundary))

    def probability(self, raw: np.ndarray) -> np.ndarray:
        """Probabilities of raw scores, of any shape."""
        return calibrate(_bounded(raw), (self.slope, self.offset))

    def score(self, raw: np.ndarray) -> np.ndarray:
        """Scores in [0, 1] of raw ones, of any shape; 0.5 is the boundary."""
        return calibrate(_bounded(raw), (self.slope, self.score_offset))


def fit_voxels(hit: np.ndarray, raw: np.ndarray) -> Calibration:
    """Calibration from validation voxels. hit: (n,) bool. raw: (n,) scores. The
    probabilities are Platt's (a logistic curve, 1999); the boundary follows from them alone: where voxels are as likely
    as they say, the highest expected Dice is had by taking those above half of it (Lipton et al. 2014)."""
    step = max(1, len(raw) // MAX_VOXELS)
    slope, offset = fit_calibration(hit[::step], _bounded(raw[::step]))
    likely = np.sort(calibrate(_bounded(raw), (slope, offset)))[::-1].astype(np.float64)
    found = np.cumsum(likely)
    dice = 2 * found / (np.arange(1, len(likely) + 1) + found[-1])
    return Calibration(slope, offset, float(np.clip(dice.max() / 2, 0.05, 0.5)))


def _bounded(raw: np.ndarray) -> np.ndarray:
    """Raw scores as probabilities, which calibration.py takes the log odds of."""
    return 1 / (1 + np.exp(-np.clip(raw, -13, 13).astype(np.float64)))


def dice(found: np.ndarray, ground_truth: np.ndarray) -> float:
    """Dice coefficient of two bool arrays; 1 if both are empty."""
    total = found.sum() + ground_truth.sum()
    return float(2 * (found & ground_truth).sum() / total) if total else 1.0


def boundary_error(found: np.ndarray, ground_truth: np.ndarray) -> float | None:
    """Mean distance (px) between the outlines of two (h, w) bool masks, both ways; None if one is empty."""
    if not found.any() or not ground_truth.any():
        return None
    outlines = [mask & ~binary_erosion(mask, border_value=1) for mask in (found, ground_truth)]
    if not all(outline.any() for outline in outlines):
        return None
    there, back = (distance_transform_edt(~one)[other] for one, other in (outlines, outlines[::-1]))
    return float(np.concatenate([there, back]).mean())


def validation_metrics(
    calibration: Calibration,
    outputs: typing.Sequence[np.ndarray],
    targets: typing.Sequence[np.ndarray],
    labelled: typing.Sequence[np.ndarray],
    pixel_size: float,
) -> dict[str, float | None]:
    """Metrics of validation tiles for the card; those that need the feature are None if no voxel has it. outputs: raw
    scores (s, s) each. targets, labelled: (s, s). pixel_size: Å."""
    scores, ground_truths = [calibration.score(o) for o in outputs], [t >= 0.5 for t in targets]
    join = lambda parts: np.concatenate([p[k] for p, k in zip(parts, labelled)])
    hit, raw = join(ground_truths), join(outputs)
    found = [boundary_error((s >= 0.5) & k, t & k) for s, t, k in zip(scores, ground_truths, labelled)]
    errors = [e for e in found if e is not None]
    metrics = dict(dice=dice(join(scores) >= 0.5, hit), **dataclasses.asdict(Counted.of(hit, raw)))
    return dict(
        metrics if hit.any() else dict.fromkeys(metrics),
        boundary_error_angstrom=float(np.mean(errors) * pixel_size) if errors else None,
        calibration_error=expected_calibration_error(hit, calibration.probability(raw)),
    )
