# SPDX-License-Identifier: GPL-3.0-or-later
"""Input kinds of the protocols on particles, and what these share: files for the engine, and the denoiser's card."""

import os
import warnings
from typing import Any, Dict, List, Sequence, Tuple

import mrcfile
import numpy as np
from pwem.objects import AtomStruct, EMObject, SetOfAverages, SetOfClasses2D, SetOfParticles
from pyworkflow.protocol import params
from pyworkflow.utils import makeFilePath, makePath

from ...convert import arriving, names, reading, relion_star
from ...convert.particles.classes2d import writeAverages
from ...convert.particles.denoised import denoiserOf
from ...convert.particles.particles import writeParticles
from ...engine.cryodl.contract import absent
from ...objects import CryodlModel
from ..checks import checkPixelSize
from ..kinds import MapOrModel, Mask, ModelOfProject, Pointing, PointingMany, sayIf
from ..protocol_base import OneRunBase

# Images that are looked at before a run; the engine looks at all.
_LOOKED_AT = 8


def checkParticles(
    particles: SetOfParticles,
    need: Tuple[str, ...] = (),
    what: str = "particles",
    minimum: int = 1,
    finite: bool = True,
) -> List[str]:
    """What is wrong with a SetOfParticles. need: of 'angles' (projection alignment), 'ctf' and 'raw' (not denoised).
    what: its name in the sentences. minimum: of ticked particles. finite: False where the engine leaves out NaN."""
    ticked = particles.getSize() if minimum == 1 else len(particles.getUniqueValues("id", arriving.ENABLED))
    return (
        sayIf(particles.getSize() == 0, f"The set of {what} is empty. Choose another.")
        or sayIf(ticked < minimum, f"The number of {what} is {ticked}; it must be at least {minimum}.")
        or checkPixelSize(particles, what)
        or (_checkRaw(particles, what) if "raw" in need else [])
        or _checkNeeds(particles, need, what)
        or checkStacks(particles, what, finite)
    )


def _checkRaw(particles: SetOfParticles, what: str) -> List[str]:
    model = denoiserOf(particles)
    return sayIf(
        model,
        f"The {what} are denoised images (model {model}), not raw data; results from them would show what the "
        "model learned. Use the raw particles: *cryodl - denoise particles* goes back to them.",
    ) or sayIf(
        particles.isAmplitudeCorrected(),
        f"According to Scipion, the {what} are CTF-corrected in amplitude. Images without amplitude correction "
        "are needed (phase flipping is allowed). Extract them without CTF correction.",
    )


def hasCtf(particles: SetOfParticles) -> bool:
    """Whether particles have CTFs. Of joined sets that say so Scipion drops all where some had none; others note 0."""
    first = arriving.firstOf(particles)
    return particles.hasCTF() and (first is None or first.hasCTF() and (first.getCTF().getDefocusU() or 0) > 0)


def _checkNeeds(particles: SetOfParticles, need: Tuple[str, ...], what: str) -> List[str]:
    first, alignments = arriving.firstOf(particles), {"2D": "only a 2-D alignment", "3D": "a 3-D alignment of volumes"}
    return (
        sayIf(
            "angles" in need and not (particles.hasAlignmentProj() and first.hasTransform()),
            f"The {what} have {alignments.get(particles.getAlignment(), 'no alignment')}; angles of a 3-D refinement "
            "are needed (projection alignment). Refine them, or give them angles with *cryodl - assign initial "
            "orientations*.",
        )
        or sayIf(
            "ctf" in need and not hasCtf(particles),
            f"The {what} have no CTF. Extract them with the CTFs of their micrographs.",
        )
        or sayIf(
            hasCtf(particles) and not relion_star.knowsMicroscope(particles),
            f"The {what} have a CTF, but no voltage, spherical aberration or amplitude contrast. Import the "
            "micrographs with them.",
        )
    )


