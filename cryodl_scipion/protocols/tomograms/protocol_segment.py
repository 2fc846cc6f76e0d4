# SPDX-License-Identifier: GPL-3.0-or-later
"""Find features in tomograms as they come."""

import re
from typing import Any, Callable, Dict, List, Sequence

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase, params
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfTomoMasks

from ...convert.tomograms.tomograms import ArrivingTomograms, fileOf, idOf, markScores, maskOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ...objects import CryodlModel
from ..batches import ArrivingBatches
from ..checks import checkModelFolder, listed
from ..form_parts import addPointer, notOnForm
from ..growing_outputs import appendItems
from ..model_field import addShippedModels, checkShippedModels, shippedFolders
from ..possible_outputs import possibleOutputs
from ..protocol_base import CryodlProtBase
from .tomogram_checks import checkTomograms
from .tomogram_words import METHOD, noiseLines, segmentedLines, segmentingInWords

SCORES = "scores_%s"
KIND = "segmenter"


class CryodlProtSegment(CryodlProtBase, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Find features in tomograms with trained networks, one for each feature.

    In: tomograms (also while they are still arriving) and one or several models: of *cryodl - train feature
    segmentation*, or those of membranes, ribosomes, microtubules and thin filaments that come with the plugin. Out:
    for each feature a set of TomoMasks with the score of every voxel, of the size and pixel size of the tomograms. Let
    them compete with *cryodl - merge features*. A stopped run continues where it was.
    """

    _label = "segment tomograms"
    _devStatus = BETA
    _CONFIG = contract.SegmentConfig
    _ITEM, _NAME, _WORK, _MADE = "tomogram", "_tsId", "segment", "segmented"
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        tomograms="the input set",
        model="the input models",
        pixel_size="the tomograms' sampling rate",
        names="made from the tomograms' names",
    )
    # Every program reads int8; the command line's float16 is finer, but a young kind of MRC file.
    OTHER_DEFAULTS = {"scores": "int8"}
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputTomograms",
            "SetOfTomograms",
            "Tomograms",
            "Tomograms to segment. They may still be arriving.",
            important=True,
        )
        form.addParam(
            "inputModels",
            params.MultiPointerParam,
            pointerClass="CryodlModel",
            minNumObjects=0,
            allowsNull=True,
            important=True,
            label="Models",
            help="Segmenters of this project, one for each feature, all applied in one pass over a tomogram. Their "
            "order defines the labels when features are merged. Several models of one feature (by several "
            "annotators) are combined.",
        )
        addShippedModels(form, KIND)
        addConfigParams(
            form,
            self._CONFIG,
            ["annotators", "scores", "noise_limit", "memory"],
            scores=dict(default=contract.describe(self._CONFIG, "scores").choices.index(self.OTHER_DEFAULTS["scores"])),
        )
        self._addGpuParams(form)
        self._addBatchParams(form, "For large tomograms, 1 is best.", size=1)

    @property
    def _possibleOutputs(self) -> Dict[str, type]:
        """One set of masks for each feature, as far as the models are known, or the features that trainings name."""
        coming = [run.feature.get() for run in self._trainings() if run.feature.get()]
        [masks] = possibleOutputs(self._CONFIG, several=True).values()
        return {SCORES % plain(key): masks for key in self._keys() + coming}

    # ----- steps
    def stepsGeneratorStep(self) -> None:
        self._arriving = ArrivingTomograms(self.inputTomograms.get())
        self._insertBatches(self.segmentStep, self.outputStep)

    def segmentStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            tomograms, engineNames = self._arriving.items(names), self._arriving.engineNames()
        config = self._config(
            **dict(
                self._engineValues(),
                tomograms=tuple(fileOf(t) for t in tomograms),
                names=tuple(engineNames[t.getObjId()] for t in tomograms),
            )
        )
        try:
            self._runEngine(config, self._batchFolder(tomograms))
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, self._batchFolder(tomograms), error, files={}, features=[], thresholds={})

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the sets; tomograms that a set has already are left alone."""
        with self._lock:
            tomograms, engineNames = self._arriving.items(names), self._arriving.engineNames()
            result = self._batchResult(tomograms)
            for key in result.outputs.features:
                output = SCORES % plain(key)
                done = self._valuesIn(output, self._NAME)
                files = {idOf(t): result.outputs.files.get(engineNames[t.getObjId()], {}).get(key) for t in tomograms}
                masks = [maskOf(t, files[idOf(t)]) for t in tomograms if files[idOf(t)] and idOf(t) not in done]
                if masks:
                    appendItems(
                        self,
                        output,
                        self.inputTomograms,
                        masks,
                        SetOfTomoMasks,
                        self._marking(key, result.outputs.thresholds.get(key, 0.5)),
                    )

    def _marking(self, key: str, threshold: float) -> Callable[..., Any]:
        """A function that notes on a set what it holds. key: feature, or feature@annotator."""
        cards = [card for card in self._cards() if key in (card["feature"], _keyOf(card))]
        models = ", ".join(
            card["name"] + (f" ({card['annotator']})" if card["annotator"] not in (None, "", "unknown") else "")
            for card in cards
        )
        return lambda masks: markScores(masks, key, threshold, models)

    def _doneNames(self) -> Any:
        """tsIds that every set has; a run may have died between two of them."""
        keys = {key for result in self._engineResults() for key in result.outputs.features}
        found = [self._valuesIn(SCORES % plain(key), self._NAME) for key in keys]
        return set.intersection(*found) if found else set()

    # ----- settings
    def _models(self) -> List[CryodlModel]:
        return [pointer.get() for pointer in self.inputModels if pointer.get() is not None]

    def _trainings(self) -> List[Any]:
        """Runs of *train feature segmentation* that are chosen and have no model yet."""
        runs = [pointer.getObjValue() for pointer in self.inputModels if pointer.get() is None]
        return [run for run in runs if run is not None and run.hasAttribute("feature")]

    def _folders(self) -> List[str]:
        """Folders of all models, those that come with the plugin last."""
        return [model.getFolder() for model in self._models()] + shippedFolders(self, KIND)

    def _cards(self) -> List[Dict[str, Any]]:
        """Cards of the models that are still there."""
        cards = []
        for folder in self._folders():
            try:
                cards.append(contract.read_card(folder, KIND))
            except ValueError:
                continue  # the model is gone; what was made with it stays
        return cards

    def _keys(self) -> List[str]:
        """Names of the score volumes to come: of features, or of features and annotators."""
        cards, each = self._cards(), self.getEnumText("annotators") == "each"
        features = [card["feature"] for card in cards]
        return list(
            dict.fromkeys(
                _keyOf(card) if each and features.count(card["feature"]) > 1 else card["feature"] for card in cards
            )
        )

    def _settings(self) -> Dict[str, Any]:
        """What decides the scores: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "device", "tomograms", "memory"):
            config.pop(name)
        return dict(config, set_of_tomograms=self.inputTomograms.get().getFileName())

    def _engineValues(self) -> Any:
        tomograms = self.inputTomograms.get()
        return dict(
            tomograms=(tomograms.getFileName(),),
            names=(),
            pixel_size=tomograms.getSamplingRate(),
            model=tuple(self._folders()),
            output=self._getExtraPath("scores"),
            threads=self.binThreads.get(),
        )

    # ----- validation and information
    def _missingPointers(self) -> List[str]:
        return [name for name in super()._missingPointers() if name != "inputModels"]  # counted below

    def _checkInputs(self) -> List[str]:
        if not self._folders() and not checkShippedModels(self, KIND):
            return [
                "There is no model. Choose models of the project with the magnifying glass (Models), or name "
                "shipped ones (Shipped models)."
            ]
        errors = checkTomograms(self.inputTomograms.get()) + checkShippedModels(self, KIND)
        for folder in self._folders():
            errors += checkModelFolder(folder, KIND)
        return errors + self._checkNames() + self._checkBatches() or self._checkContinuation()

    def _checkNames(self) -> List[str]:
        """Features whose scores would go to one output, where the second would take the first one's place."""
        outputs = {}
        for key in self._keys():
            outputs.setdefault(SCORES % plain(key), []).append(f"'{key}'")
        return [
            f"The scores of the features {listed(keys)} would all go to the output {output}. Segment with their "
            "models in several runs."
            for output, keys in outputs.items()
            if len(keys) > 1
        ]

    def _warnings(self) -> List[str]:
        tomograms = self.inputTomograms.get()
        if tomograms is None or not tomograms.getSamplingRate():
            return []
        return [
            f"The tomograms have {tomograms.getSamplingRate():.4g} Å/px, the model {card['name']} works at "
            f"{card['pixel_size']:.4g} Å/px: they are resampled for it, and its scores are resampled back."
            for card in self._cards()
            if abs(card["pixel_size"] / tomograms.getSamplingRate() - 1) > 0.05
        ]

    def _scoreSets(self) -> Dict[str, SetOfTomoMasks]:
        """{feature: SetOfTomoMasks} of the outputs that there are."""
        return {
            masks._cryodlFeature.get(): masks
            for name, masks in self.iterOutputAttributes(SetOfTomoMasks)
            if name.startswith(SCORES % "")
        }

    def _tell(self, results: Sequence[Result]) -> List[str]:
        return segmentedLines(self._scoreSets()) + noiseLines(results) or ["No score volumes yet."]

    def _methods(self) -> List[str]:
        sets = self._scoreSets()
        if not sets:
            return []
        return [segmentingInWords(max(s.getSize() for s in sets.values()), self._cards(), self._engineResults())]

    def _citations(self) -> List[str]:
        return ["cryodl", METHOD]


def _keyOf(card: Dict[str, Any]) -> str:
    return f"{card['feature']}@{card['annotator']}"


def plain(key: str) -> str:
    """A feature's name as it can stand in the name of an output."""
    return re.sub(r"\W+", "_", key)
