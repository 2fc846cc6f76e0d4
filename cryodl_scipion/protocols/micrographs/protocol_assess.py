# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure micrographs as they come, and split them into good and bad ones."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from pwem.objects import Micrograph
from pyworkflow.object import String

from ...convert.micrographs import ctfs, picks
from ...engine.cryodl.contract import AssessMicrographsConfig, AssessMicrographsOutputs, Result, counted, describe
from .. import batches, checks, kinds
from .micrograph_kinds import Coordinates, Micrographs

GOOD, BAD = "goodMicrographs", "badMicrographs"
_COORDINATES = Coordinates(
    "inputCoordinates",
    "Picks on these micrographs, preferably with scores; micrographs are matched by name. During picking, "
    "each micrograph waits for its picks.",
    empty="particles and scores are not measured",
)


class CryodlProtAssess(batches.BatchRun[AssessMicrographsConfig, AssessMicrographsOutputs]):
    """Assess micrographs: measure each and split them into good and bad.

    In: micrographs (also while they are still arriving) and, if there are any, coordinates picked on them, which may be
    still growing as well. Out: two sets of micrographs, with the metrics as attributes: particles, mean score,
    contaminated and carbon area in %, and the unevenness of the ice. Bad ones show no particles, thick or crystalline
    ice, drift, contamination or mostly carbon, or are beyond a limit of the form; their attribute says why.
    A stopped run continues where it was."""

    _label = "assess micrographs"
    _OUTPUTS, _WORK, _MADE = (GOOD, BAD), "assess", "assessed"
    OUTPUT = "batches"
    FORM = (
        Micrographs("inputMicrographs", "Micrographs to assess.", picks="inputCoordinates"),
        _COORDINATES,
        kinds.Options("particle_diameter", more="\n\nEmpty: the diameter stored with the coordinates by cryodl."),
        kinds.Section("Limits"),
    )

    def _ofBatch(
        self, config: AssessMicrographsConfig, items: Sequence[Micrograph], folder: str
    ) -> AssessMicrographsConfig:
        self._arriving.writePicks(_COORDINATES.folder(self), items)
        return dataclasses.replace(config, output=os.path.join(folder, "figures"))

    def _append(self, items: Dict[str, Micrograph], made: AssessMicrographsOutputs) -> None:
        for output, names in ((GOOD, made.good), (BAD, made.bad)):
            chosen = {name: micrograph for name, micrograph in items.items() if name in names}
            for name, micrograph in chosen.items():
                metrics = made.metrics[name]  # None where it was not measured
                for attribute, metric in ctfs.METRICS.items():
                    setattr(micrograph, attribute, metric.kind(metrics.get(metric.name)))
                setattr(micrograph, ctfs.REASON, String(metrics.get("reason") or ""))
            if chosen:
                batches.appendItems(self, output, self.inputMicrographs, list(chosen.values()))

    def _completed(self, config: AssessMicrographsConfig) -> AssessMicrographsConfig:
        coordinates = self.inputCoordinates.get()
        known: Any = None if coordinates is None else coordinates.getAttributeValue(picks.DIAMETER, None)
        return dataclasses.replace(config, particle_diameter=config.particle_diameter or known)

    def _checkTogether(self) -> List[str]:
        config, unlimited = self._config(), self.minimumParticles.get() is None and self.minimumScore.get() is None
        wrong = checks.sayIf(
            config.coordinates is None and not unlimited,
            "Minimum number of particles or Minimum mean score is set, but there are no Coordinates to measure them "
            "on. Choose Coordinates, or leave both limits empty.",
        ) or checks.sayIf(
            config.particle_diameter is None,
            "Particle diameter is empty, and there are no coordinates that store it. Give the diameter, in Å.",
        )
        return (
            wrong
            or checks.checkDiameter(config.particle_diameter, self.inputMicrographs.get()) + super()._checkTogether()
        )

    def _tell(self, results: Sequence[Result]) -> List[str]:
        good, bad = (getattr(self, name).getSize() if hasattr(self, name) else 0 for name in (GOOD, BAD))
        config, known = self._config(), [metric.limit for metric in ctfs.METRICS.values() if metric.limit]
        limits = [describe(type(config), name) for name in known if getattr(config, name) is not None]
        lines = [f"  {one.label}: {getattr(config, one.name):g}{' ' + one.unit if one.unit else ''}" for one in limits]
        found = f"*{good} good*, {bad} bad of {counted(good + bad, 'micrograph')}"
        return [found, *lines] if good + bad else ["No micrographs yet."]
