# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimate the CTF of micrographs as they come."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from pwem.objects import Micrograph, SetOfCTF, SetOfMicrographs

from ...convert.arriving import ID, MicrographsWithOthers, checkOther
from ...convert.micrographs.ctfs import ctfLines, ctfModel
from ...engine.cryodl.contract import EstimateCtfConfig, EstimateCtfOutputs, Result
from .. import batches, kinds
from .micrograph_kinds import Micrographs

OUTPUT, WITH_CTF = "outputCTF", "outputMicrographs"


class _ToPick(kinds.Pointing):
    KNOWN_AS = "set_to_pick_on"

    def check(self, protocol: Any, found: SetOfMicrographs) -> List[str]:
        return checkOther(protocol.inputMicrographs.get(), found, f"counterpart in {self.label}", self.label)


_TO_PICK = _ToPick(
    "micrographsToPick",
    "Other averages of the same movies, such as dose-weighted ones: the output micrographs are those whose micrograph "
    "has a CTF.",
    label="Micrographs to pick on",
    pointerClass="SetOfMicrographs",
    empty="the input micrographs",
)


class CryodlProtEstimateCTF(batches.BatchRun[EstimateCtfConfig, EstimateCtfOutputs]):
    """Estimate the CTF of micrographs: defocus and astigmatism, from the rings in their power spectra.

    In: micrographs (also while they are still arriving), as they were averaged from their frames: denoised ones have no
    rings. Out: a set of CTFs, and the micrographs that have one. Pick on these: RELION's extraction waits for ever for
    the CTF of a micrograph with picks. No other program is needed.
    Micrographs without rings are left out and named in the summary. A stopped run continues where it was."""

    _label = "estimate CTF"
    _OUTPUTS, _WORK, _MADE, _ID = (OUTPUT,), "estimate", "used", ID
    OUTPUT = "ctf.star"
    CITES = ("Rohou2015",)
    FORM = (
        Micrographs(
            "inputMicrographs",
            "Averages of motion-corrected movies. Voltage, Cs and amplitude contrast are taken from them.",
            acquisition=True,
        ),
        _TO_PICK,
        kinds.Options("minimum_defocus", "maximum_defocus", "maximum_astigmatism", "lowest_resolution"),
        kinds.Options("highest_resolution", more=" The wizard shows it on power spectra."),
    )

    def _newArriving(self) -> MicrographsWithOthers:
        return MicrographsWithOthers(self.inputMicrographs.get(), _TO_PICK.of(self))

    def _ofBatch(self, config: EstimateCtfConfig, items: Sequence[Micrograph], folder: str) -> EstimateCtfConfig:
        return dataclasses.replace(config, output=os.path.join(folder, self.OUTPUT))

    def _append(self, items: Dict[str, Micrograph], made: EstimateCtfOutputs) -> None:
        found = {name: micrograph for name, micrograph in items.items() if name in made.fits}
        searched = self._config().find_phase_shift
        ctfs = [ctfModel(item, made.fits[name], made.spectra[name], searched) for name, item in found.items()]
        describe = lambda output: output.setMicrographs(self.inputMicrographs)
        if ctfs and batches.appendItems(self, OUTPUT, self.inputMicrographs, ctfs, SetOfCTF, describe):
            self._defineCtfRelation(self.inputMicrographs, getattr(self, OUTPUT))  # by which extraction's form finds it
        self._handOn()

    def _handOn(self) -> None:
        """Append the micrographs that have a CTF and are not yet in their output; the caller holds the lock."""
        handedOn = self._valuesIn(WITH_CTF, self._NAME)
        names = [name for name in self._doneNames() if name not in handedOn]
        source = self.inputMicrographs if _TO_PICK.of(self) is None else self.micrographsToPick
        micrographs = (self._arriving.others(names) or [self._arriving.items(names)])[0]
        if names and batches.appendItems(self, WITH_CTF, source, micrographs):
            self._defineTransformRelation(source, getattr(self, WITH_CTF))

    def closeStep(self) -> None:
        with self._lock:
            self._handOn()  # also those of a run that died between the two outputs, or began in an earlier version
        super().closeStep()

    def _tell(self, results: Sequence[Result]) -> List[str]:
        return ctfLines(getattr(self, OUTPUT, None))
