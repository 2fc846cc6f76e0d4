# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimate the CTF of micrographs as they come."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from pwem.objects import Micrograph, SetOfCTF

from ...convert.arriving import ReadOnce, fileOf, micNameOfCtf
from ...convert.micrographs.ctfs import ctfLines, ctfModel
from ...engine.cryodl.contract import EstimateCtfConfig, EstimateCtfOutputs, Result
from ..batches import BatchRun, appendItems
from ..kinds import Options
from .micrograph_kinds import Micrographs

OUTPUT = "outputCTF"


class CryodlProtEstimateCTF(BatchRun[EstimateCtfConfig, EstimateCtfOutputs]):
    """Estimate the CTF of micrographs: defocus and astigmatism, from the rings in their power spectra.

    In: micrographs (also while they are still arriving), as they were averaged from their frames: denoised ones have no
    rings. Out: a set of CTFs for extraction and refinement. No other program is needed.
    Micrographs without rings are left out and named in the summary. A stopped run continues where it was."""

    _label = "estimate CTF"
    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "estimate", "estimated"
    OUTPUT = "ctf.star"
    CITES = ("Rohou2015",)
    FORM = (
        Micrographs(
            "inputMicrographs",
            "Averages of motion-corrected movies. Voltage, Cs and amplitude contrast are taken from them.",
            acquisition=True,
        ),
        Options("minimum_defocus", "maximum_defocus", "maximum_astigmatism", "lowest_resolution"),
        Options("highest_resolution", more=" The wizard shows it on power spectra."),
    )

    def _ofBatch(self, config: EstimateCtfConfig, items: Sequence[Micrograph], folder: str) -> EstimateCtfConfig:
        return dataclasses.replace(config, output=os.path.join(folder, self.OUTPUT))

    def _append(self, items: Dict[str, Micrograph], made: EstimateCtfOutputs) -> None:
        found = {name: micrograph for name, micrograph in items.items() if name in made.fits}
        searched = self._config().find_phase_shift
        ctfs = [ctfModel(item, made.fits[name], made.spectra[name], searched) for name, item in found.items()]
        describe = lambda output: output.setMicrographs(self.inputMicrographs)
        if ctfs:
            appendItems(self, OUTPUT, self.inputMicrographs, ctfs, SetOfCTF, describe)

    def _doneNames(self) -> Any:
        output = getattr(self, OUTPUT, None)
        if fileOf(output) is None:
            return set()
        once = self.__dict__.setdefault("_readCtfs", ReadOnce(output, micNameOfCtf))
        once.update()
        return once.byName.keys()

    def _tell(self, results: Sequence[Result]) -> List[str]:
        return ctfLines(getattr(self, OUTPUT, None))
