# SPDX-License-Identifier: GPL-3.0-or-later
"""The selection of 2-D classes, for the command, the form and the window. A score is the fraction of a class's
particles that is expected to be good. A map from N particles of which g are good has a signal-to-noise ratio
proportional to g²/N, because bad particles add only noise. A class increases it as long as its own fraction of good
particles is more than about half of that of all kept particles. So a class is left out only if it would reduce the
resolution. A fixed threshold would always reject classes of few, faint particles."""

import typing

MINIMUM = 0.1  # no class with a lower score is kept
JUDGED = 10  # particles: the scores were learnt from averages of 15 and more
_BINS = 1000  # of probabilities
DOUBTFUL = 0.5  # expected fraction of good particles below which a warning is given


def class_threshold(scores: typing.Sequence[float], counts: typing.Sequence[int]) -> float:
    """The minimum score of the classes that together give the best map. scores: (k,), expected fraction of good
    particles, from 0 to 1. counts: (k,), particles. Returns at least MINIMUM."""
    good, every, best, lowest = 0.0, 0, 0.0, MINIMUM
    for score, count in sorted(zip(scores, counts), reverse=True):
        good, every = good + score * count, every + count
        if good**2 / every >= best:
            best, lowest = good**2 / every, score
    return max(lowest, MINIMUM)


def chosen_classes(
    numbers: typing.Sequence[int],
    scores: typing.Sequence[typing.Optional[float]],
    counts: typing.Sequence[int],
    threshold: typing.Optional[float],
    minimum: typing.Optional[int],
) -> typing.Tuple[typing.List[int], float]:
    """Numbers of the kept classes, in their order, and the threshold used. numbers, scores, counts: (k,), of the
    classes. A class without a score (None) is not kept. threshold: minimum score of kept classes; None for the
    class_threshold of the classes that are large enough. minimum: particles of a kept class, see fewest_particles."""
    least = fewest_particles(counts, minimum)
    rows = [(n, s, c) for n, s, c in zip(numbers, scores, counts) if c >= max(1, least) and s is not None]
    used = class_threshold([s for _, s, _ in rows], [c for _, _, c in rows]) if threshold is None else threshold
    return [number for number, score, _ in rows if score >= used], float(used)


def fewest_particles(counts: typing.Sequence[int], minimum: typing.Optional[int]) -> float:
    """Particles of a class that is kept, at least: minimum, or JUDGED, or half of the mean of counts (k,) if that is
    fewer: then all classes are small."""
    return min(JUDGED, sum(counts) / max(1, len(counts)) / 2) if minimum is None else minimum


def class_choice_warnings(expected_good: float) -> typing.List[str]:
    """A list with one warning if many of the kept particles are expected to be bad, else an empty list. expected_good:
    no unit, mean score of the kept particles, from 0 to 1."""
    if expected_good >= DOUBTFUL:
        return []
    return [
        f"Only {100 * expected_good:.0f} % of the kept particles are expected to be good. Look at the averages: the "
        "classes may have too few particles to be scored reliably, or many picks may not be particles."
    ]


def expected_good(scores: typing.Sequence[float], stays: typing.Sequence[bool]) -> float:
    """The fraction of good ones that is expected among the particles that stay. scores: (n,), of the class of each
    particle of the kept classes. stays: (n,), whether the particle stays; those that go are taken for bad. From
    0 to 1; 0 if none stays."""
    return min(1.0, sum(scores) / sum(stays)) if any(stays) else 0.0


def particle_cut(probabilities: typing.Sequence[float], prior: float, lost: float) -> float:
    """The probability below which particles of kept classes are left out. probabilities: (n,), that each particle of
    the kept classes shows more than noise, if the fraction of noise were that of all classes. prior: no unit, fraction
    of the particles of all classes that show more than noise. lost: no unit, fraction of the particles with signal that
    may be left out, from 0 to 1. Returns 0 if none are to be left out, 1 if all. Kept classes hold less noise than all:
    their own fraction is found by expectation maximisation (Saerens et al. 2002, doi:10.1162/089976602753284446), and
    the probabilities follow it."""
    if not lost or not probabilities or not 0 < prior < 1:
        return 1.0 if lost and probabilities and prior <= 0 else 0.0
    bins = [0] * (_BINS + 1)
    for value in probabilities:
        bins[round(value * _BINS)] += 1
    values, now = [position / _BINS for position in range(_BINS + 1)], prior
    for _ in range(100):
        up, down = now / prior, (1 - now) / (1 - prior)
        own = [v * up / max(v * up + (1 - v) * down, 1e-30) for v in values]  # 0 / 0 where all show more than noise
        now = sum(v * n for v, n in zip(own, bins)) / len(probabilities)
    allowed, gone = lost * now * len(probabilities), 0.0
    for position, count in enumerate(bins):
        gone += own[position] * count
        if gone > allowed:
            return max(0.0, (position - 0.5) / _BINS)
    return 0.0
