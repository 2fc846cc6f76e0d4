# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare sets of coordinates with a reference and with each other."""

import dataclasses
import json
import os
from typing import Any, Dict, List

import pyworkflow.utils as pwutils

from ...convert.micrograph_names import imageEnding, micrographNames
from ...convert.micrographs.pick_sets import scaledPicks, writeSet
from ...engine.cryodl import contract
from ...engine.cryodl.contract import ComparePicksConfig
from ...engine.cryodl.contract.micrographs.comparing import ComparePicksOutputs
from ..engine_protocol import OneRun
from ..kinds import Options
from .pick_sets_base import PickSets, PickSetsBase, ReferencePicks

COMPARISON = "comparison.json"


class CryodlProtCompare(OneRun[ComparePicksConfig, ComparePicksOutputs], PickSetsBase):
    """Compare picks of several programs or settings.

    In: two or more sets of coordinates of the same micrographs, and, if there is one, a reference such as manual picks.
    Out: no new set, but metrics: against the reference precision, recall, F1, average precision and curves; among each
    other an agreement matrix, which needs no reference. `Analyze results` shows them, and the picks side by side on the
    micrographs.
    """

    _label = "compare coordinates"
    OUTPUT, NOTHING_YET = "comparison", "No comparison yet."
    FORM = (
        PickSets("Coordinates to compare."),
        ReferencePicks(
            "Particles regarded as ground truth, for instance picked by hand. Only micrographs with reference "
            "particles are compared, and these should be picked completely.",
            "the sets are only compared with each other",
        ),
        Options("particle_diameter", more="\n\nEmpty: the diameter stored with the sets by cryodl."),
    )
    NOT_ON_FORM = {"pixel_size": "the micrographs' sampling rate", "micrographs": "those that all sets have"}

    # ----- steps
    def runStep(self, settings: Dict[str, Any]) -> None:
        """Compare anew: what the sets hold may have changed."""
        self._forget()
        self._writeSets()
        if self._config().border:
            self._linkMicrographs()
        reference = self.referenceCoordinates.get()
        if reference is not None:
            writeSet(self._referenceFolder(), reference, self._frame(), self._comparedNames(), onlyPicked=True)
        self._runEngine(self._config(), self._getExtraPath())

    def _comparedNames(self) -> List[str]:
        """micNames that count: those that all sets have, and with a reference those that it has particles on."""
        names, reference = self._names(), self.referenceCoordinates.get()
        if reference is None:
            return names
        picks = scaledPicks(reference, names, reference.getMicrographs().getSamplingRate())
        return [name for name in names if picks[name]]

    def _writeSets(self) -> None:
        names, frame = self._comparedNames(), self._frame()
        for number, (_, coordinates) in enumerate(self._labelledSets(), 1):
            writeSet(self._setFolder(number), coordinates, frame, names)

    def _linkMicrographs(self) -> None:
        """Micrographs under the names of their picks, for the engine, which asks only for their sizes."""
        pwutils.cleanPath(self._micrographFolder())
        pwutils.makePath(self._micrographFolder())
        names, chosen = micrographNames([m.clone() for m in self._frame()]), set(self._comparedNames())
        for micrograph in self._frame():
            if micrograph.getMicName() in chosen:
                path = os.path.abspath(micrograph.getFileName())
                name = names[micrograph.getObjId()] + imageEnding(path)
                os.symlink(path, os.path.join(self._micrographFolder(), name))

    def _micrographFolder(self) -> str:
        return self._getExtraPath("micrographs")

    def comparisonFile(self) -> str:
        """JSON of the engine: sets, counts, metrics, agreement."""
        return os.path.join(self._output(), COMPARISON)

    def curvesFile(self) -> str:
        """Picture of the curves; only with a reference."""
        return os.path.join(self._output(), "curves.png")

    def comparison(self) -> Any:
        """What the engine found, as Outputs; None before it is there."""
        if not os.path.exists(self.comparisonFile()):
            return None
        with open(self.comparisonFile(), encoding="utf-8") as file:
            return contract.outputs_of(ComparePicksOutputs, json.load(file), old=True)

    def _completed(self, config: ComparePicksConfig) -> ComparePicksConfig:
        if not self._allSets():
            return config
        return dataclasses.replace(
            config,
            pixel_size=self._frame().getSamplingRate(),
            particle_diameter=self._diameter(),
            micrographs=(os.path.join(self._micrographFolder(), "*"),) if config.border else (),
        )

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        if self._comparedNames():
            return []
        return ["The reference has no particles on the micrographs common to all sets. Choose another reference."]
