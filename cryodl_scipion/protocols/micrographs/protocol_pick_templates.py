# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles by projections of a structure, or by blobs: the reference that learning must beat."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from ...convert.micrograph_names import micrographNames
from ...convert.micrographs.coordinates import appendPicks, readPicks
from ...convert.micrographs.picks import boxSizeFor, describeOutput
from ...engine.cryodl import __version__, contract
from ...engine.cryodl.contract import PickConfig, Result, counted, score_text
from ...engine.cryodl.contract.micrographs.picking import PickOutputs
from ..checks import checkDiameter
from ..engine_protocol import OneRun
from ..kinds import BoxSize, MapOrModel, Options
from .micrograph_kinds import WholeMicrographs


class CryodlProtPickTemplates(OneRun[PickConfig, PickOutputs]):
    """Pick particles by comparing micrographs with templates, without a network.

    In: micrographs, and a map or an atomic model of the particle, whose projections are sought; or a particle diameter,
    of round blobs. Out: coordinates, each with its correlation coefficient as score. It is there for comparison: set
    its coordinates beside those of other pickers in `cryodl - compare coordinates`.
    A stopped run continues where it was.
    """

    _label = "pick by templates"
    OUTPUT, NOTHING_YET = "picks", "No coordinates yet."
    GOES_ON = True
    CITES = ("Roseman2003",)
    FORM = (
        WholeMicrographs("inputMicrographs", "Micrographs to pick."),
        MapOrModel(
            "inputStructure",
            contract.describe(contract.PickConfig, "structure").help,
            empty="round blobs of the particle diameter",
            related=False,
        ),
        Options("particle_diameter", when="inputStructure is None"),
        Options("threshold", "contrast", "minimum_distance", "border"),
        BoxSize("micrographs", "1.5 times the diameter"),
    )

    NOT_ON_FORM = dict.fromkeys(
        ("method", "model", "threshold_rule", "avoid", "memory", "feature_maps"), "of templates"
    )

    def _settings(self) -> Dict[str, Any]:
        return dict(super()._settings(), box_size=self.boxSize.get())

    def _makeOutputs(self, made: PickOutputs) -> Dict[str, Any]:
        micrographs = [m.clone() for m in self.inputMicrographs.get()]
        names, size = micrographNames(micrographs), self.inputMicrographs.get().getSamplingRate()
        output = self._createSetOfCoordinates(self.inputMicrographs)
        output.setBoxSize(self.boxSize.get() or boxSizeFor(made.particle_diameter, size))
        describeOutput(output, os.path.join(self._output(), "candidates"), made.particle_diameter)
        for micrograph in micrographs:
            path = made.coordinates.get(names[micrograph.getObjId()])
            if path:
                appendPicks(output, micrograph, readPicks(path))
        return dict(outputCoordinates=output)

    def _completed(self, config: PickConfig) -> PickConfig:
        config = dataclasses.replace(config, method="templates")
        return config if config.structure is None else dataclasses.replace(config, particle_diameter=None)

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        config = self._config()
        if config.structure is None and config.particle_diameter is None:
            return [
                "Give either a Structure, whose projections are the templates, or the Particle diameter of round blobs."
            ]
        return checkDiameter(config.particle_diameter, self.inputMicrographs.get())

    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        if made is None or getattr(self, "outputCoordinates", None) is None:
            return [self.NOTHING_YET]
        return [
            f"*{counted(made.picks, 'pick')}* on {counted(len(made.counts), 'micrograph')} with a correlation "
            f"coefficient of at least {score_text(made.threshold)}; expected false picks: {made.expected_false_picks}",
            f"{counted(made.templates, 'template')}, particle diameter {made.particle_diameter:.0f} Å",
        ]

    def _methods(self) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return []
        what = "round blobs" if self.inputStructure.get() is None else "projections of a structure"
        return [
            f"{counted(coordinates.getSize(), 'particle')} were picked with cryodl {__version__} by their locally "
            f"normalised cross-correlation with {what}."
        ]
