# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring models into a project, and take them out."""

import os
from typing import List

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ..convert.models import copyModel
from ..engine.cryodl import contract
from ..objects import CryodlModel
from .form_parts import addPointer
from .inputs import PluginProtocol, WithoutEngine


class CryodlProtImportModel(WithoutEngine, PluginProtocol, EMProtocol):
    """Import a trained model from a folder.

    In: the folder of a model of any kind, made on the command line (`cryodl train-picker`, `cryodl train-segmenter`
    ...) or by `cryodl - export model`. The weights are compared with the checksum in the model's card. Out: a model
    that the other protocols take; it is a copy in this project.
    """

    _label = "import model"
    _devStatus = BETA
    _possibleOutputs = {"outputModel": CryodlModel}

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "modelFolder",
            params.FolderParam,
            default="",
            label="Model folder",
            important=True,
            help="Folder with card.json and weights.safetensors.",
        )

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.copyStep, self.modelFolder.get(), needsGPU=False)

    def copyStep(self, folder: str) -> None:
        target = self._getExtraPath("model")
        if not os.path.exists(target):  # it is there when the run was stopped just after the copy
            copyModel(folder, target)
        self._defineOutputs(outputModel=CryodlModel.fromFolder(target))

    def _validate(self) -> List[str]:
        if not (self.modelFolder.get() or "").strip():
            return ["Model folder is empty. Choose the folder with card.json and weights.safetensors."]
        try:
            contract.check_model(self.modelFolder.get())
        except (ValueError, OSError) as error:
            return [str(error)]
        return []

    def _summary(self) -> List[str]:
        model = getattr(self, "outputModel", None)
        return ["No model yet."] if model is None else [str(model), f"From {self.modelFolder.get()}"]

    def _citations(self) -> List[str]:
        return ["cryodl"]


class CryodlProtExportModel(WithoutEngine, PluginProtocol, EMProtocol):
    """Copy a model out of the project, for another project, another person, or the command line.

    In: a model and the folder to make. What is exported is a folder with the weights and the card that says what the
    model was trained on; it works with `cryodl - import model`, and with `cryodl pick --model FOLDER` (denoise,
    segment, classify-subtomograms for models of these kinds).
    """

    _label = "export model"
    _devStatus = BETA

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(form, "inputModel", "CryodlModel", "Model", "Model to copy.", important=True)
        form.addParam(
            "targetFolder",
            params.FolderParam,
            default="",
            label="New folder",
            important=True,
            help="Folder to create for the copy. It must not exist, but its parent folder must.",
        )

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.exportStep, self.targetFolder.get(), needsGPU=False)

    def exportStep(self, folder: str) -> None:
        copyModel(self.inputModel.get().getFolder(), folder)

    def _validate(self) -> List[str]:
        model, target = self.inputModel.get(), (self.targetFolder.get() or "").strip()
        if model is None:
            return []  # pyworkflow names it
        if not target:
            return ["New folder is empty. Give the folder to create for the copy."]
        if os.path.exists(target) and not self.isFinished():
            return [f"{target} exists already and is not replaced. Choose another name, or remove it."]
        above = os.path.dirname(os.path.abspath(target))
        if not os.path.isdir(above) or not os.access(above, os.W_OK):
            return [f"The folder {above} does not exist or is not writable. Choose another folder."]
        try:
            contract.check_model(model.getFolder())
        except (ValueError, OSError) as error:
            return [str(error)]
        return []

    def _summary(self) -> List[str]:
        if not self.isFinished():
            return ["Not exported yet."]
        return [f"{self.inputModel.get()} was copied to {self.targetFolder.get()}"]

    def _citations(self) -> List[str]:
        return ["cryodl"]
