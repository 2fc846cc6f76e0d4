# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions and scores of particles, from the STAR files of `cryodl assign-orientations`. No windows here."""

from typing import Any

import numpy as np

from ...convert.relion_star import columnsOf, iterColumns

# Columns of the engine that say how sure an orientation is, in words.
SCORES = {
    "cryodlScore": "Score",
    "cryodlMargin": "Margin to the runner-up",
    "rlnMaxValueProbDistribution": "Probability of the orientation",
}
_ANGLES = ("rlnAngleRot", "rlnAngleTilt")


class OrientationSet:
    """rot, tilt: (n,) degrees. scores: {label: (n,) numbers}, those that the file has."""

    def __init__(self, *paths: str) -> None:
        present = set.intersection(*(set(columnsOf(path, "particles")) for path in paths))
        scores = [name for name in SCORES if name in present]
        columns = _ANGLES + tuple(scores)
        read = [row for path in paths for row in iterColumns(path, columns, (float,) * len(columns), "particles")]
        rows = np.array(read).reshape(-1, len(columns))
        self.rot, self.tilt = rows[:, 0], rows[:, 1]
        self.scores = {SCORES[name]: rows[:, 2 + position] for position, name in enumerate(scores)}


def probabilitiesOf(path: str, count: int) -> Any:
    """(n, count) probabilities of the compositions, from the STAR file of `cryodl assess-integrity`."""
    columns = tuple(f"cryodlProbability{number}" for number in range(1, count + 1))
    return np.array(list(iterColumns(path, columns, (float,) * count, "particles"))).reshape(-1, count)
