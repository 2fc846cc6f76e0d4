# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in groups, for windows that give each group a colour: by set, or by how many sets found them. No windows
here."""

import os
from typing import Any, Optional, Sequence, Set

import numpy as np
from pwem.protocols import EMProtocol
from scipy.optimize import linear_sum_assignment

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.coordinates import readPicks
from ...convert.micrographs.pick_sets import NUMBER_OF_SETS, scaledPicks

_ALL_SETS = "all sets"
_VERDICTS = ("true", "false", "missed")
# Hues as in the engine's pictures of segmentations (tomograms/evaluation/pictures.py), bright for grey micrographs.
VERDICT_COLOURS = ("#19e57b", "#ff4a3d", "#3d9bff")
_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", NUMBER_OF_SETS)


class GroupedPicks:
    """names, paths: of the micrographs. diameter: of the particles, px. labels: of the groups 1, 2, ...

    groups: list, per micrograph, of (n, 3) x, y (px of the micrograph) and group. slider: for MicrographWindow, None
    for none; its value to begin with, and `shows(group, value)`: which groups are seen; `words` follow the number of
    picks in the window. off: groups that are not seen at any value.
    """

    def __init__(self, frame: Any, picks: Any, diameter: Any, labels: Sequence[str]) -> None:
        micrographs = [m.clone() for m in frame if m.getMicName() in picks]
        self.names, self.paths = [m.getMicName() for m in micrographs], [m.getFileName() for m in micrographs]
        self._picks = [np.array(picks[name], float).reshape(-1, 3) for name in self.names]
        self.diameter, self.labels = diameter, labels
        self.off: Set[int] = set()
        self.pixelSize = micrographs[0].getSamplingRate() if micrographs else None

    value: Any  # the slider's first value
    modes: Sequence[str] = ()  # what the colours can mean, by their names; none: one meaning alone
    colours: Optional[Sequence[str]] = None  # of the groups, None for those of sets

    def choose(self, mode: str) -> None:
        """Let the colours mean something else."""

    @staticmethod
    def shows(group: int, value: Any) -> bool:
        """Whether picks of a group are seen at a value of the slider."""
        raise NotImplementedError

    def picks(self, index: int, value: Any) -> Any:
        """(n, 3) x, y and group of what is seen on one micrograph."""
        picks = self._picks[index]
        seen = [int(group) not in self.off and self.shows(int(group), value) for group in picks[:, 2]]
        return picks[seen] if len(picks) else picks

    def counts(self, value: float) -> Any:
        """(micrographs,) number of picks seen."""
        return np.array([len(self.picks(i, value)) for i in range(len(self.names))], int)

    def firstToShow(self) -> int:
        """Index of the first micrograph with picks, else 0."""
        counts = self.counts(self.value)
        return int(np.argmax(counts > 0)) if counts.size else 0


def matched(picks: np.ndarray, reference: np.ndarray, distance: float) -> Any:
    """Which picks and which reference points are matched one to one, as the engine does it (core/matching.py): the
    assignment that minimises sum(min(d^2 - distance^2, 0)). picks, reference: (n, 2), (m, 2). distance: same unit."""
    squared = ((picks[:, None] - reference[None]) ** 2).sum(2) - distance**2
    rows, columns = linear_sum_assignment(np.minimum(squared, 0))
    close = squared[rows, columns] < 0
    found, met = np.zeros(len(picks), bool), np.zeros(len(reference), bool)
    found[rows[close]], met[columns[close]] = True, True
    return found, met


class ComparedPicks(GroupedPicks):
    """Each set of a comparison is a group; or, with a reference, what is true, false and missed of one set. protocol:
    CryodlProtCompare."""

    slider, value = None, 0

    def __init__(self, protocol: EMProtocol) -> None:
        sets, names, frame = protocol._allSets(), protocol._comparedNames(), protocol._frame()
        picks = {name: [] for name in names}
        for group, (_, coordinates) in enumerate(sets, 1):
            for name, found in scaledPicks(coordinates, names, frame.getSamplingRate()).items():
                picks[name] += [(x, y, group) for x, y, _ in found]
        GroupedPicks.__init__(
            self, frame, picks, protocol._diameter() / frame.getSamplingRate(), [label for label, _ in sets]
        )
        self._all, self._names = self._picks, list(self.labels)
        comparison = protocol.comparison()
        self._distance: Any = comparison["match_distance_px"] if comparison else None
        if protocol.referenceCoordinates.get() is not None and self._distance:
            self.modes = [_ALL_SETS] + [f"{name}: true, false, missed" for name in self._names[1:]]

    def choose(self, mode: str) -> None:
        self.off, number = set(), self.modes.index(mode)
        if not number:
            self._picks, self.labels, self.colours = self._all, self._names, None
            return
        self.labels, self.colours = _VERDICTS, VERDICT_COLOURS
        self._picks = [self._judged(picks, number + 1) for picks in self._all]

    def _judged(self, picks: np.ndarray, group: int) -> np.ndarray:
        """(n, 3) x, y and 1 for true, 2 for false, 3 for missed, of one set. picks: of all sets."""
        reference, found = (picks[picks[:, 2] == number, :2] for number in (1, group))
        good, met = matched(found, reference, self._distance)
        return np.concatenate(
            [
                np.column_stack([positions, np.full(len(positions), verdict, float)])
                for verdict, positions in ((1, found[good]), (2, found[~good]), (3, reference[~met]))
            ]
        )

    @staticmethod
    def shows(group: Any, value: float) -> bool:
        return True

    def words(self, value: float) -> str:
        if self.colours is not None:
            numbers = np.concatenate([picks[:, 2] for picks in self._picks])
            return (
                ", ".join(f"{int((numbers == n).sum())} {label}" for n, label in enumerate(self.labels, 1)) + " in all"
            )
        on = [label for group, label in enumerate(self.labels, 1) if group not in self.off]
        return "of all sets" if not self.off else f"of {', '.join(on) or 'no set'}"


class FoundTogether(GroupedPicks):
    """The group of a particle is the number of sets that found it; the slider is the least number.

    protocol: CryodlProtConsensus.
    """

    def __init__(self, protocol: EMProtocol) -> None:
        frame, count = protocol._frame(), len(protocol._labelledSets())
        engineNames, ids = micrographNames([m.clone() for m in frame]), {m.getMicName(): m.getObjId() for m in frame}
        picks = {}
        for name in protocol._names():
            path = os.path.join(protocol.candidatesFolder(), engineNames[ids[name]] + ".star")
            picks[name] = readPicks(path, _COLUMNS) if os.path.exists(path) else []
        GroupedPicks.__init__(
            self,
            frame,
            picks,
            protocol._diameter() / frame.getSamplingRate(),
            ["1 set"] + [f"{n} sets" for n in range(2, count + 1)],
        )
        self.slider = dict(from_=1, to=count, resolution=1, label="Found by at least")
        self.value = min(count, protocol.minimumSets.get() or 1)

    @staticmethod
    def shows(group: Any, value: float) -> bool:
        return group >= value

    def words(self, value: float) -> str:
        return f"found by at least {int(value)} of {len(self.labels)} sets"
