# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles' positions and orientations in tomograms, as any file holds them, and as they are used.

Orientations of particles in tomograms, in the words of each program.
Here they are RELION's rot, tilt, psi. R = Rz(rot) Ry(tilt) Rz(psi), about axes that stand, turns the particle in the
tomogram onto the reference (`core.projections.rotation_matrices`). RELION 5's own matrix is its inverse: it "maps
coordinates from particle space to tomogram space" (ParticleSet::getMatrix4x4)."""

import dataclasses
import typing

import numpy as np

from ..core.projections import rotation_matrices
from . import messages

# R is dynamo_euler2matrix, Rz(narot) Rx(tilt) Rz(tdrot): the angles that Dynamo's wiki calls the rotation of the
# template onto the particle run clockwise. And Ry(t) = Rz(90) Rx(t) Rz(-90)
_QUARTER = 90.0
SCORES = ("cryodlScore", "cryodlQ")  # of a detection, and the part of look-alikes among those with at least its score


def dynamo_angles(angles: np.ndarray) -> np.ndarray:
    """Dynamo's tdrot, tilt, narot of RELION's rot, tilt, psi, and the other way round. angles: (n, 3) degrees. Returns
    (n, 3) degrees from -180 to 180."""
    first, tilt, last = np.asarray(angles, float).reshape(-1, 3).T
    turned = np.stack([last - _QUARTER, tilt, first + _QUARTER], axis=1)
    turned[:, ::2] = (turned[:, ::2] + 180) % 360 - 180
    return turned


def to_tomogram(angles: np.ndarray) -> np.ndarray:
    """Matrices that turn the reference into its place in the tomogram, as RELION 5 and copick have them. angles: (n, 3)
    rot, tilt, psi in degrees. Returns (n, 3, 3), for columns x, y, z."""
    return rotation_matrices(np.asarray(angles, float).reshape(-1, 3)).transpose(0, 2, 1)


def angles_of(matrices: np.ndarray) -> np.ndarray:
    """Rot, tilt, psi of matrices of `to_tomogram`. matrices: (n, 3, 3). Returns (n, 3) degrees. Raises ValueError if
    one is no rotation."""
    matrices = np.asarray(matrices, float).reshape(-1, 3, 3)
    if not np.isfinite(matrices).all():
        raise ValueError("a matrix has values that are no finite numbers")
    unit = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0) < 1e-3
    if len(wrong := np.flatnonzero(~(unit & (np.linalg.det(matrices) > 0)))):
        raise ValueError(f"the matrix of point {wrong[0] + 1} is no rotation")
    # R = Rz(rot) Ry(tilt) Rz(psi) is the transposed matrix; where the tilt is 0 or 180, psi takes all of the turn
    m = matrices.transpose(0, 2, 1)
    sine = np.hypot(m[:, 2, 0], m[:, 2, 1])
    known = sine > 1e-9
    rot = np.where(known, np.arctan2(m[:, 1, 2], m[:, 0, 2]), 0.0)
    psi = np.where(known, np.arctan2(m[:, 2, 1], -m[:, 2, 0]), np.arctan2(m[:, 1, 0], m[:, 1, 1]))
    return np.degrees(np.stack([rot, np.arctan2(sine, m[:, 2, 2]), psi], axis=1))


