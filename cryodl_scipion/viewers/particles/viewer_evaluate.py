# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of the evaluation of a denoiser."""

from typing import Any, Dict, List

from ...protocols import CryodlProtEvaluateDenoiser
from ..evaluation_words import PICTURES, TITLES, picturesIn, tableRows, verdictOf
from ..panels_viewer import Panel, PanelsViewer
from ..pictures_window import PicturesWindow
from ..window import WindowView


class CryodlEvaluateViewer(PanelsViewer):
    """What `Analyze results` opens for an evaluation of a denoiser."""

    _label = "evaluation viewer"
    _targets = [CryodlProtEvaluateDenoiser]
    _SECTION = "Evaluation"
    _PANELS = (
        Panel(
            "showVerdict",
            "Verdict and control",
            "Metrics, and what the network makes of pure noise and of unseen particles: what it shows there is "
            "invented.",
        ),
        Panel(
            "showCurves",
            "FRC and FSC curves",
            "FRC with the ground truth of raw, Wiener-filtered and denoised images, and FSC of maps from raw and "
            "denoised particles.",
        ),
        Panel("showParticles", "Triplets and gallery", "Raw particles, denoised particles and ground truth."),
    )
    _WAIT = "There is no evaluation yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol.getEvaluation()

    def _showVerdict(self, evaluation: Dict[str, Any]) -> Any:
        return self._pictures(evaluation, "control")

    def _showCurves(self, evaluation: Dict[str, Any]) -> Any:
        return self._pictures(evaluation, "frc")

    def _showParticles(self, evaluation: Dict[str, Any]) -> Any:
        return self._pictures(evaluation, "triplets")

    def _pictures(self, evaluation: Dict[str, Any], first: Any) -> List[str]:
        """One window for all; the panels differ in the picture that it begins with."""
        good, sentences = verdictOf(evaluation)
        pictures = picturesIn(self.protocol.getEvaluationFolder())
        return [
            WindowView(
                PicturesWindow,
                self.getTkRoot(),
                f"Evaluation: {self.protocol.getRunName()}",
                pictures,
                sentences,
                good,
                (TITLES, tableRows(evaluation)),
                PICTURES[first],
            )
        ]
