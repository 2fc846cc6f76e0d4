# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations: RELION's rot, tilt, psi and origins against Scipion's matrices of projection alignment.

Scipion's matrix of a particle (ALIGN_PROJ) is the inverse of [R(-rot, -tilt, -psi) | -origin], where R is the matrix of
rotations about z, y, z with fixed axes; so the plugin of RELION reads and writes it (convert31.py), and a test
compares. That of a subtomogram or a 3-D coordinate is the same with three axes: it turns places of the subtomogram into
places of the reference, as tomo.objects.convertMatrix defines it.
"""

import os
from typing import Any, Sequence

import numpy as np
from pwem.convert import transformations
from pwem.objects import SetOfParticles

from ..engine.cryodl.contract.reading import star_head


def matrixOf(angles: Any, origin: Sequence[float] = (0, 0)) -> np.ndarray:
    """(4, 4) matrix. angles: rot, tilt, psi in degrees. origin: x, y (and z) in px, the shift that centres the
    particle."""
    matrix = transformations.euler_matrix(*[-np.deg2rad(angle) for angle in angles], axes="szyz")
    matrix[: len(origin), 3] = [-shift for shift in origin]
    return np.linalg.inv(matrix)


def anglesOf(matrix: np.ndarray) -> np.ndarray:
    """(3,) rot, tilt, psi in degrees of a (4, 4) matrix."""
    return -np.rad2deg(transformations.euler_from_matrix(np.linalg.inv(matrix), axes="szyz"))


def originOf(matrix: np.ndarray, axes: int = 2) -> np.ndarray:
    """(2,) x, y in px, the shift that centres the particle of a (4, 4) matrix; of a subtomogram 3 axes."""
    return -np.linalg.inv(matrix)[:axes, 3]


def writeOrientations(path: str, particles: SetOfParticles) -> None:
    """STAR file with the angles of a SetOfParticles that has projection alignment."""
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(star_head("", ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")))
        for particle in particles.iterItems():
            rot, tilt, psi = anglesOf(particle.getTransform().getMatrix())
            file.write(f"{rot:.4f} {tilt:.4f} {psi:.4f}\n")
    os.replace(path + ".tmp", path)