def after(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Rot, tilt, psi of a particle in a subtomogram that was itself cut out in an orientation. RELION 5 has the one in
    rlnAngle and the other in rlnTomoSubtomogram, and multiplies subtomogram times particle (ParticleSet::getMatrix3x3).
    first: (n, 3) of the particle, degrees. then: (n, 3) of the subtomogram, degrees. Returns (n, 3) degrees."""
    return angles_of(to_tomogram(then) @ to_tomogram(first))


@dataclasses.dataclass(frozen=True)
class ParticlePoses:
    """n particles' places in a tomogram. zyx: (n, 3) px. angles: (n, 3) rot, tilt, psi in degrees; scores: (n, 2), see
    SCORES. NaN where nobody knows them."""

    zyx: np.ndarray
    angles: np.ndarray
    scores: np.ndarray

    @classmethod
    def joined(cls, several: typing.Sequence["ParticlePoses"]) -> "ParticlePoses":
        """All of them, one after the other."""
        none = cls(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)))
        return cls(*(np.concatenate(parts) for parts in zip(*(vars(one).values() for one in (none, *several)))))

    def __len__(self) -> int:
        return len(self.zyx)

    @property
    def oriented(self) -> np.ndarray:
        """(n,) whether the orientation is known."""
        return np.asarray(np.isfinite(self.angles).all(axis=1))


SAME_SIDES = 0.03  # binning leaves out some voxels at the end, and pixel sizes are rounded


@dataclasses.dataclass(frozen=True)
class Coordinates3D:
    """n particles' places of a file. path: of the file. tomograms, species: (n,) names, '' where the file does not say.
    xyz: (n, 3), in the unit that `unit` says: 'px' of the tomogram, 'Å' from the middle of its first voxel, or 'centred
    Å'. named: where the names of the tomograms are from: 'inside' the file, the 'file' name, or they are 'numbers'.
    shifts: (n, 3) x, y, z in Å that are taken away from the positions, or None. classes: (n,) numbers as text, or ()
    without; where a file has several, species are their names. angles: (n, 3) rot, tilt, psi in degrees, or None; a
    file whose angles are all 0 knows none. scores: (n, 1 or 2) as in SCORES, NaN where unknown, or None; a file whose
    first ones are all 0 or 1 knows none. sides: (n, 3) x, y, z in Å of the tomogram that they were found in, or
    None. stated: Å/px that the file says its px have, or 0."""

    path: str
    tomograms: tuple[str, ...]
    species: tuple[str, ...]
    xyz: np.ndarray
    unit: str
    named: str = "inside"
    shifts: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    angles: np.ndarray | None = None
    scores: np.ndarray | None = None
    sides: np.ndarray | None = None
    stated: float = 0.0

    def __len__(self) -> int:
        return len(self.xyz)

    def zyx_px(self, rows: np.ndarray, shape: tuple[int, ...], pixel_size: float) -> np.ndarray:
        """(m, 3) voxels zyx of some rows in a tomogram of a shape (z, y, x) and pixel size (Å/px). Raises ValueError if
        they were found in a tomogram of other sides."""
        sides = np.array(shape[::-1]) * pixel_size
        if self.sides is not None and (np.abs(self.sides[rows] / sides - 1) > SAME_SIDES).any():
            theirs = self.sides[rows][np.argmax(np.abs(self.sides[rows] / sides - 1).max(axis=1))]
            raise ValueError(
                f"{self.path} has positions in a tomogram of {' x '.join(f'{side:.0f}' for side in theirs)} Å (x, y, "
                f"z); this one, of the same name, has {' x '.join(f'{side:.0f}' for side in sides)} Å. Give the "
                "tomogram that they were found in."
            )
        if self.stated not in (0, 1) and abs(self.stated / pixel_size - 1) > SAME_SIDES:  # some write 1 that know none
            messages.warn(
                f"{self.path} says {self.stated:g} Å/px, and the tomogram has {pixel_size:g}. Its positions are read "
                "as px of this tomogram: if they are of another binning, give the tomogram of that binning."
            )
        xyz = self.xyz[rows] / (1 if self.unit == "px" else pixel_size)
        if self.unit == "centred Å":
            xyz = xyz + np.array(shape[::-1]) / 2
        if self.shifts is not None:
            xyz = xyz - self.shifts[rows] / pixel_size
        return xyz[:, ::-1]

    def poses(self, rows: np.ndarray, shape: tuple[int, ...], pixel_size: float) -> ParticlePoses:
        """ParticlePoses of some rows in a tomogram of a shape (z, y, x) and pixel size (Å/px)."""
        unknown = self.angles is None or not self.angles.any()
        angles = np.full((len(rows), 3), np.nan) if unknown else typing.cast("np.ndarray", self.angles)[rows]
        scores = np.full((len(rows), 2), np.nan)
        if self.scores is not None and not np.isin(self.scores[:, 0], (0, 1)).all():
            scores[:, : self.scores.shape[1]] = self.scores[rows]
        return ParticlePoses(self.zyx_px(rows, shape, pixel_size), angles, scores)
