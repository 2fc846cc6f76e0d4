# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoise micrographs as they come, for looking."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence, Tuple

from pwem.objects import Micrograph
from pyworkflow.object import String

from ...convert.arriving import MicrographsWithOthers, checkHalves, halvesOf
from ...convert.particles.denoised import DENOISER
from ...engine.cryodl import contract
from ...objects import CryodlModel
from .. import batches, kinds
from .micrograph_kinds import Micrographs

DENOISED, MODEL = "outputMicrographs", "outputModel"
# How a model learnt, for the summary.
_LEARNT = {"even-odd": "even-odd", "added-noise": "added-noise", "simulated": "trained on simulated micrographs"}
ONLY_FOR = "For viewing only. Pick and extract particles in the original micrographs."
_TRAINED = "inputModel is None and not shippedModel"
_MODEL = kinds.ModelOrShipped(
    contract.MICROGRAPH_DENOISER,
    "Micrograph denoiser of an earlier run of this protocol.",
    empty="a new one is trained on the first micrographs, unless a shipped one is named below",
    none="a model is trained on the first micrographs that arrive. A shipped one needs no training",
    related=False,
)


_AVERAGES = [
    kinds.Pointing(
        f"{word}Micrographs",
        f"Averages of only the {word} frames, which motion correction can write; matched by micrograph name.",
        label=f"{word.capitalize()}-frame averages",
        pointerClass="SetOfMicrographs",
        to=(word,),
        empty="those in the outputs of the protocol that made the micrographs, if it has them",
    )
    for word in ("even", "odd")
]


class CryodlProtDenoiseMicrographs(
    batches.BatchRun[contract.DenoiseMicrographsConfig, contract.DenoiseMicrographsOutputs]
):
    """Denoise micrographs by a network that learns from the micrographs themselves. For viewing only.

    In: micrographs (also while they are still arriving); averages of even and odd frames, if motion correction made
    them; a model of an earlier run, or none. Out: micrographs of the same names, size and pixel size, so that
    coordinates picked on them fit the originals; and the model, if it was trained here. Pick and extract particles
    in the original micrographs. A stopped run continues where it was."""

    _label = "denoise micrographs"
    _OUTPUTS, _WORK, _MADE = (DENOISED,), "denoise", "denoised"
    OUTPUT, NOTHING_YET = "denoised", "No denoised micrographs yet."
    BATCH_HELP = "The first batch is used for training."
    FORM = (
        Micrographs("inputMicrographs", "Micrographs to denoise."),
        *_AVERAGES,
        _MODEL,
        kinds.Options("method", "training_micrographs", "steps", when=_TRAINED),
        kinds.Options("resolution", when="inputModel is None"),
        kinds.Options("seed", when=_TRAINED),
    )
    _training = False

    def _newArriving(self) -> MicrographsWithOthers:
        return MicrographsWithOthers(self.inputMicrographs.get(), *self._halfSets())

    def _firstLearns(self) -> bool:
        return not self._modelFolder()

    def _partsOf(self, ready: List[str], all: bool) -> List[List[str]]:
        """Batches. The one that trains has at least as many micrographs as are learnt from."""
        if self._training or self._modelFolder() or not ready:
            return super()._partsOf(ready, all)
        count = max(1, self.batchSize.get(), self._config().training_micrographs)
        if len(ready) < count and not (self._arriving.closed or self._arriving.failure):
            return []
        self._training = True
        return [ready[:count]] + super()._partsOf(ready[count:], all)

    def _ofBatch(
        self, config: contract.DenoiseMicrographsConfig, items: Sequence[Micrograph], folder: str
    ) -> contract.DenoiseMicrographsConfig:
        others = self._arriving.others([item.getMicName() for item in items])
        even, odd = (tuple(half.getFileName() for half in halves) for halves in others or ((), ()))
        return dataclasses.replace(config, even=even, odd=odd)

    def _noteAllSkipped(
        self, config: contract.Config, folder: str, error: contract.AllSkipped, names: Sequence[str] = ()
    ) -> None:
        if not self._modelFolder():
            raise ValueError(f"No model could be trained. {error}")
        super()._noteAllSkipped(config, folder, error, names)

    def _append(self, items: Dict[str, Micrograph], made: contract.DenoiseMicrographsOutputs) -> None:
        chosen = {name: micrograph for name, micrograph in items.items() if name in made.files}
        for name, micrograph in chosen.items():
            micrograph.setFileName(made.files[name])
            setattr(micrograph, DENOISER, String(contract.read_card(self._modelFolder())["name"]))
        if chosen:
            batches.appendItems(self, DENOISED, self.inputMicrographs, list(chosen.values()))
        self._defineModel()

    def closeStep(self) -> None:
        self._defineModel()  # also if it was lost when all micrographs were done
        super().closeStep()

    def _defineModel(self) -> None:
        if not _MODEL.folder(self) and self._modelFolder() and not self.hasAttribute(MODEL):
            self._defineOutputs(**{MODEL: CryodlModel.fromFolder(self._ownModelFolder())})
            self._defineSourceRelation(self.inputMicrographs, getattr(self, MODEL))

    def _ownModelFolder(self) -> str:
        return os.path.join(self._output(), "model")

    def getModelFolder(self) -> Any:
        return self._modelFolder() or self._ownModelFolder()

    def _modelFolder(self) -> str:
        """Folder of the model that there is by now: the given one, or the one trained here. '' if there is none yet."""
        own = self._ownModelFolder()
        return _MODEL.folder(self) or (own if os.path.exists(os.path.join(own, contract.CARD)) else "")

    def _halfSets(self) -> Tuple[Any, Any]:
        given = self.evenMicrographs.get(), self.oddMicrographs.get()
        # a shipped model takes all of the dose at once
        wanted = (
            self.inputModel.get() is not None if _MODEL.folder(self) else self.getEnumText("method") != "added-noise"
        )
        if any(half is not None for half in given):
            return given
        return halvesOf(self.inputMicrographs) if wanted else (None, None)

    def _settings(self) -> Dict[str, Any]:
        even, odd = (None if half is None else half.getFileName() for half in self._halfSets())
        return dict(super()._settings(), even_averages=even, odd_averages=odd)

    def _completed(self, config: contract.DenoiseMicrographsConfig) -> contract.DenoiseMicrographsConfig:
        even, odd = (() if half is None else (half.getFileName(),) for half in self._halfSets())
        return dataclasses.replace(config, even=even, odd=odd)

    def _checkTogether(self) -> List[str]:
        return checkHalves(self.inputMicrographs.get(), *self._halfSets()) or super()._checkTogether()

    def _card(self) -> Any:
        return kinds.cardOf(self._modelFolder())

    def _tell(self, results: Sequence[contract.Result[contract.DenoiseMicrographsOutputs]]) -> List[str]:
        denoised, card = getattr(self, DENOISED, None), self._card()
        if denoised is None:
            return [self.NOTHING_YET]
        by, resolution = "", results[0].outputs.resolution if results else (card or {}).get("resolution")
        if card is not None:
            by = f" by the model {card['name']} ({_LEARNT[card['method']]}, to {resolution:.3g} Å)"
        return [f"*{contract.counted(denoised.getSize(), 'micrograph')} denoised*{by}.", ONLY_FOR]

    def _citations(self) -> List[str]:
        method = (self._card() or {}).get("method", "even-odd")
        if method == "simulated":
            return ["cryodl", "Zhang2023SCUNet", "Bepler2020"]
        return ["cryodl", "Lehtinen2018", "Bepler2020"] + (["Pang2021"] if method == "added-noise" else [])
