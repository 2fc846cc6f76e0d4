# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols share that take several sets of coordinates."""

import itertools
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates, SetOfMicrographs
from pyworkflow.object import Pointer

from ...convert.micrographs.picks import DIAMETER, commonMicrographs, micrographsByName, setLabels, writeSet
from .. import kinds, protocol_base
from ..checks import checkDiameter, checkMicrographs, listed, sayIf


def checkPickSets(labelled: Sequence[Tuple[str, SetOfCoordinates]], growing: bool = False) -> List[str]:
    """What is wrong with sets of coordinates. labelled: [(label, SetOfCoordinates)], the first gives the frame.
    growing: whether picks may still be arriving."""
    errors = [sentence for label, coordinates in labelled for sentence in _checkOne(label, coordinates, growing)]
    # a set compared with itself agrees, and in a consensus it would vote twice
    pairs = itertools.combinations(labelled, 2)
    twice = [(one, other) for (one, a), (other, b) in pairs if a.getFileName() == b.getFileName()]
    errors += [f"{one} and {other} are the same set of coordinates. Remove one of them." for one, other in twice[:1]]
    if errors or len(labelled) < 2:
        return errors
    arriving = any(c.isStreamOpen() or c.getMicrographs().isStreamOpen() for _, c in labelled)
    names = [f"{label} has {listed(sorted(micrographsByName(picks), key=str)[:2])}" for label, picks in labelled]
    return sayIf(
        not arriving and not commonMicrographs([coordinates for _, coordinates in labelled]),
        f"No micrograph is common to all sets: {'; '.join(names)}. Micrographs are matched by name. Choose sets picked "
        "on the same micrographs.",
    ) or _checkExtents(labelled)


def _checkOne(label: str, coordinates: SetOfCoordinates, growing: bool) -> List[str]:
    micrographs = coordinates.getMicrographs()
    if micrographs is None or micrographs.getSize() == 0:
        return [f"{label} is not linked to micrographs. Choose coordinates that belong to a set of micrographs."]
    growsOn, empty = coordinates.isStreamOpen(), coordinates.getSize() == 0
    wrong = (
        sayIf(growsOn and not growing, f"{label} is still growing. Wait until its run has finished.")
        or sayIf(empty and not growsOn, f"{label} is empty. Remove it from the list.")
        or checkMicrographs(micrographs, f" of {label}")
    )
    known = set(micrographsByName(coordinates).values())
    strange = set() if wrong else set(coordinates.getUniqueValues("_micId")) - known
    return wrong or sayIf(
        strange,
        f"{label} has coordinates on micrographs that are missing in its set of micrographs (ids "
        f"{listed([str(i) for i in sorted(strange)])}). Choose coordinates that are linked to all their micrographs.",
    )


def _checkExtents(labelled: Sequence[Tuple[str, SetOfCoordinates]]) -> List[str]:
    extent = lambda one: [side * one.getSamplingRate() for side in (one.getDim() or ())[:2]]  # Å; [] if not known
    (first, ours), *others = [(label, extent(coordinates.getMicrographs())) for label, coordinates in labelled]
    # micrographs of another pixel size cover the same area but for the binning's rounding and cut edges
    return [
        f"The micrographs of {first} cover {ours[0]:.0f} x {ours[1]:.0f} Å and those of {label} {theirs[0]:.0f} x "
        f"{theirs[1]:.0f} Å, so their coordinates cannot be compared. Check the pixel sizes."
        for label, theirs in others
        if any(abs(b / a - 1) > 0.05 for a, b in zip(ours, theirs))
    ]


def leftOutLines(labelled: Any) -> Any:
    """Sentences about micrographs that are not in all sets, and so are not compared or combined."""
    common = set(commonMicrographs([coordinates for _, coordinates in labelled]))
    others = {label: sorted(map(str, set(micrographsByName(picks)) - common)) for label, picks in labelled}
    return [
        f"Micrographs of {label} that are not in all sets, and are left out ({len(names)}): {listed(names)}."
        for label, names in others.items()
        if names
    ]


