# SPDX-License-Identifier: GPL-3.0-or-later
"""What protocols share that train a model: the model's folder, the engine's run, the output."""

import os
from typing import Any, Dict, List, Sequence

from pyworkflow.object import Pointer

from ..engine.cryodl import contract
from ..objects import CryodlModel
from .engine_protocol import ConfigT, MadeT, OneRun
from .inputs import ProtocolMixin
from .model_field import citationsOf
from .one_of import OfWay, OneOf, Way


class TrainsModel(ProtocolMixin):
    """Mixin: it stands before CryodlProtBase in the list of bases. The form has the field `network`."""

    _KIND = "picker"

    def getModelFolder(self) -> str:
        """Folder of the model; while it trains only <folder>.partial is there."""
        # The engine names the model after its folder; the run's id keeps models of a project apart.
        return self._getExtraPath(f"{self._KIND}_{self.getObjId() or 'new'}")

    def _train(self, config: Any, folder: str, names: Sequence[str] = ()) -> None:
        """Train, or go on with a training of the same settings; nothing if it is done. folder: of request and
        result. names: of the config's items."""
        self._forgetOther(config, folder, self.getModelFolder(), names=names)
        if self._card() is None:
            self._runEngine(config, folder, names)

    def _defineModel(self, pointers: Sequence[Pointer]) -> None:
        """Define the output. pointers: to what it was made from; empty ones are left out."""
        model = CryodlModel.fromFolder(self.getModelFolder())
        self._defineOutputs(outputModel=model)
        for pointer in pointers:
            if pointer.get() is not None:
                self._defineSourceRelation(pointer, model)

    def _card(self) -> Any:
        """The model's card, None before it is there."""
        if not os.path.exists(os.path.join(self.getModelFolder(), contract.CARD)):
            return None
        return contract.read_card(self.getModelFolder())

    def _citations(self) -> List[str]:
        network, kind = self.getEnumText("network"), getattr(self, "_MODEL_KIND", None)
        return ["cryodl", *contract.network_citations(kind, network)] if kind else citationsOf(network)


class TrainRun(TrainsModel, OneRun[ConfigT, MadeT]):
    """A protocol that trains a model. A child gives _KIND, of its folder's name."""

    NOTHING_YET = "No model yet."

    def _output(self) -> str:
        return self.getModelFolder()

    def runStep(self, settings: Dict[str, Any]) -> None:
        """Train, or go on with a training of the same settings."""
        files = self._writtenFiles()
        self._train(self._config(**files), self._getExtraPath(), files.get("names", ()))

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineRelated(outputModel=CryodlModel.fromFolder(self.getModelFolder()))


class TrainsOne(Way[ConfigT, MadeT]):
    """A way that trains a model of a kind, _KIND."""

    _KIND, NOTHING_YET = "", "No model yet."

    def run(self, protocol: Any, settings: Dict[str, Any]) -> None:
        """Train, or go on with a training of the same settings."""
        TrainRun.runStep(protocol, settings)

    def makeOutputs(self, protocol: Any, made: MadeT) -> Dict[str, Any]:
        return dict(outputModel=CryodlModel.fromFolder(protocol.getModelFolder()))

    def citations(self, protocol: Any) -> List[str]:
        own = contract.network_citations(self._KIND, protocol._config().network)
        return ["cryodl", *dict.fromkeys((*self.CITES, *own))]


class TrainsOneOf(TrainsModel, OneOf[Any, Any]):
    """A protocol whose ways train: a child gives WAYS of TrainsOne."""

    _KIND: Any = OfWay()
    _citations = OneOf._citations

    def _output(self) -> str:
        return self.getModelFolder()
