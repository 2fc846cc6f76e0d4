# SPDX-License-Identifier: GPL-3.0-or-later
"""Vesicles whose membranes touch, and that are one connected component for it: told apart by what they enclose.

What a vesicle encloses is looked for in each slice by itself, where its membrane is a closed ring even if its top and
bottom, which the missing wedge takes away, are missing.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing

import numpy as np

if typing.TYPE_CHECKING:
    from .components import Components
    from .segmentation import Segmentation

SMALLEST = 2.0  # membrane thicknesses: side of the cube that is the smallest inside of a vesicle
SHARED = 0.25  # of the smaller wall: insides that share so much of it are of one object, nested or with a septum
MAX_VOXELS = 2**23  # of a mask that is looked at; larger ones are binned


@dataclasses.dataclass(frozen=True)
class Vesicles:
    """The vesicles of one component.

    Attributes
    ----------
    first : array (3,)
        zyx of the first voxel of the component's box.
    step : int
        Voxels of a bin.
    numbers : array (z, y, x)
        Of bins: numbers of vesicles from 1; 0 outside of the component.
    """

    first: np.ndarray
    step: int
    numbers: np.ndarray

    def at(self, positions: np.ndarray) -> np.ndarray:
        """(n,) numbers at voxels (n, 3) zyx of the component."""
        found: np.ndarray = self.numbers[tuple(((positions - self.first) // self.step).T)]
        return found


def vesicles_of(
    segmentation: Segmentation, components_found: Components, component: int, thickness: float
) -> Vesicles | None:
    """The Vesicles of a component; None if it is only one object.

    Parameters
    ----------
    component : int
        Which of them.
    thickness : float
        Of membranes, voxels.
    """
    from .segmentation import isolated

    box = components_found.boxes[component]
    mask, step = segmentation.crop(box)
    mask = isolated(mask, (components_found.firsts[component] - box[:, 0]) // step)
    numbers = separated(mask, thickness / step)
    return None if numbers is None else Vesicles(box[:, 0], step, numbers)


def separated(mask: np.ndarray, thickness: float) -> np.ndarray | None:
    """Numbers (z, y, x) from 1 of the vesicles of a connected mask, each voxel that of the nearest inside; None if they
    are fewer than two. thickness: of membranes, voxels."""
    from scipy.ndimage import distance_transform_edt

    from .segmentation import any_bins

    step = int(np.ceil((mask.size / MAX_VOXELS) ** (1 / 3)))
    coarse = any_bins(mask, step) if step > 1 else mask
    insides = _insides(coarse, thickness / step)
    if insides.max() < 2:
        return None
    nearest = distance_transform_edt(insides == 0, return_distances=False, return_indices=True)
    numbers = np.where(coarse, insides[tuple(nearest)], 0).astype(np.int16)
    for axis in range(3) if step > 1 else ():
        numbers = np.repeat(numbers, step, axis).take(range(mask.shape[axis]), axis)
    return np.where(mask, numbers, 0)


def _insides(mask: np.ndarray, thickness: float) -> np.ndarray:
    """(z, y, x) numbers from 1 of the insides of vesicles, those that share much of their wall with one number."""
    from scipy.ndimage import binary_fill_holes, distance_transform_edt, find_objects, label
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    plane = np.zeros((3, 3, 3), bool)
    plane[1, 1], plane[1, :, 1] = True, True
    parts, count = label(binary_fill_holes(mask, plane) & ~mask)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(sizes >= (SMALLEST * thickness) ** 3)
    if len(large) < 2:
        return np.zeros(mask.shape, np.int32)
    reach, boxes, walls = thickness + 1.5, find_objects(parts), []
    for one in large:
        around = int(np.ceil(reach))
        box = tuple(slice(max(0, s.start - around), min(n, s.stop + around)) for s, n in zip(boxes[one], mask.shape))
        walls.append((box, mask[box] & (distance_transform_edt(parts[box] != one + 1) <= reach)))
    pairs = [(a, b) for a, b in itertools.combinations(range(len(large)), 2) if _together(walls[a], walls[b])]
    links = np.array(pairs, int).reshape(-1, 2).T
    graph = coo_array((np.ones(links.shape[1], bool), links), shape=(len(large),) * 2)
    table = np.zeros(count + 1, np.int32)
    table[large + 1] = connected_components(graph, directed=False)[1] + 1
    found: np.ndarray = table[parts]
    return found


def _together(one: tuple[typing.Any, np.ndarray], other: tuple[typing.Any, np.ndarray]) -> bool:
    """Whether two insides share so much of the smaller one's wall that they are of one object. one, other: three
    slices, and the wall (z, y, x) there."""
    common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one[0], other[0])]
    if any(s.stop <= s.start for s in common):
        return False
    there = [
        wall[tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(common, box))]
        for box, wall in (one, other)
    ]
    shared = int((there[0] & there[1]).sum())
    return shared >= SHARED * min(one[1].sum(), other[1].sum())
