# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of 2-D classes, for the command, the form and the window.

A score is the fraction of a class's particles that is expected to be good. A map from N particles of which g are good
has a signal-to-noise ratio that goes with g²/N: bad particles add noise alone. A class adds to it as long as its own
fraction is more than about half of the fraction of all that is kept. So a class is left out only if it would cost
resolution. A fixed score would put classes of few, faint particles out of reach.
"""

import typing

LEAST = 0.1  # score of the best class below which none is taken
DOUBTFUL = 0.5  # expected fraction of good particles below which that is said


def class_threshold(scores: typing.Sequence[float], counts: typing.Sequence[int]) -> float:
    """The lowest score of the classes that together give the best map.

    Parameters
    ----------
    scores : sequence of float, (k,)
        Expected fraction of good particles, from 0 to 1.
    counts : sequence of int, (k,)
        Particles.

    Returns
    -------
    float
        LEAST at least.
    """
    good, every, best, lowest = 0.0, 0, 0.0, LEAST
    for score, count in sorted(zip(scores, counts), reverse=True):
        good, every = good + score * count, every + count
        if good**2 / every >= best:
            best, lowest = good**2 / every, score
    return max(lowest, LEAST)


def chosen_classes(
    numbers: typing.Sequence[int],
    scores: typing.Sequence[typing.Optional[float]],
    counts: typing.Sequence[int],
    threshold: typing.Optional[float],
    fewest: int,
) -> typing.Tuple[typing.List[int], float]:
    """Numbers of the kept classes, in their order, and the threshold used.

    Parameters
    ----------
    numbers, scores, counts : sequences, (k,)
        Of the classes. A class without a score (None) is not kept.
    threshold : float or None
        Lowest score that is kept; None for class_threshold of the classes that are large enough.
    fewest : int
        Classes with fewer particles are not kept.

    Returns
    -------
    list of int, float
    """
    rows = [(n, s, c) for n, s, c in zip(numbers, scores, counts) if c >= max(1, fewest) and s is not None]
    used = class_threshold([s for _, s, _ in rows], [c for _, _, c in rows]) if threshold is None else threshold
    return [number for number, score, _ in rows if score >= used], float(used)


def class_choice_warnings(expected_good: float) -> typing.List[str]:
    """A sentence, in a list, if many of the kept particles are expected to be bad.

    Parameters
    ----------
    expected_good : float, no unit
        Mean score of the kept particles, from 0 to 1.

    Returns
    -------
    list of str
    """
    if expected_good >= DOUBTFUL:
        return []
    return [
        f"Only {100 * expected_good:.0f} % of the kept particles are expected to be good. Look at the averages: there "
        "may be too few particles in a class to tell, or the picking took much else."
    ]
