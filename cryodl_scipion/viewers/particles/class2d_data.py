# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes for a window: their averages, numbers of particles and scores. No windows here."""

from typing import Any, Sequence

import numpy as np
from pwem.objects import EMSet

from ...convert.particles.classes2d import classRows
from ...engine.cryodl import contract
from ..particle_images import readParticle, shrunk

SIZE, SCORE = "number of particles", "score"
_SIDE = 96  # px; larger averages are made smaller for the window


class Classes2D:
    """ids: of the classes. counts: (n,) particles. scores: (n,), nan where there are none. names: of the averages."""

    def __init__(self, ids: Sequence[int], counts: Any, scores: Any, names: Sequence[str]) -> None:
        self.ids, self.names = list(ids), list(names)
        self.counts, self.scores = np.asarray(counts, int), np.asarray(scores, float)

    @classmethod
    def ofSet(cls, classes: EMSet) -> Any:
        """Of a SetOfClasses2D. Raises ValueError for an empty set, and for classes without averages."""
        rows = classRows(classes)
        if not rows:
            raise ValueError("The set of classes is empty.")
        if any(not row[2] for row in rows):
            raise ValueError("The classes have no averages to show.")
        return cls(
            [row[0] for row in rows],
            [row[3] for row in rows],
            [np.nan if row[4] is None else row[4] for row in rows],
            [f"{row[1]:06d}@{row[2]}" for row in rows],
        )

    @property
    def hasScores(self) -> bool:
        return bool(np.isfinite(self.scores).all())

    def order(self, by: Any) -> Any:
        """Positions of the classes, the largest or best first. by: SIZE or SCORE."""
        values = self.counts if by == SIZE else np.nan_to_num(self.scores, nan=-1)
        return np.argsort(-values, kind="stable")

    def kept(self, threshold: float, minimum: int = 1) -> Any:
        """(n,) bool: the classes with at least this score and so many particles."""
        return (self.scores >= threshold) & (self.counts >= minimum)

    def threshold(self, minimum: int = 1) -> float:
        """The threshold that *select 2d classes* chooses by itself; 0 without scores."""
        if not self.hasScores:
            return 0.0
        return contract.chosen_classes(self.ids, self.scores.tolist(), self.counts.tolist(), None, minimum)[1]

    def picture(self, position: int) -> Any:
        """The average of a class, not larger than the window's tiles."""
        return shrunk(readParticle(self.names[position]), _SIDE)

    def caption(self, position: int) -> str:
        """'3: 120, 0.87': class, particles, and score if there is one."""
        score = self.scores[position]
        return f"{self.ids[position]}: {self.counts[position]}" + (f", {score:.2f}" if np.isfinite(score) else "")
