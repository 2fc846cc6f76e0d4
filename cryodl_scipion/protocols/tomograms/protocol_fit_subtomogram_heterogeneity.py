# SPDX-License-Identifier: GPL-3.0-or-later
"""How a molecule in subtomograms moves, or that it does not."""

from typing import Any, Dict, List, Sequence

from tomo.objects import AverageSubTomogram, SetOfAverageSubTomograms, SetOfSubTomograms

from ...convert.tomograms.subtomogram_sets import appendLatentSubtomograms, pathAverage
from ...convert.tomograms.subtomograms import isAligned
from ...engine.cryodl import contract
from ...engine.cryodl.contract import FitSubtomogramHeterogeneityConfig, Result
from ...engine.cryodl.contract.tomograms.heterogeneity import FitSubtomogramHeterogeneityOutputs
from ..engine_protocol import OneRun
from ..kinds import Mask, Options
from .subtomogram_words import subtomogramHeterogeneityInWords, subtomogramHeterogeneityLines
from .subtomograms_base import AVERAGES, SubtomogramsBase
from .tomogram_kinds import TILTS, Subtomograms

LATENT_SET, MEAN = "outputSubtomograms", "outputMean"


class CryodlProtFitSubtomogramHeterogeneity(
    SubtomogramsBase, OneRun[FitSubtomogramHeterogeneityConfig, FitSubtomogramHeterogeneityOutputs]
):
    """Fit a latent space to aligned subtomograms: how the molecule moves or what it lacks, or that it does neither.

    In: subtomograms with the transforms of an alignment. Out: the subtomograms with latent coordinates and clusters,
    averages along the first axes with half-maps, and the mean. The summary says whether there is any motion at all.
    """

    _label = "fit subtomogram heterogeneity"
    OUTPUT, NOTHING_YET = "latent", "No latent space yet."
    CITES = ("Tipping1999",)
    FORM = (
        Subtomograms("Subtomograms with the transforms of an alignment."),
        Mask(
            "inputMask",
            "Mask of the part of the molecule that may change, in the frame of the average.",
            empty="determined from the subtomograms",
            related=False,
        ),
        Options("latent", "particle_diameter", "resolution", "maps", "axes", "clusters", "umap"),
        *TILTS,
    )

    def _filesMade(self, config: FitSubtomogramHeterogeneityConfig) -> List[str]:
        return [config.output]

    def _makeOutputs(self, made: FitSubtomogramHeterogeneityOutputs) -> Dict[str, Any]:
        subtomograms, mean = self.inputSubtomograms.get(), AverageSubTomogram()
        latent = SetOfSubTomograms.create(self._getPath(), template="subtomograms%s.sqlite")
        latent.copyInfo(subtomograms)
        appendLatentSubtomograms(latent, subtomograms, made.subtomograms, made.latent, made.umap)
        mean.setFileName(made.mean)
        mean.setSamplingRate(made.pixel_size)
        outputs = {LATENT_SET: latent, MEAN: mean}
        if any(made.paths):
            outputs[AVERAGES] = SetOfAverageSubTomograms.create(self._getPath(), template="averages%s.sqlite")
            outputs[AVERAGES].setSamplingRate(made.pixel_size)
            for axis, path in enumerate(made.paths, 1):
                for number, name in enumerate(path, 1):
                    outputs[AVERAGES].append(pathAverage(name, made.pixel_size, f"axis {axis}, average {number}"))
        return outputs

    def getLatentFolder(self) -> str:
        return self._output()

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        subtomograms, config = self.inputSubtomograms.get(), self._config()
        count, needed = subtomograms.getSize(), contract.SUBTOMOGRAMS_PER_DIMENSION * (config.latent or 1)
        if count < needed:
            return [
                f"There are {count} subtomograms; {config.latent} latent dimensions need at least {needed}. Choose "
                "more subtomograms or fewer dimensions."
            ]
        if count < (config.clusters or 1):
            return [f"There are {count} subtomograms for {config.clusters} clusters. Choose {count} clusters or fewer."]
        return [] if isAligned(subtomograms) else ["The subtomograms have no alignment. Align them first."]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        return subtomogramHeterogeneityLines(self._result()) if hasattr(self, LATENT_SET) else [self.NOTHING_YET]

    def _methods(self) -> List[str]:
        return [subtomogramHeterogeneityInWords(self._result())] if hasattr(self, LATENT_SET) else []
