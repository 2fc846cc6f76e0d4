# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine found of particles - angles, probabilities, simulated truth - as items of sets."""

from pwem.objects import Transform
from pyworkflow.object import Float

from ..alignment import matrixOf
from ..star import columnsOf
from .particles import pairedRows

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGIN = ("rlnOriginXAngst", "rlnOriginYAngst")
# Attributes of items, with an underscore before them.
SCORES = ("rlnMaxValueProbDistribution", "cryodlScore", "cryodlMargin")


def transformOf(pose, pixelSize):
    """Scipion's Transform of (rot, tilt, psi, origin x, origin y); origin in Å."""
    return Transform(matrixOf(pose[:3], [shift / pixelSize for shift in pose[3:5]]))


def appendOriented(output, particles, path):
    """Append copies of items with the angles, shifts and scores of `cryodl assign-orientations`.

    output: new set with projection alignment. path: the engine's STAR file.
    Raises ValueError unless every particle is there.
    """
    scores = [name for name in SCORES if name in columnsOf(path, "particles")]
    columns = ANGLES + ORIGIN + tuple(scores)
    for item, row in pairedRows(particles, path, columns, (float,) * len(columns)):
        copy = item.clone()
        copy.setTransform(transformOf(row, particles.getSamplingRate()))
        for name, value in zip(scores, row[5:]):
            setattr(copy, "_" + name, Float(value))
        output.append(copy)
    if output.getSize() != particles.getSize():
        raise ValueError(
            "%s has %d of the %d particles. Run the protocol anew." % (path, output.getSize(), particles.getSize())
        )
