# SPDX-License-Identifier: GPL-3.0-or-later
"""The membranes of one segmentation, each by itself: points, middle surface, area, thickness, bending, distances."""

import dataclasses
import itertools
import os
import typing
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, find_objects, label, map_coordinates
from scipy.spatial import cKDTree

from ...contract.tomograms.features import MeasureMembranesConfig
from ...io import tomogram_coordinates, volume_writer
from . import components as components_module
from . import membrane_meshes
from .components import Components, Segmentation, any_bins, connected, isolated, slabs
from .membranes import bending, local_thickness, nearest_others, on_membranes
from .picking import MEMORY, components_of, numbered_slabs, voxels_of
from .points import Points, point_columns, points_inside

NM = 0.1  # of one Å
INSTANCES = "cryodl: numbers of membranes"  # in the header of their volume
COLUMNS = (
    "tomogram",
    "membrane",
    "points",
    "voxels",
    "score",
    "area_nm2",
    "closed",
    "thickness_angstrom",
    "mean_curvature_per_nm",
    "gaussian_curvature_per_nm2",
    "nearest_membrane",
    "distance_angstrom",
)


@dataclasses.dataclass(frozen=True)
class Membranes:
    """The k membranes of a volume and the n points on them. zyx, normals: (n, 3), voxels; unit vectors, those of one
    membrane to one side of it, the outer one of a closed or bent membrane. number: (n,) int, the membrane that each
    point is on, from 1. curvatures: (2, n), the larger and the smaller principal curvature, 1/Å; NaN where it cannot be
    told. thickness, distance: (n,), Å: of the mask along the normal (NaN where it cannot be told), to the nearest other
    membrane (infinite: none). other: (n,) int, number of that membrane, or 0. components_found: All connected
    components, also those that are too small. kept: (k,) int, components that membranes 1, 2, ... are, or are a part
    of. voxels: (k,) int, of each membrane. vesicles: {component: Vesicles} of those that are several membranes, with
    numbers one after the other. meshes: {membrane: Mesh}. segmentation: Segmentation."""

    zyx: np.ndarray
    normals: np.ndarray
    number: np.ndarray
    curvatures: np.ndarray
    thickness: np.ndarray
    distance: np.ndarray
    other: np.ndarray
    components_found: Components
    kept: np.ndarray
    voxels: np.ndarray
    vesicles: "dict[int, Vesicles]"
    meshes: dict[int, membrane_meshes.Mesh]
    segmentation: Segmentation

    def rows(self, name: str) -> typing.Iterator[dict[str, typing.Any]]:
        """A row of COLUMNS for each membrane; empty where something cannot be told. name: of the tomogram."""
        pixel_size = self.segmentation.pixel_size
        for number, component in enumerate(self.kept, 1):
            own, mesh = self.number == number, self.meshes[number]
            apart = np.where(own, self.distance, np.inf)
            nearest = int(apart.argmin()) if np.isfinite(apart).any() else None
            first, second = self.curvatures[:, own] / NM
            values = (
                name,
                number,
                int(own.sum()),
                int(self.voxels[number - 1]),
                _short(self.components_found.scores[component]),
                _short(mesh.area * (pixel_size * NM) ** 2),
                "yes" if mesh.closed else "no",
                _short(_median(self.thickness[own])),
                _short(_median((first + second) / 2)),
                _short(_median(first * second)),
                "" if nearest is None else int(self.other[nearest]),
                "" if nearest is None else _short(float(self.distance[nearest])),
            )
            yield dict(zip(COLUMNS, values))

    def instances(self) -> typing.Iterator[tuple[int, np.ndarray]]:
        """Yields (z, (n, y, x) int16) of a volume in which every membrane has its number, slab by slab."""
        number_of = np.zeros(len(self.components_found) + 1, np.int16)
        number_of[self.kept[::-1] + 1] = np.arange(len(self.kept), 0, -1)  # the first of several
        shape = self.segmentation.shape
        for start, stop in slabs(shape, components_module.BYTES, MEMORY):
            slab = np.zeros((stop - start, *shape[1:]), np.int16)
            for offset, numbers in numbered_slabs(self.segmentation, self.components_found, [(start, stop)]):
                position = tuple(slice(o, o + n) for o, n in zip(offset - (start, 0, 0), numbers.shape))
                slab[position] = number_of[numbers]
                for component, vesicles in self.vesicles.items():
                    own = np.nonzero(numbers == component + 1)
                    slab[position][own] += vesicles.at(np.stack(own, 1) + offset) - 1
            yield start, slab


