# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols share that take several sets of coordinates."""

from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates, SetOfMicrographs
from pyworkflow.object import Pointer

from ...convert.micrographs.picks import DIAMETER, commonMicrographs, micrographsByName, setLabels, writeSet
from ...convert.names import repeatedNames
from ..checks import checkDiameter, listed
from ..kinds import Pointing, PointingMany
from ..protocol_base import RESULT_FILE, OneRunBase

# Micrographs of another pixel size cover the same area but for the binning's rounding and cut edges.
_SAME_EXTENT = 0.05


def checkPickSets(labelled: Sequence[Tuple[str, SetOfCoordinates]], growing: bool = False) -> List[str]:
    """What is wrong with sets of coordinates. labelled: [(label, SetOfCoordinates)], the first gives the frame.

    growing: whether picks may still be arriving.
    """
    errors = [sentence for label, coordinates in labelled for sentence in _checkOne(label, coordinates, growing)]
    errors = errors or _checkTwice(labelled)
    if errors or len(labelled) < 2:
        return errors
    arriving = any(c.isStreamOpen() or c.getMicrographs().isStreamOpen() for _, c in labelled)
    if not arriving and not commonMicrographs([coordinates for _, coordinates in labelled]):
        return [_nothingInCommon(labelled)]
    return _checkExtents(labelled)


def _checkOne(label: str, coordinates: SetOfCoordinates, growing: bool) -> List[str]:
    micrographs = coordinates.getMicrographs()
    if micrographs is None or micrographs.getSize() == 0:
        return [f"{label} is not linked to micrographs. Choose coordinates that belong to a set of micrographs."]
    if coordinates.isStreamOpen() and not growing:
        return [f"{label} is still growing. Wait until its run has finished."]
    if coordinates.getSize() == 0 and not coordinates.isStreamOpen():
        return [f"{label} is empty. Remove it from the list."]
    if not micrographs.getSamplingRate() or micrographs.getSamplingRate() <= 0:
        return [
            f"The micrographs of {label} have no pixel size (sampling rate). Import them again with their pixel size."
        ]
    repeated = repeatedNames(micrographs)
    if repeated:
        return [
            f"Several micrographs of {label} have the same name: {listed(repeated)}. Picks are matched by micrograph "
            "name; import the micrographs with different names."
        ]
    strange = set(coordinates.getUniqueValues("_micId")) - set(micrographsByName(coordinates).values())
    if strange:
        return [
            f"{label} has coordinates on micrographs that are missing in its set of micrographs (ids "
            f"{listed([str(i) for i in sorted(strange)])}). Choose coordinates that are linked to all their "
            "micrographs."
        ]
    return []


def _checkTwice(labelled: Sequence[Tuple[str, SetOfCoordinates]]) -> List[str]:
    """A set compared with itself agrees, and in a consensus it would vote twice."""
    seen = {}
    for label, coordinates in labelled:
        path = coordinates.getFileName()
        if path in seen:
            return [f"{seen[path]} and {label} are the same set of coordinates. Remove one of them."]
        seen[path] = label
    return []


def _nothingInCommon(labelled: Any) -> str:
    parts = [
        f"{label} has {listed(sorted(micrographsByName(coordinates), key=str)[:2])}" for label, coordinates in labelled
    ]
    return (
        f"No micrograph is common to all sets: {'; '.join(parts)}. Micrographs are matched by name. Choose sets "
        "picked on the same micrographs."
    )


def _checkExtents(labelled: Sequence[Tuple[str, SetOfCoordinates]]) -> List[str]:
    frame = labelled[0][1].getMicrographs()
    errors = []
    for label, coordinates in labelled[1:]:
        other = coordinates.getMicrographs()
        if not frame.getDim() or not other.getDim():
            continue
        sides = [[side * m.getSamplingRate() for side in m.getDim()[:2]] for m in (frame, other)]
        if any(abs(b / a - 1) > _SAME_EXTENT for a, b in zip(*sides)):
            errors.append(
                f"The micrographs of {labelled[0][0]} cover {sides[0][0]:.0f} x {sides[0][1]:.0f} Å and those of "
                f"{label} {sides[1][0]:.0f} x {sides[1][1]:.0f} Å, so their coordinates cannot be compared. Check "
                "the pixel sizes."
            )
    return errors


def leftOutLines(labelled: Any) -> Any:
    """Sentences about micrographs that are not in all sets, and so are not compared or combined."""
    common = set(commonMicrographs([coordinates for _, coordinates in labelled]))
    lines = []
    for label, coordinates in labelled:
        others = sorted(str(name) for name in micrographsByName(coordinates) if name not in common)
        if others:
            lines.append(
                f"{len(others)} micrographs of {label} are not in all sets and are left out: {listed(others)}."
            )
    return lines


_SAME_DIAMETER = 0.01


