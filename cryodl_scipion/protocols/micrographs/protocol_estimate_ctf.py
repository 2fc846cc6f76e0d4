# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimate the CTF of micrographs as they come."""

import os
from typing import Any, Dict, List, Sequence

from pwem.objects import SetOfCTF
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.arriving import ArrivingMicrographs
from ...convert.growing import ReadOnce, fileOf
from ...convert.micrographs.ctfs import ctfLines, ctfModel
from ...engine.cryodl import __version__, contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..batches import ArrivingBatches
from ..checks import checkMicrographs
from ..form_parts import notOnForm
from ..growing_outputs import appendItems
from ..protocol_base import CryodlProtBase

OUTPUT = "outputCTF"


class CryodlProtEstimateCTF(CryodlProtBase, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Estimate the CTF of micrographs: defocus and astigmatism, from the rings in their power spectra.

    In: micrographs (also while they are still arriving), as they were averaged from their frames: denoised ones have no
    rings. Out: a set of CTFs for extraction and refinement. No other program is needed.
    Micrographs without rings are left out and named in the summary. A stopped run continues where it was.
    """

    _label = "estimate CTF"
    _devStatus = BETA
    _CONFIG = contract.EstimateCtfConfig
    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "estimate", "estimated"
    NOT_ON_FORM = notOnForm(
        "output",
        "threads",
        micrographs="the input set",
        pixel_size="the micrographs' sampling rate",
        voltage="the micrographs' acquisition",
        spherical_aberration="the micrographs' acquisition",
        amplitude_contrast="the micrographs' acquisition",
        names="made from the micrographs' names",
    )
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMicrographsParam(
            form, "Averages of motion-corrected movies. Voltage, Cs and amplitude contrast are taken from them."
        )
        addConfigParams(
            form,
            self._CONFIG,
            [
                "minimum_defocus",
                "maximum_defocus",
                "maximum_astigmatism",
                "lowest_resolution",
                "highest_resolution",
                "find_phase_shift",
            ],
            highest_resolution=dict(more=" The wizard shows it on power spectra."),
        )
        self._addBatchParams(form, "While micrographs arrive, it starts with those available.")

    def usesGpu(self) -> bool:
        return False  # no network runs

    def stepsGeneratorStep(self) -> None:
        self._arriving = ArrivingMicrographs(self.inputMicrographs.get(), None)
        self._insertBatches(self.estimateStep, self.outputStep)

    def estimateStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            micrographs, files = self._batchItems(names)
        folder = self._batchFolder(micrographs)
        config = self._config(**dict(self._engineValues(), output=os.path.join(folder, "ctf.star"), **files))
        try:
            self._runEngine(config, folder)
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, folder, error, star=None, spectra={}, fits={})

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the set; micrographs that it has already are left alone."""
        with self._lock:
            micrographs, done = self._arriving.items(names), self._doneNames()
            outputs, engineNames = self._batchResult(micrographs).outputs, self._arriving.engineNames()
            ctfs = []
            for micrograph in micrographs:
                name = engineNames[micrograph.getObjId()]
                if micrograph.getMicName() not in done and name in outputs.fits:
                    ctfs.append(
                        ctfModel(micrograph, outputs.fits[name], outputs.spectra[name], self.findPhaseShift.get())
                    )
            if ctfs:
                appendItems(
                    self,
                    OUTPUT,
                    self.inputMicrographs,
                    ctfs,
                    SetOfCTF,
                    lambda output: output.setMicrographs(self.inputMicrographs),
                )

    def _doneNames(self) -> Any:
        output = getattr(self, OUTPUT, None)
        if fileOf(output) is None:
            return set()
        once = self.__dict__.setdefault("_readCtfs", ReadOnce(output, lambda ctf: ctf.getMicrograph().getMicName()))
        once.update()
        return once.byName.keys()

    def _settings(self) -> Dict[str, Any]:
        """What decides the CTFs: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "micrographs"):
            config.pop(name)
        return dict(config, set_of_micrographs=self.inputMicrographs.get().getFileName())

    def _engineValues(self) -> Any:
        micrographs = self.inputMicrographs.get()
        acquisition = micrographs.getAcquisition()
        return dict(
            micrographs=(micrographs.getFileName(),),
            names=(),
            pixel_size=micrographs.getSamplingRate(),
            voltage=acquisition.getVoltage(),
            spherical_aberration=acquisition.getSphericalAberration(),
            amplitude_contrast=acquisition.getAmplitudeContrast(),
            threads=self.binThreads.get(),
            output=self._getExtraPath("ctf.star"),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = checkMicrographs(self.inputMicrographs.get()) + self._checkBatches()
        return errors or self._checkContinuation()

    def _tell(self, results: Sequence[Result]) -> List[str]:
        return ctfLines(getattr(self, OUTPUT, None))

    def _methods(self) -> List[str]:
        ctfs = getattr(self, OUTPUT, None)
        if ctfs is None:
            return []
        return [
            f"The contrast transfer functions of {counted(ctfs.getSize(), 'micrograph')} were estimated with cryodl "
            f"{__version__}, from Thon rings between {self.lowestResolution.get():g} and "
            f"{self.highestResolution.get():g} Å in their power spectra."
        ]

    def _citations(self) -> List[str]:
        return ["cryodl", "Rohou2015"]
