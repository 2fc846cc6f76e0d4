# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on tomograms and subtomograms share: files for the engine, classes and averages as outputs."""

import glob
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import EMSet
from tomo.objects import SetOfAverageSubTomograms, SetOfClassesSubTomograms, Tomogram, TomoMask

from ...convert.names import inputName
from ...convert.tomograms.subtomograms import (
    appendSubtomogramAverages,
    fillSubtomogramClasses,
    imagesOf,
    writeSubtomograms,
)
from ...convert.tomograms.tomograms import engineNames, fileOf, idOf, pairedVolumes
from ...engine.cryodl import contract
from ..protocol_base import OneRunBase

CLASSES, AVERAGES, UNKNOWN_SET = "outputClasses", "outputAverages", "outputUnknown"


class TomogramsBase(OneRunBase):
    """Base of the protocols on tomograms, beside EngineProtocol."""

    # ----- files for the engine
    def _linkVolumes(
        self, folder: str, items: Sequence[Tomogram], files: Optional[List[str]] = None
    ) -> Tuple[str, ...]:
        """Links to the files of items, or to others of theirs, named as the engine is to call them. Returns the links
        in the items' order."""
        paths = self._linkPaths(folder, items)
        pwutils.cleanPath(os.path.dirname(paths[0]))
        pwutils.makePath(os.path.dirname(paths[0]))
        for file, path in zip(files or [fileOf(item) for item in items], paths):
            os.symlink(os.path.relpath(os.path.realpath(file), os.path.realpath(os.path.dirname(path))), path)
        return paths

    def _linkPaths(self, folder: str, items: Sequence[Tomogram]) -> Tuple[str, ...]:
        """Where _linkVolumes puts its links. The engine pairs volumes in the order of their names, which are the same
        for a tomogram and its labels."""
        names = engineNames(items)
        return tuple(os.path.join(self._inputFolder(), folder, names[idOf(item)] + ".mrc") for item in items)

    def _inOrder(self, items: Sequence[Tomogram]) -> List[Tomogram]:
        """Items by the names that the engine calls them."""
        names = engineNames(items)
        return sorted(items, key=lambda item: names[idOf(item)])

    def _labelled(self) -> Tuple[List[Tomogram], List[TomoMask]]:
        """The tomograms of the form's label volumes and these, in the order of the engine's names."""
        tomograms, masks = pairedVolumes(self.inputTomograms.get(), self.inputMasks.get())
        return self._inOrder(tomograms), self._inOrder(masks)

    def _linkLabelled(self) -> None:
        """Links to the label volumes and their tomograms."""
        for folder, items in zip(("tomograms", "labels"), self._labelled()):
            self._linkVolumes(folder, items)


class SubtomogramsBase(OneRunBase):
    """Base of the protocols on subtomograms, beside EngineProtocol."""

    # ----- files for the engine
    def _starFile(self, subtomograms: EMSet) -> str:
        """STAR file of an input set, named by it, so that another input is another file."""
        return os.path.join(self._inputFolder(), inputName("subtomograms", imagesOf(subtomograms)) + ".star")

    def _writeInput(self, classes: bool = False) -> None:
        pwutils.makePath(self._inputFolder())
        subtomograms = self.inputSubtomograms.get()
        writeSubtomograms(self._starFile(subtomograms), subtomograms, (self.tiltMin.get(), self.tiltMax.get()), classes)

    def _writesClasses(self) -> bool:
        """Whether the engine is told the class of each subtomogram where it has one."""
        return False

    def _filesMade(self, config: Any) -> List[str]:
        """The engine's STAR file, and what lies beside it: an earlier start may have left averages there, which the
        engine does not replace."""
        return [config.output] + sorted(glob.glob(glob.escape(os.path.splitext(config.output)[0]) + "_*"))

    # ----- outputs
    def _classesOf(self, path: str, names: Dict[int, str], averages: Dict[int, str]) -> Dict[str, EMSet]:
        """The classes and their averages. names, averages: {class number: name, file}."""
        images = self.inputSubtomograms.get()
        classes = SetOfClassesSubTomograms.create(self._getPath(), template="classes%s.sqlite")
        classes.setImages(self.inputSubtomograms)
        if images.hasCoordinates3D():
            classes.setCoordinates3D(images.getCoordinates3D(asPointer=True))
        fillSubtomogramClasses(classes, path, names, averages)
        outputs = {CLASSES: classes}
        if averages:
            outputs[AVERAGES] = SetOfAverageSubTomograms.create(self._getPath(), template="averages%s.sqlite")
            outputs[AVERAGES].setSamplingRate(images.getSamplingRate())
            appendSubtomogramAverages(outputs[AVERAGES], names, averages)
        return outputs


def cardOfModel(model: Any, kind: str) -> Optional[Dict[str, Any]]:
    """Card of a model of the project; None without one, or if it is gone."""
    try:
        return None if model is None else contract.read_card(model.getFolder(), kind)
    except ValueError:
        return None
