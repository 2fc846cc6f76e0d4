# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks of a set as arrays: what viewers and wizards count and draw. No windows here."""
import math

import numpy as np

from ..convert.coordinates import SCORE, picksByMicrograph
from ..convert.picks import diameterInPixels, scoredPicks

_UNKNOWN_DIAMETER = 27  # px, where there is not even a box


class PicksData:
    """Micrographs of a SetOfCoordinates with their picks and, where there are, weaker candidates.

    names, paths: of the micrographs. diameter: of the particles, px. hasScores: False for coordinates of other programs, which are then all shown.
    threshold: the lowest score in the set (what was used), 0 without scores.
    """

    def __init__(self, coordinates):
        self.diameter = diameterInPixels(coordinates) or _UNKNOWN_DIAMETER
        inSet = picksByMicrograph(coordinates)
        scores = [pick[2] for picks in inSet.values() for pick in picks]
        self.hasScores = all(score is not None for score in scores)
        self.threshold = _roundedDown(min(scores)) if scores and self.hasScores else 0.0
        self.names, self.paths, self._picks = [], [], []
        for micrograph, picks in scoredPicks(coordinates):
            self.names.append(micrograph.getMicName() or 'micrograph %d' % micrograph.getObjId())
            self.paths.append(micrograph.getFileName())
            self._picks.append(np.array([(x, y, 1.0 if score is None else score) for x, y, score in picks],
                                        float).reshape(-1, 3))
        if not scores and self.scores().size:
            # Nothing was strong enough for the set; the slider starts where the best candidate is.
            self.threshold = _roundedDown(self.scores().max())

    def picks(self, index, threshold):
        """(n, 3) x, y (px of the micrograph) and score of the picks of one micrograph that reach the threshold."""
        picks = self._picks[index]
        return picks[picks[:, 2] >= threshold]

    def counts(self, threshold):
        """(micrographs,) number of picks that reach the threshold."""
        return np.array([int((picks[:, 2] >= threshold).sum()) for picks in self._picks], int)

    def scores(self):
        """(n,) scores of all picks and candidates."""
        return np.concatenate([picks[:, 2] for picks in self._picks]) if self._picks else np.zeros(0)

    def firstToShow(self):
        """Index of the first micrograph that has picks, else 0."""
        counts = self.counts(self.threshold)
        return int(np.argmax(counts > 0)) if counts.size else 0


def _roundedDown(score):
    """Four decimals, which a slider can hold; not above the score, so that the pick itself is still shown."""
    return math.floor(float(score) * 1e4 + 1e-6) / 1e4


def isOurs(coordinates):
    """True for sets with our scores, and for empty ones, which other viewers cannot open."""
    if coordinates.getSize() == 0:
        return True
    return hasattr(coordinates.getFirstItem(), SCORE)
