# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of denoised particles from raw ones, and of raw ones from denoised ones."""

from typing import Any, Collection, Optional, Set

import numpy as np
from pwem.objects import Particle, SetOfParticles
from pyworkflow.object import Float, String

from ..star import columnsOf
from .denoised import RAW_IMAGE, markSet, rawImageOf, unmarkSet
from .particles import locationOf, nameOf
from .results import appendRows

# Attribute of items: how much the denoiser found, about 1 where it is sure and 0 where it found nothing.
_STRENGTH = "_cryodlDenoisedStrength"


def appendDenoised(
    denoised: SetOfParticles, particles: SetOfParticles, path: str, model: str, done: Collection[int] = ()
) -> None:
    """Append copies of the raw items with the images of the engine's STAR file, and mark them and the set.

    denoised: set with the raw set's information. path: STAR file of `cryodl denoise`. model: its name. done: ids of the
    particles that it has already.
    Raises ValueError unless every particle is there.
    """
    strengths = (_STRENGTH[1:],) if _STRENGTH[1:] in columnsOf(path, "particles") else ()

    def describe(copy: Particle, row: Any) -> None:
        setattr(copy, RAW_IMAGE, String(nameOf(copy)))
        if strengths:
            setattr(copy, _STRENGTH, Float(row[1]))
        copy.setLocation(*locationOf(row[0], path))

    kinds = (str,) + (float,) * len(strengths)
    appendRows(denoised, particles, path, ("rlnImageName",) + strengths, kinds, describe, done)
    markSet(denoised, model)


def appendRaw(output: SetOfParticles, particles: SetOfParticles, raw: Optional[SetOfParticles] = None) -> None:
    """Append copies of denoised items with their raw images.

    output: new set with the denoised set's information. raw: the set that was denoised, by whose ids the images are
    found, and to whose pixels shifts are rescaled; None: the positions that the items know.
    """
    positions = None if raw is None else {item.getObjId(): item.getLocation() for item in raw}
    ratio = 1.0 if raw is None else particles.getSamplingRate() / raw.getSamplingRate()
    if raw is not None:
        output.setSamplingRate(raw.getSamplingRate())
    for item in particles.iterItems():
        copy = item.clone()
        copy.setLocation(*(locationOf(rawImageOf(item)) if positions is None else positions[item.getObjId()]))
        copy.setSamplingRate(output.getSamplingRate())
        if copy.hasAttribute(RAW_IMAGE):
            delattr(copy, RAW_IMAGE)
        if copy.hasTransform() and abs(ratio - 1) > 1e-6:
            _scaleShifts(copy.getTransform(), ratio)
        output.append(copy)
    unmarkSet(output)


def idsOf(particles: SetOfParticles) -> Set[Any]:
    """Ids of a set's items."""
    return {item.getObjId() for item in particles.iterItems()}


def _scaleShifts(transform: Any, ratio: float) -> None:
    matrix = np.array(transform.getMatrix(), float)
    matrix[:3, 3] *= ratio
    transform.setMatrix(matrix)
