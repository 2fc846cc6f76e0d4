# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a network that finds a feature or particles in tomograms, or that classifies subtomograms."""

import dataclasses
import os
from typing import Any, Dict, List, Set, Tuple

import pyworkflow.utils as pwutils
from pyworkflow.protocol import Form, params
from tomo.objects import SetOfCoordinates3D

from ...convert.tomograms import subtomograms
from ...convert.tomograms.tomograms import byId, engineNames, featuresOf, speciesOf, writeCoordinates3D
from ...engine.cryodl import contract
from .. import model_field, training
from ..checks import listed, sayIf
from ..kinds import (
    Choice,
    FormPart,
    ModelOfProject,
    Options,
    OwnName,
    PointingMany,
    Section,
    StartModel,
    otherNetworkIn,
)
from .tomogram_kinds import (
    TILTS,
    Annotations,
    LabelVolumes,
    LinkedTomograms,
    LinksToTomograms,
    Subtomograms,
    SubtomogramsBase,
    TomogramsBase,
    checkLabelField,
    checkPaired,
)

DRAWN, LABELLED = 0, 1
_DRAWN, _LABELLED = (f"labelsFrom == {kind}" for kind in (DRAWN, LABELLED))
# Networks that are trained by gradients, unlike the likelihood.
_LEARNS = f"classifierNetwork != {contract.CLASSIFIER_NETWORKS.index('likelihood')}"


class ShippedStart(FormPart):
    def addTo(self, form: Form, protocol: Any) -> None:
        cards = map(model_field.contract.read_card, model_field.shippedModels("segmenter").values())
        model_field.addShippedModels(
            form,
            "segmenter",
            important=False,
            expertLevel=params.LEVEL_ADVANCED,
            label="Start from shipped model",
            help="Name of a shipped segmenter to refine with these labels: "
            f"{model_field.namesShipped('segmenter')}. Its network is "
            f"{', '.join(sorted({card['network'] for card in cards})) or 'none'}.\n\nEmpty: none.",
        )

    def problems(self, protocol: Any) -> List[str]:
        return model_field.checkShippedModels(protocol, "segmenter")


