# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a network that finds one feature in tomograms."""

from typing import Any, Dict, List, Optional, Tuple

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from tomo.objects import Tomogram

from ...convert.tomograms.tomograms import featuresOf, pairedVolumes
from ...engine.cryodl import contract
from ...engine.cryodl.contract import TrainSegmenterConfig
from ...engine.cryodl.contract.tomograms.segmenting import TrainSegmenterOutputs
from ..checks import checkModelFolder
from ..kinds import Choice, FormPart, ModelOfProject, Options, Section
from ..model_field import addShippedModels, checkShippedModels, shippedFolders, shippedNames, startable
from ..training import TrainRun
from .tomogram_checks import checkLabelField, checkPaired
from .tomogram_kinds import Annotations, LabelVolumes, LinkedTomograms
from .tomogram_words import segmenterInWords, segmenterLines, tomogramCitations
from .tomograms_base import TomogramsBase

KIND = "segmenter"
DRAWN, LABELLED = 0, 1
_DRAWN, _LABELLED = (f"labelsFrom == {kind}" for kind in (DRAWN, LABELLED))


class ShippedStart(FormPart):
    """The name of a shipped segmenter that a training continues from."""

    def addTo(self, form: Form, protocol: Any) -> None:
        addShippedModels(
            form,
            KIND,
            important=False,
            expertLevel=params.LEVEL_ADVANCED,
            label="Start from shipped model",
            help="Name of a shipped segmenter to refine with these labels: {}. Its network is {}.\n\nEmpty: "
            "none.".format(*startable(KIND)),
        )

    def problems(self, protocol: Any) -> List[str]:
        return checkShippedModels(protocol, KIND)


