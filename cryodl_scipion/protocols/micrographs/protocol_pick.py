# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles with a trained model, as micrographs come."""

import dataclasses
import json
import os
import time
from typing import Any, Dict, List, Sequence

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCoordinates
from pwem.protocols import ProtParticlePickingAuto
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.micrograph_names import NamesOnce
from ...convert.micrographs import coordinates as convert
from ...convert.micrographs.picks import describeOutput, foundDiameter, modelLine, pickLines
from ...engine.cryodl import contract
from ...engine.cryodl.contract import PickConfig, Result
from ...engine.cryodl.contract.micrographs.picking import PickOutputs
from ..batches import BATCH, StoredSettings, noteAllSkipped
from ..checks import checkDiameter, checkModelFolder, modelWarnings
from ..engine_protocol import EngineProtocol
from ..kinds import BoxSize, Model, Options
from ..methods import citationsOf, pickingInWords
from ..model_field import boxSizeOf, cardOf, checkSizeFields, diameterOf, modelFolder
from ..protocol_base import skippedItems
from .micrograph_kinds import Micrographs
from .picking_loop import PickingLoop

DIAMETER_HELP = (
    contract.describe(contract.PickConfig, "particle_diameter").help
    + " The wizard measures it on a micrograph.\n\nEmpty: the model's. A general model estimates it from the "
    "micrographs, and reports if a given diameter disagrees."
)
# Seconds that a micrograph waits at most for others to fill its batch.
LONGEST_WAIT = 60


class CryodlProtPick(PickingLoop, EngineProtocol[PickConfig, PickOutputs], StoredSettings, ProtParticlePickingAuto):
    """Pick particles with a trained neural network.

    In: micrographs (also while they are still arriving) and a model of `cryodl - train picker`, or one that comes with
    the plugin. Out: coordinates with a score from 0 to 1 each; `cryodl - filter picks by score` chooses another
    threshold later without picking again. Micrographs that cannot be read are left out and named in the summary.
    A stopped run continues where it was.
    """

    _label = "pick particles"
    _devStatus = BETA
    _MADE = "picked"
    _waitsSince: Any = None
    stepsExecutionMode = STEPS_PARALLEL
    OUTPUT = "picks"
    FORM = (
        Micrographs("inputMicrographs", "Micrographs to pick."),
        Model("picker", related=False),
        Options("particle_diameter", help=DIAMETER_HELP),
        Options("threshold"),
        Options("threshold_rule", when="threshold is None"),
        Options("contrast"),
        BoxSize("micrographs", "1.5 times the particle diameter, rounded to an even number"),
    )

    NOT_ON_FORM = {"method": "network", "structure": "of templates"}

    def _addRunParams(self, form: Form) -> None:
        self._defineStreamingParams(form)
        form.getParam("streamingBatchSize").setDefault(BATCH)
        form.addParam(
            "batchWait",
            params.IntParam,
            default=LONGEST_WAIT,
            label="Longest wait (s)",
            help="A batch that is not full is started when its first micrograph has waited this long. 0: immediately.",
        )
        form.addParallelSection(threads=2, mpi=0, binThreads=2)

    # ----- steps, called by pwem's streaming loop
    def _insertInitialSteps(self) -> List[str]:
        pwutils.makePath(self._output())
        self._storeSettings()
        return []

    def _insertNewMicsSteps(self, inputMics: Any) -> Any:
        """Batches that are full, and one that is not but whose first micrograph has waited long enough."""
        new = [m for m in inputMics if m.getMicName() not in self.micDict]
        steps = super()._insertNewMicsSteps(new)
        left = [m for m in new if m.getMicName() not in self.micDict]
        now = time.monotonic()
        if steps or not left or self._waitsSince is None:
            self._waitsSince = now if left else None
        if left and now - self._waitsSince >= (self.batchWait.get() or 0):
            steps.append(self._insertPickMicrographListStep(left, self.initialIds, *self._getPickArgs()))
            self.micDict.update((m.getMicName(), m) for m in left)
            self._waitsSince = None
        return steps

    def _getPickArgs(self) -> List[str]:
        return [json.dumps(self._settings(), sort_keys=True)]

    def _pickMicrograph(self, micrograph: Micrograph, *settings: Any) -> None:
        self._pickMicrographList([micrograph], *settings)

    def _pickMicrographList(self, micrographs: Sequence[Micrograph], *settings: str) -> None:
        """Pick a batch. It runs in a thread: it writes files only, no sets."""
        if not micrographs:
            return  # all of the batch was done before the run was continued
        names = self._names()
        config = dataclasses.replace(
            self._config(),
            micrographs=tuple(m.getFileName() for m in micrographs),
            names=tuple(names[m.getObjId()] for m in micrographs),
        )
        try:
            self._runEngine(config, self._batchFolder(micrographs))
        except contract.AllSkipped as error:
            # To the engine a batch of bad micrographs is a failure; to the run it is a few that are left out.
            noteAllSkipped(config, self._batchFolder(micrographs), error, config.micrographs)

    def _batchFolder(self, micrographs: Sequence[Micrograph]) -> str:
        ids = sorted(m.getObjId() for m in micrographs)
        return self._getExtraPath("batches", f"{ids[0]:06d}_{ids[-1]:06d}_{len(ids)}")

    def getCoordsDir(self) -> str:
        return self._output()

    def readCoordsFromMics(self, folder: str, micrographs: Sequence[Micrograph], coordinates: SetOfCoordinates) -> None:
        present, (files, results) = self._micrographsIn(coordinates), self._newResults()
        diameter = foundDiameter(results) or diameterOf(self)
        box = boxSizeOf(self, diameter)
        if box:  # no particles were found yet in the first micrographs
            coordinates.setBoxSize(box)
            describeOutput(coordinates, os.path.join(folder, "candidates"), diameter)
        names = self._names()
        for micrograph in micrographs:
            path = files.get(names[micrograph.getObjId()])
            if path and micrograph.getObjId() not in present:
                convert.appendPicks(coordinates, micrograph, convert.readPicks(path))

    def createOutputStep(self) -> None:
        """The sets were written while picking; here only the case that nothing could be picked is an error."""
        skipped = skippedItems(self._engineResults())
        if self.micDict and len(skipped) >= len(self.micDict):
            raise ValueError(
                f"None of the {len(skipped)} micrographs could be picked. The first, {skipped[0].path}: "
                f"{skipped[0].reason}"
            )

    # ----- what the steps share
    def _names(self) -> Dict[int, str]:
        names = self.__dict__.setdefault("_engineNames", NamesOnce())
        return names.of({name: micrograph.getObjId() for name, micrograph in self.micDict.items()})

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        wrong = checkSizeFields(self) or checkDiameter(diameterOf(self), self.getInputMicrographs())
        return wrong + self._checkContinuation()

    def _warnings(self) -> List[str]:
        micrographs, folder = self.getInputMicrographs(), modelFolder(self)
        if micrographs is None or checkModelFolder(folder):
            return []
        return modelWarnings(contract.read_card(folder), micrographs.getSamplingRate(), diameterOf(self))

    def _tell(self, results: Sequence[Result]) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return ["No coordinates yet."]
        lines = pickLines(coordinates, results)
        return lines[:1] + modelLine(cardOf(self)) + lines[1:]

    def _methods(self) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        return [] if coordinates is None else [pickingInWords(coordinates, self._engineResults(), cardOf(self))]

    def _citations(self) -> List[str]:
        return citationsOf((cardOf(self) or {}).get("network"))
