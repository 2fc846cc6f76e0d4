# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick filaments, as micrographs come."""

import typing

from pwem.objects import SetOfCoordinates
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase
from pyworkflow.protocol.constants import STEPS_PARALLEL

from ...convert.arriving import ArrivingMicrographs
from ...convert.micrographs.filaments import filamentLines, segmentCoordinates
from ...convert.micrographs.picks import boxSizeFor, setDiameter
from ...engine.cryodl import __version__, contract
from ...engine.cryodl.contract import counted
from ...form import addConfigParams
from ..batches import ArrivingBatches
from ..checks import checkDiameter, checkMicrographs
from ..form_parts import addBoxSize, addPointer, notOnForm
from ..growing_outputs import appendItems
from ..protocol_base import CryodlProtBase

OUTPUT = "outputCoordinates"
SEGMENTS_FOLDER = "segments"


class CryodlProtPickFilaments(CryodlProtBase, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Trace filaments in micrographs and place segments along them, for helical processing.

    In: micrographs (also while they are still arriving) and the diameter of the filament. Out: coordinates, each
    with the number of its filament, the in-plane angle of the axis and the position along it, as RELION names them.
    Crossings and filaments that end too soon are left out. A stopped run continues where it was.
    """

    _label = "pick filaments"
    _devStatus = BETA
    _CONFIG = contract.PickFilamentsConfig
    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "pick", "picked"
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        micrographs="the input set",
        pixel_size="the micrographs' sampling rate",
        model="the one that comes with the plugin",
        overwrite="restart does it",
        pictures="Analyze results shows all picks",
        names="made from the micrographs' names",
    )
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: typing.Any) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputMicrographs",
            "SetOfMicrographs",
            "Micrographs",
            "Micrographs with filaments. They may still be arriving.",
            important=True,
        )
        addConfigParams(form, self._CONFIG, ["filament_diameter", "segment_distance", "minimum_length", "threshold"])
        addConfigParams(form, self._CONFIG, ["contrast", "keep_edges", "border", "memory"])
        addBoxSize(form, "micrographs", "three times the filament diameter, rounded to an even number.")
        self._addGpuParams(form)
        self._addBatchParams(form, "While micrographs arrive, it starts with those available.")

    def stepsGeneratorStep(self) -> None:
        self._arriving = ArrivingMicrographs(self.inputMicrographs.get(), None)
        self._insertBatches(self.pickStep, self.outputStep)

    def pickStep(self, names: typing.Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            micrographs, files = self._batchItems(names)
        folder = self._batchFolder(micrographs)
        config = self._config(**dict(self._engineValues(), **files))
        try:
            self._runEngine(config, folder)
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, folder, error, coordinates={}, counts={}, filaments={}, lengths={})

    def outputStep(self, names: typing.Sequence[str]) -> None:
        """Append a batch to the set; micrographs that it has already are left alone."""
        with self._lock:
            micrographs, done = self._arriving.items(names), self._doneNames()
            files, engineNames = self._batchResult(micrographs).outputs["coordinates"], self._arriving.engineNames()
            segments = []
            for micrograph in micrographs:
                path = files.get(engineNames[micrograph.getObjId()])
                if path and micrograph.getMicName() not in done:
                    segments += segmentCoordinates(path, micrograph)
            if segments or not hasattr(self, OUTPUT):
                appendItems(
                    self,
                    OUTPUT,
                    self.inputMicrographs,
                    segments,
                    SetOfCoordinates,
                    self._describe,
                    info=SetOfCoordinates(),
                )

    def _describe(self, coordinates: SetOfCoordinates) -> None:
        micrographs = self.inputMicrographs.get()
        coordinates.setMicrographs(self.inputMicrographs)
        # Twice the usual margin of 1.5 diameters: a box of a filament holds some of its repeats.
        own = boxSizeFor(2 * self.filamentDiameter.get(), micrographs.getSamplingRate())
        coordinates.setBoxSize(self.boxSize.get() or own)
        setDiameter(coordinates, self.filamentDiameter.get())

    def _settings(self) -> typing.Dict[str, typing.Any]:
        """What decides the segments: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "micrographs", "memory", "device", "overwrite", "pictures"):
            config.pop(name)
        return dict(config, set_of_micrographs=self.inputMicrographs.get().getFileName())

    def _engineValues(self) -> typing.Dict[str, typing.Any]:
        micrographs = self.inputMicrographs.get()
        return dict(
            micrographs=(micrographs.getFileName(),),
            names=(),
            pixel_size=micrographs.getSamplingRate(),
            output=self._getExtraPath(SEGMENTS_FOLDER),
            pictures=0,
            threads=self.binThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> typing.List[str]:
        micrographs = self.inputMicrographs.get()
        errors = checkMicrographs(micrographs) + self._checkBatches()
        errors = errors or checkDiameter(self.filamentDiameter.get(), micrographs)
        if self.boxSize.get() is not None and self.boxSize.get() < 2:
            errors.append(f"Box size (px) is {self.boxSize.get()}; it must be at least 2, or empty.")
        return errors or self._checkContinuation()

    def _tell(self, results: typing.Sequence[contract.Result]) -> typing.List[str]:
        return filamentLines(results) if hasattr(self, OUTPUT) else ["No filaments yet."]

    def _methods(self) -> typing.List[str]:
        segments = getattr(self, OUTPUT, None)
        if segments is None:
            return []
        return [
            f"{counted(segments.getSize(), 'segment')} along filaments were picked with cryodl {__version__}, by "
            f"{contract.network_words('filament_picker', 'unet')} trained on simulated micrographs."
        ]

    def _citations(self) -> typing.List[str]:
        return ["cryodl", *contract.network_citations("filament_picker", "unet")]