class PickSets(PointingMany):
    """The sets that are compared or combined, each as a folder of STAR files: inputSets."""

    CLASSES, LABEL, to = "SetOfCoordinates", "Input coordinates", ("picks",)

    def __init__(self, help: str) -> None:
        more = (
            "\n\nMicrographs are matched by name; their order and pixel size may differ between sets. Micrographs that "
            "are not in all sets are left out."
        )
        super().__init__("inputSets", help + more)

    def valuesOf(self, protocol: Any, found: List[SetOfCoordinates]) -> Dict[str, Any]:
        return dict(picks=protocol._pickFolders())

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return dict(self.values(protocol), sizes=[one.getSize() for one in self.objects(protocol)])

    def problems(self, protocol: Any) -> List[str]:
        return protocol._checkSets()

    def warnings(self, protocol: Any) -> List[str]:
        early = protocol._missingPointers() or protocol._checkInputs()
        return [] if early else leftOutLines(protocol._allSets())


class ReferencePicks(Pointing):
    """Coordinates that the sets are measured by: referenceCoordinates."""

    CLASSES, LABEL, to = "SetOfCoordinates", "Reference coordinates", ("reference",)

    def __init__(self, help: str, empty: str) -> None:
        super().__init__("referenceCoordinates", help, empty=empty, related=False)

    def valuesOf(self, protocol: Any, found: SetOfCoordinates) -> Dict[str, Any]:
        return dict(reference=protocol._referenceFolder())

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return dict(reference=None if found is None else [found.getFileName(), found.getSize()])


class PickSetsBase(OneRunBase):
    """Base of the comparisons and of the consensus, beside EngineProtocol."""

    _GROWING = False  # whether picks may still be arriving

    # ----- inputs
    def _labelledSets(self) -> List[Tuple[str, SetOfCoordinates]]:
        """[(label, SetOfCoordinates)] in the order of the form."""
        pointers = [p for p in self.inputSets if p.get() is not None]
        return list(zip(setLabels(pointers, self._takenLabels()), [p.get() for p in pointers]))

    def _takenLabels(self) -> Tuple[str, ...]:
        """Names that no set may have."""
        return ()

    def _allSets(self) -> List[Tuple[str, SetOfCoordinates]]:
        """The same, and the reference if there is one, which then gives the frame."""
        reference = getattr(self, "referenceCoordinates", Pointer()).get()
        return ([] if reference is None else [("the reference", reference)]) + self._labelledSets()

    def _referenceFolder(self) -> str:
        return self._getExtraPath("reference")

    def _frame(self) -> SetOfMicrographs:
        """SetOfMicrographs in whose pixels the sets are compared."""
        return self._allSets()[0][1].getMicrographs()

    def _names(self) -> List[str]:
        """micNames that all sets have."""
        return commonMicrographs([coordinates for _, coordinates in self._allSets()])

    def _diameter(self) -> Any:
        """Å: the form's, else what all sets that say it agree on; None if nobody says."""
        if self.particleDiameter.get():
            return self.particleDiameter.get()
        known = [getattr(c, DIAMETER).get() for _, c in self._allSets() if c.hasAttribute(DIAMETER)]
        return known[0] if known and max(known) - min(known) <= _SAME_DIAMETER * max(known) else None

    # ----- files
    def _setFolder(self, number: int) -> str:
        return self._getExtraPath("sets", f"{number:02d}")

    def _pickFolders(self) -> Tuple[str, ...]:
        """The engine's list of sets: label=folder."""
        return tuple(f"{label}={self._setFolder(number)}" for number, (label, _) in enumerate(self._labelledSets(), 1))

    def _writeSets(self, names: Sequence[str]) -> None:
        """Write the sets for the engine. names: micNames of the micrographs."""
        for number, (_, coordinates) in enumerate(self._labelledSets(), 1):
            writeSet(self._setFolder(number), coordinates, self._frame(), names)

    def _forget(self) -> None:
        """Remove what an earlier start made."""
        pwutils.cleanPath(self._output(), self._getExtraPath(RESULT_FILE))

    # ----- validation
    def _checkSets(self) -> List[str]:
        count = len(self._labelledSets())
        if count < self._minimumSets():
            other = ", or one and Reference coordinates" if self.hasAttribute("referenceCoordinates") else ""
            return [
                f"Input coordinates has {count}; at least {self._minimumSets()} are needed{other}. Choose more with "
                "the magnifying glass."
            ]
        errors = checkPickSets(self._allSets(), self._GROWING)
        if errors:
            return errors
        if self._diameter() is None and self._needsDiameter():
            return [
                "Particle diameter is empty, and the sets have no diameter or different ones. Give the diameter, in Å."
            ]
        return checkDiameter(self._diameter(), self._frame())

    def _needsDiameter(self) -> bool:
        return True

    def _minimumSets(self) -> int:
        return 2 - (len(self._allSets()) > len(self._labelledSets()))
