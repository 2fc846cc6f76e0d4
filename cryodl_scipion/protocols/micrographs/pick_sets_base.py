# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols share that take several sets of coordinates."""

from typing import Any, List, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates, SetOfMicrographs
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.micrographs.pick_sets import commonMicrographs, setLabels, writeSet
from ...convert.micrographs.picks import DIAMETER
from ..checks import checkDiameter
from ..protocol_base import RESULT_FILE, CryodlProtBase
from .pick_set_checks import checkPickSets, leftOutLines

_SAME_DIAMETER = 0.01


class PickSetsBase(CryodlProtBase, EMProtocol):
    """Base of the comparison and of the consensus. A child gives _frameSet() if the first set is not the frame."""

    _devStatus = BETA
    _GROWING = False  # whether picks may still be arriving

    def _addSetsParam(self, form: Form, help: str, **arguments: Any) -> None:
        form.addParam(
            "inputSets",
            params.MultiPointerParam,
            pointerClass="SetOfCoordinates",
            important=True,
            label="Sets of coordinates",
            help=help + "\n\nMicrographs are matched by name; their order and pixel size may differ between sets. "
            "Micrographs that are not in all sets are left out.",
            **arguments,
        )

    def usesGpu(self) -> bool:
        return False  # positions only; no network runs

    # ----- inputs
    def _labelledSets(self) -> List[Tuple[str, SetOfCoordinates]]:
        """[(label, SetOfCoordinates)] in the order of the form."""
        pointers = [p for p in self.inputSets if p.get() is not None]
        return list(zip(setLabels(pointers, self._takenLabels()), [p.get() for p in pointers]))

    def _takenLabels(self) -> Tuple[str, ...]:
        """Names that no set may have."""
        return ()

    def _allSets(self) -> List[Tuple[str, SetOfCoordinates]]:
        """The same, with what else has to fit; the first gives the frame."""
        return self._labelledSets()

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

    def _writeSets(self) -> None:
        names, frame = self._names(), self._frame()
        for number, (_, coordinates) in enumerate(self._labelledSets(), 1):
            writeSet(self._setFolder(number), coordinates, frame, names)

    def _outputFolder(self) -> str:
        return self._getExtraPath(self._OUTPUT)

    def _forget(self) -> None:
        """Remove what an earlier start made."""
        pwutils.cleanPath(self._outputFolder(), self._getExtraPath(RESULT_FILE))

    # ----- validation
    def _missingPointers(self) -> List[str]:
        # A list of pointers is never None; _checkInputs counts it.
        return [name for name in CryodlProtBase._missingPointers(self) if name != "inputSets"]

    def _checkInputs(self) -> List[str]:
        count = len(self._labelledSets())
        if count < self._minimumSets():
            return [
                f"Sets of coordinates has {count}; at least {self._minimumSets()} are needed. Choose more with "
                "the magnifying glass."
            ]
        errors = checkPickSets(self._allSets(), self._GROWING)
        if errors:
            return errors
        if self._diameter() is None:
            return [
                "Particle diameter is empty, and the sets have no diameter or different ones. Give the diameter, in Å."
            ]
        return checkDiameter(self._diameter(), self._frame())

    def _minimumSets(self) -> int:
        return 2

    def _warnings(self) -> List[str]:
        return [] if self._missingPointers() or self._checkInputs() else leftOutLines(self._allSets())

    def _citations(self) -> List[str]:
        return ["cryodl"]
