# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on particles, and what these share: files for the engine, and the denoiser's card."""

import os
from typing import Any, Dict, List, Sequence

from pwem.objects import EMObject, SetOfParticles
from pyworkflow.protocol import params
from pyworkflow.utils import makeFilePath, makePath

from ...convert.names import inputName
from ...convert.particles.particles import writeParticles
from ...convert.relion_star import writeOrientations
from ...engine.cryodl import contract
from ...objects import CryodlModel
from ..kinds import MapOrModel, ModelOfProject, Pointing, PointingMany
from ..protocol_base import OneRunBase
from ..simulating import checkOrientations
from .particle_checks import checkParticles, scaleWarnings

HANDEDNESS = (
    " Map (protein positive) or atomic model. Its handedness must be right; a mirrored map is not detected. The pixel "
    "size of a map is that of Scipion's object."
)
# What every form of the denoiser says.
WHAT_FOR = (
    "A denoised particle is a prediction of the network, which knows one structure, or none (the shipped model). Use "
    "it for viewing, sorting and, with a known structure, initial orientations. Do not use it for a final map, for a "
    "resolution, or as evidence of a detail: where the data lack information, the prediction follows the structure. "
    "Every output stays linked to the raw images."
)


class ParticlesBase(OneRunBase):
    """Base of the protocols on particles, beside EngineProtocol."""

    def _particlesFile(self, particles: SetOfParticles) -> str:
        """STAR file of an input set, named by it, so that another input is another file."""
        return os.path.join(self._inputFolder(), inputName("particles", particles) + ".star")

    def _writeInputs(self, *sets: SetOfParticles) -> None:
        makePath(self._inputFolder())
        for particles in sets:
            writeParticles(self._particlesFile(particles), particles)

    def _modelCard(self) -> Any:
        """The denoiser's card; None without one, or if it is gone, which must not hide what was made with it."""
        model = self.inputModel.get()
        try:
            return None if model is None else contract.read_card(model.getFolder())
        except ValueError:
            return None

    def _pixelWarnings(self, particles: Any) -> List[str]:
        """A sentence if the denoiser works at larger pixels than the particles have."""
        card = self._modelCard()
        if particles is None or not (card or {}).get("pixel_size") or not particles.getSamplingRate():
            return []
        theirs, own = card["pixel_size"], particles.getSamplingRate()
        if own * 1.01 > theirs:
            return []
        return [
            f"The particles have {own:.4g} Å/px, the model works at {theirs:.4g} Å/px: the images are resampled for "
            f"the model and back. Detail finer than {2 * theirs:.3g} Å is lost in the denoised images."
        ]


class Particles(Pointing):
    """Particles, which are written as a STAR file for the engine.

    need: of 'angles', 'ctf' and 'raw'; what, minimum: see checkParticles. finite: False where the engine leaves out
    images with NaN.
    """

    CLASSES, LABEL, to = "SetOfParticles", "Input particles", ("particles",)

    def __init__(
        self,
        name: str,
        help: str,
        need: Sequence[str] = (),
        finite: bool = True,
        what: str = "particles",
        minimum: int = 1,
        **others: Any,
    ) -> None:
        super().__init__(name, help, **others)
        self._need, self._finite, self._what, self._minimum = tuple(need), finite, what, minimum

    def valuesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        return {name: protocol._particlesFile(found) for name in self.fills}

    def filesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        protocol._writeInputs(found)
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        found = self.of(protocol)
        return {f"set_of_{name}": None if found is None else found.getFileName() for name in self.fills}

    def check(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return checkParticles(found, self._need, self._what, self._minimum, self._finite)


class ParticleSets(PointingMany):
    """Several sets of particles, each as Particles."""

    CLASSES, LABEL, to = "SetOfParticles", "Input particles", ("particles",)

    def __init__(self, name: str, help: str, need: Sequence[str], minimum: int = 1, **others: Any) -> None:
        super().__init__(name, help, **others)
        self._need, self._minimum = tuple(need), minimum

    def valuesOf(self, protocol: Any, found: List[SetOfParticles]) -> Dict[str, Any]:
        return dict(particles=tuple(protocol._particlesFile(particles) for particles in found))

    def filesOf(self, protocol: Any, found: List[SetOfParticles]) -> Dict[str, Any]:
        protocol._writeInputs(*found)
        return {}

    def check(self, protocol: Any, found: List[SetOfParticles]) -> List[str]:
        whats = [f"particles of set {number}" for number in range(1, len(found) + 1)]
        named = zip(found, whats if len(found) > 1 else ["particles"])
        return [e for one, what in named for e in checkParticles(one, self._need, what, self._minimum)]


class OrientationsFrom(Pointing):
    """Particles from whose orientations those of simulated ones are drawn."""

    CLASSES, LABEL, to = "SetOfParticles", "Orientations", ("orientations",)

    def __init__(self) -> None:
        super().__init__(
            "inputParticles",
            "Particles with projection alignment. Orientations of the simulated particles are drawn from them, for "
            "instance to reproduce the preferred orientations of a real set.",
            empty="uniform over all orientations",
            related=False,
            pointerCondition="hasAlignmentProj",
            expertLevel=params.LEVEL_ADVANCED,
        )

    def valuesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        return dict(orientations=protocol._getExtraPath("input", "orientations.star"))

    def filesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        path = self.valuesOf(protocol, found)["orientations"]
        makeFilePath(path)
        writeOrientations(path, found)
        return {}

    def check(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return checkOrientations(found)


class StructureOfParticles(MapOrModel):
    """A map or atomic model in the frame of the form's particles. what: it is, in warnings."""

    def __init__(self, name: str, help: str, what: str = "structure", **others: Any) -> None:
        super().__init__(name, help + HANDEDNESS * (what == "structure"), **others)
        self._what = what

    def warn(self, protocol: Any, found: EMObject) -> List[str]:
        particles = protocol.inputParticles.get()
        return scaleWarnings(particles, found, self._what) if isinstance(particles, SetOfParticles) else []


class ParticleDenoiser(ModelOfProject):
    """A denoiser of particles: inputModel."""

    LABEL = "Denoiser"

    def __init__(self, help: str, **others: Any) -> None:
        super().__init__("inputModel", help, "denoiser", **others)

    def warn(self, protocol: Any, found: CryodlModel) -> List[str]:
        return protocol._pixelWarnings(protocol.inputParticles.get())
