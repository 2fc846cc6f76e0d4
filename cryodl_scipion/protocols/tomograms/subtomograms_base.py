# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on subtomograms share: pointers, the STAR file for the engine, classes and averages as outputs."""

import glob
import os
from typing import Dict, List

import pyworkflow.utils as pwutils
from pwem.objects import EMSet
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfAverageSubTomograms, SetOfClassesSubTomograms

from ...convert.names import inputName
from ...convert.tomograms.subtomogram_sets import appendSubtomogramAverages, fillSubtomogramClasses
from ...convert.tomograms.subtomograms import imagesOf, writeSubtomograms
from ...form import addConfigParams
from ..form_parts import addPointer
from ..one_run import OneRunBase

CLASSES, AVERAGES, UNKNOWN_SET = "outputClasses", "outputAverages", "outputUnknown"


class SubtomogramsBase(OneRunBase):
    """Base of the protocols on subtomograms; a child gives _checkInputs and _engineValues as of CryodlProtBase."""

    # ----- form
    def _addSubtomogramsParam(self, form: Form, help: str, pointerClass: str = "SetOfSubTomograms") -> None:
        addPointer(form, "inputSubtomograms", pointerClass, "Subtomograms", help, important=True)

    def _addTiltParams(self, form: Form) -> None:
        """The range of tilts, asked for because not all packages keep it with the subtomograms."""
        for name, word in (("tilt_min", "Minimum"), ("tilt_max", "Maximum")):
            addConfigParams(
                form,
                self._CONFIG,
                [name],
                **{
                    name: dict(
                        help=f"{word} tilt angle of the series, about the y axis; it defines the missing wedge. Used "
                        "if neither the subtomograms nor their tomograms store their tilt range."
                    )
                },
            )

    # ----- files for the engine
    def _starFile(self, subtomograms: EMSet) -> str:
        """STAR file of an input set, named by it, so that another input is another file."""
        return os.path.join(self._inputFolder(), inputName("subtomograms", imagesOf(subtomograms)) + ".star")

    def _writeInput(self, classes: bool = False) -> None:
        pwutils.makePath(self._inputFolder())
        subtomograms = self.inputSubtomograms.get()
        writeSubtomograms(self._starFile(subtomograms), subtomograms, (self.tiltMin.get(), self.tiltMax.get()), classes)

    def _filesMade(self) -> List[str]:
        """The engine's STAR file, and what lies beside it: an earlier start may have left averages there, which the
        engine does not replace."""
        stem = os.path.splitext(self._outputFile())[0]
        return [self._outputFile()] + sorted(glob.glob(glob.escape(stem) + "_*"))

    # ----- outputs
    def _defineClasses(self, path: str, names: Dict[int, str], averages: Dict[int, str]) -> Dict[str, EMSet]:
        """Define the classes and their averages. names, averages: {class number: name, file}. Returns the outputs."""
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
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputSubtomograms, output)
        return outputs
