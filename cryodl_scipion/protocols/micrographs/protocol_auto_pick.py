# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick without labels: a general model picks, and its confident picks teach it these micrographs."""

import os
from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import SetOfMicrographs
from pwem.protocols import ProtParticlePicking
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs import coordinates as convert
from ...convert.micrographs.picks import correctionsFolder, describeOutput, pickLines
from ...convert.micrographs.rounds import bestRound, readRounds, roundInWords
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ...objects import CryodlModel
from ..checks import checkDiameter, checkMicrographs
from ..form_parts import notOnForm
from ..methods import autoPickingInWords, citationsOf
from ..model_field import (
    SHIPPED,
    addBoxParam,
    addModelParams,
    boxSizeOf,
    cardOf,
    checkModelField,
    checkSizeFields,
    modelFolder,
)
from ..protocol_base import RESULT_FILE, CryodlProtBase

PICKS_FOLDER = "picks"


class CryodlProtAutoPick(CryodlProtBase, ProtParticlePicking):
    """Pick particles without any label, and train a model for them on the way.

    In: micrographs; the particles' diameter is found if it is not given. A general model picks some of the
    micrographs; its confident picks, and the places that are surely none, train it on this data set; this is
    repeated until a round is no better.
    Then all micrographs are picked. Out: coordinates with a score from 0 to 1 each, and the model, which can pick
    more micrographs of the same kind with `cryodl - pick particles`. Every round is kept and shown.
    A stopped run continues where it was.
    """

    _label = "auto-pick particles"
    _devStatus = BETA
    _CONFIG = contract.AutoPickConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        micrographs="the input set",
        pixel_size="the micrographs' sampling rate",
        model="the model fields",
        names="made from the micrographs' names",
        corrections="those of the corrected picks",
    )

    def _defineParams(self, form: Form) -> None:
        ProtParticlePicking._defineParams(self, form)
        form.addParam(
            "correctedCoordinates",
            params.PointerParam,
            pointerClass="SetOfCoordinates",
            allowsNull=True,
            label="Corrected picks",
            help="Coordinates of *cryodl - pick by hand* on these micrographs: what you are certain of teaches in "
            "every round, beside the network's own confident picks.\n\nEmpty: no corrections.",
        )
        addConfigParams(form, self._CONFIG, ["particle_diameter"], particle_diameter=dict(important=True))
        addModelParams(form, default=SHIPPED)
        addConfigParams(
            form,
            self._CONFIG,
            ["rounds", "training_micrographs", "threshold", "contrast", "confident", "steps", "border"],
        )
        addBoxParam(form)
        addConfigParams(form, self._CONFIG, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.pickStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, self.boxSize.get(), needsGPU=False)

    def pickStep(self, settings: Dict[str, Any]) -> None:
        micrographs = [m.clone() for m in self.getInputMicrographs()]
        names = micrographNames(micrographs)
        config = self._config(
            **dict(
                self._engineValues(),
                micrographs=tuple(m.getFileName() for m in micrographs),
                names=tuple(names[m.getObjId()] for m in micrographs),
            )
        )
        # more rounds and another threshold cost only what is new
        self._forgetOther(config, self._getExtraPath(), self.getPicksFolder(), free=("rounds", "threshold"))
        self._runEngine(config, self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any], boxSize: Optional[int]) -> None:
        outputs = contract.Result.read(self._getExtraPath(RESULT_FILE)).outputs
        coordinates = self._createSetOfCoordinates(self.getInputMicrographsPointer())
        diameter = self.particleDiameter.get() or outputs.particle_diameter
        if boxSizeOf(self, diameter):
            coordinates.setBoxSize(boxSizeOf(self, diameter))
        describeOutput(coordinates, os.path.join(self.getPicksFolder(), "candidates"), diameter)
        micrographs = [m.clone() for m in self.getInputMicrographs()]
        names = micrographNames(micrographs)
        for micrograph in micrographs:
            path = outputs.coordinates.get(names[micrograph.getObjId()])
            if path:  # the others were skipped, and are named in the summary
                convert.appendPicks(coordinates, micrograph, convert.readPicks(path))
        model = CryodlModel.fromFolder(outputs.model)
        self._defineOutputs(outputCoordinates=coordinates, outputModel=model)
        for output in (coordinates, model):
            self._defineSourceRelation(self.getInputMicrographsPointer(), output)

    # ----- what the steps share
    def getPicksFolder(self) -> str:
        """Folder of picks, candidates/, rounds/, rounds.csv and model/."""
        return self._getExtraPath(PICKS_FOLDER)

    def _engineValues(self) -> Any:
        micrographs, corrected = self.getInputMicrographs(), self.correctedCoordinates.get()
        return dict(
            corrections=None if corrected is None else correctionsFolder(corrected),
            micrographs=(micrographs.getFileName(),),
            names=(),
            pixel_size=micrographs.getSamplingRate(),
            model=modelFolder(self),
            output=self.getPicksFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        micrographs = self.getInputMicrographs()
        if micrographs.isStreamOpen():
            return [
                "The micrographs are still arriving. Wait until all are there; or auto-pick those of a "
                "finished set, and pick the others as they come with its model by *cryodl - pick particles*."
            ]
        errors = checkMicrographs(micrographs) + checkModelField(self)
        errors = errors or checkDiameter(self.particleDiameter.get(), micrographs) or self._checkSizes(micrographs)
        return errors or self._checkCorrections(micrographs)

    def _checkCorrections(self, micrographs: SetOfMicrographs) -> List[str]:
        corrected = self.correctedCoordinates.get()
        if corrected is None:
            return []
        if correctionsFolder(corrected) is None:
            return [
                "The corrected picks have no corrections. Choose the output of cryodl - pick by hand itself, no subset "
                "of it."
            ]
        theirs = {m.getObjId(): m.getMicName() for m in corrected.getMicrographs()}
        if theirs != {m.getObjId(): m.getMicName() for m in micrographs}:
            return ["The corrected picks lie on other micrographs. Choose the set of micrographs that they belong to."]
        return []

    def _checkSizes(self, micrographs: SetOfMicrographs) -> List[str]:
        if micrographs.getSize() < 2 and self.rounds.get():
            return [
                "There is only one micrograph; the rounds need at least two, one of them to judge by. Set the "
                "rounds to 0, or take more micrographs."
            ]
        return checkSizeFields(self)

    def _warnings(self) -> List[str]:
        card = cardOf(self)
        if card is None or card.get("general"):
            return []
        return [
            f"The model {card['name']} was trained on particles of {card['particle_diameter']:g} Å and is not a "
            "general one. If yours are unlike those, the rounds will learn from wrong picks: look at the first "
            "round."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return ["No coordinates yet."] + self._roundLines()
        stopped = results[-1].outputs.stop_reason if results else None
        return pickLines(coordinates, results) + self._roundLines(stopped)

    def _roundLines(self, stopped: Optional[str] = None) -> List[str]:
        """What each finished round did; stopped: why there was no further one."""
        rounds = readRounds(self.getPicksFolder())
        if not rounds:
            return []
        lines = [
            f"{counted(len(rounds) - 1, 'round')} of training; the best was round "
            f"{bestRound(rounds)}{f'; stopped: {stopped}' if stopped else ''}."
        ]
        return lines + [f"  round {r['round']}: {roundInWords(r)}" for r in rounds]

    def _methods(self) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return []
        return [autoPickingInWords(coordinates, self._engineResults(), cardOf(self), readRounds(self.getPicksFolder()))]

    def _citations(self) -> List[str]:
        # DeepPicker's second iteration and DeepEM's recursion are what the rounds are made of.
        return list(
            dict.fromkeys(
                citationsOf((cardOf(self) or {}).get("network")) + citationsOf("deeppicker") + citationsOf("deepem")
            )
        )