class OfFeature(training.TrainsOne[contract.TrainSegmenterConfig, contract.TrainSegmenterOutputs]):
    WORD, _KIND = "a feature, for segmentation", "segmenter"
    CITES = ("Chen2017",)
    FORM = (
        Choice(
            "labelsFrom",
            "Train on",
            ["annotated tiles", "label volumes (TomoMasks)"],
            "Annotated tiles: drawn with *cryodl - annotate tomograms*, or imported. Label volumes: masks of "
            "whole tomograms, in which 0 is background, 255 is not annotated, and the feature has its own value.",
        ),
        Annotations("inputAnnotations", "Annotated tiles with and without the feature.", when=_DRAWN),
        LinkedTomograms("inputTomograms", "The tomograms of the labels or coordinates.", when=_LABELLED),
        LabelVolumes("Tomograms without one are not used.", _LABELLED),
        Options("label", when=_LABELLED),
        Options("feature", more="\n\nEmpty: that of the annotations, or the name of the label in the masks."),
        Options("annotator"),
        Section("Training"),
        Options("network", "working_pixel_size", "steps", "batch_size"),
        Options("tiles", when=_LABELLED),
        ModelOfProject(
            "inputModel",
            "A model of the same network, and of the same feature or species, to continue from.",
            "segmenter",
            label="Start from model",
            empty="the shipped model of this feature, where there is one and Network is auto; else random weights",
            to=("start_from",),
            expertLevel=params.LEVEL_ADVANCED,
        ),
        ShippedStart(),
    )
    NOT_ON_FORM = {"tomograms": "the input tomograms", "pixel_size": "the tomograms' sampling rate"}

    def writtenFiles(self, protocol: Any) -> Dict[str, Any]:
        if protocol.labelsFrom.get() == LABELLED:
            protocol._linkLabelled()
        return {}

    def completed(self, protocol: Any, config: contract.TrainSegmenterConfig) -> contract.TrainSegmenterConfig:
        start = self._startFolder(protocol)
        config = dataclasses.replace(config, start_from=start, pixel_size=None, tomograms=(), labels=())
        if protocol.labelsFrom.get() == DRAWN:
            return config
        feature = config.feature or dict(enumerate(featuresOf(protocol.inputMasks.get()), 1)).get(config.label or 0)
        return dataclasses.replace(protocol._withLabelled(config), feature=feature)

    def _startFolder(self, protocol: Any) -> Any:
        model, shipped = protocol.inputModel.get(), model_field.shippedFolders(protocol, self._KIND)
        return model.getFolder() if model is not None else shipped[0] if shipped else None

    def problems(self, protocol: Any) -> List[str]:
        if protocol.labelsFrom.get() == DRAWN:
            return self._checkDrawn(protocol) or self._checkStart(protocol)
        masks = protocol.inputMasks.get()
        return (
            checkPaired(protocol.inputTomograms.get(), masks)
            or checkLabelField(masks, protocol.label.get())
            or self._checkStart(protocol)
        )

    def _checkDrawn(self, protocol: Any) -> List[str]:
        annotations, annotator = protocol.inputAnnotations.get(), protocol.annotator.get()
        counts, annotators = annotations.getCounts(), annotations.getAnnotators()
        feature = protocol.feature.get() or (list(counts)[0] if len(counts) == 1 else None)
        for what, given, there in (("Feature", feature, list(counts)), ("Annotator", annotator, annotators)):
            if given not in there if given else len(there) != 1:
                return [
                    f"{what} is {given or 'empty'}; the annotations have tiles of: {', '.join(there) or 'none'}. "
                    "Choose one of them; a model learns only one."
                ]
        return sayIf(
            not counts[feature]["positive"],
            f"There is no tile with the feature {feature}. Draw it on at least one tile; ten are better.",
        )

    def _checkStart(self, protocol: Any) -> List[str]:
        folder, network = self._startFolder(protocol), protocol._config().network
        several = len(model_field.shippedNames(protocol)) + (protocol.inputModel.get() is not None) > 1
        wrong = [] if folder is None else otherNetworkIn(folder, self._KIND, network)
        return sayIf(several, "There is more than one model to start from. Choose one.") or wrong

    def warnings(self, protocol: Any) -> List[str]:
        annotations = protocol.inputAnnotations.get() if protocol.labelsFrom.get() == DRAWN else None
        return [
            f"There are no tiles without {feature}, so the network may find it in everything it has not seen. Mark "
            "tiles without it; a hundred are recommended."
            for feature, each in ({} if annotations is None else annotations.getCounts()).items()
            if not each["negative"] and protocol.feature.get() in (feature, None, "")
        ]


class SpeciesCoordinates(PointingMany):
    """Coordinates of the form's tomograms, a set for each species; all go into one STAR file."""

    CLASSES, LABEL, to = "SetOfCoordinates3D", "Input coordinates", ("coordinates",)

    def valuesOf(self, protocol: Any, found: List[SetOfCoordinates3D]) -> Dict[str, Any]:
        return dict(coordinates=(os.path.join(protocol._inputFolder(), "particles.star"),))

    def filesOf(self, protocol: Any, found: List[SetOfCoordinates3D]) -> Dict[str, Any]:
        tomograms, (path,) = protocol.inputTomograms.get(), self.valuesOf(protocol, found)["coordinates"]
        pwutils.makePath(os.path.dirname(path))
        writeCoordinates3D(path, namedSets(protocol), tomograms, engineNames(tomograms))
        return {}

    def check(self, protocol: Any, found: List[SetOfCoordinates3D]) -> List[str]:
        known = set(byId(protocol.inputTomograms.get()))
        return [e for one, name in namedSets(protocol) for e in self._checkOne(one, name, known)]

    def _checkOne(self, coordinates: SetOfCoordinates3D, name: str, known: Set[str]) -> List[str]:
        theirs = {item.getTomoId() for item in coordinates.iterItems()} if coordinates.getSize() else set()
        return sayIf(not theirs, f"The set of coordinates {name} is empty. Choose another.") or sayIf(
            not theirs & known,
            f"None of the coordinates ({name}) belongs to one of the tomograms ({listed(sorted(known))}); their "
            f"tomograms are {listed(sorted(str(n) for n in theirs))}. They are matched by name (tsId).",
        )


