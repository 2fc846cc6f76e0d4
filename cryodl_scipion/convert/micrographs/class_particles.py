# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the particles of a SetOfParticles lie on their micrographs, as a STAR file for `labels-from-classes`."""

from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

from pwem.objects import Micrograph, Particle, SetOfParticles

from ..alignment import originOf
from ..micrograph_names import micrographNames
from ..relion_star import writeStar


def writePositionsOfParticles(path: str, particles: SetOfParticles, micrographs: Sequence[Micrograph]) -> int:
    """Write positions and shifts of the particles, with the engine's names of the micrographs.

    Returns the number of particles without coordinates, which are left out.

    path: the file. micrographs: Micrograph objects of the picks. They are found by the name that a particle's
    coordinate has, or by its number if it has none; particles of others keep their micrograph's name, and the engine
    says so.
    """
    names = micrographNames(micrographs)
    byName = {m.getMicName(): names[m.getObjId()] for m in micrographs}

    def micrographOf(item: Particle) -> Tuple[str]:
        coordinate = item.getCoordinate()
        name = coordinate.getMicName()
        if name in byName:
            return (byName[name],)
        number = coordinate.getMicId() or item.getMicId()
        return (name or names.get(number) or f"micrograph_{number}",)

    writers: Sequence[Tuple[Tuple[str, ...], Callable[[Any], Tuple[Any, ...]]]] = [
        (("rlnMicrographName",), micrographOf),
        (("rlnCoordinateX", "rlnCoordinateY"), lambda item: item.getCoordinate().getPosition()),
        (("rlnOriginXAngst", "rlnOriginYAngst"), lambda item: shiftOf(item, particles)),
    ]
    group: Dict[str, Any] = dict(rlnOpticsGroup=1, rlnImagePixelSize=particles.getSamplingRate())

    def placed() -> Iterator[Particle]:
        for item in particles.iterItems():
            coordinate = item.getCoordinate()
            if coordinate is not None and coordinate.getX() is not None:
                yield item

    return particles.getSize() - writeStar(path, [group], writers, placed())


def shiftOf(item: Particle, particles: SetOfParticles) -> Tuple[float, float]:
    """(x, y) in Å, RELION's origin of a particle: the shift that centres it; 0 without an alignment of the set."""
    if not item.hasTransform():
        return 0.0, 0.0
    matrix = item.getTransform().getMatrix()
    if particles.hasAlignmentProj():
        x, y = originOf(matrix)
    elif particles.hasAlignment2D():
        x, y = matrix[:2, 3]  # classes2d.planeMatrix
    else:
        return 0.0, 0.0
    return float(x * particles.getSamplingRate()), float(y * particles.getSamplingRate())
