# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotate tomograms: draw features on tiles, or take annotations from where they were made."""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, TypeVar

import pyworkflow.utils as pwutils
from pyworkflow.protocol import MODE_RESTART, params

from ...convert.tomograms.tomograms import engineNames
from ...engine.cryodl.contract import AnnotateConfig, AnnotationsOutputs, ImportAnnotationsConfig
from ...objects import CryodlAnnotations
from .. import one_of
from ..kinds import Options, Own, sayIf
from .tomogram_kinds import (
    Annotations,
    LabelVolumes,
    LinkedTomograms,
    LinksToTomograms,
    TomogramsBase,
    checkAnnotations,
    checkLabelField,
    checkNames,
    checkPaired,
    checkTileStacks,
)

ConfigT = TypeVar("ConfigT", AnnotateConfig, ImportAnnotationsConfig)
DRAW, LABELS, STACK, FOLDER = range(4)
CHOSEN = ("tile", "positive_tiles", "negative_tiles")  # of the tiles that are chosen in label volumes


def notHere(*names: str) -> Dict[str, str]:
    """Why a source of annotations has no field for these."""
    return dict(dict.fromkeys(names, "another source of the form has it"), annotations="the run's folder")


TOMOGRAMS = (
    "inputTomograms",
    "Tomograms to annotate, or those of the label volumes. For a folder of annotations: its tomograms, matched by name "
    "(tsId).",
)


