# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of denoised and of simulated particles, and of the evaluation of a denoiser."""

from typing import Any, Dict

from pwem.objects import SetOfParticles

from ...convert.particles.denoised import denoiserOf
from ...protocols import CryodlProtDenoise, CryodlProtEvaluateDenoiser, CryodlProtExtractParticles
from .. import gallery_window, panels_viewer
from ..window import PICTURES, TITLES, PicturesWindow, picturesIn, tableRows, verdictOf


class CryodlGalleryViewer(
    panels_viewer.ObjectViewer, name="cryodl raw and denoised particles", targets=[SetOfParticles], only=denoiserOf
):
    def show(self, obj: SetOfParticles) -> Any:
        return self.gallery(gallery_window.Gallery.ofSet(obj), f"Denoised by {denoiserOf(obj)}", obj)


class CryodlParticlesViewer(
    panels_viewer.ObjectViewer, name="cryodl particles", targets=[CryodlProtDenoise, CryodlProtExtractParticles]
):
    def show(self, obj: Any) -> Any:
        wait = "There are no particles yet. Wait until the run has finished."
        particles = self.needed(getattr(obj, "outputParticles", None), obj, wait)
        return self.gallery(gallery_window.Gallery.ofSet(particles), obj.getRunName(), particles)


class CryodlEvaluateViewer(
    panels_viewer.PanelsViewer,
    targets=[CryodlProtEvaluateDenoiser],
    section="Evaluation",
    wait="There is no evaluation",
    data="getEvaluation",
):
    @panels_viewer.panel(
        "Verdict and control",
        "Metrics, and what the network makes of pure noise and of unseen particles: what it shows there is invented. "
        "Below, curves and particles.",
    )
    def showVerdict(self, evaluation: Dict[str, Any]) -> Any:
        good, sentences = verdictOf(evaluation)
        pictures, table = picturesIn(self.protocol.getEvaluationFolder()), (TITLES, tableRows(evaluation))
        return self.window(PicturesWindow, self.title(), pictures, sentences, good, table, PICTURES["control"])
