# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a network that finds one feature in tomograms."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from tomo.objects import Tomogram

from ...convert.tomograms.tomograms import featuresOf, pairedVolumes
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..checks import checkModelFolder
from ..form_parts import addLabelVolumes, addPointer, addStartModel, notOnForm
from ..model_field import addShippedModels, checkShippedModels, shippedFolders, shippedNames, startable
from ..training import TrainsModel
from .annotation_checks import checkAnnotations
from .tomogram_checks import checkLabelField, checkPaired, checkTomograms
from .tomogram_words import segmenterInWords, segmenterLines, tomogramCitations
from .tomograms_base import TomogramsBase

KIND = "segmenter"
DRAWN, LABELLED = 0, 1
_DRAWN, _LABELLED = (f"labelsFrom == {kind}" for kind in (DRAWN, LABELLED))


class CryodlProtTrainSegmenter(TrainsModel, TomogramsBase):
    """Train a network that finds one feature in tomograms, as one annotator draws it.

    In: annotations (tiles on which the feature was drawn, and tiles without it), or tomograms with TomoMasks in which
    the feature has a value. Out: a model for *cryodl - segment tomograms*; train one for each feature, and for each
    annotator. Its card says what it learned from and how well it does on tiles held out. A stopped run continues where
    it was.
    """

    _label = "train feature segmentation"
    _KIND = KIND
    _CONFIG = contract.TrainSegmenterConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        tomograms="the input tomograms",
        labels="the input masks",
        annotations="the annotations field",
        pixel_size="the tomograms' sampling rate",
        start_from="the model that the pointer or the name gives",
        names="made from the tomograms' names",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "labelsFrom",
            params.EnumParam,
            default=DRAWN,
            label="Train on",
            choices=["annotated tiles", "label volumes (TomoMasks)"],
            help="Annotated tiles: drawn with *cryodl - annotate tomograms*, or imported. Label volumes: masks of "
            "whole tomograms, in which 0 is background, 255 is not annotated, and the feature has its own value.",
        )
        addPointer(
            form,
            "inputAnnotations",
            "CryodlAnnotations",
            "Annotations",
            "Annotated tiles with and without the feature.",
            condition=_DRAWN,
            important=True,
        )
        addPointer(
            form,
            "inputTomograms",
            "SetOfTomograms",
            "Tomograms",
            "The tomograms of the label volumes.",
            condition=_LABELLED,
            important=True,
        )
        addLabelVolumes(form, "Tomograms without one are not used.", _LABELLED)
        addConfigParams(
            form,
            self._CONFIG,
            ["label", "feature", "annotator"],
            label=dict(condition=_LABELLED),
            feature=dict(more="\n\nEmpty: that of the annotations, or the name of the label in the masks."),
        )
        form.addSection("Training")
        addConfigParams(
            form,
            self._CONFIG,
            [
                "network",
                "working_pixel_size",
                "steps",
                "patience",
                "validation_fraction",
                "batch_size",
                "learning_rate",
                "tiles",
            ],
            tiles=dict(condition=_LABELLED),
        )
        addStartModel(form, "A segmenter to continue from, of the same network.")
        addShippedModels(
            form,
            KIND,
            important=False,
            expertLevel=params.LEVEL_ADVANCED,
            label="Start from shipped model",
            help="Name of a shipped segmenter to refine with these labels: {}. Its network is {}.\n\nEmpty: "
            "none.".format(*startable(KIND)),
        )
        addConfigParams(form, self._CONFIG, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        # The settings are the steps' argument, so that a changed one trains anew when the run is continued.
        self._insertFunctionStep(self.trainStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def trainStep(self, settings: Dict[str, Any]) -> None:
        if self.labelsFrom.get() == LABELLED:
            for folder, items in zip(("tomograms", "labels"), self._pairs()):
                self._linkVolumes(folder, items)
        self._train(self._config(**self._engineValues()), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineModel([self.inputAnnotations, self.inputTomograms, self.inputMasks, self.inputModel])

    def _pairs(self) -> Tuple[List[Tomogram], ...]:
        """([Tomogram], [TomoMask]) in the order of the names that the engine calls them."""
        return tuple(map(self._inOrder, pairedVolumes(self.inputTomograms.get(), self.inputMasks.get())))

    def _engineValues(self) -> Any:
        values = dict(
            output=self.getModelFolder(),
            threads=self.numberOfThreads.get(),
            start_from=self._startFolder(),
            names=(),
            pixel_size=None,
            annotations=None,
            tomograms=(),
            labels=(),
        )
        if self.labelsFrom.get() == DRAWN:
            annotations = self.inputAnnotations.get()
            return dict(values, annotations=annotations.getFolder() if annotations is not None else None, label=None)
        tomograms, masks = self._pairs()
        return dict(
            values,
            tomograms=self._linkPaths("tomograms", tomograms),
            labels=self._linkPaths("labels", masks),
            pixel_size=self.inputTomograms.get().getSamplingRate(),
            feature=self._featureName(),
        )

    def _featureName(self) -> Optional[str]:
        """The form's, else the name that the masks give the label; None if they give none."""
        known = dict(enumerate(featuresOf(self.inputMasks.get()), 1))
        return self.feature.get() or known.get(self.label.get())

    def _startFolder(self) -> Any:
        model, shipped = self.inputModel.get(), shippedFolders(self, KIND)
        return model.getFolder() if model is not None else shipped[0] if shipped else None

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = self._checkLabelled() if self.labelsFrom.get() == LABELLED else self._checkDrawn()
        return errors or self._checkStart()

    def _checkDrawn(self) -> List[str]:
        annotations = self.inputAnnotations.get()
        counts, annotators = annotations.getCounts(), annotations.getAnnotators()
        feature = self.feature.get() or (list(counts)[0] if len(counts) == 1 else None)
        errors = checkAnnotations(annotations.getFolder())
        for what, given, there in (("Feature", feature, list(counts)), ("Annotator", self.annotator.get(), annotators)):
            if not errors and (given not in there if given else len(there) != 1):
                errors = [
                    f"{what} is {given or 'empty'}; the annotations have tiles of: {', '.join(there) or 'none'}. "
                    "Choose one of them; a model learns only one."
                ]
        if not errors and not counts[feature]["positive"]:
            errors = [f"There is no tile with the feature {feature}. Draw it on at least one tile; ten are better."]
        return errors

    def _checkLabelled(self) -> List[str]:
        tomograms, masks = self.inputTomograms.get(), self.inputMasks.get()
        return (
            checkTomograms(tomograms)
            or checkTomograms(masks, "label volumes")
            or checkPaired(tomograms, masks)
            or checkLabelField(masks, self.label.get())
        )

    def _checkStart(self) -> List[str]:
        folder, network, errors = self._startFolder(), self.getEnumText("network"), checkShippedModels(self, KIND)
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

    def _tell(self, results: Sequence[Result]) -> List[str]:
        card = self._card()
        return ["No model yet."] if card is None else segmenterLines(card)

    def _methods(self) -> List[str]:
        card = self._card()
        return [] if card is None else [segmenterInWords(card)]

    def _citations(self) -> List[str]:
        return tomogramCitations(self.getEnumText("network"))
