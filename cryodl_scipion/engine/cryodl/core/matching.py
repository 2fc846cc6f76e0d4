# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks against reference coordinates, one to one, and the metrics that follow.

The rule is that of Topaz (Bepler et al. 2019; match_coordinates): per micrograph the assignment of all picks to all
reference points that minimises sum(min(d^2 - m^2, 0)); a pair counts where d < m. Average precision is the sum of
precision x increase of recall over distinct scores, without interpolation."""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


@dataclasses.dataclass(frozen=True)
class PickScores:
    """Metrics of a set of picks. f1 and the like hold at `threshold`, best_* at the threshold with the largest f1."""

    threshold: float
    picks: int
    reference: int
    true_positives: int
    precision: float
    recall: float
    f1: float
    average_precision: float
    best_threshold: float
    best_f1: float


def match_picks(picks_yx: np.ndarray, reference_yx: np.ndarray, distance: float) -> np.ndarray:
    """Which picks are matched with a reference point, one to one, (n,) bool. picks_yx: (n, 2). reference_yx: (m, 2).
    distance: in the unit of the positions, matched points are nearer than this."""
    hit = np.zeros(len(picks_yx), bool)
    if not len(picks_yx) or not len(reference_yx):
        return hit
    near = cKDTree(picks_yx).sparse_distance_matrix(cKDTree(reference_yx), distance, output_type="coo_matrix")
    close = near.data < distance
    rows, columns, gain = near.row[close], near.col[close], near.data[close] ** 2 - distance**2
    # pairs beyond `distance` gain nothing, so each connected group of close pairs is an assignment of its own
    size = len(picks_yx) + len(reference_yx)
    graph = csr_matrix((np.ones(len(rows)), (rows, columns + len(picks_yx))), shape=(size, size))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if not len(part):
            continue
        r, r_index = np.unique(rows[part], return_inverse=True)
        c, c_index = np.unique(columns[part], return_inverse=True)
        cost = np.zeros((len(r), len(c)))
        cost[r_index, c_index] = gain[part]
        a, b = linear_sum_assignment(cost)
        hit[r[a[cost[a, b] < 0]]] = True
    return hit


def precision_recall(
    hit: np.ndarray, scores: np.ndarray, n_reference: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds (descending), precision and recall at each distinct score. hit: (n,) bool, which detections are
    matched. scores: (n,). n_reference: reference points, matched or not. Returns three arrays (k,)."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, true_positives = scores[order], np.cumsum(hit[order])
    last = np.r_[sorted_scores[1:] != sorted_scores[:-1], True] if len(order) else np.zeros(0, bool)
    true_positives = true_positives[last]
    return sorted_scores[last], true_positives / (np.arange(1, len(order) + 1)[last]), true_positives / n_reference


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Sum of precision times increase of recall."""
    return float(np.sum(precision * np.diff(np.r_[0.0, recall])))


def f1_score(precision: np.ndarray | float, recall: np.ndarray | float) -> np.ndarray:
    """2PR / (P + R), and 0 where both are 0. precision, recall: of any shape, or float."""
    total = precision + recall
    return np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), 0.0)


def score_matched(hit: np.ndarray, scores: np.ndarray, n_reference: int, threshold: float = 0.0) -> PickScores:
    """PickScores of picks whose matches are known. hit: (n,) bool, of all micrographs together. scores: (n,).
    n_reference: reference points, matched or not. threshold: score."""
    hit, scores = np.asarray(hit, bool), np.asarray(scores, float)
    kept = scores >= threshold
    true_positives = int(hit[kept].sum())
    precision, recall = true_positives / max(int(kept.sum()), 1), true_positives / max(n_reference, 1)
    thresholds, precisions, recalls = (
        precision_recall(hit, scores, n_reference) if len(hit) and n_reference else np.zeros((3, 1))
    )
    f1 = f1_score(precisions, recalls)
    best = int(np.argmax(f1))
    return PickScores(
        threshold=float(threshold),
        picks=int(kept.sum()),
        reference=int(n_reference),
        true_positives=true_positives,
        precision=precision,
        recall=recall,
        f1=float(f1_score(precision, recall)),
        average_precision=average_precision(precisions, recalls),
        best_threshold=float(thresholds[best]),
        best_f1=float(f1[best]),
    )


def f_beta(true_positives: float, false_positives: float, false_negatives: float, beta: float) -> float:
    """F-beta: recall counts beta times as much as precision. The contest of CryoET object identification (CZII, 2024)
    scores with beta 4, all tomograms of a species together. true_positives, false_positives, false_negatives:
    detections. 0 where nothing was found."""
    square = beta**2
    total = (1 + square) * true_positives + square * false_negatives + false_positives
    return (1 + square) * true_positives / total if total else 0.0


def best_f_beta(
    hit: np.ndarray, scores: np.ndarray, n_reference: int, beta: float, plateau: float = 0.005
) -> tuple[float, float]:
    """The threshold with the largest F-beta, and that F-beta.

    hit: (n,) bool, which detections are matched, with no threshold. scores: (n,).
    n_reference: reference points, matched or not. beta: weight of recall over precision.
    plateau: F-beta, of thresholds whose F-beta is within it of the largest the middle is taken: chance moves that.
    Returns threshold, f_beta: 1 and 0 where nothing is matched."""
    if not np.any(hit) or not n_reference:
        return 1.0, 0.0
    thresholds, precision, recall = precision_recall(np.asarray(hit, bool), np.asarray(scores, float), n_reference)
    square = beta**2
    values = (1 + square) * precision * recall / np.maximum(square * precision + recall, 1e-12)
    return float(np.median(thresholds[np.flatnonzero(values >= values.max() - plateau)])), float(values.max())
