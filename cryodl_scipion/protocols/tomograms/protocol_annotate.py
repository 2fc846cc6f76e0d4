# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotate tomograms: draw features on tiles, or take annotations from where they were made."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pyworkflow.utils as pwutils
from pyworkflow.protocol import MODE_RESTART, params
from pyworkflow.protocol.params import Form
from tomo.objects import Tomogram

from ...convert.tomograms.tomograms import clonesOf, engineNames, idOf, pairedVolumes
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams, formProblems, readConfig
from ...objects import CryodlAnnotations
from ..form_parts import addLabelVolumes, addPointer
from .annotation_checks import checkAnnotations, checkNames, checkTileStacks
from .annotation_words import annotatedInWords, annotationLines
from .tomogram_checks import checkLabelField, checkPaired, checkTomograms
from .tomograms_base import TomogramsBase

DRAW, LABELS, STACK, FOLDER = range(4)
_SOURCES = ["drawing in a window", "label volumes (TomoMasks)", "stack of tiles", "folder of annotations"]

_CONFIGS = {
    DRAW: contract.AnnotateConfig,
    LABELS: contract.ImportAnnotationsConfig,
    STACK: contract.ImportAnnotationsConfig,
}


def _when(*sources: int) -> str:
    return f"source in [{', '.join(str(source) for source in sources)}]"