def checkStacks(particles: SetOfParticles, what: str = "particles", finite: bool = True) -> List[str]:
    """What is wrong with the files of a set: absent, of another kind, too short, not `finite` (if True)."""
    boxes, columns = {}, particles.getUniqueValues(["_filename", "_index"], arriving.ENABLED)
    images = sorted(zip(columns["_filename"], (number or 1 for number in columns["_index"])))
    for path, last in dict(images).items():
        problem, box = _stackProblem(path, last)
        if problem:
            return [f"The {what} cannot be used: {problem}"]
        boxes.setdefault(box, path)
    sizes = ", ".join(f"{box} px in {name}" for box, name in sorted(boxes.items()))
    bad = _notFinite(images) if finite and len(boxes) == 1 else ""
    return sayIf(
        len(boxes) > 1, f"The {what} have several box sizes: {sizes}. Extract them with one box size."
    ) or sayIf(bad, f"The {what} cannot be used: {bad}")


def _stackProblem(path: str, maximum: int) -> Tuple[str, int]:
    """(sentence or '', box in px) of a stack whose image number `maximum` is needed."""
    if not os.path.exists(path):
        return f"the image stack {path} {absent(path)}. Restore it, or extract the particles again.", 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                mode, start = int(mrc.header.mode), 1024 + int(mrc.header.nsymbt)
                shape = tuple(int(mrc.header[name]) for name in ("nz", "ny", "nx"))
        except (ValueError, OSError, EOFError) as error:
            return f"{path} is not a readable stack of images ({error}).", 0
    if mode not in (0, 1, 2, 6, 12) or min(shape) < 1:  # MRC's modes of images: 1, 2, 4 bytes, and the half floats
        return f"{path} is not an MRC stack (.mrcs). Convert the particles first.", 0
    size = start + int(np.prod(shape)) * np.dtype(mrcfile.utils.dtype_from_mode(mode)).itemsize
    cut = "" if maximum > shape[0] else " by its header, but ends before"
    wrong = sayIf(
        shape[1] != shape[2], f"{path} has images of {shape[2]} x {shape[1]} px; they must be square."
    ) or sayIf(
        maximum > shape[0] or os.path.getsize(path) < size,
        f"{path} is too short: image {maximum} is needed, and it holds {shape[0]}{cut}. Extract the particles again.",
    )
    return "".join(wrong), shape[2]


def _notFinite(images: Sequence[Tuple[str, int]]) -> str:
    """A sentence on the first of some images, spread over all, with a NaN or infinity, or ''. images: file, number."""
    for position in np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(int)):
        path, number = images[position]
        values = reading.mapped(path)
        if not np.isfinite(values[number - 1] if values.ndim == 3 else values).all():
            return f"image {number} of {path} has values that are not finite (NaN). Extract it again, or remove it."
    return ""


def scaleWarnings(particles: SetOfParticles, structure: AtomStruct, what: str = "structure") -> Any:
    """Sentences about a map whose pixels or box are not those of the particles. Models have neither."""
    size = structure.getSamplingRate() if hasattr(structure, "getSamplingRate") else None
    if not size:
        return []
    own = particles.getSamplingRate()
    ours, theirs = particles.getXDim() * own, (structure.getDim() or [0])[0] * size
    return sayIf(
        abs(size / own - 1) > 0.001,
        f"The {what} has {size:.4g} Å/px, the particles {own:.4g} Å/px: it will be resampled to that of the particles. "
        "Make sure that both pixel sizes are correct; with a wrong one all results are wrong.",
    ) + sayIf(
        theirs and abs(theirs / ours - 1) > 0.01,
        f"The {what} has a box of {theirs:.0f} Å, the particles one of {ours:.0f} Å: it is "
        f"{'cut' if theirs > ours else 'padded'}.",
    )


HANDEDNESS = (
    " Map (protein positive) or atomic model. Its handedness must be right; a mirrored map is not detected. The pixel "
    "size of a map is that of Scipion's object."
)
# What every form of the denoiser says.
WHAT_FOR = (
    "A denoised particle is a prediction of the network, which knows one structure, or none (the shipped model). Use "
    "it for viewing and, with a known structure, initial orientations. Do not use it for a final map, for a "
    "resolution, or as evidence of a detail: where the data lack information, the prediction follows the structure. "
    "Every output stays linked to the raw images."
)


