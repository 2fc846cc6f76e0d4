# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations of particles in tomograms, in the words of each program.

Here they are RELION's rot, tilt, psi. R = Rz(rot) Ry(tilt) Rz(psi), about axes that stand, turns the particle in the
tomogram onto the reference (`core.projections.rotation_matrices`). RELION 5's own matrix is its inverse: it "maps
coordinates from particle space to tomogram space" (ParticleSet::getMatrix4x4).
"""

import numpy as np

# R is dynamo_euler2matrix, Rz(narot) Rx(tilt) Rz(tdrot): the angles that Dynamo's wiki calls the rotation of the
# template onto the particle run clockwise. And Ry(t) = Rz(90) Rx(t) Rz(-90)
_QUARTER = 90.0


def to_dynamo(angles: np.ndarray) -> np.ndarray:
    """Dynamo's tdrot, tilt, narot.

    Parameters
    ----------
    angles : ndarray, (n, 3)
        Rot, tilt, psi in degrees.

    Returns
    -------
    ndarray, (n, 3)
        Degrees from -180 to 180.
    """
    rot, tilt, psi = np.asarray(angles, float).reshape(-1, 3).T
    return np.stack([_within(psi - _QUARTER), tilt, _within(rot + _QUARTER)], axis=1)


def from_dynamo(angles: np.ndarray) -> np.ndarray:
    """Rot, tilt, psi of Dynamo's angles.

    Parameters
    ----------
    angles : ndarray, (n, 3)
        Tdrot, tilt, narot in degrees.

    Returns
    -------
    ndarray, (n, 3)
        Degrees from -180 to 180.
    """
    tdrot, tilt, narot = np.asarray(angles, float).reshape(-1, 3).T
    return np.stack([_within(narot - _QUARTER), tilt, _within(tdrot + _QUARTER)], axis=1)


def to_tomogram(angles: np.ndarray) -> np.ndarray:
    """Matrices that turn the reference into its place in the tomogram, as RELION 5 and copick have them.

    Parameters
    ----------
    angles : ndarray, (n, 3)
        Rot, tilt, psi in degrees.

    Returns
    -------
    ndarray, (n, 3, 3)
        For columns x, y, z.
    """
    from ..core.projections import rotation_matrices  # which needs torch

    return rotation_matrices(np.asarray(angles, float).reshape(-1, 3)).transpose(0, 2, 1)


def angles_of(matrices: np.ndarray) -> np.ndarray:
    """Rot, tilt, psi of matrices of `to_tomogram`.

    Parameters
    ----------
    matrices : ndarray, (n, 3, 3)

    Returns
    -------
    ndarray, (n, 3)
        Degrees.

    Raises
    ------
    ValueError
        If one is no rotation.
    """
    matrices = np.asarray(matrices, float).reshape(-1, 3, 3)
    if not np.isfinite(matrices).all():
        raise ValueError("a matrix has values that are no finite numbers")
    unit = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0) < 1e-3
    wrong = np.flatnonzero(~(unit & (np.linalg.det(matrices) > 0)))
    if len(wrong):
        raise ValueError(f"the matrix of point {wrong[0] + 1} is no rotation")
    # R = Rz(rot) Ry(tilt) Rz(psi) is the transposed matrix; where the tilt is 0 or 180, psi takes all of the turn
    m = matrices.transpose(0, 2, 1)
    sine = np.hypot(m[:, 2, 0], m[:, 2, 1])
    known = sine > 1e-9
    rot = np.where(known, np.arctan2(m[:, 1, 2], m[:, 0, 2]), 0.0)
    free = np.arctan2(m[:, 1, 0], m[:, 1, 1])
    psi = np.where(known, np.arctan2(m[:, 2, 1], -m[:, 2, 0]), free)
    return np.degrees(np.stack([rot, np.arctan2(sine, m[:, 2, 2]), psi], axis=1))


def after(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Rot, tilt, psi of a particle in a subtomogram that was itself cut out in an orientation.

    RELION 5 has the one in rlnAngle and the other in rlnTomoSubtomogram, and multiplies subtomogram times particle
    (ParticleSet::getMatrix3x3).

    Parameters
    ----------
    first : ndarray, (n, 3)
        Of the particle, degrees.
    then : ndarray, (n, 3)
        Of the subtomogram, degrees.

    Returns
    -------
    ndarray, (n, 3)
        Degrees.
    """
    return angles_of(to_tomogram(then) @ to_tomogram(first))


def _within(degrees: np.ndarray) -> np.ndarray:
    """Degrees from -180 to 180."""
    return (degrees + 180) % 360 - 180
