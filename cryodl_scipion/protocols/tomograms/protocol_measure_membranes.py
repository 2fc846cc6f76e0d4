# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure segmented membranes one by one."""

from typing import Any, Dict, List, Sequence

from tomo.objects import SetOfMeshes

from ...engine.cryodl.contract import MeasureMembranesConfig, Result, counted
from ...engine.cryodl.contract.tomograms.membranes import MeasureMembranesOutputs
from ..kinds import Options
from ..methods import versionIn
from .protocol_pick_features import COORDINATES, PointsInMasks
from .tomogram_kinds import Masks


class CryodlProtMeasureMembranes(PointsInMasks[MeasureMembranesConfig, MeasureMembranesOutputs]):
    """Separate segmented membranes, and measure each: area, thickness, curvature, distance to the others.

    In: TomoMasks with labels, or a set of scores of membranes. Out: points on the membranes with their normals, as
    3-D coordinates to pick from and as meshes; a group is a membrane. The run's folder has a table, a mesh of
    triangles of each membrane (.ply) and a volume in which each has its own number.
    """

    _label = "measure membranes"
    NOTHING_YET = "No membranes yet."
    FORM = (
        Masks(
            "inputMasks",
            "Label volumes (*cryodl - merge features*, or TomoMasks of other packages), or scores of membranes "
            "(*cryodl - segment tomograms*).",
        ),
        Options("label"),
        Options("threshold", when="label is None"),
        Options("spacing", "minimum_size", "border", "seed"),
        *COORDINATES,
    )

    def _makeOutputs(self, made: MeasureMembranesOutputs) -> Dict[str, Any]:
        meshes = self._filled(SetOfMeshes.create(self._getPath(), template="meshes%s.sqlite"), made)
        meshes.setNumberOfMeshes(sum(made.counts.values()))
        return dict(outputCoordinates=self._coordinates(made), outputMeshes=meshes)

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        if made is None or getattr(self, "outputMeshes", None) is None:
            return [self.NOTHING_YET]
        lines = [f"*{counted(sum(made.counts.values()), 'membrane')}* of {self._what()}: {made.table}"]
        return lines + [
            f"  {name}: {counted(count, 'membrane')}, {counted(made.points[name], 'point')}"
            for name, count in sorted(made.counts.items())
        ]

    def _methods(self) -> List[str]:
        made = self._made()
        if made is None or getattr(self, "outputMeshes", None) is None:
            return []
        return [
            f"{counted(sum(made.counts.values()), 'membrane')} of {self._what()} were measured with cryodl "
            f"{versionIn(self._engineResults())} at points {self._config().spacing:g} Å apart on their middle surfaces."
        ]
