# SPDX-License-Identifier: GPL-3.0-or-later
"""Q-score: how well density around an atom looks like that of an atom (Pintilie et al. 2020, Nature Methods 17)."""

import dataclasses

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from ...core.healpix_grid import sphere_directions
from .atoms import Atoms
from .volume import Volume

SIGMA = 0.6  # Å, width of the Gaussian that a well-resolved atom has; the paper's
RADII = np.arange(0, 2.01, 0.1)  # Å
POINTS = 8  # on each sphere
NEARER = 0.9  # a point belongs to an atom unless another one is nearer than this part of its radius
TRIES = 50  # each with two points more, until POINTS of them belong to the atom


@dataclasses.dataclass(frozen=True)
class ScorePoints:
    """Where a map is read for the Q-scores of some atoms. xyz: (m, 3) Å. owner: (m,) number of the atom that a point
    belongs to, 0 to count - 1. wanted: (m,) value there of the Gaussian of a well-resolved atom."""

    xyz: np.ndarray
    owner: np.ndarray
    wanted: np.ndarray
    count: int


def score_points(atoms: Atoms, rows: np.ndarray | None = None) -> ScorePoints:
    """ScorePoints of Atoms, for many maps of the same model. rows: (k,) numbers of the atoms to score, all if None;
    the others are there still, as neighbours that points must not belong to."""
    tree = cKDTree(atoms.xyz)
    centres = atoms.xyz if rows is None else atoms.xyz[rows]
    positions, owners = zip(*(_points(centres, tree, radius) for radius in RADII))
    values = [np.full(len(owner), np.exp(-0.5 * (radius / SIGMA) ** 2)) for radius, owner in zip(RADII, owners)]
    return ScorePoints(np.concatenate(positions), np.concatenate(owners), np.concatenate(values), len(centres))


def q_scores(volume: Volume, atoms: Atoms, points: ScorePoints | None = None) -> np.ndarray:
    """(n,) Q-score of each atom: the correlation of the map's values around it with a Gaussian; 1 is perfect. At each
    radius up to 2 Å the map is read at POINTS positions that are not nearer to another atom, by trilinear
    interpolation; about the mean, so that scale and offset of the map do not matter. Atoms outside of the map, or in
    constant density, score 0. Hydrogens and waters are not among the atoms, as read_atoms gives them. points:
    score_points(atoms, ...) made before, of whose atoms the scores are; they take most of the time."""
    points = points or score_points(atoms)
    zyx = volume.positions(points.xyz)
    density = map_coordinates(volume.data, zyx.T, order=1, mode="nearest").astype(float)
    inside = ((zyx >= -0.5) & (zyx <= np.array(volume.data.shape) - 0.5)).all(axis=1)
    scores = _correlations(density, points.wanted, points.owner, points.count)
    return np.where(np.bincount(points.owner, ~inside, points.count) > 0, 0.0, scores)


def residue_scores(scores: np.ndarray, atoms: Atoms) -> np.ndarray:
    """(number of residues,) mean of the atoms' scores in each residue."""
    return np.bincount(atoms.residue, scores) / np.bincount(atoms.residue)


def _points(centres: np.ndarray, tree: cKDTree, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (m, 3) at a distance from the atoms that belong to them, and the atoms' numbers (m,)."""
    if radius == 0:
        return np.repeat(centres, POINTS, axis=0), np.repeat(np.arange(len(centres)), POINTS)
    waiting, found, owners = np.arange(len(centres)), [], []
    for attempt in range(TRIES):
        points = centres[waiting, None] + radius * sphere_directions(POINTS + 2 * attempt)
        nearest, _ = tree.query(points.reshape(-1, 3), distance_upper_bound=NEARER * radius)
        belongs = np.isinf(nearest).reshape(len(waiting), -1)  # the atom itself lies farther than that
        enough = belongs.sum(axis=1) >= POINTS
        first = np.argsort(~belongs[enough], axis=1, kind="stable")[:, :POINTS]
        found.append(np.take_along_axis(points[enough], first[..., None], axis=1).reshape(-1, 3))
        owners.append(np.repeat(waiting[enough], POINTS))
        waiting = waiting[~enough]
        if not len(waiting):
            break
    return np.concatenate(found), np.concatenate(owners)


def _correlations(u: np.ndarray, v: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """(count,) correlation coefficients of u and v among the points of each owner."""
    number = np.bincount(owner, minlength=count)
    mean = lambda x: np.bincount(owner, x, count) / np.maximum(number, 1)
    du, dv = u - mean(u)[owner], v - mean(v)[owner]
    norm = np.sqrt(mean(du * du) * mean(dv * dv))
    return np.where(norm > 0, mean(du * dv) / np.where(norm > 0, norm, 1), 0.0)
