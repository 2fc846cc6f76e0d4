# SPDX-License-Identifier: GPL-3.0-or-later
"""Voxels in common, and what scores are worth at every threshold."""

from __future__ import annotations

import dataclasses

import numpy as np

BINS = 1000  # of scores; int8 scores are hundredths
RELIABILITY_BINS = 10


@dataclasses.dataclass
class Overlap:
    """Numbers of voxels: both, in the segmentation (found), in the labels (ground truth)."""

    both: int = 0
    found: int = 0
    ground_truth: int = 0

    def add(self, found: np.ndarray, ground_truth: np.ndarray) -> None:
        """found, ground_truth: bool arrays of one shape."""
        self.both += int((found & ground_truth).sum())
        self.found += int(found.sum())
        self.ground_truth += int(ground_truth.sum())

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.both + other.both, self.found + other.found, self.ground_truth + other.ground_truth)

    def metrics(self) -> dict[str, float | None]:
        """dice, iou, precision, recall; None where there is nothing to divide by."""
        return dict(
            dice=ratio(2 * self.both, self.found + self.ground_truth),
            iou=ratio(self.both, self.found + self.ground_truth - self.both),
            precision=ratio(self.both, self.found),
            recall=ratio(self.both, self.ground_truth),
            voxels_found=self.found,
            voxels_true=self.ground_truth,
        )


def ratio(part: float, whole: float) -> float | None:
    """part / whole, None if there is no whole."""
    return part / whole if whole else None


class ScoreCurve:
    """Histograms of scores where the feature is and where it is not. yes, no: (BINS,) voxels; sums: (BINS,) of
    scores."""

    def __init__(self) -> None:
        self.yes, self.no, self.sums = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)

    def add(self, scores: np.ndarray, ground_truth: np.ndarray) -> None:
        """scores: (n,) float32 in [0, 1]. ground_truth: (n,) bool."""
        # a hundredth times a thousand may end a little below a whole number
        bins = np.clip((scores * BINS + 1e-3).astype(np.int32), 0, BINS - 1)
        self.yes += np.bincount(bins[ground_truth], minlength=BINS)
        self.no += np.bincount(bins[~ground_truth], minlength=BINS)
        self.sums += np.bincount(bins, scores, BINS)

    def __iadd__(self, other: ScoreCurve) -> ScoreCurve:
        self.yes, self.no, self.sums = self.yes + other.yes, self.no + other.no, self.sums + other.sums
        return self

    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """(precision, recall) of all voxels that score at least b / BINS, for b from BINS - 1 down to 0."""
        both, found = np.cumsum(self.yes[::-1]), np.cumsum((self.yes + self.no)[::-1])
        return both / np.maximum(found, 1), both / max(self.yes.sum(), 1)

    def reliability(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean score, share of true voxels and number of voxels, in RELIABILITY_BINS bins of equal width."""
        binned = lambda values: values.reshape(RELIABILITY_BINS, -1).sum(axis=1)
        count = binned(self.yes + self.no)
        return binned(self.sums) / np.maximum(count, 1), binned(self.yes) / np.maximum(count, 1), count

    def metrics(self) -> dict[str, float | None]:
        """average_precision; best_threshold and best_dice; calibration_error (Guo et al. 2017). None without voxels of
        both kinds."""
        if not self.yes.any() or not self.no.any():
            return dict(average_precision=None, best_threshold=None, best_dice=None, calibration_error=None)
        precision, recall = self.precision_recall()
        dice = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        mean, fraction, count = self.reliability()
        return dict(
            average_precision=float((np.diff(recall, prepend=0) * precision).sum()),
            best_threshold=float((BINS - 1 - dice.argmax()) / BINS),
            best_dice=float(dice.max()),
            calibration_error=float((count * np.abs(mean - fraction)).sum() / count.sum()),
        )
