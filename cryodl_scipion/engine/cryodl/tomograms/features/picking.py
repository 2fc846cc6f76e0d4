# SPDX-License-Identifier: GPL-3.0-or-later
"""From one segmentation to Points: components first, then what the shape of the feature asks for. Splitting of touching
particles where they are thin: watershed of the distance to the outside."""

import os
import typing

import numpy as np
from scipy.interpolate import splev, splprep
from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from ...contract import PickFeaturesConfig, counted
from . import components as components_module
from . import skeletons, surfaces
from .components import ComponentFinder, Components, Segmentation, connected, isolated, slabs
from .membranes import MAX_VOXELS, membrane_points
from .points import Points, points_inside, together

LARGEST_BOX = 2**24  # voxels; components in larger boxes are split block by block
HALO = 1.5  # particle diameters around a block
FARTHEST = 96  # voxels of it, at most
NO_NECK = 0.9  # of the depth of the shallower of two summits that is left between those of one particle
NEAR = 1.5  # particle diameters, within which summits may be of one particle
FULL = 0.6  # of half a particle's diameter: the depth of a summit that can tell a neck; flat components have none


def split_touching(
    segmentation: Segmentation,
    components: Components,
    numbers: np.ndarray,
    diameter: float,
    locate: typing.Callable[[np.ndarray], np.ndarray],
) -> Points:
    """Points of the particles of some components: centres of mass of the parts, which are not nearer than half a
    diameter. numbers: of the components wanted, from 0. diameter: voxels. locate: function of (n, 3) voxels that gives
    the numbers of their components, from 1."""
    sizes, found = np.prod(np.diff(components.boxes[numbers], axis=2)[:, :, 0], axis=1), []
    for number in numbers[sizes <= LARGEST_BOX]:
        mask, _, low = isolated(segmentation, components, number)
        centres, voxels, _ = part(mask, diameter)
        found.append(
            _centre_points(segmentation, centres + low, voxels, np.full(len(centres), number + 1), components.scores)
        )
    large = numbers[sizes > LARGEST_BOX]
    if len(large):
        centres, voxels, seeds = _by_blocks(segmentation, components.boxes[large], diameter)
        component = locate(seeds)
        keep = np.isin(component, large + 1)
        found.append(_centre_points(segmentation, centres[keep], voxels[keep], component[keep], components.scores))
    return together(found)


def _centre_points(
    segmentation: Segmentation, centres: np.ndarray, voxels: np.ndarray, component: np.ndarray, scores: np.ndarray
) -> Points:
    return Points(centres, component, voxels * (segmentation.pixel_size / 10) ** 3, scores[component - 1])


def part(mask: np.ndarray, diameter: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of mass (n, 3) zyx, voxels (n,) and one voxel (n, 3) of a mask's particles. diameter: of one, voxels."""
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    mask = np.pad(mask, 1)
    depth = distance_transform_edt(mask).astype(np.float32)
    # unevenness of the surface makes more than one summit
    depth = gaussian_filter(depth, 0.08 * diameter, truncate=3)
    seeds = peak_local_max(
        depth, min_distance=max(1, round(diameter / 2)), labels=mask.astype(np.uint8), exclude_border=False
    )
    if not len(seeds):
        return np.zeros((0, 3)), np.zeros(0, int), np.zeros((0, 3), int)
    numbers, markers = _without_neck(depth, seeds, diameter) + 1, np.zeros(mask.shape, np.int32)
    markers[tuple(seeds.T)] = numbers
    parts = watershed(-depth, markers, mask=mask)
    found, firsts = np.unique(numbers, return_index=True)
    centres = np.array(center_of_mass(mask, parts, found))
    return centres - 1, np.bincount(parts.reshape(-1), minlength=len(found) + 1)[1:], seeds[firsts] - 1


def _without_neck(depth: np.ndarray, seeds: np.ndarray, diameter: float) -> np.ndarray:
    """(n,) numbers from 0 of the particles that seeds are of. A short rod has two summits by chance of the grid: they
    are of one particle if the depth hardly falls on the straight line between them. depth: (z, y, x) distance to the
    outside, voxels. seeds: (n, 3) its summits. diameter: of a particle, voxels. What is longer than NEAR of it is no
    single particle, and keeps its summits."""
    distance = NEAR * diameter
    first, second = cKDTree(seeds).query_pairs(distance, output_type="ndarray").T
    least = np.full(len(first), np.inf)
    for part_way in np.linspace(0, 1, int(np.ceil(distance)) + 2)[1:-1]:
        positions = seeds[first] + part_way * (seeds[second] - seeds[first])
        np.minimum(least, map_coordinates(depth, positions.T, order=1), out=least)
    summits = depth[tuple(seeds.T)]
    shallower = np.minimum(summits[first], summits[second])
    one = (least >= NO_NECK * shallower) & (shallower >= FULL * diameter / 2)
    count, numbers = connected(np.stack([first[one], second[one]], 1), len(seeds))
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, numbers, seeds)
    np.maximum.at(high, numbers, seeds)
    long = (np.linalg.norm(high - low, axis=1) > distance)[numbers]
    return np.unique(np.where(long, count + np.arange(len(seeds)), numbers), return_inverse=True)[1].reshape(-1)