class PickSets(kinds.PointingMany):
    """The sets that are compared or combined, each as a folder of STAR files: inputSets."""

    CLASSES, LABEL, to = "SetOfCoordinates", "Input coordinates", ("picks",)

    def __init__(self, help: str) -> None:
        more = (
            "\n\nMicrographs are matched by name; their order and pixel size may differ between sets. Micrographs that "
            "are not in all sets are left out."
        )
        super().__init__("inputSets", help + more)

    def valuesOf(self, protocol: Any, found: List[SetOfCoordinates]) -> Dict[str, Any]:
        folders = enumerate(protocol._labelledSets(), 1)
        return dict(picks=tuple(f"{label}={protocol._setFolder(number)}" for number, (label, _) in folders))

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return dict(self.values(protocol), sets=[one.getFileName() for one in self.objects(protocol)])

    def problems(self, protocol: Any) -> List[str]:
        return protocol._checkSets()

    def warnings(self, protocol: Any) -> List[str]:
        return [] if protocol._missingPointers() or protocol._checkInputs() else leftOutLines(protocol._allSets())


class ReferencePicks(kinds.Pointing):
    CLASSES, LABEL, to = "SetOfCoordinates", "Reference coordinates", ("reference",)

    def __init__(self, help: str, empty: str) -> None:
        super().__init__("referenceCoordinates", help, empty=empty, related=False)

    def valuesOf(self, protocol: Any, found: SetOfCoordinates) -> Dict[str, Any]:
        return dict(reference=protocol._referenceFolder())


class PickSetsBase(protocol_base.OneRunBase):
    _GROWING = False  # whether picks may still be arriving

    def _labelledSets(self) -> List[Tuple[str, SetOfCoordinates]]:
        pointers = [p for p in self.inputSets if p.get() is not None]
        return list(zip(setLabels(pointers, self._takenLabels()), [p.get() for p in pointers]))

    def _takenLabels(self) -> Tuple[str, ...]:
        return ()

    def _allSets(self) -> List[Tuple[str, SetOfCoordinates]]:
        reference = getattr(self, "referenceCoordinates", Pointer()).get()
        return ([] if reference is None else [("the reference", reference)]) + self._labelledSets()

    def _referenceFolder(self) -> str:
        return self._getExtraPath("reference")

    def _frame(self) -> SetOfMicrographs:
        return self._allSets()[0][1].getMicrographs()

    def _names(self) -> List[str]:
        return commonMicrographs([coordinates for _, coordinates in self._allSets()])

    def _diameter(self) -> Any:
        """Å: the form's, else what all sets that say it agree on; None if nobody says."""
        known = [getattr(c, DIAMETER).get() for _, c in self._allSets() if c.hasAttribute(DIAMETER)]
        agree = known and max(known) - min(known) <= 0.01 * max(known)  # the same diameter
        return self.particleDiameter.get() or (known[0] if agree else None)

    def _setFolder(self, number: int) -> str:
        return self._getExtraPath("sets", f"{number:02d}")

    def _writeSets(self, names: Sequence[str]) -> None:
        for number, (_, coordinates) in enumerate(self._labelledSets(), 1):
            writeSet(self._setFolder(number), coordinates, self._frame(), names)

    def _forget(self) -> None:
        pwutils.cleanPath(self._output(), self._getExtraPath(protocol_base.RESULT_FILE))

    def _checkSets(self) -> List[str]:
        count = len(self._labelledSets())
        other = ", or one and Reference coordinates" if self.hasAttribute("referenceCoordinates") else ""
        errors = sayIf(
            count < self._minimumSets(),
            f"Input coordinates has {count}; at least {self._minimumSets()} are needed{other}. Choose more with the "
            "magnifying glass.",
        ) or checkPickSets(self._allSets(), self._GROWING)
        return (
            errors
            or sayIf(
                self._diameter() is None and self._needsDiameter(),
                "Particle diameter is empty, and the sets have no diameter or different ones. Give the diameter, in Å.",
            )
            or checkDiameter(self._diameter(), self._frame())
        )

    def _needsDiameter(self) -> bool:
        return True

    def _minimumSets(self) -> int:
        return 2 - (len(self._allSets()) > len(self._labelledSets()))
