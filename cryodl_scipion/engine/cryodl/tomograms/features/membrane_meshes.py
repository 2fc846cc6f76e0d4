# SPDX-License-Identifier: GPL-3.0-or-later
"""The middle surface of a membrane as triangles with normals, and PLY files of it. The surface is where the height
above the points on the membrane (along their normals) is zero, within its mask. A membrane ends where that does."""

import dataclasses
import os
import typing

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from ...io.files import whole_file

BLENDED = 6  # points whose tangent planes are blended at a voxel
BLOCK = 1 << 16  # voxels, vertices or triangles at a time


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles of a middle surface. vertices: (n, 3), zyx, voxels. normals: (n, 3) float32, as files hold them: unit
    vectors zyx. faces: (m, 3) int32, vertices of each triangle. nearest: (n,) int32, the point on the membrane that is
    nearest to each vertex. area: of all triangles, squares of the voxel's side."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    nearest: np.ndarray
    area: float = 0.0

    @property
    def closed(self) -> bool:
        """Whether no triangle has an edge without a neighbour."""
        edges = np.sort(self.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        return len(edges) > 0 and bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())


def middle_surface(
    mask: np.ndarray, offset: np.ndarray, positions: np.ndarray, normals: np.ndarray, step: int = 1
) -> Mesh:
    """The Mesh of one membrane. mask: (z, y, x) bool, the membrane within its box, on bins of `step` voxels. offset:
    (3,), first voxel of the box. positions, normals: (n, 3), points on the membrane, zyx in voxels of the whole volume,
    and their unit normals, all on one side. Returns Mesh: without triangles if there are no points."""
    from skimage.measure import marching_cubes

    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros(0, int))
    if not len(positions):
        return empty
    wide, tree = binary_dilation(np.pad(mask, 1), np.ones((3, 3, 3), bool)), cKDTree(positions)
    field = np.zeros(wide.shape, np.float32)
    places = np.flatnonzero(wide)
    for flat in np.array_split(places, len(places) // BLOCK + 1):
        middles = (np.stack(np.unravel_index(flat, wide.shape), 1) - 1) * step + offset + (step - 1) / 2
        field.reshape(-1)[flat] = _heights(tree, middles, normals)
    inside = wide.copy()  # a cube is cut only where all of its corners are known
    for axis in range(3):
        inside &= np.roll(inside, 1, axis)  # scikit-image asks at the last corner of each cube
    if not inside.any() or not (field[wide] > 0).any() or not (field[wide] < 0).any():
        return empty
    try:
        vertices, faces, _, _ = marching_cubes(field, 0.0, mask=inside, allow_degenerate=False)
    except (RuntimeError, ValueError):  # no cube is cut
        return empty
    vertices = (vertices - 1) * step + offset + (step - 1) / 2
    blended, nearest, area = np.empty((len(vertices), 3)), np.empty(len(vertices), np.int32), 0.0
    for part in np.array_split(np.arange(len(vertices)), len(vertices) // BLOCK + 1):
        blended[part], _, own = _blended(tree, vertices[part], normals)
        nearest[part] = own[:, 0]
    for corners in np.array_split(faces, len(faces) // BLOCK + 1):
        a, b, c = (vertices[corners[:, k]][:, ::-1] for k in range(3))
        turns = np.cross(b - a, c - a)
        area += float(np.linalg.norm(turns, axis=1).sum()) / 2
        along = (turns * blended[corners].sum(axis=1)[:, ::-1]).sum(axis=1)
        # seen from where the normals point, in x, y, z, corners turn left
        corners[along < 0] = corners[along < 0, ::-1]
    return Mesh(vertices, blended.astype(np.float32), faces, nearest, area)


def _blended(tree: typing.Any, positions: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 3) unit normals at places between points, (n, k) weights of the points nearest to them, and which these are.
    tree: cKDTree of the points. normals: theirs."""
    near, index = tree.query(positions, min(BLENDED, tree.n))
    near, index = near.reshape(len(positions), -1), index.reshape(len(positions), -1)
    weight = np.exp(-((near / np.maximum(near.mean(axis=1, keepdims=True), 1e-6)) ** 2))
    weight /= weight.sum(axis=1, keepdims=True)
    blended = (normals[index] * weight[..., None]).sum(axis=1)
    return blended / np.maximum(np.linalg.norm(blended, axis=1, keepdims=True), 1e-9), weight, index


def _heights(tree: typing.Any, voxels: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(n,) heights of voxels above the surface through the points nearest to them. The chord between two points of a
    sphere is at right angles to the sum of their normals: heights are measured along the mean of a point's normal and
    that at the voxel, so that a bent surface stays where it is between the points."""
    here, weight, index = _blended(tree, voxels, normals)
    above = ((voxels[:, None] - tree.data[index]) * ((normals[index] + here[:, None]) / 2)).sum(axis=2)
    return (above * weight).sum(axis=1)


def write_ply(
    path: str | os.PathLike[str],
    mesh: Mesh,
    pixel_size: float,
    origin_xyz: typing.Sequence[float],
    values: typing.Mapping[str, np.ndarray],
) -> None:
    """Write a Mesh as a binary PLY file, in Å. pixel_size: Å/px. origin_xyz: Å, where the first voxel's middle lies.
    values: {name: array (n,)} of further numbers of the vertices."""
    xyz = (mesh.vertices[:, ::-1] * pixel_size + np.asarray(origin_xyz)).astype("<f4")
    names = ["x", "y", "z", "nx", "ny", "nz", *values]
    rows = np.empty(len(xyz), [(name, "<f4") for name in names])
    for name, column in zip(names, [*xyz.T, *mesh.normals[:, ::-1].T, *values.values()]):
        rows[name] = column
    triangles = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, mesh.faces
    head = ["ply", "format binary_little_endian 1.0", "comment cryodl: middle surface of a membrane, in angstrom"]
    head += [f"element vertex {len(rows)}", *(f"property float {name}" for name in names)]
    head += [f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header", ""]
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write("\n".join(head).encode("ascii"))
        rows.tofile(file)
        triangles.tofile(file)