def measured_membranes(path: str | os.PathLike[str], config: MeasureMembranesConfig) -> Membranes:
    """The Membranes of a volume. Raises ValueError or FileNotFoundError if it cannot be used."""
    segmentation = Segmentation(path, config.label, config.threshold, config.pixel_size)
    ranges = slabs(segmentation.shape, components_module.BYTES, MEMORY)
    components_found, thickness = components_of(segmentation, ranges, measure=True)
    kept = np.flatnonzero(components_found.voxels * (segmentation.pixel_size * NM) ** 3 >= config.minimum_size)
    voxels, component_of = voxels_of(segmentation, components_found, ranges, config.seed)
    wanted = np.isin(component_of, kept)
    voxels, component_of = voxels[wanted], component_of[wanted]
    kept, counts, vesicles, number_of = _separated(
        segmentation, components_found, kept, voxels, component_of, thickness
    )
    size = segmentation.pixel_size
    zyx, normals, number = on_membranes(voxels, number_of, thickness, config.spacing / size, config.seed)
    curvatures, reach, meshes = np.full((2, len(zyx)), np.nan), np.full(len(zyx), np.nan), {}
    for n, component in enumerate(kept, 1):
        own = np.flatnonzero(number == n)
        meshes[n], reach[own] = _one(
            segmentation,
            components_found,
            int(component),
            vesicles.get(int(component)),
            n - int(np.searchsorted(kept, component)),
            zyx[own],
            normals[own],
            thickness,
        )
        curvatures[:, own] = bending(cKDTree(voxels[number_of == n].astype(float)), zyx[own], normals[own], thickness)
    distance, other = nearest_others(zyx, number, {n: mesh.vertices for n, mesh in meshes.items()})
    return Membranes(
        zyx,
        normals,
        number,
        curvatures / size,
        reach * size,
        distance * size,
        other,
        components_found,
        kept,
        counts,
        vesicles,
        meshes,
        segmentation,
    )


def _separated(
    segmentation: Segmentation,
    components_found: Components,
    kept: np.ndarray,
    voxels: np.ndarray,
    component_of: np.ndarray,
    thickness: float,
) -> "tuple[np.ndarray, np.ndarray, dict[int, Vesicles], np.ndarray]":
    """Component and voxels (k,) of each membrane, Vesicles of components that are several, and the numbers (n,) of
    membranes of the voxels. kept: components, sorted."""
    owners, counts, vesicles = list[int](), list[int](), dict[int, Vesicles]()
    number_of = np.zeros(len(voxels), np.int32)
    for component in map(int, kept):
        found = vesicles_of(segmentation, components_found, component, thickness)
        own = component_of == component
        number_of[own] = len(owners) + 1
        if found is None:
            owners, counts = [*owners, component], [*counts, int(components_found.voxels[component])]
            continue
        vesicles[component] = found
        number_of[own] += found.at(voxels[own]) - 1
        bins = found.bins * (components_found.voxels[component] / found.bins.sum())
        owners += [component] * len(bins)
        counts += [int(round(n)) for n in bins]
    return np.array(owners, int), np.array(counts, int), vesicles, number_of


