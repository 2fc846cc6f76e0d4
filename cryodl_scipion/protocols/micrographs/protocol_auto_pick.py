# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick without labels: a general model picks, and its confident picks teach it these micrographs."""

from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import SetOfMicrographs
from pwem.protocols import ProtParticlePicking
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase, params
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.micrographs.picks import correctionsFolder, pickLines
from ...convert.micrographs.rounds import bestRound, readRounds, roundInWords
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..checks import checkDiameter, checkMicrographs
from ..form_parts import notOnForm
from ..methods import autoPickingInWords, citationsOf
from ..model_field import addBoxParam, addModelParams, cardOf, checkModelField, checkSizeFields, modelFolder
from ..protocol_base import CryodlProtBase
from .auto_pick_steps import MINIMUM, AutoPickSteps
from .class_labels import LearnsFromClasses

PICKS_FOLDER = "picks"
# Seconds that a micrograph waits at most for others to fill its batch, and the first one for those that teach.
LONGEST_WAIT, LEARNING_WAIT = 60, 1800


class CryodlProtAutoPick(LearnsFromClasses, CryodlProtBase, AutoPickSteps, ProtParticlePicking, ProtStreamingBase):
    """Pick particles without any label, and train a model for them on the way.

    In: micrographs; the particles' diameter is found if it is not given. A general model picks some of the
    micrographs; it is retrained on its confident picks and confident background; this is repeated until a round is
    no better. Then all micrographs are picked. Out: coordinates with a score from 0 to 1 each, and the model, which
    can pick more micrographs of the same kind with `cryodl - pick particles`. Every round is kept and shown. While
    micrographs are still arriving, it learns on the first ones, and picks the others with that model as they come.
    A stopped run continues where it was.
    """

    _label = "auto-pick particles"
    _devStatus = BETA
    _CONFIG = contract.AutoPickConfig
    stepsExecutionMode = STEPS_PARALLEL
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
            help="Coordinates of *cryodl - pick by hand* on these micrographs. Every round also learns from picks "
            "that you confirmed or removed, beside the network's own confident picks.\n\nEmpty: no corrections.",
        )
        self._addClassParams(form, "these micrographs")
        addConfigParams(form, self._CONFIG, ["particle_diameter"], particle_diameter=dict(important=True))
        addModelParams(form)
        addConfigParams(
            form,
            self._CONFIG,
            ["rounds", "training_micrographs", "threshold", "contrast", "confident", "steps", "border"],
        )
        addBoxParam(form)
        addConfigParams(form, self._CONFIG, ["seed"])
        self._addGpuParams(form)
        self._addBatchParams(form, "It picks micrographs that arrive after the first ones.", wait=LONGEST_WAIT)
        form.addParam(
            "learningWait",
            params.IntParam,
            default=LEARNING_WAIT,
            label="Longest wait for training (s)",
            help="While micrographs arrive, the rounds start with the first *Training micrographs*, or with those "
            f"available when the first one has waited this long; at least {MINIMUM} are needed. A set that is "
            "complete when the run starts is used as a whole.",
        )

    # ----- what the steps share
    def getPicksFolder(self) -> str:
        """Folder of picks, candidates/, rounds/, rounds.csv and model/."""
        return self._getExtraPath(PICKS_FOLDER)

    def _engineValues(self) -> Any:
        micrographs, corrected = self.getInputMicrographs(), self.correctedCoordinates.get()
        corrections = None if corrected is None else correctionsFolder(corrected)
        return dict(
            corrections=self._classLabelsFolder() if self._learnsFromClasses() else corrections,
            micrographs=(micrographs.getFileName(),),
            names=(),
            pixel_size=micrographs.getSamplingRate(),
            model=modelFolder(self),
            output=self.getPicksFolder(),
            threads=self.binThreads.get(),
        )

    def _settings(self) -> Dict[str, Any]:
        """What decides the picks."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "device", "micrographs"):
            config.pop(name, None)
        return dict(
            config,
            set_of_micrographs=self.getInputMicrographs().getFileName(),
            weights_sha256=contract.read_card(modelFolder(self))["weights_sha256"],
            box_size=self.boxSize.get(),
            **self._classSettings(),
        )

    def _makeLabels(self, files: Dict[str, Any]) -> None:
        """Labels of 2-D classes. files: micrographs and names of the batch that teaches, the whole set."""
        micrographs = self.getInputMicrographs()
        items = [m.clone() for m in micrographs]
        where = (files["micrographs"], files["names"], micrographs.getSamplingRate())
        self._makeClassLabels(items, *where, self.particleDiameter.get())

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        micrographs = self.getInputMicrographs()
        errors = checkMicrographs(micrographs) + checkModelField(self) + self._checkBatches()
        errors = errors or checkDiameter(self.particleDiameter.get(), micrographs) or self._checkSizes(micrographs)
        return errors or self._checkCorrections(micrographs) or self._checkLearnt(micrographs)

    def _checkLearnt(self, micrographs: SetOfMicrographs) -> List[str]:
        """What is wrong with particles of 2-D classes."""
        errors = self._checkClasses(micrographs)
        if errors or not self._learnsFromClasses():
            return errors
        if self.correctedCoordinates.get() is not None:
            return ["Corrected picks and Particles kept in 2-D classes are both given. Choose one of them."]
        if micrographs.isStreamOpen():
            return [
                "The micrographs are still arriving; with particles of 2-D classes the run waits until all are there."
            ]
        if self.particleDiameter.get() is None:
            return ["Particle diameter is empty; to compare particles of 2-D classes with picks, it must be stated."]
        return []

    def _checkCorrections(self, micrographs: SetOfMicrographs) -> List[str]:
        corrected = self.correctedCoordinates.get()
        if corrected is None:
            return []
        if correctionsFolder(corrected) is None:
            return [
                "Corrected picks contains no corrections. Choose the output of cryodl - pick by hand itself, not a "
                "subset of it."
            ]
        if micrographs.isStreamOpen():
            return ["The micrographs are still arriving; with corrected picks the run waits until all are there."]
        theirs = {m.getObjId(): m.getMicName() for m in corrected.getMicrographs()}
        if theirs != {m.getObjId(): m.getMicName() for m in micrographs}:
            return ["The corrected picks belong to other micrographs. Choose the micrographs that they belong to."]
        return []

    def _checkSizes(self, micrographs: SetOfMicrographs) -> List[str]:
        if micrographs.getSize() < MINIMUM and self.rounds.get() and not micrographs.isStreamOpen():
            return [
                "There is only one micrograph; the rounds need at least two, of which one is held out for "
                "validation. Set Rounds to 0, or use more micrographs."
            ]
        return checkSizeFields(self)

    def _warnings(self) -> List[str]:
        card = cardOf(self)
        if card is None or card.get("general"):
            return []
        return [
            f"The model {card['name']} was trained on particles of {card['particle_diameter']:g} Å and is not a "
            "general model. If your particles look different, the rounds will learn from wrong picks; check the "
            "picks of the first round."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return ["No coordinates yet."] + self._roundLines() + self._classLines()
        stopped = next((r.outputs.stop_reason for r in results if "stop_reason" in r.outputs), None)
        return pickLines(coordinates, results) + self._roundLines(stopped) + self._classLines()

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
        rounds = readRounds(self.getPicksFolder())
        words = autoPickingInWords(coordinates, self._engineResults(), cardOf(self), rounds)
        return [words, *self._classMethods()]

    def _citations(self) -> List[str]:
        # DeepPicker's second iteration and DeepEM's recursion are what the rounds are made of.
        return list(
            dict.fromkeys(
                citationsOf((cardOf(self) or {}).get("network")) + citationsOf("deeppicker") + citationsOf("deepem")
            )
        )
