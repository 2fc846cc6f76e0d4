# SPDX-License-Identifier: GPL-3.0-or-later
"""Group subtomograms by what they show, without labels."""

from typing import Any, Dict, List, Sequence

from ...engine.cryodl.contract import ClusterSubtomogramsConfig, Result
from ...engine.cryodl.contract.tomograms.clustering import ClusterSubtomogramsOutputs
from ..engine_protocol import OneRun
from ..kinds import Options
from .subtomogram_words import CONSTRAINED, clusteredLines, clusteringInWords
from .subtomograms_base import CLASSES, SubtomogramsBase
from .tomogram_kinds import TILTS, Subtomograms


class CryodlProtClusterSubtomograms(SubtomogramsBase, OneRun[ClusterSubtomogramsConfig, ClusterSubtomogramsOutputs]):
    """Group subtomograms by what they show, without labels.

    In: subtomograms, best with the angles of an alignment. Of a pair only those Fourier coefficients are compared
    that both have measured. Out: classes with averages that are compensated for the missing wedge, and the position
    of each subtomogram in the embedding.
    """

    _label = "cluster subtomograms"
    OUTPUT, NOTHING_YET = "clustered.star", "No classes yet."
    FORM = (
        Subtomograms("Subtomograms to cluster."),
        Options("classes", "embedding", "align", "components", "particle_diameter", "resolution"),
        *TILTS,
    )

    def _makeOutputs(self, made: ClusterSubtomogramsOutputs) -> Dict[str, Any]:
        names = {int(number): f"cluster {number}" for number in made.counts}
        return self._classesOf(made.subtomograms, names, {int(n): path for n, path in (made.averages or {}).items()})

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        count, classes = self.inputSubtomograms.get().getSize(), self._config().classes
        if count >= 2 * (classes or 1):
            return []
        return [f"There are {count} subtomograms for {classes} classes; at least twice as many as classes are needed."]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        return [self.NOTHING_YET] if made is None or not hasattr(self, CLASSES) else clusteredLines(made)

    def _methods(self) -> List[str]:
        made, config = self._made(), self._config()
        if made is None or not hasattr(self, CLASSES):
            return []
        return [clusteringInWords(made, config.embedding, config.compensate, self._result())]

    def _citations(self) -> List[str]:
        return ["cryodl"] + list(CONSTRAINED if self._config().compensate else ())