def _by_blocks(
    segmentation: Segmentation, boxes: np.ndarray, diameter: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `part`, of all that lies in the boxes: blocks have a halo, and keep particles whose centre is theirs."""
    halo = min(int(np.ceil(HALO * diameter)), FARTHEST)
    side, found = max(64, int(LARGEST_BOX ** (1 / 3)) - 2 * halo), []
    low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
    starts = np.meshgrid(*(np.arange(a, b, side) for a, b in zip(low, high)), indexing="ij")
    for start in np.stack(starts, -1).reshape(-1, 3):
        stop = np.minimum(start + side, high)
        if not ((boxes[:, :, 0] < stop) & (boxes[:, :, 1] > start)).all(axis=1).any():
            continue
        wide = np.stack([np.maximum(start - halo, 0), np.minimum(stop + halo, segmentation.shape)], axis=1)
        mask = segmentation.read(*map(tuple, wide))[0]
        if not mask[tuple(slice(a, b) for a, b in zip(start - wide[:, 0], stop - wide[:, 0]))].any():
            continue
        centres, voxels, seeds = part(mask, diameter)
        centres, seeds = centres + wide[:, 0], seeds + wide[:, 0]
        mine = ((centres >= start - 0.5) & (centres < stop - 0.5)).all(axis=1)
        found.append((centres[mine], voxels[mine], seeds[mine]))
    centres, voxels, seeds = (np.concatenate(column) for column in zip(*found))
    keep = _apart(centres, voxels, diameter / 2)
    return centres[keep], voxels[keep], seeds[keep]


def _apart(centres: np.ndarray, voxels: np.ndarray, distance: float) -> np.ndarray:
    """Indices of those with no larger one nearer than the distance: blocks may see one particle differently."""
    keep, order = np.ones(len(centres), bool), np.argsort(-voxels, kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    pairs = cKDTree(centres).query_pairs(distance, output_type="ndarray")
    pairs = np.take_along_axis(pairs, np.argsort(rank[pairs], axis=1), axis=1)
    for better, worse in pairs[np.argsort(rank[pairs[:, 0]], kind="stable")]:
        keep[worse] &= not keep[better]
    return np.flatnonzero(keep)


MEMORY = 0.3  # GB for one slab
UNLIKELY = 3.0  # times the diameter of a particle: nothing, or 27 of them, in a component of median size
_ONE = (1,)  # the only label of a mask


def pick_feature(path: str | os.PathLike[str], config: PickFeaturesConfig) -> tuple[Points, float, list[str]]:
    """(Points, pixel size in Å/px, sentences for the user) of a volume. Raises ValueError or FileNotFoundError if the
    volume cannot be used."""
    segmentation = Segmentation(path, config.label, config.threshold, config.pixel_size)
    ranges = slabs(segmentation.shape, components_module.BYTES, MEMORY)
    components, thickness = components_of(segmentation, ranges, measure=config.shape == "membranes")
    volumes = components.voxels * (segmentation.pixel_size / 10) ** 3
    whole = config.shape != "particles"  # size limits of particles are those of the split ones
    numbers = np.flatnonzero(_fits(volumes, config)) if whole else np.arange(len(components))
    points = _points(segmentation, components, numbers, ranges, thickness, config)
    if not whole:
        points = points.subset(_fits(points.volumes, config))
    notes = [segmentation.note] if segmentation.note else []
    each = np.bincount(points.lines)[points.lines] if points.lines is not None and config.spacing <= SHORT else []
    if len(each) and config.spacing * (np.median(each) - 0.5) < SHORT:  # a piece is up to one spacing shorter
        notes.append(
            f"{path}: most points are on pieces shorter than {SHORT / 10:.0f} nm, as where other structures are taken "
            "for filaments. Check by eye; --minimum-size leaves out short ones."
        )
    if points.lines is not None and (round_ones := len(numbers) - len(np.unique(points.components))):
        left_out = f"{counted(round_ones, 'component')} of {len(numbers)} left out"
        notes.append(f"{path}: {left_out}, hardly longer than wide: they show no direction of a filament.")
    if not whole and config.diameter and len(components):
        sizes = np.sort(components.voxels)  # half of the voxels are in larger components: specks count little
        median = sizes[np.searchsorted(sizes.cumsum(), sizes.sum() / 2)]
        seen = (6 / np.pi * median) ** (1 / 3) * segmentation.pixel_size
        if not 1 / UNLIKELY < seen / config.diameter < UNLIKELY:
            notes.append(
                f"{path}: components are like spheres of {seen:.0f} Å (median), but the particle diameter (--diameter) "
                f"is {config.diameter:g} Å: particles may be split, or joined."
            )
    points = points_inside(points, segmentation.shape, config.border / segmentation.pixel_size)
    return points, segmentation.pixel_size, notes


def _fits(volumes: np.ndarray, config: PickFeaturesConfig) -> np.ndarray:
    largest = np.inf if config.maximum_size is None else config.maximum_size
    return (volumes >= config.minimum_size) & (volumes <= largest)


def components_of(
    segmentation: Segmentation, ranges: typing.Sequence[tuple[int, int]], measure: bool
) -> tuple[Components, float]:
    """Components of the mask, and, if asked for, the thickness of a sheet with their volume and area, voxels."""
    finder, counter, voxels = ComponentFinder(_ONE), surfaces.AreaCounter(1), 0
    for start, stop in ranges:
        mask, scores = segmentation.read((start, stop))
        finder.add(start, mask.view(np.int8), scores)
        if measure:
            counter.add(mask.view(np.int8))
            voxels += int(mask.sum())
    area = float(counter.areas[1])
    return finder.components(), (2 * voxels / area if area else 1.0)


def _points(
    segmentation: Segmentation,
    components: Components,
    numbers: np.ndarray,
    ranges: typing.Sequence[tuple[int, int]],
    thickness: float,
    config: PickFeaturesConfig,
) -> Points:
    spacing = config.spacing / segmentation.pixel_size
    if config.shape == "filaments":
        return along_filaments(segmentation, components, numbers, spacing)
    if config.shape == "membranes":
        voxels, component_of = voxels_of(segmentation, components, ranges, config.seed)
        return membrane_points(segmentation, components, numbers, voxels, component_of, thickness, spacing, config.seed)
    if config.shape == "particles" and len(numbers):
        locate = lambda positions: _numbers_at(positions, segmentation, components, ranges)
        sizes = components.voxels[(components.voxels * (segmentation.pixel_size / 10) ** 3) >= config.minimum_size]
        typical = float((6 / np.pi * np.median(sizes if len(sizes) else components.voxels)) ** (1 / 3))  # of a sphere
        diameter = (config.diameter or 0) / segmentation.pixel_size or typical
        return split_touching(segmentation, components, numbers, diameter, locate)
    volumes = components.voxels[numbers] * (segmentation.pixel_size / 10) ** 3
    return together([Points(components.centres[numbers], numbers + 1, volumes, components.scores[numbers])])


def numbered_slabs(
    segmentation: Segmentation, components: Components, ranges: typing.Sequence[tuple[int, int]]
) -> typing.Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (zyx of the first voxel, (z, y, x) numbers of components from 1) of the parts of slabs that hold any."""
    for start, stop in ranges:
        mask, _ = segmentation.read((start, stop))
        for _, position, numbers in components.numbered(start, mask.view(np.int8), _ONE):
            yield np.array([start + position[0].start, position[1].start, position[2].start]), numbers


def _numbers_at(
    positions: np.ndarray, segmentation: Segmentation, components: Components, ranges: typing.Sequence[tuple[int, int]]
) -> np.ndarray:
    """(n,) numbers of the components, from 1, that voxels (n, 3) zyx lie in; 0 for none."""
    found = np.zeros(len(positions), int)
    for offset, numbers in numbered_slabs(segmentation, components, ranges):
        local = positions - offset
        here = ((local >= 0) & (local < numbers.shape)).all(axis=1)
        found[here] = numbers[tuple(local[here].T)]
    return found


def voxels_of(
    segmentation: Segmentation, components: Components, ranges: typing.Sequence[tuple[int, int]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) zyx of the mask's voxels, an even part of very many, and (n,) numbers of their components from 0."""
    part, rng = min(1.0, MAX_VOXELS / max(1, components.voxels.sum())), np.random.default_rng(seed)
    positions, component_of = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.int32)]
    for offset, numbers in numbered_slabs(segmentation, components, ranges):
        flat = np.flatnonzero(numbers)
        if part < 1:
            flat = flat[rng.random(len(flat)) < part]
        positions.append((np.stack(np.unravel_index(flat, numbers.shape), 1) + offset).astype(np.int32))
        component_of.append(numbers.reshape(-1)[flat] - 1)
    return np.concatenate(positions), np.concatenate(component_of)