def _one(
    segmentation: Segmentation,
    components_found: Components,
    component: int,
    vesicles: "Vesicles | None",
    part: int,
    positions: np.ndarray,
    normals: np.ndarray,
    thickness: float,
) -> tuple[membrane_meshes.Mesh, np.ndarray]:
    """Mesh of one membrane, and its thickness (voxels) at the points. vesicles, part: if it is one of several."""
    mask, step, low = isolated(segmentation, components_found, component)
    mask = mask if vesicles is None else mask & (expanded(vesicles.numbers, mask.shape, vesicles.step // step) == part)
    mesh = membrane_meshes.middle_surface(mask, low, positions, normals, step)
    inside = lambda zyx: map_coordinates(
        mask, ((zyx - low - (step - 1) / 2) / step).T, np.float32, order=1, mode="grid-constant"
    )
    return mesh, local_thickness(inside, positions, normals, thickness)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _short(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else ""


# ----- Vesicles whose membranes touch, and that are one connected component for it: told apart by what they
# enclose. What a vesicle encloses is looked for in each slice by itself, where its membrane is a closed ring even
# if its top and bottom, which the missing wedge takes away, are missing.
SMALLEST = 2.0  # membrane thicknesses: side of the cube that is the smallest inside of a vesicle
SHARED = 0.25  # of the smaller wall: insides that share so much of it are of one object, nested or with a septum
MAX_VOXELS = 2**23  # of a mask that is looked at; larger ones are binned


@dataclasses.dataclass(frozen=True)
class Vesicles:
    """The vesicles of one component. first: (3,), zyx of the first voxel of the component's box. step: Voxels of a bin.
    numbers: (z, y, x), of bins: numbers of vesicles from 1; 0 outside of the component. bins: (n,) int, how many of the
    mask's bins each vesicle has."""

    first: np.ndarray
    step: int
    numbers: np.ndarray
    bins: np.ndarray

    def at(self, positions: np.ndarray) -> np.ndarray:
        """(n,) numbers at voxels (n, 3) zyx of the component."""
        return self.numbers[tuple(((positions - self.first) // self.step).T)]


def vesicles_of(
    segmentation: Segmentation, components_found: Components, component: int, thickness: float
) -> Vesicles | None:
    """The Vesicles of a component; None if it is only one object. thickness: of membranes, voxels."""
    mask, step, low = isolated(segmentation, components_found, component)
    numbers, coarser = separated(mask, thickness / step)
    counts = lambda found: np.bincount(expanded(found, mask.shape, coarser)[mask])[1:]
    return None if numbers is None else Vesicles(low, step * coarser, numbers, counts(numbers))


def separated(mask: np.ndarray, thickness: float) -> tuple[np.ndarray | None, int]:
    """Numbers (z, y, x) from 1 of the vesicles of a connected mask, each voxel that of the nearest inside, on bins of
    so many voxels; None if they are fewer than two. thickness: of membranes, voxels."""
    step = int(np.ceil((mask.size / MAX_VOXELS) ** (1 / 3)))
    coarse = any_bins(mask, step) if step > 1 else mask
    insides = _insides(coarse, thickness / step)
    if insides.max() < 2:
        return None, step
    nearest = distance_transform_edt(insides == 0, return_distances=False, return_indices=True)
    return np.where(coarse, insides[tuple(nearest)], 0).astype(np.int16), step


def expanded(numbers: np.ndarray, shape: typing.Sequence[int], step: int) -> np.ndarray:
    """Numbers (z, y, x) of bins of `step` voxels as those of voxels, of a shape (z, y, x)."""
    for axis in range(3) if step > 1 else ():
        numbers = np.repeat(numbers, step, axis).take(range(shape[axis]), axis)
    return numbers


def _insides(mask: np.ndarray, thickness: float) -> np.ndarray:
    """(z, y, x) numbers from 1 of the insides of vesicles, those that share much of their wall with one number."""
    plane = np.zeros((3, 3, 3), bool)
    plane[1, 1], plane[1, :, 1] = True, True
    parts, count = label(binary_fill_holes(mask, plane) & ~mask)
    large = np.flatnonzero(np.bincount(parts.ravel(), minlength=count + 1)[1:] >= (SMALLEST * thickness) ** 3)
    if len(large) < 2:
        return np.zeros(mask.shape, np.int32)
    reach, boxes, walls = thickness + 1.5, find_objects(parts), []
    for one in large:
        around = int(np.ceil(reach))
        box = tuple(slice(max(0, s.start - around), min(n, s.stop + around)) for s, n in zip(boxes[one], mask.shape))
        walls.append((box, mask[box] & (distance_transform_edt(parts[box] != one + 1) <= reach)))
    pairs = [(a, b) for a, b in itertools.combinations(range(len(large)), 2) if _together(walls[a], walls[b])]
    table = np.zeros(count + 1, np.int32)
    table[large + 1] = connected(np.array(pairs, int).reshape(-1, 2), len(large))[1] + 1
    return table[parts]


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
    return int((there[0] & there[1]).sum()) >= SHARED * min(one[1].sum(), other[1].sum())


def write_membranes(
    config: MeasureMembranesConfig, name: str, path: str, membranes: Membranes
) -> dict[str, typing.Any]:
    """Write a volume of numbered membranes, a mesh of each and the points on them into the config's output. name, path:
    of the tomogram and its segmentation. Returns its entry in the record of the folder."""
    folder = Path(config.output)
    size, shape = membranes.segmentation.pixel_size, membranes.segmentation.shape
    with volume_writer.VolumeWriter(folder / f"{name}.mrc", shape, size, np.int16, INSTANCES, path) as volume:
        for z, slab in membranes.instances():
            volume.write(z, slab)
    meshes = []
    for number, mesh in membranes.meshes.items():
        own = np.flatnonzero(membranes.number == number)
        first, second = membranes.curvatures[:, own[mesh.nearest]]
        values = dict(
            curvature_per_nm=5 * (first + second),
            thickness_angstrom=membranes.thickness[own[mesh.nearest]],
            distance_angstrom=membranes.distance[own[mesh.nearest]],
        )
        meshes.append(f"{name}_membrane_{number:03d}.ply")
        membrane_meshes.write_ply(folder / meshes[-1], mesh, size, volume_writer.origin_of(path), values)
    columns = _columns(membranes, name, config)
    tomogram_coordinates.write_coordinates3d(folder / f"{name}.star", [columns], [size])
    return dict(
        file=f"{name}.star",
        files=[f"{name}.star", f"{name}.mrc", *meshes],
        instances=f"{name}.mrc",
        meshes=meshes,
        rows=list(membranes.rows(name)),
        count=len(columns["rlnTomoName"]),
        pixel_size=size,
    )


def _columns(membranes: Membranes, name: str, config: MeasureMembranesConfig) -> dict[str, list[typing.Any]]:
    """Columns of the STAR file: those of pick-features, and what was measured at each point (0: unknown)."""
    size, shape = membranes.segmentation.pixel_size, membranes.segmentation.shape
    component = membranes.kept[membranes.number - 1]
    volumes = membranes.voxels[membranes.number - 1] * (size / 10) ** 3
    scores = membranes.components_found.scores[component]
    points = points_inside(
        Points(membranes.zyx, membranes.number, volumes, scores, membranes.normals, np.arange(len(component))),
        shape,
        config.border / size,
    )
    row = points.lines
    first, second = np.nan_to_num(10 * membranes.curvatures[:, row])
    more = dict(
        cryodlMeanCurvature=(first + second) / 2,
        cryodlGaussianCurvature=first * second,
        cryodlThickness=np.nan_to_num(membranes.thickness[row]),
        cryodlDistance=np.where(np.isfinite(membranes.distance[row]), membranes.distance[row], 0),
        cryodlNearestMembrane=membranes.other[row],
    )
    found = point_columns(name, points, config.seed, shape, size)
    found.pop("rlnHelicalTubeID")
    return dict(found, **{key: list(values) for key, values in more.items()})
