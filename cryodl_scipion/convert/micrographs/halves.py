# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of even and odd frames, as motion correction gives them: two further sets with the micrographs' names."""

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from pwem.objects import SetOfMicrographs
from pwem.protocols.protocol_align_movies import OUT_MICS_EVEN, OUT_MICS_ODD
from pyworkflow.object import Pointer

from ..arriving import ArrivingMicrographs
from ..growing import StreamEnd, reopened


def halvesOf(micrographs: Pointer) -> Any:
    """(even, odd) SetOfMicrographs that the protocol of a pointer's micrographs made beside them; (None, None) if it
    did not.

    micrographs: pointer to a set.
    """
    source = micrographs.getObjValue() if micrographs.hasExtended() else None
    halves = tuple(getattr(source, name, None) for name in (OUT_MICS_EVEN, OUT_MICS_ODD))
    return halves if all(isinstance(half, SetOfMicrographs) for half in halves) else (None, None)


def checkHalves(
    micrographs: SetOfMicrographs, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]
) -> List[str]:
    """What is wrong with averages of even and odd frames for micrographs: sentences. even, odd: sets, or None."""
    if even is None and odd is None:
        return []
    if even is None or odd is None:
        return ["Even-frame averages and Odd-frame averages belong together: choose both, or leave both empty."]
    ours = {m.getMicName() for m in micrographs}
    for word, half in (("even", even), ("odd", odd)):
        if abs(half.getSamplingRate() / micrographs.getSamplingRate() - 1) > 0.001:
            return [
                f"The averages of {word} frames have {half.getSamplingRate():g} Å/px and the micrographs "
                f"{micrographs.getSamplingRate():g} Å/px. Choose those of the same motion correction."
            ]
        missing = sorted(ours - {m.getMicName() for m in half})
        if missing and half.isStreamClosed():
            return [
                f"{len(missing)} micrographs have no average of {word} frames: {', '.join(missing[:5])}. Micrographs "
                "are matched by name; choose a subset of micrographs, or leave both averages empty."
            ]
    return []


class ArrivingHalves:
    """even, odd: SetOfMicrographs that may still be growing, or None both."""

    def __init__(self, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]) -> None:
        self._sets, self.closed = (even, odd), True
        self._ends = StreamEnd(), StreamEnd()
        self._files: Tuple[Dict[str, str], ...] = ({}, {})

    def update(self) -> None:
        """Read what there is now."""
        if self._sets[0] is None:
            return
        growing = [reopened(SetOfMicrographs, half) for half in self._sets]
        # Closed first: what arrives between the two looks is then seen by the next one.
        self.closed = all([end.of(half) for end, half in zip(self._ends, growing)])
        self._files = tuple({m.getMicName(): m.getFileName() for m in half} for half in growing)
        for half in growing:
            half.close()

    def has(self, name: str) -> bool:
        """Whether a micrograph can be worked on. name: its micName."""
        return self._sets[0] is None or all(name in files for files in self._files)

    def files(self, names: Sequence[str]) -> Any:
        """Even files and odd files of micNames, two tuples; empty ones without halves."""
        return ((), ()) if self._sets[0] is None else tuple(tuple(files[n] for n in names) for files in self._files)


class MicrographsWithHalves(ArrivingMicrographs):
    """Micrographs that may still be arriving, each with its averages of even and odd frames where there are such sets.

    even, odd: SetOfMicrographs, or None both.
    """

    def __init__(
        self, micrographs: SetOfMicrographs, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]
    ) -> None:
        super().__init__(micrographs, None)
        self.halves = ArrivingHalves(even, odd)

    def update(self) -> None:
        # Halves first: those of a micrograph that arrives in between are seen at the next look.
        self.halves.update()
        super().update()
        self.closed = self.closed and self.halves.closed

    def ready(self, known: Set[str]) -> List[str]:
        """As ArrivingItems; only micrographs whose halves are there."""
        return [name for name in super().ready(known) if self.halves.has(name)]