class CryodlProtAnnotate(TomogramsBase):
    """Annotate tomograms: draw features on small tiles, and mark tiles without them.

    In: tomograms; then a window opens to draw in. Or TomoMasks, stacks of tiles with drawings, or a folder of
    annotations that somebody else made. Out: annotations for *cryodl - train feature segmentation*. About 10 tiles with
    a feature and 100 without it are enough. Every stroke is saved at once; execute the run again (Continue) to draw
    more. Several features go into one run; each annotator has a name of their own.
    """

    _label = "annotate tomograms"
    _CONFIG = contract.AnnotateConfig
    NOT_ON_FORM = {
        "annotations": "the run's folder",
        "tomograms": "the input tomograms",
        "labels": "the input masks",
        "names": "made from the tomograms' names",
    }
    OTHER_DEFAULTS = {"feature": "feature"}  # the command line wants one

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "source",
            params.EnumParam,
            default=DRAW,
            choices=_SOURCES,
            label="Annotations from",
            help="Drawing: a window opens on the screen of this computer, and the run waits until it is closed. "
            "Label volumes: tiles are chosen throughout the volumes. Stack of tiles: MRC stacks of images and "
            "of drawings on them, for instance from EMAN2. Folder: annotations made elsewhere by this protocol "
            "or by cryodl annotate.",
        )
        addPointer(
            form,
            "inputTomograms",
            "SetOfTomograms",
            "Tomograms",
            "Tomograms to annotate, or those of the label volumes. For a folder of annotations: its tomograms, "
            "matched by name (tsId).\n\nEmpty: the paths stored in the folder.",
            allowsNull=True,
            important=True,
            condition=_when(DRAW, LABELS, FOLDER),
        )
        addLabelVolumes(form, "0 is background, 255 not annotated.", _when(LABELS))
        form.addParam(
            "folder",
            params.FolderParam,
            condition=_when(FOLDER),
            label="Folder of annotations",
            help="Folder that contains annotations.json. It is copied into the project.",
        )
        imported = contract.ImportAnnotationsConfig
        for config, names, sources in (
            (imported, ["tiles", "drawings", "pixel_size"], (STACK,)),
            (self._CONFIG, ["feature", "annotator"], (DRAW, LABELS, STACK)),
            (self._CONFIG, ["tile"], (DRAW, LABELS)),
            (imported, ["label", "positive_tiles", "negative_tiles", "seed"], (LABELS,)),
        ):
            addConfigParams(form, config, names, **{name: dict(condition=_when(*sources)) for name in names})
        addPointer(
            form,
            "inputAnnotations",
            "CryodlAnnotations",
            "Add to annotations",
            "Annotations of another run, which are copied and extended. Features, annotators and tomograms may "
            "differ.\n\nEmpty: start without annotations.",
            allowsNull=True,
        )

    # ----- steps
    def _insertAllSteps(self) -> None:
        if self.source.get() == DRAW:
            # Without end by itself: the run can be executed again, and the window opens with all that was drawn.
            self._insertFunctionStep(self.annotateStep, interactive=True, needsGPU=False)
        else:
            settings = {"folder": self.folder.get()} if self._config() is None else self._settings()
            self._insertFunctionStep(
                self.importStep, dict(settings, added=self.inputAnnotations.get() is not None), needsGPU=False
            )

    def annotateStep(self) -> None:
        if not os.path.exists(self._annotationsFolder()):
            self._startFolder()
        self._linkVolumes("tomograms", clonesOf(self.inputTomograms.get()))
        self._runEngine(self._config(**self._engineValues()), self._getExtraPath())
        self._createOutput()

    def importStep(self, settings: Dict[str, Any]) -> None:
        """Nothing here was drawn by hand: a run that is executed again begins anew."""
        pwutils.cleanPath(self._annotationsFolder())
        self._startFolder()
        if self.source.get() == LABELS:
            for folder, items in zip(("tomograms", "labels"), self._pairs()):
                self._linkVolumes(folder, items)
        if self.source.get() == FOLDER:
            self._takeFolder()
        else:
            self._runEngine(self._config(**self._engineValues()), self._getExtraPath())
        self._createOutput()

    def _startFolder(self) -> None:
        """The run's folder of annotations, with what it adds to."""
        given = self.inputAnnotations.get()
        if given is not None:
            self._addAnnotations(given.getFolder())

    def _takeFolder(self) -> None:
        items = [] if self.inputTomograms.get() is None else clonesOf(self.inputTomograms.get())
        names, paths = engineNames(items), self._linkVolumes("tomograms", items) if items else ()
        moved = [(names[idOf(item)], path) for item, path in zip(items, paths)]
        self._addAnnotations(self.folder.get(), moved)

    def _addAnnotations(self, folder: str, moved: Sequence[Tuple[str, str]] = ()) -> None:
        """Add those of a folder to the run's. moved: (name, path) of tomograms that are not where they were."""
        config = contract.JoinAnnotationsConfig(
            annotations=self._annotationsFolder(),
            folders=(folder,),
            tomograms=tuple(path for _, path in moved),
            names=tuple(name for name, _ in moved),
        )
        folder = self._getExtraPath("joined")
        pwutils.makePath(folder)
        self._runEngine(config, folder)

    def _createOutput(self) -> None:
        output = CryodlAnnotations.fromFolder(self._annotationsFolder())
        self._defineOutputs(outputAnnotations=output)
        for pointer in (self.inputTomograms, self.inputMasks, self.inputAnnotations):
            if pointer.get() is not None:
                self._defineSourceRelation(pointer, output)

    # ----- what the engine gets
    def _annotationsFolder(self) -> str:
        return self._getExtraPath("annotations")

    def _config(self, **values: Any) -> Any:
        """The config of the source on the form, None for a folder, which needs no engine."""
        config = _CONFIGS.get(self.source.get())
        return None if config is None else readConfig(self, config, **dict(self._engineValues(), **values))

    def _pairs(self) -> Tuple[List[Tomogram], ...]:
        """([Tomogram], [TomoMask]) in the order of the names that the engine calls them."""
        return tuple(map(self._inOrder, pairedVolumes(self.inputTomograms.get(), self.inputMasks.get())))

    def _engineValues(self) -> Any:
        values, source = dict(annotations=self._annotationsFolder(), names=()), self.source.get()
        if source == DRAW:
            tomograms = clonesOf(self.inputTomograms.get())
            size = self.inputTomograms.get().getSamplingRate()
            return dict(values, tomograms=self._linkPaths("tomograms", tomograms), pixel_size=size)
        if source == LABELS:
            tomograms, masks = self._pairs()
            return dict(
                values,
                tomograms=self._linkPaths("tomograms", tomograms),
                tiles=None,
                drawings=None,
                labels=self._linkPaths("labels", masks),
                pixel_size=self.inputTomograms.get().getSamplingRate(),
            )
        return dict(values, tomograms=(), labels=(), label=None)

    # ----- validation and information
    def _validate(self) -> List[str]:
        if self._missingPointers():
            return []  # pyworkflow names them
        errors = self._checkInputs()
        return errors or ([] if self.source.get() == FOLDER else formProblems(self._config()))

    def _checkInputs(self) -> List[str]:
        source, tomograms = self.source.get(), self.inputTomograms.get()
        if source in (DRAW, LABELS) and tomograms is None:
            return ["Tomograms is empty. Choose the tomograms to annotate, or those of the label volumes."]
        errors = [] if tomograms is None or source == STACK else checkTomograms(tomograms)
        if source != FOLDER:
            errors += checkNames(self.feature.get(), self.annotator.get())
        return errors or self._checkSource(source) or self._checkAdded()

    def _checkSource(self, source: int) -> List[str]:
        if source == STACK:
            return checkTileStacks(self.tiles.get(), self.drawings.get())
        if source == FOLDER:
            tomograms = self.inputTomograms.get()
            return checkAnnotations(self.folder.get(), set() if tomograms is None else engineNames(tomograms).values())
        return self._checkLabels() if source == LABELS else self._checkScreen()

    def _checkAdded(self) -> List[str]:
        given = self.inputAnnotations.get()
        return [] if given is None else checkAnnotations(given.getFolder())

    def _checkScreen(self) -> List[str]:
        return (
            ["A job in a queue cannot open the annotation window. Set 'Use a queue' to No."] if self.useQueue() else []
        )

    def _checkLabels(self) -> List[str]:
        masks = self.inputMasks.get()
        return (
            checkTomograms(masks, "label volumes")
            or checkPaired(self.inputTomograms.get(), masks)
            or checkLabelField(masks, self.label.get())
        )

    def _warnings(self) -> List[str]:
        drawn = self._drawn()
        if self.source.get() != DRAW or self.runMode.get() != MODE_RESTART or drawn is None or not drawn.getCounts():
            return []
        return [f"Restart deletes what was drawn in this run ({drawn.inWords()}). Choose Continue to draw more."]

    def _drawn(self) -> Optional[CryodlAnnotations]:
        """The annotations in the run's folder, None if there are none; they are there before the output is."""
        try:
            return CryodlAnnotations.fromFolder(self._annotationsFolder())
        except (ValueError, OSError):
            return None

    def _tell(self, results: Sequence[Result]) -> List[str]:
        drawn = self._drawn()
        more = ["Execute the run again (Continue) to draw more."] if self.source.get() == DRAW else []
        return ["No annotations yet."] if drawn is None else annotationLines(drawn) + more

    def _methods(self) -> List[str]:
        drawn = self._drawn()
        return [] if drawn is None or not drawn.getCounts() else [annotatedInWords(drawn, self._engineResults())]
