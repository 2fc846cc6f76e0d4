# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of denoised and of simulated particles, and of the evaluation of a denoiser."""

from typing import Any, Dict, List

from pwem.objects import SetOfParticles
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...convert.particles.denoised import denoiserOf
from ...protocols import CryodlProtDenoise, CryodlProtEvaluateDenoiser, CryodlProtExtractParticles
from ..gallery_data import Gallery
from ..gallery_window import GalleryWindow
from ..panels_viewer import Panel, PanelsViewer
from ..pictures_window import PICTURES, TITLES, PicturesWindow, picturesIn, tableRows, verdictOf
from ..subsets import itemsSubset
from ..window import WindowView


class CryodlGalleryViewer(Viewer):
    """Denoised particles beside their raw images, for sets that our denoiser has made and what came of them."""

    _name = "cryodl raw and denoised particles"
    _targets = [SetOfParticles]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        return isinstance(instance, SetOfParticles) and bool(denoiserOf(instance))

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        subset = itemsSubset(self, obj, "particle")
        title = f"Denoised by {denoiserOf(obj)}"
        return [WindowView(GalleryWindow, self.getTkRoot(), Gallery.ofSet(obj), title, None, subset)]


class CryodlParticlesViewer(Viewer):
    """What `Analyze results` opens for runs that make particles: a gallery."""

    _name = "cryodl particles"
    _targets = [CryodlProtDenoise, CryodlProtExtractParticles]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        particles = getattr(obj, "outputParticles", None)
        if particles is None:
            return [self.infoMessage("There are no particles yet. Wait until the run has finished.", "Nothing yet")]
        data = Gallery.ofSet(particles)
        subset = itemsSubset(self, particles, "particle")
        return [WindowView(GalleryWindow, self.getTkRoot(), data, obj.getRunName(), None, subset)]


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
