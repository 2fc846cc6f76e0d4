# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of assessed micrographs."""
from pwem.viewers.plotter import EmPlotter
from pyworkflow.protocol import params
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer

from ..convert.assessments import FIGURES
from ..form import formName
from ..protocols import CryodlProtAssess
from ..protocols.protocol_assess import BAD, GOOD
from .assessment_plots import drawFigures
from .assessment_window import AssessedMicrographs, AssessmentView


class CryodlAssessViewer(ProtocolViewer):
    """What `Analyze results` opens for an assessment, also while it goes on."""
    _label = 'assessment viewer'
    _targets = [CryodlProtAssess]
    _environments = [DESKTOP_TKINTER]

    def _defineParams(self, form):
        form.addSection(label='Assessment')
        form.addParam('showFigures', params.LabelParam, default=True, label="Figures and limits",
                      help="Histograms of what was measured, with the limits of this run.")
        form.addParam('showMicrographs', params.LabelParam, default=True, label="Micrographs and verdicts",
                      help="Each micrograph with its figures, and why it is bad.")

    def _getVisualizeDict(self):
        return {'showFigures': self._showFigures, 'showMicrographs': self._showMicrographs}

    def _data(self):
        """AssessedMicrographs, or None if there is no output yet."""
        outputs = [getattr(self.protocol, name, None) for name in (GOOD, BAD)]
        return AssessedMicrographs(*outputs) if any(output is not None for output in outputs) else None

    def _limits(self):
        """{attribute: number or None}."""
        return {attribute: getattr(self.protocol, formName(figure.limit)).get()
                for attribute, figure in FIGURES.items() if figure.limit}

    def _showFigures(self, paramName=None):
        data = self._data()
        if data is None:
            return [self._notYet()]
        plotter = EmPlotter(windowTitle="Assessed micrographs", figsize=(12, 7))
        drawFigures(plotter.getFigure(), data.figures, self._limits())
        return [plotter]

    def _showMicrographs(self, paramName=None):
        data = self._data()
        return [self._notYet()] if data is None else [AssessmentView(self.getTkRoot(), data, "Assessed micrographs")]

    def _notYet(self):
        return self.infoMessage("No micrograph is assessed yet. Wait until the first batch is done.", "No micrographs yet")
