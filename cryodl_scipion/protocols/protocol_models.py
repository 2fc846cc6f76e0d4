# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring models into a project, and take them out."""

import os
from typing import Any, Dict, List, Sequence

from pyworkflow.protocol import params

from ..engine.cryodl import contract
from ..objects import CryodlModel
from . import checks, inputs, kinds, model_field, one_of


class Import(one_of.Way[Any, Any]):
    WORD = "import"
    POSSIBLE = {"outputModel": CryodlModel}
    FORM = (
        kinds.Own(
            "modelFolder",
            params.FolderParam,
            "Model folder",
            "Folder with card.json and weights.safetensors.",
            default="",
            important=True,
        ),
    )

    def settings(self, protocol: Any) -> Dict[str, Any]:
        return {inputs.INPUTS: protocol.modelFolder.get()}

    def run(self, protocol: Any, settings: Dict[str, Any]) -> None:
        target = protocol._getExtraPath("model")
        if not os.path.exists(target):  # it is there when the run was stopped just after the copy
            model_field.copyModel(protocol.modelFolder.get(), target)

    def makeOutputs(self, protocol: Any, made: None) -> Dict[str, Any]:
        return dict(outputModel=CryodlModel.fromFolder(protocol._getExtraPath("model")))

    def problems(self, protocol: Any) -> List[str]:
        return checks.sayIf(
            not (protocol.modelFolder.get() or "").strip(),
            "Model folder is empty. Choose the folder with card.json and weights.safetensors.",
        ) or checks.checkModelFolder(protocol.modelFolder.get(), None)

    def tell(self, protocol: Any, results: Sequence[contract.Result]) -> List[str]:
        model = getattr(protocol, "outputModel", None)
        return ["No model yet."] if model is None else [str(model), f"From {protocol.modelFolder.get()}"]


class Export(one_of.Way[Any, Any]):
    WORD = "export"
    FORM = (
        kinds.ModelOfProject("inputModel", "Model to copy.", ""),
        kinds.Own(
            "targetFolder",
            params.FolderParam,
            "New folder",
            "Folder to create for the copy. It must not exist, but its parent folder must.",
            default="",
            important=True,
        ),
    )

    def settings(self, protocol: Any) -> Dict[str, Any]:
        return dict(folder=protocol.targetFolder.get(), model=protocol.inputModel.get().getFolder())

    def run(self, protocol: Any, settings: Dict[str, Any]) -> None:
        model_field.copyModel(protocol.inputModel.get().getFolder(), settings["folder"])

    def problems(self, protocol: Any) -> List[str]:
        target = (protocol.targetFolder.get() or "").strip()
        above = os.path.dirname(os.path.abspath(target))
        return (
            checks.sayIf(not target, "New folder is empty. Give the folder to create for the copy.")
            or checks.sayIf(
                os.path.exists(target) and not protocol.isFinished(),
                f"{target} exists already and is not replaced. Choose another name, or remove it.",
            )
            or checks.sayIf(
                not os.path.isdir(above) or not os.access(above, os.W_OK),
                f"The folder {above} does not exist or is not writable. Choose another folder.",
            )
            or checks.checkModelFolder(protocol.inputModel.get().getFolder(), None)
        )

    def tell(self, protocol: Any, results: Sequence[contract.Result]) -> List[str]:
        done = f"{protocol.inputModel.get()} was copied to {protocol.targetFolder.get()}"
        return [done if protocol.isFinished() else "Not exported yet."]


class CryodlProtModels(inputs.WithoutEngine, one_of.OneOf[Any, Any]):
    """Import a trained model from a folder, or copy a model of this project into one.

    In: the folder of a model of any kind, made on the command line (`cryodl train-picker`, `cryodl train-segmenter`
    ...) or exported from another project; or a model of this project and the folder to make. The weights are compared
    with the checksum in the model's card. Out: a model that the other protocols take, which is a copy in this project;
    or a folder with weights and card, for another project or person, or `cryodl pick --model FOLDER`."""

    _label = "models"
    WAYS = (Import(), Export())
    WHAT = ("What to do", "import: a folder becomes a model of this project. export: a model is copied into a folder.")
