# SPDX-License-Identifier: GPL-3.0-or-later
"""Middle lines of filaments, as lines of voxels."""

import heapq
import itertools
import typing

import numpy as np
from scipy.ndimage import distance_transform_edt, label
from scipy.spatial import cKDTree

from .components import connected

STRAIGHT = -0.7  # cosine of the angle at a branch point below which two branches are one filament that goes on
REACH = 6.0  # radii along a branch that its direction is measured on
SPUR = 1.5  # radii: branches with a free end that are not longer stick out of the filament, and are no filaments


def centre_lines(mask: np.ndarray, lumen: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """List of (n, 3) zyx voxels along the middle line of each filament of a mask, and of its radii (n,). Filaments that
    cross go on straight; at a true branch the straightest two are one filament, and the third ends there. lumen:
    voxels; holes in a cross section that are smaller are filled, so that a tube has one middle line."""
    from skimage.morphology import skeletonize

    mask = np.pad(_without_lumen(mask, lumen), 1)
    positions = np.argwhere(skeletonize(mask))
    if not len(positions):
        return []
    radii = distance_transform_edt(mask)[tuple(positions.T)]
    lines = _joined(_pruned(_branches(positions), positions, radii), positions, radii)
    return [(positions[line] - 1.0, radii[line]) for line in lines]


def _without_lumen(mask: np.ndarray, lumen: float) -> np.ndarray:
    filled = mask.copy()
    for axis in range(3):
        for index in range(mask.shape[axis]):
            here = (slice(None),) * axis + (index,)
            section = mask[here]
            if not section.any():
                continue
            holes, count = label(~np.pad(section, 1))
            small = np.bincount(holes.reshape(-1)) <= lumen
            small[[0, holes[0, 0]]] = False
            filled[here] |= small[holes][1:-1, 1:-1]
    return filled


def _branches(positions: np.ndarray) -> list[list[int]]:
    """List of branches between ends and branch points of a skeleton: lists of indices of positions. The last index of a
    branch that ends at a branch point is that of the point's middle voxel; such an index ends several branches."""
    pairs = cKDTree(positions).query_pairs(1.8, output_type="ndarray")  # all 26 neighbours
    neighbours: list[list[int]] = [[] for _ in positions]
    for a, b in pairs:
        neighbours[a].append(b)
        neighbours[b].append(a)
    many = np.array([len(n) > 2 for n in neighbours])
    _, cluster = connected(pairs[many[pairs].all(axis=1)], len(positions))
    points, middle = np.flatnonzero(many), dict[int, int]()
    for number in np.unique(cluster[points]):
        members = points[cluster[points] == number]
        nearest = np.argmin(((positions[members] - positions[members].mean(axis=0)) ** 2).sum(axis=1))
        middle.update(dict.fromkeys(members.tolist(), int(members[nearest])))
    branches, seen = list[list[int]](), set[typing.Any]()
    starts: list[tuple[int, int | None]] = [
        (int(i), int(n)) for i in np.flatnonzero(many) for n in neighbours[i] if not many[n]
    ]
    starts += [(int(i), None) for i in range(len(positions)) if not many[i] and len(neighbours[i]) <= 1]
    for start, first in starts:
        if (first if first is not None else start) not in seen:
            branches.append(_walk(start, first, neighbours, many, middle, seen))
    for i in range(len(positions)):  # what is left are rings
        if not many[i] and i not in seen:
            branches.append(_walk(i, None, neighbours, many, middle, seen) + [i])
    return branches


def _walk(
    start: int,
    first: int | None,
    neighbours: typing.Any,
    many: np.ndarray,
    middle: typing.Mapping[int, int],
    seen: typing.Any,
) -> list[int]:
    """Indices along a branch, from a voxel of a branch point (first: the next one) or from an end."""
    path = [middle[start], first] if first is not None else [start]
    while True:
        here = path[-1]
        seen.add(here)
        ways = [n for n in neighbours[here] if n not in seen and not many[n]]
        if ways:
            path.append(ways[0])
            continue
        last = [n for n in neighbours[here] if many[n] and not (len(path) == 2 and middle[n] == path[0])]
        return path + [middle[last[0]]] if last else path


def _length(path: list[int], positions: np.ndarray) -> float:
    return np.linalg.norm(np.diff(positions[path], axis=0), axis=1).sum()


class _Network:
    """Branches of a skeleton by number, and which of them end where. A joined branch gets a new number. branches:
    Indices of positions along each branch."""

    def __init__(self, branches: typing.Sequence[list[int]]) -> None:
        self.paths: dict[int, list[int]] = {}
        self.ends: dict[int, set[tuple[int, bool]]] = {}  # position: {(branch, whether the branch begins there)}
        self._next = itertools.count()
        for path in branches:
            self.add(path)

    def add(self, path: list[int]) -> int:
        number = next(self._next)
        self.paths[number] = path
        for end, first in ((path[0], True), (path[-1], False)):
            self.ends.setdefault(end, set()).add((number, first))
        return number

    def remove(self, number: int) -> list[int]:
        path = self.paths.pop(number)
        for end, first in ((path[0], True), (path[-1], False)):
            self.ends[end].discard((number, first))
        return path

    def join(self, one: tuple[int, bool], other: tuple[int, bool]) -> int:
        """Make one branch of two that meet: (branch, whether it begins there) of each. Returns its number."""
        a, b = self.remove(one[0]), self.remove(other[0])
        return self.add((a[::-1] if one[1] else a) + (b if other[1] else b[::-1])[1:])


def _pruned(branches: typing.Sequence[list[int]], positions: np.ndarray, radii: np.ndarray) -> list[list[int]]:
    """Branches without spurs, the shortest spur first; what a removed spur had split is one branch again."""
    network, queue = _Network(branches), list[typing.Any]()

    def look_at(numbers: typing.Iterable[int]) -> None:
        for number in numbers:
            if _is_spur(network, number, positions, radii):
                heapq.heappush(queue, (_length(network.paths[number], positions), number))

    look_at(list(network.paths))
    if queue:  # positions where two branches meet are no branch points
        look_at([number for end in list(network.ends) for number in _mended(network, end)])
    while queue and len(network.paths) > 1:
        _, number = heapq.heappop(queue)
        if number in network.paths and _is_spur(network, number, positions, radii):
            path = network.remove(number)
            for end in (path[0], path[-1]):
                look_at(_mended(network, end) or [number for number, _ in network.ends[end]])
    return list(network.paths.values())


def _is_spur(network: typing.Any, number: int, positions: np.ndarray, radii: np.ndarray) -> bool:
    path = network.paths[number]
    meeting = [len(network.ends[end]) > 1 for end in (path[0], path[-1])]
    return sum(meeting) == 1 and _length(path, positions) <= SPUR * radii[path[0] if meeting[0] else path[-1]] + 1


def _mended(network: typing.Any, end: int) -> list[int]:
    """Join the branches that meet at a place if they are just two. Returns the number of the new branch, in a list."""
    users = sorted(network.ends[end])
    return [] if len(users) != 2 or users[0][0] == users[1][0] else [network.join(*users)]


def _joined(branches: typing.Sequence[list[int]], positions: np.ndarray, radii: np.ndarray) -> list[list[int]]:
    """Branches, those that go on straight through a branch point joined, the straightest first."""
    network, queue = _Network(branches), list[typing.Any]()

    def look_at(end: int) -> None:
        for one, other in itertools.combinations(sorted(network.ends[end]), 2):
            cosine = float(_heading(network, one, positions, radii) @ _heading(network, other, positions, radii))
            if cosine < STRAIGHT and one[0] != other[0]:
                heapq.heappush(queue, (cosine, one, other))

    for end in network.ends:
        look_at(end)
    while queue:
        _, one, other = heapq.heappop(queue)
        if one[0] in network.paths and other[0] in network.paths:
            path = network.paths[network.join(one, other)]
            for end in {path[0], path[-1]}:  # a longer branch may point another way
                look_at(end)
    return list(network.paths.values())


def _heading(network: typing.Any, use: typing.Any, positions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    path = network.paths[use[0]] if use[1] else network.paths[use[0]][::-1]
    reach = max(3, int(REACH * radii[path[0]]))
    start = min(len(path) - 1, int(np.ceil(radii[path[0]])))  # the first voxels are drawn aside by the others
    way = positions[path[min(len(path) - 1, reach)]] - positions[path[min(start, len(path) - 2)]]
    return way / max(np.linalg.norm(way), 1e-9)
