# SPDX-License-Identifier: GPL-3.0-or-later
"""Triangle surfaces of labels (binary STL), made slab by slab, and their areas, from how often lines cross them."""

import os
import typing

import numpy as np
from scipy.ndimage import gaussian_filter

from ...io.files import whole_file
from .components import slabs

# the 13 directions of a cubic grid, and the part of all directions that is nearest to each (Voronoi cells on the
# sphere; Legland, Kieu and Devaux, Image Analysis and Stereology 26, 2007)
_WEIGHTS = {1: 0.0915558, 2: 0.0739613, 3: 0.0703913}
DIRECTIONS = [(z, y, x) for z in (0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) > (0, 0, 0)]


class AreaCounter:
    """Areas of all labels of a volume that comes slab by slab, by Crofton's formula. The area per volume is twice the
    number of crossings per length of a line, averaged over all directions. Isotropic within some per cent; a plane
    along an axis comes out 7 % too small. What the volume's border cuts is no surface. areas: (labels + 1,) squares of
    the voxel's side, the first of what is no label."""

    def __init__(self, labels: int) -> None:
        self.areas = np.zeros(labels + 1)
        self._last: np.ndarray | None = None

    def add(self, slab: np.ndarray) -> None:
        """The next slices: (n, y, x) int8 of 0 and labels."""
        if self._last is not None:
            slab = np.concatenate([self._last, slab])
        if slab.any():
            for direction in DIRECTIONS:
                # the first slice was counted within itself when it came
                self._count(slab if direction[0] or self._last is None else slab[1:], direction)
        self._last = slab[-1:].copy()

    def _count(self, slab: np.ndarray, direction: tuple[int, int, int]) -> None:
        here = slab[tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(direction, slab.shape))]
        there = slab[tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(direction, slab.shape))]
        other, length = here != there, np.abs(direction).sum()
        crossings = sum(np.bincount(side[other], minlength=len(self.areas)) for side in (here, there))
        self.areas += 2 * _WEIGHTS[int(length)] * crossings / length**0.5


FINEST = 2**27  # voxels (512 cubed) from which on surfaces are made on bins of several voxels
SIGMA = 1.0  # bins that masks are smoothed by: the steps of voxels would show, and make the area 8 % too large
HALO = int(4 * SIGMA + 0.5)
BYTES = 40  # per bin of a slab
_LEVELS = 1024
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])
assert _FACET.itemsize == 50  # as the format wants it


def binning(shape: tuple[int, ...]) -> int:
    """Voxels along each axis that become one, for surfaces."""
    return max(1, int(np.ceil((np.prod(shape, dtype=float) / FINEST) ** (1 / 3))))


def write_surface(
    path: str | os.PathLike[str],
    mask_of: typing.Callable[[tuple[int, int]], np.ndarray],
    shape: tuple[int, ...],
    pixel_size: float,
    origin_xyz: typing.Sequence[float],
    memory: float,
) -> int:
    """Write the surface of a mask as a binary STL in Å; returns the number of triangles, 0 without a file if there is
    no voxel. The mask is smoothed by one voxel; the level is that at which the surface holds as much volume as the mask
    has, so that thin membranes stay. It is open where the volume ends. Triangles face outwards. mask_of: gives (n, y,
    x) bool of (start, stop) in z. origin_xyz: Å, where the first voxel's middle lies. memory: GB."""
    field = _Field(mask_of, shape, binning(shape), memory)
    level = field.level()
    if level is None:
        return 0
    count, step = 0, field.step
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(b"cryodl: surface of a segmented feature, in angstrom".ljust(80) + bytes(4))
        for z, values in field.slabs(one_more=True):
            corners = _triangles(values, level)
            if corners is not None:
                corners[..., 2] += z  # in bins, xyz
                corners = (corners * step + (step - 1) / 2) * pixel_size + np.asarray(origin_xyz)
                normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
                lengths, facets = np.linalg.norm(normals, axis=1, keepdims=True), np.zeros(len(corners), _FACET)
                facets["normal"], facets["corners"] = normals / np.where(lengths > 0, lengths, 1), corners
                facets.tofile(file)
                count += len(corners)
        file.seek(80)
        file.write(np.uint32(count).tobytes())
    if not count:
        os.remove(path)
    return count


class _Field:
    """A mask binned and smoothed, slab by slab. step: voxels of a bin."""

    def __init__(
        self, mask_of: typing.Callable[[tuple[int, int]], np.ndarray], shape: tuple[int, ...], step: int, memory: float
    ) -> None:
        self._mask_of, self._shape, self.step = mask_of, shape, step
        self._bins = tuple(-(-n // step) for n in shape)
        read = step**3 * 2  # the mask, and its sums along one axis
        self._slices = max(4, slabs(self._bins, BYTES + read, memory)[0][1] - 2 * HALO - 1)

    def slabs(self, one_more: bool) -> typing.Iterator[tuple[int, np.ndarray]]:
        """Yields (z, (n, y, x) float32) in bins; one_more: with the first slice of the next slab."""
        for start in range(0, self._bins[0], self._slices):
            stop = min(start + self._slices + one_more, self._bins[0])
            low, high = max(0, start - HALO), min(self._bins[0], stop + HALO)
            mask = self._mask_of((low * self.step, min(high * self.step, self._shape[0])))
            if mask.any():
                yield start, gaussian_filter(_binned(mask, self.step), SIGMA, mode="nearest")[start - low : stop - low]

    def level(self) -> float | None:
        """The value above which as much lies as the mask has; None without any voxel."""
        counts, total = np.zeros(_LEVELS, np.int64), 0.0
        for _, values in self.slabs(one_more=False):
            counts += np.histogram(values, _LEVELS, (0, 1))[0]
            total += values.sum(dtype=float)
        above = np.cumsum(counts[::-1])[::-1]
        if not total:
            return None
        return float(np.clip(np.flatnonzero(above >= total)[-1] + 0.5, 8, 0.6 * _LEVELS)) / _LEVELS


def _binned(mask: np.ndarray, step: int) -> np.ndarray:
    if step == 1:
        return mask.astype(np.float32)
    sums = mask
    for axis in range(3):
        sums = np.add.reduceat(sums, np.arange(0, mask.shape[axis], step), axis, np.uint16)
    sizes = [np.diff(np.append(np.arange(0, n, step), n)) for n in mask.shape]
    return sums / (sizes[0][:, None, None] * sizes[1][:, None] * sizes[2]).astype(np.float32)


def _triangles(values: np.ndarray, level: float) -> np.ndarray | None:
    """(n, 3, 3) corners xyz of the triangles, in bins; None if the level is nowhere."""
    from skimage.measure import marching_cubes

    there = [np.flatnonzero((values >= level).any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    position = [slice(max(0, int(t[0]) - 1), int(t[-1]) + 2) if len(t) else slice(0, 0) for t in there]
    part = values[tuple(position)]
    if min(part.shape) < 2 or part.min() >= level:
        return None
    vertices, faces, _, _ = marching_cubes(part, level, allow_degenerate=False)
    return (vertices + [s.start for s in position])[:, ::-1][faces].astype(np.float64)
