# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of auto-pick: its first batch of micrographs teaches a model, which picks the others as they arrive."""

import json
import os
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates

from ...convert.arriving import ArrivingMicrographs
from ...convert.micrographs import coordinates as convert
from ...convert.micrographs.picks import describeOutput
from ...engine.cryodl import contract
from ...objects import CryodlModel
from ..batches import ArrivingBatches, Waiting, appendGrowingPicks
from ..model_field import boxSizeOf
from ..protocol_base import REQUEST_FILE, RESULT_FILE

OUTPUT = "outputCoordinates"
MINIMUM = 2  # micrographs to learn from: one of them judges


class AutoPickSteps(ArrivingBatches):
    """Mixin of the protocol, which gives the form, getPicksFolder(), _engineValues() and _makeLabels(files)."""

    _OUTPUTS, _WORK, _MADE = (OUTPUT,), "pick", "picked"

    def stepsGeneratorStep(self) -> None:
        self._forgetChanged()
        self._arriving = ArrivingMicrographs(self.getInputMicrographs(), None)
        self._learningWaits = Waiting(self.learningWait.get() or 0)
        self._insertBatches(self.pickStep, self.outputStep)

    def _firstLearns(self) -> bool:
        return True

    def _forgetChanged(self) -> None:
        """Remove what a start with other settings made. More rounds and another threshold cost only what is new."""
        changed = set(self._changedSettings())
        if not changed:
            return
        later = os.path.isdir(self._getExtraPath("batches"))
        pwutils.cleanPath(self._getPath("coordinates.sqlite"), self._getExtraPath("batches"))
        if not changed <= {"rounds", "threshold", "box size"}:
            made = (self.getPicksFolder(), self._getExtraPath(RESULT_FILE), self._firstFile())
            pwutils.cleanPath(*made, os.path.dirname(self._classLabelsFolder()))
        elif later and "rounds" in changed:
            # the best round may be another one, and only the first batch is compared with it
            pwutils.cleanPath(os.path.join(self.getPicksFolder(), "candidates"))

    def _begun(self) -> List[Tuple[List[str], List[str]]]:
        first = self._firstNames()
        return [(first, first)] if first else []

    def _partsOf(self, ready: List[str], all: bool) -> List[List[str]]:
        """Batches. The first is the one that teaches: the whole set, or some of the micrographs that are there."""
        if self._firstNames() or not ready:
            return super()._partsOf(ready, all)
        count = max(MINIMUM, self.trainingMicrographs.get())
        if self._arriving.closed:
            first = ready
        elif len(ready) >= count or (self._learningWaits.over(ready) and len(ready) >= MINIMUM):
            first = ready[:: max(1, len(ready) // count)][:count]
        else:
            return []
        with open(self._firstFile() + ".part", "w", encoding="utf-8") as file:
            json.dump(first, file)
        os.replace(self._firstFile() + ".part", self._firstFile())
        return [first]

    def _firstFile(self) -> str:
        return self._getExtraPath("first_batch.json")

    def _firstNames(self) -> List[str]:
        """Names of the micrographs that teach, once they are chosen: a continued run keeps them."""
        if not os.path.exists(self._firstFile()):
            return []
        with open(self._firstFile(), encoding="utf-8") as file:
            return json.load(file)

    def pickStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch: the rounds for the first one, their model for the others. It writes files only."""
        with self._lock:
            micrographs, files = self._batchItems(names)
        if list(names) == self._firstNames():
            config = self._config(**dict(self._engineValues(), **files))
            if not self._isMade(config):
                # more rounds and another threshold cost only what is new
                self._forgetOther(config, self._getExtraPath(), self.getPicksFolder(), free=("rounds", "threshold"))
                pwutils.cleanPath(self._getExtraPath(RESULT_FILE))
                if self._learnsFromClasses() and not self._classLabelsMade():
                    self._makeLabels(files)
                self._runEngine(config, self._getExtraPath())
            return
        config = self._laterConfig(files)
        try:
            self._runEngine(config, self._batchFolder(micrographs))
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, self._batchFolder(micrographs), error)

    def _isMade(self, config: contract.AutoPickConfig) -> bool:
        """Whether an earlier start has ended with the same parameters."""
        request, result = self._getExtraPath(REQUEST_FILE), self._getExtraPath(RESULT_FILE)
        if not os.path.exists(request) or not os.path.exists(result):
            return False
        return contract.Request.read(request).config == config

    def _laterConfig(self, files: Dict[str, Any]) -> contract.PickConfig:
        """Picking with the model of the best round, as the first batch was picked. files: of the batch."""
        first = self._firstOutputs()
        return contract.PickConfig(
            pixel_size=self.getInputMicrographs().getSamplingRate(),
            model=first.model,
            output=self.getPicksFolder(),
            particle_diameter=first.picked_diameter,
            threshold=self.threshold.get(),
            contrast=first.contrast,
            border=self.border.get(),
            avoid="nothing",  # as the engine picks with this model
            pictures=0,
            **files,
        )

    def _firstOutputs(self) -> Any:
        """The engine's outputs of the rounds, which have ended."""
        return contract.Result.read(self._getExtraPath(RESULT_FILE)).outputs

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the coordinates; micrographs whose picks they have already are left alone."""
        with self._lock:
            micrographs, done, first = self._arriving.items(names), self._doneNames(), self._firstOutputs()
            isFirst = list(names) == self._firstNames()
            files = (first if isFirst else self._batchResult(micrographs).outputs).coordinates
            engineNames = self._arriving.engineNames()

            def append(coordinates: SetOfCoordinates) -> None:
                sizes = [self.particleDiameter.get(), first.particle_diameter, first.picked_diameter]
                diameter: Any = max((size for size in sizes if size), default=None)
                if boxSizeOf(self, diameter):
                    coordinates.setBoxSize(boxSizeOf(self, diameter))
                describeOutput(coordinates, os.path.join(self.getPicksFolder(), "candidates"), diameter)
                for micrograph in micrographs:
                    path = files.get(engineNames[micrograph.getObjId()])
                    if path and micrograph.getMicName() not in done:  # others were skipped, and are in the summary
                        convert.appendPicks(coordinates, micrograph, convert.readPicks(path))

            source = self.getInputMicrographsPointer()
            appendGrowingPicks(self, OUTPUT, source, [source], append)
            if isFirst:
                self._defineOutputs(outputModel=CryodlModel.fromFolder(first.model))
                self._defineSourceRelation(source, self.outputModel)

    def closeStep(self) -> None:
        self._closeOutputSet()
