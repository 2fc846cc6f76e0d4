# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of assessed micrographs."""

from typing import Any, Dict, List

from ...convert.micrographs.assessments import METRICS
from ...form import formName
from ...protocols import CryodlProtAssess
from ...protocols.micrographs.protocol_assess import BAD, GOOD
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView
from .assessment_plots import drawMetrics
from .assessment_window import AssessedMicrographs, AssessmentWindow


class CryodlAssessViewer(PanelsViewer):
    """What `Analyze results` opens for an assessment, also while it goes on."""

    _label = "assessment viewer"
    _targets = [CryodlProtAssess]
    _SECTION = "Assessment"
    _PANELS = (
        Panel(
            "showMicrographs",
            "Micrographs and verdicts",
            "Each micrograph with picks, contaminated and carbon areas and metrics, and why it is bad.",
        ),
        Panel("showMetrics", "Metrics and limits", "Histograms of the metrics, with the limits of this run."),
    )
    _WAIT = "No micrograph is assessed yet. Wait until the first batch is done."

    def _data(self) -> Any:
        outputs = [getattr(self.protocol, name, None) for name in (GOOD, BAD)]
        if all(output is None for output in outputs):
            return None
        protocol = self.protocol
        good, bad = outputs
        return AssessedMicrographs(
            good, bad, protocol.inputCoordinates.get(), protocol._diameter() or 0, protocol._getExtraPath("batches")
        )

    def _limits(self) -> Dict[str, Any]:
        """{attribute: number or None}."""
        return {
            attribute: getattr(self.protocol, formName(metric.limit)).get()
            for attribute, metric in METRICS.items()
            if metric.limit
        }

    def _showMetrics(self, data: Any) -> List[str]:
        plotter = self._plot("Assessed micrographs", (12, 7))
        drawMetrics(plotter.getFigure(), data.metrics, self._limits())
        return [plotter]

    def _showMicrographs(self, data: Any) -> List[str]:
        return [WindowView(AssessmentWindow, self.getTkRoot(), data, "Assessed micrographs")]
