# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of denoised and of simulated particles."""

from typing import Any, List

from pwem.objects import SetOfParticles
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...convert.particles.denoised import denoiserOf
from ...protocols import CryodlProtDenoise, CryodlProtExtractParticles, CryodlProtSimulateParticles
from ..gallery_data import Gallery
from ..gallery_window import GalleryWindow
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
    """What `Analyze results` opens for runs that make particles: a gallery, beside the ground truth of simulated
    ones."""

    _name = "cryodl particles"
    _targets = [CryodlProtDenoise, CryodlProtExtractParticles, CryodlProtSimulateParticles]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        particles = getattr(obj, "outputParticles", None)
        if particles is None:
            return [self.infoMessage("There are no particles yet. Wait until the run has finished.", "Nothing yet")]
        data = Gallery.ofSet(particles, ground_truth=getattr(obj, "outputClean", None))
        subset = itemsSubset(self, particles, "particle")
        return [WindowView(GalleryWindow, self.getTkRoot(), data, obj.getRunName(), None, subset)]
