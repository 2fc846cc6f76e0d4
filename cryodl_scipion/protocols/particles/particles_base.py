# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on particles share: pointers, and files for the engine."""

import os
from typing import Any, List, Optional

import pyworkflow.utils as pwutils
from pwem.objects import SetOfParticles

from ...convert.names import inputName
from ...convert.particles.particles import writeParticles
from ...engine.cryodl import contract
from ..one_run import OneRunBase

# What every form of the denoiser says.
WHAT_FOR = (
    "A denoised particle is a prediction of the network, which knows one structure, or none (the shipped model). Use "
    "it for viewing, sorting and, with a known structure, initial orientations. Do not use it for a final map, for a "
    "resolution, or as evidence of a detail: where the data lack information, the prediction follows the structure. "
    "Every output stays linked to the raw images."
)


class ParticlesBase(OneRunBase):
    """Base of the protocols on particles, beside EngineProtocol."""

    # ----- files for the engine
    def _particlesFile(self, particles: SetOfParticles) -> str:
        """STAR file of an input set, named by it, so that another input is another file."""
        return os.path.join(self._inputFolder(), inputName("particles", particles) + ".star")

    def _writeInputs(self, *sets: SetOfParticles) -> None:
        pwutils.makePath(self._inputFolder())
        for particles in sets:
            writeParticles(self._particlesFile(particles), particles)

    # ----- checks
    def _modelCard(self) -> Any:
        """The denoiser's card; None without one, or if it is gone, which must not hide what was made with it."""
        model = self.inputModel.get()
        try:
            return None if model is None else contract.read_card(model.getFolder())
        except ValueError:
            return None

    def _pixelWarnings(self, particles: Any) -> List[str]:
        """A sentence if the denoiser learned at another pixel size than the particles have."""
        card = self._modelCard()
        if particles is None or not (card or {}).get("pixel_size") or not particles.getSamplingRate():
            return []
        theirs, own = card["pixel_size"], particles.getSamplingRate()
        if abs(theirs / own - 1) <= 0.01:
            return []
        finer = f" Detail finer than {2 * theirs:.3g} Å is lost in the denoised images." if own < theirs else ""
        return [
            f"The particles have {own:.4g} Å/px, the model works at {theirs:.4g} Å/px: the images are resampled for "
            f"the model and back.{finer}"
        ]

    def _denoiserFolder(self) -> Optional[str]:
        model = self.inputModel.get()
        return None if model is None else model.getFolder()
