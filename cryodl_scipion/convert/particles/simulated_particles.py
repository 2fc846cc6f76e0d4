# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl simulate-particles` made, as Scipion's sets."""

from typing import Any, Tuple

from pwem.objects import Coordinate, CTFModel, Particle, SetOfParticles
from pyworkflow.object import Integer

from ..star import columnsOf, iterColumns
from .oriented import ANGLES, ORIGIN, transformOf
from .particles import locationOf

_COLUMNS = ("rlnImageName", "rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle") + ANGLES + ORIGIN
_HALF = "rlnRandomSubset"


def appendSimulated(particles: Any, path: Any, cleanPath: str, clean: SetOfParticles) -> None:
    """Append the simulated particles with true alignment, CTF, micrograph and half set; clean images to their own set.

    particles, clean: new sets with pixel size and acquisition; the clean one has no CTF. path: the engine's STAR file.
    cleanPath: the stack of clean images, in the same order. Items of one particle have the same id in both sets.
    """
    columns: Tuple[str, ...] = _COLUMNS
    kinds: Tuple[type, ...] = (str, str) + (float,) * 8
    hasHalf = _HALF in columnsOf(path, "particles")
    if hasHalf:
        columns, kinds = columns + (_HALF,), kinds + (int,)
    micrographs = {}
    for number, row in enumerate(iterColumns(path, columns, kinds, "particles"), 1):
        item = Particle()
        item.setLocation(*locationOf(row[0], path))
        item.setSamplingRate(particles.getSamplingRate())
        item.setAcquisition(particles.getAcquisition())
        item.setMicId(micrographs.setdefault(row[1], len(micrographs) + 1))
        item.setCoordinate(_coordinate(row[1], item.getMicId()))
        item.setTransform(transformOf(row[5:10], particles.getSamplingRate()))
        if hasHalf:
            setattr(item, "_" + _HALF, Integer(row[10]))
        bare = item.clone()
        bare.setLocation(number, cleanPath)
        clean.append(bare)
        ctf = CTFModel()
        ctf.setStandardDefocus(*row[2:5])
        item.setCTF(ctf)
        particles.append(item)


def _coordinate(micName: Any, micId: int) -> Any:
    # There are no micrographs; the name keeps particles of one defocus together, as RELION and the validation split
    # want.
    coordinate = Coordinate(x=0, y=0)
    coordinate.setMicName(micName)
    coordinate.setMicId(micId)
    return coordinate
