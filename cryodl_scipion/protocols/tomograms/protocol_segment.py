# SPDX-License-Identifier: GPL-3.0-or-later
"""Find features in tomograms as they come."""

import re
from typing import Any, Callable, Dict, List, Sequence

from pyworkflow.protocol import Form
from tomo.objects import SetOfTomoMasks, Tomogram

from ...convert.tomograms.tomograms import idOf, markScores, maskOf
from ...engine.cryodl import contract
from .. import batches, checks, kinds, protocol_base
from ..model_field import addShippedModels, checkShippedModels, shippedFolders, shippedModels, shippedNames
from .protocol_train_tomograms import CryodlProtTrainTomograms
from .tomogram_kinds import Tomograms

SCORES = "scores_%s"
KIND = "segmenter"


class Segmenters(kinds.PointingMany):
    CLASSES, LABEL, to = "CryodlModel", "Models", ("model",)

    def __init__(self) -> None:
        super().__init__(
            "inputModels",
            "Segmenters of this project, one for each feature, all applied in one pass over a tomogram. Their "
            "order defines the labels when features are merged. Several models of one feature (by several "
            "annotators) are combined.",
            minNumObjects=0,
            allowsNull=True,
            related=False,
        )

    def addTo(self, form: Form, protocol: Any) -> None:
        super().addTo(form, protocol)
        addShippedModels(form, KIND)
        help = form.getParam("shippedModels").help
        help.set(help.get().replace("Empty: none of them.", "Empty: all of them if no Models are chosen, else none."))

    def values(self, protocol: Any) -> Dict[str, Any]:
        own = [model.getFolder() for model in self.objects(protocol)] + shippedFolders(protocol, KIND)
        chosen = shippedNames(protocol) or list(protocol.inputModels)
        return dict(model=tuple(own if chosen else shippedModels(KIND).values()))

    def problems(self, protocol: Any) -> List[str]:
        folders, wrong = self.values(protocol)["model"], checkShippedModels(protocol, KIND)
        return checks.sayIf(
            not folders and not wrong,
            "There is no model. Choose models of the project with the magnifying glass (Models), or name shipped ones "
            "(Shipped models).",
        ) or wrong + [problem for folder in folders for problem in checks.checkModelFolder(folder, KIND)]


class CryodlProtSegment(batches.BatchRun[contract.SegmentConfig, contract.SegmentOutputs]):
    """Find features in tomograms with trained networks, one for each feature.

    In: tomograms (also while they are still arriving) and one or several models: of *cryodl - train on tomograms*, or
    those of membranes, ribosomes, microtubules and thin filaments that come with the plugin. Out: for each feature a
    set of TomoMasks with the score of every voxel, of the size and pixel size of the tomograms. Let them compete with
    *cryodl - merge or evaluate features*. A stopped run continues where it was."""

    _label = "segment tomograms"
    _ITEM, _NAME, _WORK, _MADE = "tomogram", "_tsId", "segment", "segmented"
    OUTPUT, NOTHING_YET = "scores", "No score volumes yet."
    CITES = ("Chen2017",)
    BATCH_SIZE, BATCH_HELP = 1, "For large tomograms, 1 is best."
    FORM = (
        Tomograms("inputTomograms", "Tomograms to segment. They may still be arriving."),
        Segmenters(),
        kinds.Options("annotators"),
        # Every program reads int8; the command line's float16 is finer, but a young kind of MRC file.
        kinds.Options("scores", default="int8"),
    )

    @property
    def _possibleOutputs(self) -> Dict[str, type]:
        """One set of masks for each feature, as far as the models are known, or the features that trainings name."""
        runs = [pointer.getObjValue() for pointer in self.inputModels if pointer.get() is None]  # without a model yet
        learning = [run for run in runs if isinstance(run, CryodlProtTrainTomograms) and run.getChoice() == 0]
        coming = [run.feature.get() for run in learning if run.feature.get()]
        [masks] = protocol_base.possibleOutputs(self._CONFIG, several=True).values()
        return {SCORES % plain(key): masks for key in self._keys() + coming}

    def _append(self, items: Dict[str, Tomogram], made: contract.SegmentOutputs) -> None:
        for key in made.features:
            output = SCORES % plain(key)
            done = self._valuesIn(output, self._NAME)
            files = {name: made.files[name][key] for name in items if key in made.files.get(name, {})}
            masks = [maskOf(items[name], path) for name, path in files.items() if idOf(items[name]) not in done]
            mark = self._marking(key, made.thresholds.get(key, 0.5))
            if masks:
                batches.appendItems(self, output, self.inputTomograms, masks, SetOfTomoMasks, mark)

    def _marking(self, key: str, threshold: float) -> Callable[..., Any]:
        """A function that notes on a set what it holds. key: feature, or feature@annotator."""
        cards = [card for card in self._cards() if key in (card["feature"], _keyOf(card))]
        drawn = [(card["name"], card["annotator"]) for card in cards]
        models = [f"{name} ({by})" if by not in (None, "", "unknown") else name for name, by in drawn]
        return lambda masks: markScores(masks, key, threshold, ", ".join(models))

    def _doneNames(self) -> Any:
        """tsIds that every set has; a run may have died between two of them."""
        keys = {key for result in self._engineResults() for key in result.outputs.features}
        found = [self._valuesIn(SCORES % plain(key), self._NAME) for key in keys]
        return set.intersection(*found) if found else set()

    def _tell(self, results: Sequence[contract.Result[contract.SegmentOutputs]]) -> List[str]:
        # the engine's sentence has no number: tomograms are segmented one by one, and the last one's is shown
        done = {name for result in results for name in result.outputs.files}
        return checks.sayIf(done, f"*{contract.counted(len(done), 'tomogram')}* segmented") + super()._tell(results)

    def _cards(self) -> List[Dict[str, Any]]:
        return [card for folder in self._config().model if (card := kinds.cardOf(folder, KIND))]

    def _keys(self) -> List[str]:
        cards, each = self._cards(), self._config().annotators == "each"
        features = [card["feature"] for card in cards]
        several = {name for name in features if each and features.count(name) > 1}
        return list(dict.fromkeys(_keyOf(card) if card["feature"] in several else card["feature"] for card in cards))

    def _checkTogether(self) -> List[str]:
        outputs = {}
        for key in self._keys():
            outputs.setdefault(SCORES % plain(key), []).append(f"'{key}'")
        return super()._checkTogether() + [
            f"The scores of the features {checks.listed(keys)} would all go to the output {output}. Segment with their "
            "models in several runs."
            for output, keys in outputs.items()
            if len(keys) > 1
        ]


def _keyOf(card: Dict[str, Any]) -> str:
    return f"{card['feature']}@{card['annotator']}"


def plain(key: str) -> str:
    """A feature's name as it can stand in the name of an output."""
    return re.sub(r"\W+", "_", key)
