# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl simulate-micrographs` made, as Scipion's sets."""

import glob
import os
from typing import Any, List, Tuple

from pwem.objects import Micrograph, SetOfCoordinates, SetOfCTF, SetOfMicrographs, SetOfParticles, Transform
from pyworkflow.object import Float

from ..particles.particles import ctfOf, locationOf, newParticle
from ..relion_star import ANGLES, matrixOf, readColumns
from .picks import coordinateAt

_POSITION = ("rlnCoordinateX", "rlnCoordinateY")
_CTF = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")


def simulatedFiles(folder: str) -> List[Tuple[str, str]]:
    """[(name, path)] of the micrographs in the engine's folder of them, in alphabetical order."""
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*.mrc")))
    return [(os.path.splitext(os.path.basename(path))[0], path) for path in paths]


def appendMicrographs(micrographs: SetOfMicrographs, folder: Any) -> Any:
    """Append all to a SetOfMicrographs, which has pixel size and acquisition. Returns {name: Micrograph with id}."""
    made = {}
    for name, path in simulatedFiles(folder):
        micrograph = Micrograph()
        micrograph.setFileName(path)
        micrograph.setMicName(os.path.basename(path))
        micrograph.setSamplingRate(micrographs.getSamplingRate())
        micrograph.setAcquisition(micrographs.getAcquisition())
        micrographs.append(micrograph)
        made[name] = micrograph.clone()
    return made


def appendCoordinates(coordinates: SetOfCoordinates, micrographs: SetOfMicrographs, folder: str) -> None:
    """Append the known particles, with their angles as rlnAngleRot, rlnAngleTilt and rlnAnglePsi (degrees).
    micrographs: of appendMicrographs. folder: of the STAR files."""
    for name, micrograph in micrographs.items():
        for row in readColumns(os.path.join(folder, name + ".star"), _POSITION + ANGLES, (float,) * 5):
            item = coordinateAt(row[:2], micrograph)
            for angle, value in zip(ANGLES, row[2:]):
                setattr(item, "_" + angle, Float(value))
            coordinates.append(item)


def appendCTFs(ctfs: SetOfCTF, micrographs: SetOfMicrographs, folder: str) -> None:
    """Append the known CTFs, of the texts of CTFFIND."""
    for name, micrograph in micrographs.items():
        with open(os.path.join(folder, name + ".txt"), encoding="utf-8") as file:
            values = next(line.split() for line in file if line.strip() and not line.startswith("#"))
        ctf = ctfOf(*map(float, values[1:4]))
        ctf.setMicrograph(micrograph)
        ctfs.append(ctf)


def appendParticles(particles: SetOfParticles, micrographs: Any, path: Any) -> None:
    """Append the particles of particles.star with alignment, CTF and coordinate. KeyError: of an unknown micrograph."""
    pixelSize, acquisition = particles.getSamplingRate(), particles.getAcquisition()
    columns = ("rlnImageName", "rlnMicrographName") + _POSITION + ANGLES + ("rlnOriginXAngst", "rlnOriginYAngst") + _CTF
    for row in readColumns(path, columns, (str,) * 2 + (float,) * 10, "particles"):
        micrograph = micrographs[os.path.splitext(os.path.basename(row[1]))[0]]
        transform = Transform(matrixOf(row[4:7], [shift / pixelSize for shift in row[7:9]]))
        coordinate, place = coordinateAt(row[2:4], micrograph), locationOf(row[0], path)
        particles.append(newParticle(place, pixelSize, acquisition, coordinate, ctfOf(*row[9:]), transform))