class ParticlesBase(OneRunBase):
    def _particlesFile(self, particles: SetOfParticles) -> str:
        return os.path.join(self._inputFolder(), names.inputName("particles", particles) + ".star")

    def _writeInputs(self, *sets: SetOfParticles) -> None:
        makePath(self._inputFolder())
        for particles in sets:
            writeParticles(self._particlesFile(particles), particles)

    def _pixelWarnings(self, particles: Any) -> List[str]:
        card = self._modelCard() or {}
        theirs = card.get("pixel_size") or min(card.get("pixel_sizes") or [0])
        if particles is None or not theirs or not particles.getSamplingRate():
            return []
        own = particles.getSamplingRate()
        return sayIf(
            own * 1.01 <= theirs,
            f"The particles have {own:.4g} Å/px, the model works at {theirs:.4g} Å/px: the images are resampled for "
            f"the model and back. Detail finer than {2 * theirs:.3g} Å is lost in the denoised images.",
        )


class Particles(Pointing):
    """Particles, which are written as a STAR file for the engine.

    need: of 'angles', 'ctf' and 'raw'; what, minimum, finite: see checkParticles. bare: said of those without CTF."""

    CLASSES, LABEL, to = "SetOfParticles", "Input particles", ("particles",)

    def __init__(
        self,
        name: str,
        help: str,
        need: Sequence[str] = (),
        finite: bool = True,
        what: str = "particles",
        minimum: int = 1,
        bare: str = "",
        **others: Any,
    ) -> None:
        super().__init__(name, help, **others)
        self._need, self._finite, self._what, self._minimum, self._bare = tuple(need), finite, what, minimum, bare
        self.KNOWN_AS = "set_of_" + self.fills[0]

    def valuesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        return {name: protocol._particlesFile(found) for name in self.fills}

    def filesOf(self, protocol: Any, found: SetOfParticles) -> Dict[str, Any]:
        protocol._writeInputs(found)
        return {}

    def check(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return sayIf(
            (found.getPrefix() or "").strip() and protocol.worksInStreaming(),  # whose file is read anew
            f"The {self._what} are one class of a set of classes. Make a set of particles of it, and choose that.",
        ) or checkParticles(found, self._need, self._what, self._minimum, self._finite)

    def warn(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return sayIf(self._bare and not hasCtf(found), self._bare)


class ParticlesOrAverages(Particles):
    CLASSES = "SetOfParticles, SetOfClasses2D, SetOfAverages"
    _AVERAGES = (SetOfClasses2D, SetOfAverages)

    def filesOf(self, protocol: Any, found: Any) -> Dict[str, Any]:
        if not isinstance(found, self._AVERAGES):
            return super().filesOf(protocol, found)
        makePath(protocol._inputFolder())
        writeAverages(protocol._particlesFile(found), found)
        return {}

    def check(self, protocol: Any, found: Any) -> List[str]:
        empty = sayIf(not found.getSize(), "The set of averages is empty. Choose another.")
        return empty if isinstance(found, self._AVERAGES) else super().check(protocol, found)


class ParticleSets(PointingMany):
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
        matrices = (item.getTransform().getMatrix() for item in found.iterItems(where=arriving.ENABLED))
        relion_star.writeTable(path, "", relion_star.ANGLES, map(relion_star.anglesOf, matrices))
        return {}

    def check(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return sayIf(
            not found.getSize() or not found.hasAlignmentProj(),
            "The particles for the orientations are "
            f"{'an empty set' if found.getSize() == 0 else 'without projection alignment'}. Choose particles of a 3-D "
            "refinement, or leave the field empty.",
        )


class StructureOfParticles(MapOrModel):
    """A map or atomic model in the frame of the form's particles. what: it is, in warnings."""

    def __init__(self, name: str, help: str, what: str = "structure", **others: Any) -> None:
        super().__init__(name, help + HANDEDNESS * (what == "structure"), **others)
        self._what = what

    def warn(self, protocol: Any, found: EMObject) -> List[str]:
        particles = protocol.inputParticles.get()
        return scaleWarnings(particles, found, self._what) if isinstance(particles, SetOfParticles) else []


class MaskOfParticles(Mask, StructureOfParticles):
    """A mask in the frame of the form's particles; the engine resamples and pads one of another pixel size or box."""


class ParticleDenoiser(ModelOfProject):
    LABEL = "Denoiser"

    def __init__(self, help: str, **others: Any) -> None:
        super().__init__("inputModel", help, "denoiser", **others)

    def warn(self, protocol: Any, found: CryodlModel) -> List[str]:
        return protocol._pixelWarnings(protocol.inputParticles.get())
