# SPDX-License-Identifier: GPL-3.0-or-later
"""Coordinates3D in tomograms with directions, and the columns of the STAR files that hold them."""

import dataclasses
import typing

import numpy as np

from ...io.tomogram_coordinates import coordinate_columns


@dataclasses.dataclass(frozen=True)
class Points:
    """n positions in a volume. zyx: (n, 3) voxels. components: (n,) number of the connected component that each lies
    in, from 1. volumes: (n,) nm³ of the component or the split particle. scores: (n,). directions: (n, 3) unit vectors
    zyx, or None. lines: (n,) number of the filament, from 1, or None."""

    zyx: np.ndarray
    components: np.ndarray
    volumes: np.ndarray
    scores: np.ndarray
    directions: np.ndarray | None = None
    lines: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.zyx)

    def subset(self, keep: np.ndarray) -> "Points":
        """Those that a boolean array or indices choose."""
        return dataclasses.replace(
            self,
            **{f.name: value[keep] for f in dataclasses.fields(self) if (value := getattr(self, f.name)) is not None},
        )


def together(parts: typing.Sequence[Points], directions: bool = False, lines: bool = False) -> Points:
    """Points of a list of Points; empty ones, with these columns, of an empty list."""
    empty = Points(
        np.zeros((0, 3)),
        np.zeros(0, int),
        np.zeros(0),
        np.zeros(0),
        np.zeros((0, 3)) if directions else None,
        np.zeros(0, int) if lines else None,
    )
    columns = [f.name for f in dataclasses.fields(Points) if getattr(empty, f.name) is not None]
    return Points(**{name: np.concatenate([getattr(p, name) for p in (empty, *parts)]) for name in columns})


def points_inside(points: Points, shape: tuple[int, ...], border: float) -> Points:
    """The Points not nearer than `border` voxels to the first and last voxels of a volume."""
    return points.subset(np.all((points.zyx >= border) & (points.zyx <= np.array(shape) - 1 - border), axis=1))


def angles_along(directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) rot, tilt, psi in degrees that lay a reference's z axis along directions in the tomogram. In RELION's
    convention the tomogram's place of the reference's z axis is the third column of A(rot, tilt, psi), (-sin tilt cos
    psi, sin tilt sin psi, cos tilt) in x, y, z. Rot turns the reference about this axis: it is unknown and drawn at
    random, so that the missing wedges of an average point everywhere. directions: (n, 3) zyx, of any length."""
    z, y, x = (np.asarray(directions, float) / np.linalg.norm(directions, axis=1, keepdims=True)).T
    rot = rng.uniform(-180, 180, len(z))
    return np.stack([rot, np.degrees(np.arccos(np.clip(z, -1, 1))), np.degrees(np.arctan2(y, -x))], axis=1)


def point_columns(
    name: str, points: Points, seed: int, shape: typing.Sequence[int], pixel_size: float
) -> dict[str, list[typing.Any]]:
    """{column: values} of a tomogram's Points for a STAR file. Without directions all angles are 0. shape: (z, y, x) of
    the volume. pixel_size: Å/px."""
    rng = np.random.default_rng([seed, *name.encode()])
    angles = np.zeros((len(points), 3)) if points.directions is None else angles_along(points.directions, rng)
    columns = dict(
        **coordinate_columns(name, points.zyx, shape, pixel_size),
        rlnAngleRot=angles[:, 0],
        rlnAngleTilt=angles[:, 1],
        rlnAnglePsi=angles[:, 2],
    )
    if points.directions is not None:  # what RELION searches around
        columns.update(rlnAngleTiltPrior=angles[:, 1], rlnAnglePsiPrior=angles[:, 2])
    if points.lines is not None:
        columns.update(rlnHelicalTubeID=points.lines)
    columns.update(cryodlScore=points.scores, cryodlPiece=points.components, cryodlVolume=points.volumes)
    return {key: list(values) for key, values in columns.items()}