class AddTo(Annotations):
    """Annotations of another run, which the engine is told to add, or which the run's folder begins with."""

    def __init__(self, *to: str) -> None:
        help = (
            "Annotations of another run, which are copied and extended. Features, annotators and tomograms may differ."
        )
        super().__init__("inputAnnotations", help, label="Add to annotations", to=to, empty="start without annotations")

    def values(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return {name: () if found is None else (found.getFolder(),) for name in self.fills}


class FromSource(one_of.Way[ConfigT, AnnotationsOutputs]):
    OUTPUT, NOTHING_YET = "annotations", "No annotations yet."
    NAMED = True  # whether feature and annotator are asked for

    def completed(self, protocol: Any, config: ConfigT) -> ConfigT:
        return dataclasses.replace(config, annotations=protocol._output())

    def makeOutputs(self, protocol: Any, made: AnnotationsOutputs) -> Dict[str, Any]:
        return dict(outputAnnotations=CryodlAnnotations.fromFolder(protocol._output()))

    def problems(self, protocol: Any) -> List[str]:
        return checkNames(protocol.feature.get(), protocol.annotator.get()) if self.NAMED else []


class Drawn(FromSource[AnnotateConfig]):
    WORD = "drawing in a window"
    FORM = (LinksToTomograms(*TOMOGRAMS, needed=True), Options("feature", "annotator", "tile"), AddTo("annotations"))

    def problems(self, protocol: Any) -> List[str]:
        queued = "A job in a queue cannot open the annotation window. Set 'Use a queue' to No."
        return super().problems(protocol) or sayIf(protocol.useQueue(), queued)

    def warnings(self, protocol: Any) -> List[str]:
        drawn = protocol._drawn()
        if protocol.runMode.get() != MODE_RESTART or drawn is None or not drawn.getCounts():
            return []
        return [f"Restart deletes what was drawn in this run ({drawn.inWords()}). Choose Continue to draw more."]

    def tell(self, protocol: Any, results: Sequence[Any]) -> List[str]:
        return super().tell(protocol, results) + (["Execute the run again (Continue) to draw more."] if results else [])


class FromLabels(FromSource[ImportAnnotationsConfig]):
    WORD = "label volumes (TomoMasks)"
    FORM = (
        LinkedTomograms(*TOMOGRAMS, needed=True),
        LabelVolumes("0 is background, 255 not annotated."),
        Options("feature", default="feature"),
        Options("annotator", "tile", "label", "positive_tiles", "negative_tiles"),
        AddTo("folders"),
    )
    NOT_ON_FORM = notHere("tiles", "drawings", "tomograms", "pixel_size")

    def writtenFiles(self, protocol: Any) -> Dict[str, Any]:
        protocol._linkLabelled()
        return {}

    def completed(self, protocol: Any, config: ImportAnnotationsConfig) -> ImportAnnotationsConfig:
        config = super().completed(protocol, config)
        both = protocol.inputTomograms.get() is not None and protocol.inputMasks.get() is not None
        return protocol._withLabelled(config) if both else config

    def problems(self, protocol: Any) -> List[str]:
        tomograms, masks = protocol.inputTomograms.get(), protocol.inputMasks.get()
        return (
            super().problems(protocol) or checkPaired(tomograms, masks) or checkLabelField(masks, protocol.label.get())
        )


class FromStack(FromSource[ImportAnnotationsConfig]):
    WORD = "stack of tiles"
    FORM = (
        Options("tiles", "drawings", "pixel_size"),
        Options("feature", default="feature"),
        Options("annotator"),
        AddTo("folders"),
    )
    NOT_ON_FORM = notHere("tomograms", "labels", "label", *CHOSEN)

    def completed(self, protocol: Any, config: ImportAnnotationsConfig) -> ImportAnnotationsConfig:
        return dataclasses.replace(super().completed(protocol, config), tomograms=(), labels=())

    def problems(self, protocol: Any) -> List[str]:
        return super().problems(protocol) or checkTileStacks(protocol.tiles.get(), protocol.drawings.get())


class FromFolder(FromSource[ImportAnnotationsConfig]):
    WORD = "folder of annotations"
    NAMED = False
    FORM = (
        LinksToTomograms(*TOMOGRAMS, empty="the paths stored in the folder"),
        Own(
            "folder",
            params.FolderParam,
            "Folder of annotations",
            "Folder that contains annotations.json. It is copied into the project.",
        ),
        AddTo("folders"),
    )
    NOT_ON_FORM = notHere("labels", "label", "tiles", "drawings", "feature", *CHOSEN, "annotator")

    def completed(self, protocol: Any, config: ImportAnnotationsConfig) -> ImportAnnotationsConfig:
        config = super().completed(protocol, config)
        return dataclasses.replace(
            config,
            tomograms=config.tomograms or (),  # None without any
            folders=(*config.folders, protocol.folder.get()),
            labels=(),
        )

    def problems(self, protocol: Any) -> List[str]:
        tomograms = protocol.inputTomograms.get()
        return checkAnnotations(protocol.folder.get(), set() if tomograms is None else engineNames(tomograms).values())


class CryodlProtAnnotate(one_of.OneOf[Any, Any], TomogramsBase):
    """Annotate tomograms: draw features on small tiles, and mark tiles without them.

    In: tomograms; then a window opens to draw in. Or TomoMasks, stacks of tiles with drawings, or a folder of
    annotations that somebody else made. Out: annotations for *cryodl - train on tomograms*. About 10 tiles with
    a feature and 100 without it are enough. Every stroke is saved at once; execute the run again (Continue) to draw
    more. Several features go into one run; each annotator has a name of their own."""

    _label = "annotate tomograms"
    CHOICE = "source"
    WHAT = (
        "Annotations from",
        "Drawing: a window opens on the screen of this computer, and the run waits until it is closed. Label volumes: "
        "tiles are chosen throughout the volumes. Stack of tiles: MRC stacks of images and of drawings on them, for "
        "instance from EMAN2. Folder: annotations made elsewhere by this protocol or by cryodl annotate.",
    )
    WAYS = (Drawn(), FromLabels(), FromStack(), FromFolder())

    def _insertAllSteps(self) -> None:
        if self.getChoice() == DRAW:
            # Without end by itself: the run can be executed again, and the window opens with all that was drawn.
            self._insertFunctionStep(self.annotateStep, interactive=True, needsGPU=False)
        else:
            super()._insertAllSteps()

    def annotateStep(self) -> None:
        given, folder = self.inputAnnotations.get(), self._getExtraPath("joined")
        if given is not None and not os.path.exists(self._output()):
            pwutils.makePath(folder)
            self._runEngine(ImportAnnotationsConfig(annotations=self._output(), folders=(given.getFolder(),)), folder)
        self._runEngine(self._config(**self._writtenFiles()), self._getExtraPath())
        self.createOutputStep({})

    def _drawn(self) -> Optional[CryodlAnnotations]:
        """The annotations in the run's folder, None if there are none; they are there before the output is."""
        try:
            return CryodlAnnotations.fromFolder(self._output())
        except (ValueError, OSError):
            return None
