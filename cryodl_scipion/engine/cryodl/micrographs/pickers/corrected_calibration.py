# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of scores on micrographs whose picks were corrected here and there. Calibration of scores from candidates
of which only some particles are labelled."""

import dataclasses

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from ...core.calibration import best_threshold, logit

SLOPES = np.geomspace(0.2, 8.0, 60)
MAX_PARTICLES = 0.95  # of the candidates: beyond, the curve would say "particle" of everything


def fit_sparse_calibration(labelled: np.ndarray, raw: np.ndarray, fraction: float) -> tuple[float, float]:
    """(slope, offset) for core.calibration.calibrate, where the labelled particles are a random part of all. labelled:
    (n,) bool, candidates on a labelled particle; raw: (n,) raw scores of all candidates. fraction: particles that there
    are for each labelled one, at least 1. Two things are known of the unknown particles: their number, and that they
    score as the labelled ones do. So the curve is the one by which the candidates' probabilities add up to that number,
    and by which the mean log odds of the raw scores, weighted by the probabilities, is that of the labelled ones. (1,
    0) without a labelled candidate."""
    if not labelled.any():
        return 1.0, 0.0
    return fit_curve_to_number(raw, fraction * int(np.sum(labelled)), float(logit(raw[labelled]).mean()))


def fit_curve_to_number(raw: np.ndarray, number: float, wanted: float) -> tuple[float, float]:
    """(slope, offset) for core.calibration.calibrate by which the probabilities of (n,) raw scores add up to a number
    of particles, and the mean log odds of the raw scores, weighted by the probabilities, is as wanted. (1, 0) for a
    number below 1."""
    number = min(number, MAX_PARTICLES * len(raw))
    if number < 1:
        return 1.0, 0.0
    odds = logit(raw)
    reach = SLOPES.max() * np.abs(odds).max() + 50.0
    misses = lambda offset, slope: expit(slope * odds + offset).sum() - number
    curves = [(slope, brentq(misses, -reach, reach, (slope,))) for slope in SLOPES]
    weights = [expit(slope * odds + offset) for slope, offset in curves]
    slope, offset = curves[int(np.argmin([abs((weight * odds).sum() / weight.sum() - wanted) for weight in weights]))]
    return float(slope), float(offset)


# Parts of the certain picks that score above the cuts at which missed particles are counted: beyond these, chance.
CUTS = (0.3, 0.5, 0.7)
NEARLY = 0.97  # of an F1 by some dozens of ranks: they cannot tell such cuts apart
READABLE = 0.01, 0.99  # thresholds: beyond, a steep curve gives many scores that are all 1
SLACK, WIDE = 0.05, 1.0  # part of the picks by which their number may be off; log odds of a gap between two of them
MINIMUM = 10  # picks left as they were below which nothing is estimated, and added ones below which no more are missed


@dataclasses.dataclass(frozen=True)
class CorrectedCandidates:
    """Candidates of the micrographs with corrections. raw: (n,) raw scores. certain: (n,) bool, on a pick that the user
    made or confirmed. left: (n,) bool, on a pick of the machine that he saw and left. wrong: (n,) bool, on a pick that
    he removed, or on background or contamination."""

    raw: np.ndarray
    certain: np.ndarray
    left: np.ndarray
    wrong: np.ndarray

    def drawn(self, rng: np.random.Generator) -> "CorrectedCandidates":
        """As many candidates, drawn with replacement; one that was left is always among them."""
        chosen = np.append(np.flatnonzero(self.left)[:1], rng.integers(len(self.raw), size=len(self.raw) - 1))
        return CorrectedCandidates(*(part[chosen] for part in dataclasses.astuple(self)))


def missed_particles(found: CorrectedCandidates) -> float:
    """How many particles there are that the machine had not picked, those that the user added included. The added ones
    are taken for a random part of them: of all candidates that nobody judged, no more can be particles than the added
    ones' share above each cut allows. The smallest of these numbers over the cuts is an upper bound. The fewer it says
    beside the picks that were left, the more of its candidates are background, so it is multiplied by its share of both
    (chosen on two real and one simulated set: 0.7 to 1.5 times the labelled particles)."""
    if found.certain.sum() < MINIMUM:
        return float(found.certain.sum())
    odds, unjudged = logit(found.raw), ~found.left & ~found.wrong
    highest = _at_most(odds[unjudged], odds[found.certain])
    return max(highest**2 / (highest + found.left.sum()), float(found.certain.sum()))


def _at_most(odds: np.ndarray, known: np.ndarray) -> float:
    """How many candidates, with (n,) odds, can be particles. known: (m,) odds of a random part of the particles."""
    cuts = np.sort(known)[::-1][[max(0, int(np.ceil(part * len(known))) - 1) for part in CUTS]]
    return float(min((odds >= cut).sum() / (known >= cut).mean() for cut in cuts))


def fit_ranked_calibration(
    found: CorrectedCandidates, ranks: np.ndarray, cut: np.ndarray, counts: tuple[float, ...] = ()
) -> tuple[tuple[float, float], float]:
    """(slope, offset) for core.calibration.calibrate, and the threshold. ranks: (m,) of some particles among those that
    nobody had picked, from 1 on, infinite where there is none, by networks that have not learnt them. cut: log odds
    between boxes and background. counts: what the general model says of the number of particles. The threshold is the
    lowest that has NEARLY the best F1 by the ranks; without picks that were left, the median of the best by the ranks,
    that by the scores, and the cut. The ranks of twenty boxes mislead it to 0.6 to 1.8 times the particles, so the
    curve is shifted until it keeps a number half way to the median of this and the counts; people mark fewer particles
    than there are, so that it is not the median itself."""
    odds, ranks = np.sort(logit(found.raw))[::-1], np.sort(ranks)
    known = odds[np.minimum(ranks, len(odds)).astype(int) - 1]
    number = _at_most(logit(found.raw[~found.left & ~found.wrong]), known) + found.left.sum()
    slope, offset = fit_curve_to_number(found.raw, number, float(known.mean()))
    f1 = np.arange(1, len(ranks) + 1) / (ranks + number)
    last = known[np.flatnonzero(f1 >= (NEARLY if found.left.any() else 1.0) * f1.max())[-1]]
    by_scores = best_threshold(expit(slope * odds + offset), number)
    if found.left.any():
        return (slope, offset), float(expit(slope * last + offset))
    middle = np.median([(logit(np.asarray(by_scores)) - offset) / slope, cut, last])
    above = (odds >= middle).sum()
    kept = round(float(np.clip(np.sqrt(above * np.median([above, *counts])), 1, len(odds))))
    # Half way to the next: particles of fainter micrographs lie in a wide gap. Near by, the widest is taken if it is
    # WIDE: a handful of particles more lie beyond it, where micrographs on which nothing was learnt have background.
    least, padded = max(round(kept * (1 - SLACK)), 1), np.append(odds, odds[-1])
    gaps = -np.diff(padded[least - 1 : round(kept * (1 + SLACK)) + 1])
    kept = least + int(gaps.argmax()) if gaps.max() >= WIDE else kept
    lowest = float(padded[kept - 1 : kept + 1].mean())
    level = float(np.clip(expit(slope * middle + offset), *READABLE))
    return (slope, float(logit(np.asarray(level)) - slope * lowest) + 1e-9), level


def fit_corrected_calibration(found: CorrectedCandidates) -> tuple[tuple[float, float], float]:
    """(slope, offset) for core.calibration.calibrate, and the number of particles. Picks that the user left count as
    particles, and missed_particles beside them; the former score as they do, the latter as the certain ones."""
    odds, missed = logit(found.raw), missed_particles(found)
    left = int(found.left.sum())
    mean = (left * odds[found.left].mean() + (missed * odds[found.certain].mean() if missed else 0.0)) / (left + missed)
    return fit_curve_to_number(found.raw, left + missed, float(mean)), left + missed