class CryodlProtTrainSegmenter(TrainRun[TrainSegmenterConfig, TrainSegmenterOutputs], TomogramsBase):
    """Train a network that finds one feature in tomograms, as one annotator draws it.

    In: annotations (tiles on which the feature was drawn, and tiles without it), or tomograms with TomoMasks in which
    the feature has a value. Out: a model for *cryodl - segment tomograms*; train one for each feature, and for each
    annotator. Its card says what it learned from and how well it does on tiles held out. A stopped run continues where
    it was.
    """

    _label = "train feature segmentation"
    _KIND = KIND
    FORM = (
        Choice(
            "labelsFrom",
            "Train on",
            ["annotated tiles", "label volumes (TomoMasks)"],
            "Annotated tiles: drawn with *cryodl - annotate tomograms*, or imported. Label volumes: masks of "
            "whole tomograms, in which 0 is background, 255 is not annotated, and the feature has its own value.",
        ),
        Annotations("inputAnnotations", "Annotated tiles with and without the feature.", when=_DRAWN),
        LinkedTomograms("inputTomograms", "The tomograms of the label volumes.", when=_LABELLED),
        LabelVolumes("Tomograms without one are not used.", _LABELLED),
        Options("label", when=_LABELLED),
        Options("feature", more="\n\nEmpty: that of the annotations, or the name of the label in the masks."),
        Options("annotator"),
        Section("Training"),
        Options("network", "working_pixel_size", "steps", "patience", "validation_fraction", "batch_size"),
        Options("learning_rate"),
        Options("tiles", when=_LABELLED),
        ModelOfProject(
            "inputModel",
            "A segmenter to continue from, of the same network.",
            KIND,
            label="Start from model",
            empty="random weights",
            to=("start_from",),
            expertLevel=params.LEVEL_ADVANCED,
        ),
        ShippedStart(),
    )
    NOT_ON_FORM = {"tomograms": "the input tomograms", "pixel_size": "the tomograms' sampling rate"}

    def _writtenFiles(self) -> Dict[str, Any]:
        if self.labelsFrom.get() == LABELLED:
            for folder, items in zip(("tomograms", "labels"), self._pairs()):
                self._linkVolumes(folder, items)
        return {}

    def _pairs(self) -> Tuple[List[Tomogram], ...]:
        """([Tomogram], [TomoMask]) in the order of the names that the engine calls them."""
        return tuple(map(self._inOrder, pairedVolumes(self.inputTomograms.get(), self.inputMasks.get())))

    def _engineValues(self) -> Dict[str, Any]:
        values = dict(super()._engineValues(), start_from=self._startFolder(), pixel_size=None)
        tomograms, masks = self.inputTomograms.get(), self.inputMasks.get()
        if self.labelsFrom.get() == DRAWN or tomograms is None or masks is None:
            return dict(values, tomograms=(), labels=(), **(dict(label=None) if self.labelsFrom.get() == DRAWN else {}))
        items, drawn = self._pairs()
        links = dict(tomograms=self._linkPaths("tomograms", items), labels=self._linkPaths("labels", drawn))
        return dict(values, **links, pixel_size=tomograms.getSamplingRate(), feature=self._featureName())

    def _featureName(self) -> Optional[str]:
        """The form's, else the name that the masks give the label; None if they give none."""
        known = dict(enumerate(featuresOf(self.inputMasks.get()), 1))
        return self.feature.get() or known.get(self.label.get())

    def _startFolder(self) -> Any:
        model, shipped = self.inputModel.get(), shippedFolders(self, KIND)
        return model.getFolder() if model is not None else shipped[0] if shipped else None

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        if self.labelsFrom.get() == DRAWN:
            return self._checkDrawn() or self._checkStart()
        masks = self.inputMasks.get()
        wrong = checkPaired(self.inputTomograms.get(), masks) or checkLabelField(masks, self.label.get())
        return wrong or self._checkStart()

    def _checkDrawn(self) -> List[str]:
        annotations = self.inputAnnotations.get()
        counts, annotators = annotations.getCounts(), annotations.getAnnotators()
        feature = self.feature.get() or (list(counts)[0] if len(counts) == 1 else None)
        errors: List[str] = []
        for what, given, there in (("Feature", feature, list(counts)), ("Annotator", self.annotator.get(), annotators)):
            if not errors and (given not in there if given else len(there) != 1):
                errors = [
                    f"{what} is {given or 'empty'}; the annotations have tiles of: {', '.join(there) or 'none'}. "
                    "Choose one of them; a model learns only one."
                ]
        if not errors and not counts[feature]["positive"]:
            errors = [f"There is no tile with the feature {feature}. Draw it on at least one tile; ten are better."]
        return errors

    def _checkStart(self) -> List[str]:
        folder, network, errors = self._startFolder(), self._config().network, []
        if len(shippedNames(self)) + (self.inputModel.get() is not None) > 1:
            errors = ["There is more than one model to start from. Choose one."]
        if errors or folder is None:
            return errors
        errors = checkModelFolder(folder, KIND)
        if not errors and contract.read_card(folder)["network"] != network:
            errors = [
                f"The model to start from has the network {contract.read_card(folder)['network']}, but Network is "
                f"{network}. Choose the same network, or another model."
            ]
        return errors

    def _warnings(self) -> List[str]:
        annotations = self.inputAnnotations.get() if self.labelsFrom.get() == DRAWN else None
        alone = (
            []
            if annotations is None
            else [
                f
                for f, n in annotations.getCounts().items()
                if not n["negative"] and self.feature.get() in (f, None, "")
            ]
        )
        return [
            f"There are no tiles without {feature}, so the network may find it in everything it has not seen. Mark "
            "tiles without it; a hundred are recommended."
            for feature in alone
        ]

    def _cardLines(self, card: Dict[str, Any]) -> List[str]:
        return segmenterLines(card)

    def _cardInWords(self, card: Dict[str, Any]) -> str:
        return segmenterInWords(card)

    def _citations(self) -> List[str]:
        return tomogramCitations(self._config().network)
