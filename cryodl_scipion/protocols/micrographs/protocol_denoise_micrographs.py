# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoise micrographs as they come, for looking and picking."""

import os
from typing import Any, Dict, List, Sequence, Tuple

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.object import String
from pyworkflow.protocol import ProtStreamingBase
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.micrographs.halves import MicrographsWithHalves, checkHalves, halvesOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ...objects import CryodlModel
from ..batches import ArrivingBatches
from ..checks import checkMicrographs, checkModelFolder
from ..form_parts import addPointer, notOnForm
from ..growing_outputs import appendItems
from ..methods import denoisedMicrographsInWords
from ..model_field import addShippedModel, checkOptionalShippedModel, optionalShippedFolder
from ..protocol_base import CryodlProtBase

DENOISED, MODEL = "outputMicrographs", "outputModel"
KIND = contract.MICROGRAPH_DENOISER
# Attribute of a denoised micrograph: the model that made it.
DENOISER = "_cryodlDenoiser"
# How a model learnt, for the summary.
_LEARNT = {"even-odd": "even-odd", "added-noise": "added-noise", "simulated": "trained on simulated micrographs"}
ONLY_FOR = "For viewing and picking only. Never extract particles for refinement from them."


class CryodlProtDenoiseMicrographs(CryodlProtBase, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Denoise micrographs by a network that learns from the micrographs themselves. For viewing and picking only.

    In: micrographs (also while they are still arriving); averages of even and odd frames, if motion correction made
    them; a model of an earlier run, or none. Out: micrographs of the same names, size and pixel size, so that
    coordinates picked on them fit the originals; and the model, if it was trained here. Extract particles from the
    original micrographs. A stopped run continues where it was.
    """

    _label = "denoise micrographs"
    _devStatus = BETA
    _CONFIG = contract.DenoiseMicrographsConfig
    _MODEL_KIND = KIND
    _OUTPUTS, _WORK = (DENOISED,), "denoise"
    _MADE = "denoised"
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        micrographs="the input set",
        pixel_size="the micrographs' sampling rate",
        model="the model field",
        even="the input set",
        odd="the input set",
        names="made from the micrographs' names",
    )
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMicrographsParam(form, "Micrographs to denoise.")
        for name, word in (("evenMicrographs", "even"), ("oddMicrographs", "odd")):
            addPointer(
                form,
                name,
                "SetOfMicrographs",
                f"{word.capitalize()}-frame averages",
                f"Averages of only the {word} frames, which motion correction can write; matched by micrograph "
                "name.\n\nEmpty: those in the outputs of the protocol that made the micrographs, if it has them.",
                allowsNull=True,
            )
        addPointer(
            form,
            "inputModel",
            "CryodlModel",
            "Model",
            "Micrograph denoiser of an earlier run of this protocol.\n\nEmpty: a new one is trained on the first "
            "micrographs, unless a shipped one is named below.",
            allowsNull=True,
        )
        addShippedModel(
            form,
            KIND,
            "inputModel is None",
            "a model is trained on the first micrographs that arrive. A shipped one needs no training",
        )
        training = dict(condition="inputModel is None and not shippedModel")
        trained = ["method", "training_micrographs", "steps", "seed"]
        addConfigParams(form, self._CONFIG, trained[:-1], **{name: training for name in trained[:-1]})
        addConfigParams(form, self._CONFIG, ["resolution"], resolution=dict(condition="inputModel is None"))
        addConfigParams(form, self._CONFIG, ["seed"], seed=training)
        self._addGpuParams(form)
        self._addBatchParams(form, "The first batch is used for training.")

    # ----- steps
    def stepsGeneratorStep(self) -> None:
        """Insert steps for micrographs as they come. Without a model the first batch trains one."""
        self._arriving = MicrographsWithHalves(self.inputMicrographs.get(), *self._halfSets())
        self._training = False
        self._insertBatches(self.denoiseStep, self.outputStep)

    def _firstLearns(self) -> bool:
        return not self._modelFolder()

    def _partsOf(self, ready: List[str], all: bool) -> List[List[str]]:
        """Batches. The one that trains has at least as many micrographs as are learnt from."""
        if self._training or self._modelFolder() or not ready:
            return super()._partsOf(ready, all)
        count = max(1, self.batchSize.get(), self.trainingMicrographs.get())
        if len(ready) < count and not self._arriving.closed:
            return []
        self._training = True
        return [ready[:count]] + super()._partsOf(ready[count:], all)

    def denoiseStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            micrographs, files = self._batchItems(names)
            even, odd = self._arriving.halves.files(names)
        folder = self._batchFolder(micrographs)
        config = self._config(**dict(self._engineValues(), **files, even=even, odd=odd))
        try:
            self._runEngine(config, folder)
        except contract.AllSkipped as error:
            if not self._modelFolder():
                raise ValueError(f"No model could be trained. {error}")
            self._noteAllSkipped(config, folder, error, files={}, counts={})

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the output; micrographs that it has already are left alone."""
        with self._lock:
            micrographs, done = self._arriving.items(names), self._doneNames()
            result = self._batchResult(micrographs)
            files, engineNames = result.outputs.files, self._arriving.engineNames()
            chosen = [m for m in micrographs if m.getMicName() not in done and engineNames[m.getObjId()] in files]
            for micrograph in chosen:
                micrograph.setFileName(files[engineNames[micrograph.getObjId()]])
                setattr(micrograph, DENOISER, String(contract.read_card(self._modelFolder())["name"]))
            if chosen:
                appendItems(self, DENOISED, self.inputMicrographs, chosen)
            if not self._givenModel() and not self.hasAttribute(MODEL):
                self._defineOutputs(**{MODEL: CryodlModel.fromFolder(self._ownModelFolder())})
                self._defineSourceRelation(self.inputMicrographs, getattr(self, MODEL))

    # ----- files
    def _denoisedFolder(self) -> str:
        return self._getExtraPath("denoised")

    def _ownModelFolder(self) -> str:
        """Where the engine puts the model that it trains."""
        return os.path.join(self._denoisedFolder(), "model")

    def getModelFolder(self) -> Any:
        """Folder of the model; while it trains only <folder>.partial is there."""
        return self._modelFolder() or self._ownModelFolder()

    def _modelFolder(self) -> str:
        """Folder of the model that there is by now: the given one, or the one trained here. '' if there is none yet."""
        if self._givenModel():
            return self._givenModel()
        return self._ownModelFolder() if os.path.exists(os.path.join(self._ownModelFolder(), contract.CARD)) else ""

    def _givenModel(self) -> str:
        """Folder of the model of an earlier run or of a shipped one; '' if one is trained here."""
        model = self.inputModel.get()
        return optionalShippedFolder(self, KIND) if model is None else model.getFolder()

    # ----- settings
    def _halfSets(self) -> Tuple[None, None]:
        """(even, odd) sets, or (None, None)."""
        given = self.evenMicrographs.get(), self.oddMicrographs.get()
        if self.inputModel.get() is None and self._givenModel():
            wanted = False  # a shipped model takes all of the dose at once
        else:
            wanted = self.getEnumText("method") != "added-noise" or bool(self._givenModel())
        if any(half is not None for half in given):
            return given
        return halvesOf(self.inputMicrographs) if wanted else (None, None)

    def _settings(self) -> Dict[str, Any]:
        """What decides the output: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "device", "micrographs", "even", "odd"):
            config.pop(name)
        sets = (self.inputMicrographs.get(),) + self._halfSets()
        return dict(
            config,
            **{
                name: None if value is None else value.getFileName()
                for name, value in zip(("set_of_micrographs", "even_averages", "odd_averages"), sets)
            },
        )

    def _engineValues(self) -> Any:
        micrographs, (even, odd) = self.inputMicrographs.get(), self._halfSets()
        model = self._givenModel()
        return dict(
            micrographs=(micrographs.getFileName(),),
            names=(),
            pixel_size=micrographs.getSamplingRate(),
            even=() if even is None else (even.getFileName(),),
            odd=() if odd is None else (odd.getFileName(),),
            model=model or None,
            output=self._denoisedFolder(),
            threads=self.binThreads.get(),
            **(dict(method="auto") if model else {}),
            **({} if self.inputModel.get() is None else dict(resolution=None)),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        micrographs = self.inputMicrographs.get()
        errors = checkMicrographs(micrographs) or checkHalves(micrographs, *self._halfSets())
        if self.inputModel.get() is not None:
            errors += checkModelFolder(self.inputModel.get().getFolder(), KIND)
        else:
            errors += checkOptionalShippedModel(self, KIND)
        errors += self._checkBatches()
        return errors or self._checkContinuation()

    def _card(self) -> Any:
        """The model's card, None before it is there."""
        return contract.read_card(self._modelFolder()) if self._modelFolder() else None

    def _tell(self, results: Sequence[Result]) -> List[str]:
        denoised, card = getattr(self, DENOISED, None), self._card()
        if denoised is None or card is None:
            return ["No denoised micrographs yet."]
        resolution = results[0].outputs.resolution if results else card["resolution"]
        return [
            f"*{counted(denoised.getSize(), 'micrograph')} denoised* by the model {card['name']} "
            f"({_LEARNT[card['method']]}, to {resolution:.3g} Å).",
            ONLY_FOR,
        ]

    def _methods(self) -> List[str]:
        denoised = getattr(self, DENOISED, None)
        return [] if denoised is None else [denoisedMicrographsInWords(denoised, self._engineResults(), self._card())]

    def _citations(self) -> List[str]:
        method = (self._card() or {}).get("method", "even-odd")
        if method == "simulated":
            return ["cryodl", "Zhang2023SCUNet", "Bepler2020"]
        return ["cryodl", "Lehtinen2018", "Bepler2020"] + (["Pang2021"] if method == "added-noise" else [])
