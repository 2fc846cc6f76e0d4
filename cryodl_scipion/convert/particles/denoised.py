# SPDX-License-Identifier: GPL-3.0-or-later
"""How a set of denoised particles says that it is one, and where the raw images are."""

from pwem.objects import Particle, SetOfParticles
from pyworkflow.object import Boolean, String

from ..arriving import firstOf

# Attribute of a set, and of a denoised micrograph: the name of the model that made the images.
DENOISER = "_cryodlDenoiser"
# Attribute of an item: its raw image as 000001@file. Later protocols keep items' attributes.
RAW_IMAGE = "_cryodlRawImage"
# Attribute of a set: whether its raw images are phase-flipped.
_RAW_FLIPPED = "_cryodlRawFlipped"


def denoiserOf(particles: SetOfParticles) -> str:
    """Name of the model that made the images of a set; '' for raw ones. Sets that other protocols made of denoised ones
    may have lost the set's attribute; their items still tell."""
    name = particles.getAttributeValue(DENOISER, None)
    if name:
        return name
    first = firstOf(particles)
    return "unknown" if first is not None and rawImageOf(first) else ""


def rawImageOf(item: Particle) -> str:
    """'000001@file' of the raw image of a denoised item; '' for a raw one."""
    return item.getAttributeValue(RAW_IMAGE, None) or ""


def markSet(particles: SetOfParticles, model: str) -> None:
    """Write on a set that its images are denoised, and, where it has a CTF, that they have none now. model: name."""
    if not particles.getAttributeValue(DENOISER, None):  # a later batch finds what the first one has set
        setattr(particles, _RAW_FLIPPED, Boolean(particles.isPhaseFlipped()))
    setattr(particles, DENOISER, String(model))
    # RELION and others must not correct the CTF of these images again.
    if particles.hasCTF():
        particles.setIsPhaseFlipped(True)
        particles.setIsAmplitudeCorrected(True)
    particles.setObjComment(
        f"Denoised by the model {model}: not raw data. For viewing, and for initial orientations if the "
        "model knows the structure; never for the final map."
    )


def unmarkSet(particles: SetOfParticles) -> None:
    """Take from a set of raw images, copied from a denoised one, what says that they are denoised."""
    particles.setIsPhaseFlipped(bool(particles.getAttributeValue(_RAW_FLIPPED, False)))
    for name in (DENOISER, _RAW_FLIPPED):
        if particles.hasAttribute(name):
            delattr(particles, name)
    particles.setIsAmplitudeCorrected(False)
    particles.setObjComment("")