# ----- Points along filaments, with their directions.
LUMEN_NM2 = 500.0  # holes up to this are the inside of a tube: a microtubule's is 180 nm², at a slant up to 3 times it
SHORT = 250.0  # Å: where a simulated cell has no filaments, most of what is traced is shorter
WOBBLE = 0.6  # voxels that the voxels of a middle line lie beside it (root mean square)


def along_filaments(segmentation: Segmentation, components: Components, numbers: np.ndarray, spacing: float) -> Points:
    """Points along the middle lines of some components. numbers: of the components wanted, from 0. spacing: voxels.
    Directions run one way along each filament; which way, nobody knows. What is hardly longer than wide has none."""
    found: list[Points] = []
    for number in numbers:
        mask, step, low = isolated(segmentation, components, number)
        for positions, radii in skeletons.centre_lines(mask, LUMEN_NM2 / (segmentation.pixel_size * step / 10) ** 2):
            if len(positions) <= np.median(radii):
                continue
            positions = positions * step + (step - 1) / 2 + low
            zyx, directions = sampled(positions, spacing, step * float(np.median(radii)))
            many = np.ones(len(zyx), int)
            volume = components.voxels[number] * (segmentation.pixel_size / 10) ** 3
            found.append(
                Points(
                    zyx,
                    many * (number + 1),
                    many * volume,
                    many * components.scores[number],
                    directions,
                    many * (1 + len(found)),
                )
            )
    return together(found, directions=True, lines=True)


