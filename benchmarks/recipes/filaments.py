# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs of filaments, drawn from atomic models with their symmetry, apart from the engine's training scenes."""

import gzip

import gemmi
import mrcfile
import numpy as np
from bench import structure_file
from scipy.ndimage import distance_transform_edt, gaussian_filter

from cryodl.core.optics import ctf_rfft

from .other_particles import noise as coloured

# file, diameter (Å), pixel size (Å/px)
FILAMENTS = {"microtubule": ("5KMG", 280.0, 5.0), "ASC": ("3J63_filament", 90.0, 2.5), "tau": ("6NWP", 130.0, 3.0)}
SIDE, STEP, COUNT = 1024, 1.0, 4
LENGTH = 8000.0  # Å


def straight_filament(name) -> np.ndarray:
    """(n, 3) Å of the C-alpha atoms of a filament of LENGTH along z, its axis in the middle."""
    with gzip.open(structure_file(name), "rt") as file:
        structure = gemmi.read_pdb_string(file.read())
    chains = [_alphas(chain) for chain in structure[0]]
    if (
        structure.assemblies and len(structure.assemblies[0].generators[0].operators) > 1
    ):  # a ring of protofilaments, repeated every dimer
        model = gemmi.make_assembly(structure.assemblies[0], structure[0], gemmi.HowToNameCopiedChain.AddNumber)
        ring = np.vstack([_alphas(chain) for chain in model])
        ring[:, :2] -= ring[:, :2].mean(0)
        return np.vstack([ring + (0, 0, 82.0 * i) for i in range(int(LENGTH / 82))])
    first = chains[0]
    moves = [_move(first, other) for other in chains[1:] if len(other) == len(first)]
    axis, point = _screw_axis(moves)
    screws = sorted((float(shift @ axis), rotation) for rotation, shift in moves)
    rise = min(z for z, _ in screws if z > 1.0)
    layer = [np.eye(3)] + [rotation for z, rotation in screws if abs(z) < 0.3]
    turn, frame = next(rotation for z, rotation in screws if z == rise), _frame(axis)
    unit, rotation, rows = (first - point) @ frame.T, np.eye(3), []
    turns = [frame @ r @ frame.T for r in layer]
    for index in range(int(LENGTH / rise)):
        rows += [unit @ (rotation @ t).T + (0, 0, rise * index) for t in turns]
        rotation = frame @ turn @ frame.T @ rotation
    return np.vstack(rows)


def _alphas(chain):
    return np.array([list(a.pos) for residue in chain for a in residue if a.name == "CA"]).reshape(-1, 3)


def _move(first, other):
    """Rotation and shift that bring one copy onto another."""
    a, b = first - first.mean(0), other - other.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    rotation = (u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v).T
    return rotation, other.mean(0) - rotation @ first.mean(0)


def _screw_axis(moves):
    """Common axis of screw movements: its direction, and a point on it, by the movement that turns most."""
    rotation, shift = max(moves, key=lambda m: np.arccos(np.clip((np.trace(m[0]) - 1) / 2, -1, 1)))
    values, vectors = np.linalg.eig(rotation)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    axis /= np.linalg.norm(axis)
    return axis, np.linalg.lstsq(np.eye(3) - rotation, shift - axis * (shift @ axis), rcond=None)[0]


def _frame(axis):
    """(3, 3) rotation that brings the axis onto z."""
    side = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(axis, side), axis])


def write_micrograph(folder, name, atoms, diameter, pixel_size, snr, seed) -> list:
    """Write a micrograph; returns the centre lines, (n, 2) yx px each."""
    rng = np.random.default_rng(seed)
    lines, projection = [], np.zeros((SIDE, SIDE))
    for _ in range(int(rng.integers(3, 7))):
        lines.append(_line(rng))
        projection += _project(atoms, lines[-1], pixel_size, rng)
    projection = gaussian_filter(projection, 4.0 / pixel_size)
    inside = _near(lines, diameter / pixel_size / 2)
    defocus = rng.uniform(8000, 25000)
    transfer = ctf_rfft((SIDE, SIDE), pixel_size, defocus, defocus, 0.0, 300.0, 2.7, 0.1).numpy()
    clean = np.fft.irfft2(np.fft.rfft2(projection) * transfer, s=projection.shape)
    clean -= clean.mean()
    noise = coloured(1, SIDE, pixel_size, rng)[0] * np.sqrt((clean[inside] ** 2).mean() / snr)
    mrcfile.write(folder / f"{name}.mrc", (noise - clean).astype(np.float32), voxel_size=pixel_size)
    return lines


def _line(rng):
    """A gently bent line through the micrograph, positions STEP px apart."""
    along = np.linspace(-1, 1, int(1.5 * SIDE / STEP))
    angle = rng.uniform(0, np.pi) + rng.normal(0, 0.15) * along + rng.normal(0, 0.05) * np.sin(4 * along)
    line = np.cumsum(STEP * np.stack([np.sin(angle), np.cos(angle)], 1), 0)
    return line - line[len(line) // 2] + rng.uniform(0.2, 0.8, 2) * SIDE


def _project(atoms, line, pixel_size, rng):
    """(SIDE, SIDE) number of atoms of a filament bent along a line, turned about its axis."""
    turn = rng.uniform(0, 2 * np.pi)
    across = (atoms[:, 0] * np.cos(turn) - atoms[:, 1] * np.sin(turn)) / pixel_size
    position = (atoms[:, 2] - atoms[:, 2].min()) / pixel_size / STEP
    keep, tangent = position < len(line) - 1, np.gradient(line, axis=0) / STEP
    at = lambda values: np.interp(position[keep], np.arange(len(line)), values)
    y = at(line[:, 0]) + across[keep] * at(tangent[:, 1])
    x = at(line[:, 1]) - across[keep] * at(tangent[:, 0])
    edges = np.arange(SIDE + 1) - 0.5
    return np.histogram2d(y, x, bins=(edges, edges))[0]


def _near(lines, distance):
    far = np.ones((SIDE, SIDE), bool)
    for line in lines:
        at = np.rint(line).astype(int)
        far[tuple(at[((at >= 0) & (at < SIDE)).all(1)].T)] = False
    return distance_transform_edt(far) <= distance