def namedSets(protocol: Any) -> List[Tuple[Any, str]]:
    """[(SetOfCoordinates3D, name of its species where its items do not say)]."""
    return [(one, f"species_{number}") for number, one in enumerate(protocol._pointed("inputCoordinates"), 1)]


class OfSpecies(training.TrainsOne[contract.TrainDetectorConfig, contract.TrainDetectorOutputs]):
    WORD, _KIND = "particles, for detection", "detector"
    FORM = (
        LinksToTomograms(
            "inputTomograms",
            "Tomograms in which the coordinates of all particles of the species are known. The rest is learned as "
            "background.",
        ),
        SpeciesCoordinates(
            "inputCoordinates",
            "Coordinates of the particles in these tomograms, matched by name (tsId). Each set is one species, "
            "named species_1, species_2, ... in their order, unless the coordinates store their species, as "
            "those of cryodl do.",
        ),
        Options("diameter", important=True),
        Options("species", more="\n\nSeparated by commas. Empty: all species."),
        Options("beta"),
        Section("Training"),
        OwnName("detector", "network"),
        Options("working_pixel_size", "steps", "batch_size"),
        StartModel("A detector of the same species to continue from.", "detector"),
    )

    def warnings(self, protocol: Any) -> List[str]:
        known = {speciesOf(item, other) for one, other in namedSets(protocol) for item in one.iterItems()}
        missing = sorted({word.strip() for word in (protocol.species.get() or "").split(",")} - {"", *known})
        return [f"There are no coordinates of {listed(missing)}; there are {listed(sorted(known))}."] if missing else []


class OfClasses(training.TrainsOne[contract.TrainClassifierConfig, contract.TrainClassifierOutputs]):
    WORD, _KIND = "classes of subtomograms", "classifier"
    FORM = (
        Subtomograms(
            "Classes of subtomograms, or subtomograms with class numbers, such as simulated ones.",
            classes=True,
            pointerClass="SetOfSubTomograms,SetOfClassesSubTomograms",
        ),
        Options(
            "class_names",
            help="Names of the classes, in the order of their numbers, separated by commas.\n\nEmpty: those of "
            "the input, else class 1, class 2, ...",
        ),
        Options("particle_diameter", "resolution"),
        *TILTS,
        Section("Training"),
        OwnName("classifier", "network"),
        Options("steps", "batch_size", when=_LEARNS),
    )

    def completed(self, protocol: Any, config: contract.TrainClassifierConfig) -> contract.TrainClassifierConfig:
        known = subtomograms.classNames(protocol.inputSubtomograms.get(), self._numbers(protocol))
        return dataclasses.replace(config, class_names=config.class_names or tuple(known))

    def _numbers(self, protocol: Any) -> List[int]:
        return sorted(number for number in subtomograms.classNumbers(protocol.inputSubtomograms.get()) if number > 0)

    def problems(self, protocol: Any) -> List[str]:
        given, numbers = protocol._config().class_names or (), self._numbers(protocol)
        return sayIf(
            given and len(given) != len(numbers),
            f"Names of the classes is {', '.join(given)}, {contract.counted(len(given), 'name')}; the classes are "
            f"{', '.join(map(str, numbers))}. Give one name for each, separated by commas.",
        )


class CryodlProtTrainTomograms(training.TrainsOneOf, TomogramsBase, SubtomogramsBase):
    """Train a network on tomograms: to find one feature, particles of some species, or classes of subtomograms.

    In: for a feature annotations (tiles on which it was drawn, and tiles without it), or tomograms with TomoMasks in
    which it has a value. Out: a model for *cryodl - segment tomograms*, as one annotator draws it. Or in: for particles
    tomograms and the coordinates of all particles of the species in them; out: a model for *cryodl - detect particles*.
    Of classes, in: classes of subtomograms (of another classification, or chosen by hand), or subtomograms that know
    their class, such as simulated ones; out: a model for *cryodl - classify subtomograms*. The model's card says what
    it learned from and how well it does on data held out. A stopped run continues where it was."""

    _label = "train on tomograms"
    WHAT = (
        "Train to find",
        "A feature: membranes, filaments ..., voxel by voxel. Particles: their positions. Classes: what each "
        "subtomogram shows.",
    )
    WAYS = (OfFeature(), OfSpecies(), OfClasses())
