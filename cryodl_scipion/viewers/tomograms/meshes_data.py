# SPDX-License-Identifier: GPL-3.0-or-later
"""Membranes of PLY files and surfaces of STL files, simplified to be rotated quickly, and cut by slices; no windows."""

import collections
import glob
import os
import re
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ...convert.maps import headerOrigin, voxelsOf
from ...engine.cryodl.contract.frames import rescaled
from ..plots import readMap

MAX_TRIANGLES = 8000  # of all membranes of a picture; with these a frame takes 0.2 s
_TRIANGLE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])  # of a binary PLY file
_NUMBER = re.compile(r"_(\d+)\.ply$")

# vertices: (n, 3) x, y, z in Å. normals: (n, 3). faces: (m, 3) numbers of vertices. number: (n,) of the membrane, 1,
# 2, ... values: {name: (n,)} of what was measured there, NaN where it is not known
Mesh = collections.namedtuple("Mesh", "vertices normals faces number values")


class MembraneMeshes:
    """Membranes of tomograms.

    files: {tsId: [PLY file of each membrane]}. instances: {tsId: volume in which they were found}. slices:
    TomogramSlices of the tomograms, or of these volumes."""

    def __init__(self, files: Dict[str, Sequence[str]], instances: Dict[str, str], slices: Any) -> None:
        self.files, self.instances, self.slices = files, instances, slices
        self.names = sorted(files)
        self._whole, self._drawn = {}, {}

    def whole(self, tsId: str) -> Mesh:
        if tsId not in self._whole:
            self._whole = {tsId: joined([readMesh(path) for path in self.files[tsId]])}  # one at a time: they are large
        return self._whole[tsId]

    def drawn(self, tsId: str) -> Mesh:
        """The same with at most about MAX_TRIANGLES."""
        if tsId not in self._drawn:
            self._drawn[tsId] = simplified(self.whole(tsId), MAX_TRIANGLES)
        return self._drawn[tsId]

    def position(self, tsId: str, axis: int, index: int) -> float:
        """Å along z, y or x (axis of the array) of a slice of the tomogram."""
        origin, size, shape = self._frame(tsId)
        return origin[2 - axis] + size * rescaled(index, shape[axis] / self.slices.shape(tsId)[axis])

    def outline(self, tsId: str, axis: int, index: int) -> Tuple[np.ndarray, np.ndarray]:
        """((k, 2, 2) x, y of the ends of lines in px of a slice, (k,) numbers of vertices near them) where the
        membranes cut the slice."""
        mesh, (origin, size, shape) = self.whole(tsId), self._frame(tsId)
        lines, near = cut(mesh, 2 - axis, self.position(tsId, axis, index))
        own = np.array(self.slices.shape(tsId))[::-1] / np.array(shape)[::-1]  # masks may be binned otherwise
        return rescaled((lines - origin) / size, own)[:, :, [n for n in (0, 1, 2) if n != 2 - axis]], near

    def _frame(self, tsId: str) -> Tuple[np.ndarray, float, Tuple[int, ...]]:
        """(x, y, z in Å of the first voxel, Å/px, (z, y, x) voxels) of the volume that the meshes were made of."""
        path = self.instances[tsId]
        size = voxelsOf(path)[0] or 1.0
        return np.array(headerOrigin(path, size)), size, readMap(path).shape


FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])  # of a binary STL file
_HEADER = 84  # bytes before the facets; the last four are their number
_AT_ONCE = 500000  # facets


class Surfaces:
    """Surfaces of features in tomograms. files: {tomogram: {feature: STL file}}. scripts: {tomogram: .cxc file}.
    features: names in the order of the labels, which is that of the colours."""

    def __init__(self, files: Dict[str, Dict[str, str]], scripts: Dict[str, Any], features: Sequence[str]) -> None:
        self.files, self.scripts, self.features = files, scripts or {}, list(features)
        self.names, self._read = sorted(files), {}

    def drawn(self, name: str, features: Sequence[str]) -> Mesh:
        """Some features of a tomogram as one Mesh, simplified, whose numbers are the labels."""
        if name not in self._read:
            maximum = MAX_TRIANGLES // max(1, len(self.files[name]))
            self._read[name] = {f: readSurface(path, maximum) for f, path in self.files[name].items()}
        there = [(self.features.index(f) + 1, self._read[name][f]) for f in features if f in self._read[name]]
        return joined([mesh._replace(number=label * mesh.number) for label, mesh in there])


