# SPDX-License-Identifier: GPL-3.0-or-later
"""What protocols share that train a model: the model's folder, the engine's run, the output."""

import os
from typing import Any, Dict, Sequence

from ..engine.cryodl import contract
from ..objects import CryodlModel
from . import engine_protocol, inputs, one_of


class TrainsModel(inputs.ProtocolMixin):
    """Mixin: it stands before CryodlProtBase in the list of bases. The form has the field `network`."""

    def getModelFolder(self) -> str:
        """Folder of the model; while it trains only <folder>.partial is there."""
        # The engine names the model after its folder; the run's id keeps models of a project apart.
        return self._getExtraPath(f"{self._KIND}_{self.getObjId() or 'new'}")

    def _train(self, config: contract.Config, folder: str, names: Sequence[str] = ()) -> None:
        """Train, or go on, with the same settings, until it is done. folder: of request and result. names: of items."""
        self._forgetOther(config, folder, self.getModelFolder(), names=names)
        if self._card() is None:
            self._runEngine(config, folder, names)

    def _card(self) -> Any:
        folder = self.getModelFolder()
        return contract.read_card(folder) if os.path.exists(os.path.join(folder, contract.CARD)) else None

    _output = getModelFolder


class TrainRun(TrainsModel, engine_protocol.OneRun[engine_protocol.ConfigT, engine_protocol.MadeT]):
    """A protocol that trains a model. A child gives _KIND."""

    NOTHING_YET = "No model yet."

    def runStep(self, settings: Dict[str, Any]) -> None:
        files = self._writtenFiles()
        self._train(self._config(**files), self._getExtraPath(), files.get("names", ()))

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineRelated(outputModel=CryodlModel.fromFolder(self.getModelFolder()))


class TrainsOne(one_of.Way[engine_protocol.ConfigT, engine_protocol.MadeT]):
    NOTHING_YET = "No model yet."
    run: Any = staticmethod(TrainRun.runStep)

    def makeOutputs(self, protocol: Any, made: engine_protocol.MadeT) -> Dict[str, Any]:
        return dict(outputModel=CryodlModel.fromFolder(protocol.getModelFolder()))


class TrainsOneOf(TrainsModel, one_of.OneOf[Any, Any]):
    """A protocol whose ways train: a child gives WAYS of TrainsOne."""