def sampled(positions: np.ndarray, spacing: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) and unit vectors (n, 3) along a smooth curve through places, evenly, and as much room at both ends.
    positions: (m, 3) voxels in their order, two or more. spacing: voxels. radius: voxels; thick ones wobble more."""
    curve, parameters = _curve(positions, radius), np.linspace(0, 1, max(200, 8 * len(positions)))
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve(parameters), axis=0), axis=1))])
    count = int(way[-1] / spacing) + 1
    wanted = (way[-1] - (count - 1) * spacing) / 2 + spacing * np.arange(count)
    at = lambda lengths: curve(np.interp(lengths, way, parameters))
    # over a radius to both sides: the last voxels of a middle line turn aside
    directions = at(wanted + max(1.0, radius)) - at(wanted - max(1.0, radius))
    return at(wanted), directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _curve(positions: np.ndarray, radius: float) -> typing.Callable[[typing.Any], np.ndarray]:
    """A function of (k,) parameters in [0, 1] that gives (k, 3) positions on a smooth curve."""
    if len(positions) < 5:
        start, way = positions[0].astype(float), (positions[-1] - positions[0]).astype(float)
        way = way if way.any() else np.array([1.0, 0.0, 0.0])
        return lambda t: start + np.multiply.outer(t, way)
    spline, _ = splprep(positions.T, s=len(positions) * WOBBLE**2 * max(1.0, radius / 4))
    return lambda t: np.stack(splev(t, spline), 1)