def readSurface(path: str, maximum: int = MAX_TRIANGLES) -> Mesh:
    """Mesh of at most about `maximum` triangles of a binary STL file, with number 1.

    Raises FileNotFoundError, or ValueError that names the file."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"The surface {path} does not exist. Merge the features again.")
    count, rest = divmod(os.path.getsize(path) - _HEADER, FACET.itemsize)
    if count < 0 or rest:
        raise ValueError(f"The surface {path} is not a complete binary STL file. Merge the features again.")
    if not count:
        return joined([])
    corners = np.memmap(path, FACET, "r", _HEADER, (count,))["corners"]
    parts = (corners[start : start + _AT_ONCE] for start in range(0, count, _AT_ONCE))
    return simplified(joined([simplified(_ofFacets(part), maximum) for part in parts]), maximum)


def _ofFacets(corners: np.ndarray) -> Mesh:
    vertices, normals = corners.reshape(-1, 3), np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    return Mesh(vertices, normals.repeat(3, 0), faces, np.ones(len(vertices), int), {})


def membranesIn(items: Any) -> Tuple[Dict[str, List[str]], Dict[str, str]]:
    """({tsId: [PLY files]}, {tsId: volume of the membranes' numbers}) of the run that made a set, if any."""
    meshes: Dict[str, List[str]] = {}
    folder = glob.escape(os.path.dirname(items.getFileName()))
    for path in sorted(glob.glob(os.path.join(folder, "extra", "*", "*_membrane_*.ply"))):
        volume = path.rsplit("_membrane_", 1)[0] + ".mrc"
        if os.path.exists(volume):
            meshes.setdefault(os.path.basename(volume)[: -len(".mrc")], []).append(path)
    return meshes, {name: paths[0].rsplit("_membrane_", 1)[0] + ".mrc" for name, paths in meshes.items()}


def readMesh(path: str) -> Mesh:
    """Mesh of a binary PLY file of *measure membranes*.

    Raises FileNotFoundError, or ValueError that names the file."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"The mesh {path} does not exist. Measure the membranes again.")
    with open(path, "rb") as file:
        data = file.read()
    head, end, _ = data[:4096].partition(b"end_header\n")
    counts = dict(re.findall(rb"\nelement (\w+) (\d+)", head))
    names = [name.decode() for name in re.findall(rb"\nproperty float (\w+)", head)]
    vertices, faces = int(counts.get(b"vertex", 0)), int(counts.get(b"face", 0))
    start, size = len(head) + len(end), 4 * vertices * len(names)
    complete = bool(end) and len(data) == start + size + faces * _TRIANGLE.itemsize
    if not complete or names[:6] != ["x", "y", "z", "nx", "ny", "nz"]:
        raise ValueError(
            f"The mesh {path} is not a complete binary PLY file of this program. Measure the membranes again."
        )
    table = np.frombuffer(data, "<f4", vertices * len(names), start).reshape(vertices, len(names))
    table = np.where(np.isfinite(table), table, np.nan)
    corners, match = np.array(np.frombuffer(data, _TRIANGLE, faces, start + size)["corners"]), _NUMBER.search(path)
    numbers = np.full(vertices, int(match[1]) if match else 1)
    return Mesh(table[:, :3], table[:, 3:6], corners, numbers, dict(zip(names[6:], table[:, 6:].T)))


def joined(meshes: Sequence[Mesh]) -> Mesh:
    if not meshes:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros(0, int), {})
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    together = lambda field: np.concatenate([getattr(mesh, field) for mesh in meshes])
    return Mesh(
        together("vertices"),
        together("normals"),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
        together("number"),
        {name: np.concatenate([mesh.values[name] for mesh in meshes]) for name in meshes[0].values},
    )


def simplified(mesh: Mesh, maximum: int) -> Mesh:
    """A Mesh of at most about `maximum` triangles: vertices of a membrane that lie in one cell become their mean."""
    found, corners = mesh, mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    cell = np.sqrt(max(area, 1e-6) / maximum)
    while len(found.faces) > maximum:
        found = _clustered(mesh, cell)
        cell *= 1.25
    return found


def _clustered(mesh: Mesh, cell: float) -> Mesh:
    keys = np.column_stack([np.floor((mesh.vertices - mesh.vertices.min(axis=0)) / cell).astype(int), mesh.number])
    named = np.ravel_multi_index(tuple(keys.T), tuple(keys.max(axis=0) + 1))
    _, first, where = np.unique(named, return_index=True, return_inverse=True)

    def mean(values: np.ndarray) -> np.ndarray:
        known = np.isfinite(values)
        number, sums = np.bincount(where, known), np.bincount(where, np.where(known, values, 0), len(first))
        return np.where(number > 0, sums / np.maximum(number, 1), np.nan)

    columns = lambda values: np.column_stack([mean(column) for column in values.T])
    normals = columns(mesh.normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    faces = where[mesh.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    _, kept = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    values = {name: mean(column) for name, column in mesh.values.items()}
    return Mesh(columns(mesh.vertices), normals, faces[kept], mesh.number[first], values)


def cut(mesh: Mesh, axis: int, position: float) -> Tuple[np.ndarray, np.ndarray]:
    """((k, 2, 3) ends of the lines in which a plane cuts the triangles, (k,) a vertex of each triangle).

    axis: 0, 1, 2 for planes across x, y, z. position: Å."""
    height = mesh.vertices[:, axis] - position
    above = height[mesh.faces] >= 0
    crossed = mesh.faces[above.any(axis=1) & ~above.all(axis=1)]
    above = height[crossed] >= 0
    # the corner that lies alone on its side, and the two others
    alone = np.where(above.sum(axis=1) == 1, above.argmax(axis=1), above.argmin(axis=1))
    row = np.arange(len(crossed))
    top, ends = crossed[row, alone], []
    for step in (1, 2):
        other = crossed[row, (alone + step) % 3]
        part = (height[top] / (height[top] - height[other]))[:, None]
        ends.append(mesh.vertices[top] + part * (mesh.vertices[other] - mesh.vertices[top]))
    return np.stack(ends, axis=1) if len(crossed) else np.zeros((0, 2, 3)), top
