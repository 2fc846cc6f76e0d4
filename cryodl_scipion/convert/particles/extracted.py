# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for `cryodl extract-particles`, and what it cut out as Scipion's particles."""

from typing import Any, Dict, Iterator, List, Optional

from pwem.objects import Coordinate, CTFModel, Micrograph, Particle

from ..micrographs.picks import scaled
from ..relion_star import iterColumns, writeTable
from .particles import locationOf, newParticle

_COLUMNS = ("rlnImageName", "rlnMicrographName", "cryodlPickNumber")


def writeCtfs(path: Any, ctfs: Dict[str, CTFModel]) -> None:
    """Write the CTFs of micrographs as the engine reads them; the microscope's constants are given apart.

    Parameters
    ----------
    path : str
        STAR file.
    ctfs : dict of str to CTFModel
        By the micrographs' names in the engine.
    """
    names = ["rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift"]
    rows = ((name + ".mrc", *ctf.getDefocus(), ctf.getPhaseShift() or 0.0) for name, ctf in ctfs.items())
    writeTable(path, "micrographs", names, rows)


def extractedParticles(
    path: str,
    files: Dict[str, Micrograph],
    coordinates: Dict[str, List[Coordinate]],
    ctfs: Optional[Dict[str, CTFModel]],
    scale: float,
    pixelSize: float,
) -> Iterator[Particle]:
    """Particles of the engine's STAR file, each with its coordinate and its CTF.

    Parameters
    ----------
    path : str
        STAR file.
    files : dict of str to Micrograph
        By file name, as the engine was given it; particles of others are not read.
    coordinates : dict of str to list of Coordinate
        By the micrographs' names, in the order in which the engine was given them.
    ctfs : dict of str to CTFModel, or None
        By the micrographs' names.
    scale : float
        Pixels of the micrographs per pixel of the coordinates.
    pixelSize : float
        Of the particles, Å/px.

    Yields
    ------
    Particle
        Without an id.
    """
    for image, file, number in iterColumns(path, _COLUMNS, (str, str, int), "particles"):
        if file not in files:
            continue
        micrograph = files[file]
        name = micrograph.getMicName()
        coordinate = _onMicrograph(coordinates[name][number - 1], micrograph, scale)
        ctf = None if ctfs is None else ctfs[name].clone()
        yield newParticle(locationOf(image), pixelSize, micrograph.getAcquisition(), coordinate, ctf)


def _onMicrograph(coordinate: Any, micrograph: Micrograph, scale: Any) -> Any:
    """The coordinate with all its attributes, on the micrograph that the particle was cut out of."""
    copy = coordinate.clone()
    if abs(scale - 1) > 1e-6:
        copy.setPosition(*(int(round(p)) for p in scaled(coordinate.getPosition(), scale)))
    copy.setMicrograph(micrograph)
    return copy
