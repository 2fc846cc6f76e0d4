# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure segmented membranes one by one."""

from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form
from tomo.objects import SetOfMeshes

from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..methods import versionIn
from .protocol_pick_features import CryodlProtPickFeatures


class CryodlProtMeasureMembranes(CryodlProtPickFeatures):
    """Separate segmented membranes, and measure each: area, thickness, curvature, distance to the others.

    In: TomoMasks with labels, or a set of scores of membranes. Out: points on the membranes with their normals, as
    3-D coordinates to pick from and as meshes; a group is a membrane. The run's folder has a table, a mesh of
    triangles of each membrane (.ply) and a volume in which each has its own number.
    """

    _label = "measure membranes"
    _CONFIG = contract.MeasureMembranesConfig

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMasksParam(
            form,
            "inputMasks",
            "Label volumes (*cryodl - merge features*, or TomoMasks of other packages), or scores of membranes "
            "(*cryodl - segment tomograms*).",
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["label", "threshold", "spacing", "minimum_size", "border", "seed"],
            threshold=dict(condition="label is None"),
        )
        self._addCoordinatesParams(form)

    # ----- steps
    def createOutputStep(self, settings: Dict[str, Any], boxSize: int) -> None:
        super().createOutputStep(settings, boxSize)
        meshes = SetOfMeshes.create(self._getPath(), template="meshes%s.sqlite")
        self._fill(meshes, boxSize)
        meshes.setNumberOfMeshes(sum(self._result().outputs.counts.values()))
        self._defineOutputs(outputMeshes=meshes)
        self._relate(meshes)

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        if getattr(self, "outputMeshes", None) is None:
            return ["No membranes yet."]
        outputs = self._result().outputs
        lines = [f"*{counted(sum(outputs.counts.values()), 'membrane')}* of {self._what()}: {outputs.table}"]
        return lines + [
            f"  {name}: {counted(count, 'membrane')}, {counted(outputs.points[name], 'point')}"
            for name, count in sorted(outputs.counts.items())
        ]

    def _methods(self) -> List[str]:
        if getattr(self, "outputMeshes", None) is None:
            return []
        outputs = self._result().outputs
        return [
            f"{counted(sum(outputs.counts.values()), 'membrane')} of {self._what()} were measured with cryodl "
            f"{versionIn(self._engineResults())} at points {self.spacing.get():g} Å apart on their middle surfaces."
        ]
