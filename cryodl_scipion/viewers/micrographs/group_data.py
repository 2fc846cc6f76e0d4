# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in groups, for windows that give each group a colour: by set, or by how many sets found them. No windows
here."""

import os
from typing import Any, Sequence, Set

import numpy as np
from pwem.protocols import EMProtocol

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.coordinates import readPicks
from ...convert.micrographs.pick_sets import NUMBER_OF_SETS, scaledPicks

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


class ComparedPicks(GroupedPicks):
    """Each set of a comparison is a group. protocol: CryodlProtCompare."""

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

    @staticmethod
    def shows(group: Any, value: float) -> bool:
        return True

    def words(self, value: float) -> str:
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
