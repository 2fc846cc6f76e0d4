# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles with a trained model, as micrographs come."""

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
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..checks import checkDiameter, checkMicrographs, checkModelFolder, modelWarnings
from ..form_parts import notOnForm
from ..methods import citationsOf, pickingInWords
from ..model_field import (
    addBoxParam,
    addModelParams,
    boxSizeOf,
    cardOf,
    checkModelField,
    checkSizeFields,
    diameterOf,
    modelFolder,
)
from ..protocol_base import RESULT_FILE, CryodlProtBase, skippedItems
from ..stored_settings import StoredSettings
from .picking_loop import PickingLoop

PICKS_FOLDER = "picks"
DIAMETER_HELP = (
    contract.describe(contract.PickConfig, "particle_diameter").help
    + " The wizard measures it on a micrograph.\n\nEmpty: the model's. A general model estimates it from the "
    "micrographs, and reports if a given diameter disagrees."
)
# Starting the engine costs a second or two; a batch spreads it over its micrographs.
BATCH = 16
# Seconds that a micrograph waits at most for others to fill its batch.
LONGEST_WAIT = 60


class CryodlProtPick(PickingLoop, CryodlProtBase, StoredSettings, ProtParticlePickingAuto):
    """Pick particles with a trained neural network.

    In: micrographs (also while they are still arriving) and a model of `cryodl - train picker`, or one that comes with
    the plugin. Out: coordinates with a score from 0 to 1 each; `cryodl - filter picks by score` chooses another
    threshold later without picking again. Micrographs that cannot be read are left out and named in the summary.
    A stopped run continues where it was.
    """

    _waitsSince: Any

    _label = "pick particles"
    _devStatus = BETA
    _CONFIG = contract.PickConfig
    _MADE = "picked"
    _waitsSince = None
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        micrographs="the input set",
        pixel_size="the micrographs' sampling rate",
        model="the model fields",
        overwrite="restart does it",
        pictures="Analyze results shows all picks",
        names="made from the micrographs' names",
    )
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        ProtParticlePickingAuto._defineParams(self, form)
        addModelParams(form)
        addConfigParams(
            form,
            self._CONFIG,
            ["particle_diameter", "threshold", "threshold_rule", "contrast"],
            particle_diameter=dict(help=DIAMETER_HELP),
            threshold_rule=dict(condition="threshold is None"),
        )
        addBoxParam(form)
        addConfigParams(form, self._CONFIG, ["minimum_distance", "border", "avoid", "memory", "feature_maps"])
        self._addGpuParams(form)
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
        pwutils.makePath(self._getExtraPath(PICKS_FOLDER))
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
        config = self._config(
            **dict(
                self._engineValues(),
                micrographs=tuple(m.getFileName() for m in micrographs),
                names=tuple(names[m.getObjId()] for m in micrographs),
            )
        )
        try:
            self._runEngine(config, self._batchFolder(micrographs))
        except contract.AllSkipped as error:
            # To the engine a batch of bad micrographs is a failure; to the run it is a few that are left out.
            self._noteAllBad(config, str(error), self._batchFolder(micrographs))

    def _noteAllBad(self, config: Any, reason: str, folder: str) -> None:
        skipped = tuple(contract.Skipped(n, p, reason) for n, p in zip(config.names, config.micrographs))
        contract.Result(
            contract.command_of(config), dict(coordinates={}, counts={}), skipped=skipped, nothing_made=True
        ).write(os.path.join(folder, RESULT_FILE))

    def _batchFolder(self, micrographs: Sequence[Micrograph]) -> str:
        ids = sorted(m.getObjId() for m in micrographs)
        return self._getExtraPath("batches", f"{ids[0]:06d}_{ids[-1]:06d}_{len(ids)}")

    def getCoordsDir(self) -> str:
        return self._getExtraPath(PICKS_FOLDER)

    def readCoordsFromMics(self, folder: str, micrographs: Sequence[Micrograph], coordinates: SetOfCoordinates) -> None:
        present, (files, results) = self._micrographsIn(coordinates), self._newResults()
        diameter = diameterOf(self) or foundDiameter(results)
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

    def _engineValues(self) -> Any:
        micrographs = self.getInputMicrographs()
        return dict(
            micrographs=(micrographs.getFileName(),),
            names=(),
            pictures=0,
            pixel_size=micrographs.getSamplingRate(),
            model=modelFolder(self),
            output=self.getCoordsDir(),
            threads=self.binThreads.get(),
        )

    def _settings(self) -> Dict[str, Any]:
        """What decides the picks: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        source = config.pop("micrographs")[0]
        for name in ("names", "output", "memory", "threads", "device", "overwrite", "pictures", "feature_maps"):
            config.pop(name)
        # Finished micrographs are remembered by their ids, which another set gives to other micrographs.
        return dict(
            config, set_of_micrographs=source, weights_sha256=contract.read_card(modelFolder(self))["weights_sha256"]
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        micrographs = self.getInputMicrographs()
        errors = checkMicrographs(micrographs) + checkModelField(self)
        if errors:
            return errors
        return checkSizeFields(self) or checkDiameter(diameterOf(self), micrographs) + self._checkContinuation()

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
