# SPDX-License-Identifier: GPL-3.0-or-later
"""How a molecule in subtomograms moves, or that it does not."""

from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form
from tomo.objects import AverageSubTomogram, SetOfAverageSubTomograms, SetOfSubTomograms

from ...convert.structures import structureFileOf
from ...convert.tomograms.subtomogram_sets import appendLatentSubtomograms, pathAverage
from ...convert.tomograms.subtomograms import isAligned
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import addPointer, notOnForm
from .subtomogram_words import subtomogramHeterogeneityInWords, subtomogramHeterogeneityLines
from .subtomograms_base import AVERAGES, SubtomogramsBase
from .tomogram_checks import checkSubtomograms

LATENT_SET, MEAN = "outputSubtomograms", "outputMean"


class CryodlProtFitSubtomogramHeterogeneity(SubtomogramsBase):
    """Fit a latent space to aligned subtomograms: how the molecule moves or what it lacks, or that it does neither.

    In: subtomograms with the transforms of an alignment. Out: the subtomograms with latent coordinates and clusters,
    averages along the first axes with half-maps, and the mean. The summary says whether there is any motion at all.
    """

    _label = "fit subtomogram heterogeneity"
    _CONFIG = contract.FitSubtomogramHeterogeneityConfig
    NOT_ON_FORM = notOnForm("output", "threads", subtomograms="written from the input set", mask="the input mask")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSubtomogramsParam(form, "Subtomograms with the transforms of an alignment.")
        addPointer(
            form,
            "inputMask",
            "VolumeMask",
            "Mask",
            "Mask of the part of the molecule that may change, in the frame of the average.\n\n"
            "Empty: determined from the subtomograms.",
            allowsNull=True,
        )
        names = ["latent", "particle_diameter", "resolution", "maps", "axes", "clusters", "umap"]
        addConfigParams(form, self._CONFIG, names)
        self._addTiltParams(form)
        addConfigParams(form, self._CONFIG, ["contrast", "tolerance", "seed"])
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.fitStep, settings, needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def fitStep(self, settings: Dict[str, Any]) -> None:
        self._writeInput()
        mask = self.inputMask.get()
        files = {} if mask is None else dict(mask=self._structureFor(mask, named=True))
        self._runOnce(self._config(**dict(self._engineValues(), **files)), self.getLatentFolder())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        subtomograms, made = self.inputSubtomograms.get(), self._result().outputs
        latent = SetOfSubTomograms.create(self._getPath(), template="subtomograms%s.sqlite")
        latent.copyInfo(subtomograms)
        appendLatentSubtomograms(latent, subtomograms, made.subtomograms, made.latent, made.umap)
        mean = AverageSubTomogram()
        mean.setFileName(made.mean)
        mean.setSamplingRate(made.pixel_size)
        outputs = {LATENT_SET: latent, MEAN: mean}
        if any(made.paths):
            outputs[AVERAGES] = SetOfAverageSubTomograms.create(self._getPath(), template="averages%s.sqlite")
            outputs[AVERAGES].setSamplingRate(made.pixel_size)
            for axis, path in enumerate(made.paths, 1):
                for number, name in enumerate(path, 1):
                    outputs[AVERAGES].append(pathAverage(name, made.pixel_size, f"axis {axis}, average {number}"))
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputSubtomograms, output)

    # ----- what the steps share
    def usesGpu(self) -> bool:
        return False

    def getLatentFolder(self) -> str:
        return self._getExtraPath("latent")

    def _engineValues(self) -> Dict[str, Any]:
        mask = self.inputMask.get()
        return dict(
            subtomograms=self._starFile(self.inputSubtomograms.get()),
            output=self.getLatentFolder(),
            threads=self.numberOfThreads.get(),
            mask=None if mask is None else structureFileOf(mask),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        subtomograms = self.inputSubtomograms.get()
        errors = checkSubtomograms(subtomograms)
        needed = contract.SUBTOMOGRAMS_PER_DIMENSION * (self.latent.get() or 1)
        if not errors and subtomograms.getSize() < needed:
            errors.append(
                f"There are {subtomograms.getSize()} subtomograms; {self.latent.get()} latent dimensions need at least "
                f"{needed}. Choose more subtomograms or fewer dimensions."
            )
        if not errors and subtomograms.getSize() < (self.clusters.get() or 1):
            errors.append(
                f"There are {subtomograms.getSize()} subtomograms for {self.clusters.get()} clusters. Choose "
                f"{subtomograms.getSize()} clusters or fewer."
            )
        if not errors and not isAligned(subtomograms):
            errors.append("The subtomograms have no alignment. Align them first.")
        return errors

    def _tell(self, results: Sequence[Result]) -> List[str]:
        if getattr(self, LATENT_SET, None) is None:
            return ["No latent space yet."]
        return subtomogramHeterogeneityLines(self._result())

    def _methods(self) -> List[str]:
        return [] if getattr(self, LATENT_SET, None) is None else [subtomogramHeterogeneityInWords(self._result())]

    def _citations(self) -> List[str]:
        return ["cryodl", "Tipping1999"]
