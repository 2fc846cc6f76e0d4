# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on subtomograms share: pointers, the STAR file for the engine, classes and averages as outputs."""

import glob
import os
from typing import Any, Dict, List

import pyworkflow.utils as pwutils
from pwem.objects import EMSet
from tomo.objects import SetOfAverageSubTomograms, SetOfClassesSubTomograms

from ...convert.names import inputName
from ...convert.tomograms.subtomogram_sets import appendSubtomogramAverages, fillSubtomogramClasses
from ...convert.tomograms.subtomograms import imagesOf, writeSubtomograms
from ..protocol_base import OneRunBase

CLASSES, AVERAGES, UNKNOWN_SET = "outputClasses", "outputAverages", "outputUnknown"


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
