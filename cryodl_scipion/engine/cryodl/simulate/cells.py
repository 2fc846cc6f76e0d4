# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of a simulated tomogram: densities and labels of things that do not overlap.

Lipid bilayers: closed vesicles with bumps, and open sheets that cross the tomogram.
Microtubules and thin filaments: smoothly bent lines of subunits."""

import dataclasses
import typing

import numpy as np

BYTES_PER_VOXEL = 40  # of memory that a simulated tomogram takes at its peak


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to put into a cell. Positions are (n, 3) zyx voxels; those outside of the cell are left out.

    claimed: where nothing else may be labelled. labelled: those of them that get its label. density: function that
    gives positions (n, 3) and densities (n,), 1 being protein; it is only called when there is room."""

    claimed: np.ndarray
    labelled: np.ndarray
    density: typing.Callable[[], tuple[np.ndarray, np.ndarray]]


class Cell:
    """density: (z, y, x) float32, solvent 0. labels: (z, y, x) int8, 0 for solvent."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = tuple(shape)
        self.density = np.zeros(self.shape, np.float32)
        self.labels = np.zeros(self.shape, np.int8)

    def labelled(self, positions: np.ndarray) -> np.ndarray:
        """(...,) bool for positions (..., 3): within the cell, and labelled."""
        inside = self.inside(positions)
        result = np.zeros(inside.shape, bool)
        result[inside] = self.labels[tuple(positions[inside].T)] > 0
        return result

    def inside(self, positions: np.ndarray) -> np.ndarray:
        """(...,) bool for positions (..., 3)."""
        return np.all((positions >= 0) & (positions < self.shape), axis=-1)

    def put(self, part: Part, label: int) -> bool:
        """True if the part was put in: all of it that lies in the cell was free, and there is some."""
        labelled, _ = self._flat(part.labelled)
        if not len(labelled) or self.labels.ravel()[self._flat(part.claimed)[0]].any():
            return False
        positions, values = part.density()
        flat, inside = self._flat(positions)
        np.add.at(self.density.ravel(), flat, values[inside].astype(np.float32))
        self.labels.ravel()[labelled] = label
        return True

    def _flat(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat places of those inside, and which (n,) bool these are."""
        inside = self.inside(positions)
        return np.ravel_multi_index(tuple(positions[inside].T), self.shape), inside


def put_many(cell: Cell, make: typing.Callable[[], Part | None], count: int, label: int, tries: int = 60) -> int:
    """Put `count` things into a cell. make: function without arguments that proposes a Part, or None. Returns how many
    found room; there is none when `tries` proposals, one after the other, did not fit."""
    placed = failures = 0
    while placed < count and failures < tries:
        part = make()
        placed, failures = (placed + 1, 0) if part is not None and cell.put(part, label) else (placed, failures + 1)
    return placed


def ball_offsets(radius: float) -> np.ndarray:
    """(n, 3) whole offsets within `radius` px, one more on all sides for centres between voxels."""
    reach = int(np.ceil(radius)) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return grid[np.linalg.norm(grid, axis=1) <= radius + 1]


def balls(centres: np.ndarray, radius: float) -> np.ndarray:
    """(n, 3) voxels, each once, within `radius` px of any of the centres (m, 3)."""
    offsets, whole = ball_offsets(radius), np.rint(centres).astype(int)
    low = whole.min(0) + offsets.min(0)
    block = np.zeros(whole.max(0) + offsets.max(0) - low + 1, bool)
    for centre, voxel in zip(centres, whole):
        positions = voxel + offsets
        block[tuple((positions[np.square(positions - centre).sum(1) <= radius**2] - low).T)] = True
    return np.argwhere(block) + low


def blobs(centres: np.ndarray, sigma: float, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """Sum of Gaussians: positions (n, 3) and densities (n,). centres: (m, 3) px. sigma: px. mass: sum of each one."""
    offsets, whole = ball_offsets(3 * sigma), np.rint(centres).astype(int)
    positions = (whole[:, None] + offsets).reshape(-1, 3)
    square = np.square((whole - centres)[:, None] + offsets).sum(-1)
    return positions, (mass / (2 * np.pi * sigma**2) ** 1.5 * np.exp(-square / (2 * sigma**2))).ravel()


SMALLEST, LARGEST = 200.0, 1500.0  # Å, radii of vesicles
BLUR_PX = 0.45  # as that of structures
ANCHOR = 35.0  # Å from one blob of a membrane protein to the next, along the normal


@dataclasses.dataclass(frozen=True)
class Bilayer:
    """How a membrane looks. Lengths in Å; solvent has the density 0, protein 1.

    leaflets: from the middle of one layer of head groups to the other's. thickness: of the bilayer, head groups and
    all: what is labelled. head_sigma: of a layer of head groups; heads: its density. core: density of the fatty tails.
    coat: (distance, sigma, density) of a layer of protein on the inner side of a vesicle (distance below 0) or its
    outer one, or None. proteins: membrane proteins for each Å² of it; reach: (least, largest) length that they stand
    out on one side; protein_sigma: of the blobs that they are made of."""

    leaflets: float = 40.0
    thickness: float = 55.0
    head_sigma: float = 7.0
    heads: float = 1.5
    core: float = -0.25
    coat: tuple[float, float, float] | None = None
    proteins: float = 0.0
    reach: tuple[float, float] = (30.0, 120.0)
    protein_sigma: float = 18.0


def vesicle(
    shape: tuple[int, ...],
    pixel_size: float,
    rng: np.random.Generator,
    bilayer: Bilayer = Bilayer(),
    largest: float = LARGEST,
) -> Part:
    """A Part: an ellipsoid with bumps; it may be cut by the cell's borders, its centre lies within. largest: Å, of its
    radius; and at most 0.3 of the cell's width."""
    largest = min(largest, 0.3 * pixel_size * max(shape[1:]))
    radius = np.exp(rng.uniform(np.log(min(SMALLEST, largest)), np.log(largest))) / pixel_size
    axes, centre = radius * rng.uniform(0.75, 1.25, 3), rng.uniform(0, 1, 3) * np.array(shape)
    waves, phases, heights = rng.normal(0, 1.5, (4, 3)), rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.01, 0.05, 4)

    def level(positions: np.ndarray) -> np.ndarray:
        """0 on the surface, negative within."""
        position = positions - centre
        length = np.maximum(np.linalg.norm(position, axis=-1), 1e-6)
        direction = position / length[:, None]
        bumps = 1 + (heights * np.cos(direction @ waves.T + phases)).sum(-1)
        return length * np.linalg.norm(direction / axes, axis=-1) / bumps - 1

    width = _seen_width(bilayer) / pixel_size
    reach = 1.6 * axes.max() + 2 * width
    return _part(level, 1.5 * width / axes.min() + 2 / axes.min(), (centre, reach), shape, pixel_size, bilayer, rng)


def sheet(shape: tuple[int, ...], pixel_size: float, rng: np.random.Generator, bilayer: Bilayer = Bilayer()) -> Part:
    """A Part: a wavy plane through the cell, across the plane of the tomogram more than along it."""
    rotation, lean = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    normal = np.array([np.sin(lean), np.cos(lean) * np.sin(rotation), np.cos(lean) * np.cos(rotation)])
    across, size = np.linalg.svd(normal[None])[2][1:], max(shape)
    waves = (rng.normal(0, 1, (3, 2)) @ across) * (2 * np.pi / size)
    phases, heights = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.01, 0.06, 3) * size
    through = rng.uniform(0.2, 0.8, 3) * np.array(shape)

    def level(positions: np.ndarray) -> np.ndarray:
        return (positions - through) @ normal - (heights * np.cos(positions @ waves.T + phases)).sum(-1)

    near = 2.5 * (1.5 * _seen_width(bilayer) / pixel_size + 2)
    return _part(level, near, (np.array(shape) / 2, size), shape, pixel_size, bilayer, rng)


def _seen_width(bilayer: Bilayer) -> float:
    """Å, twice as far from the middle as a membrane has density: its proteins do not count."""
    return max(bilayer.thickness, 2 * (abs(bilayer.coat[0]) + 2 * bilayer.coat[1]) if bilayer.coat else 0.0)


def _part(
    level: typing.Callable[[np.ndarray], np.ndarray],
    near: float,
    ball: tuple[np.ndarray, float],
    shape: tuple[int, ...],
    pixel_size: float,
    bilayer: Bilayer,
    rng: np.random.Generator,
) -> Part:
    """Part of the surface where `level`, a function of positions (n, 3), is 0. near: values of it to look at. ball:
    centre and radius of what holds all of it, px."""
    centre, reach = ball
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, shape).astype(int)
    plane = np.stack(np.meshgrid(np.arange(low[1], high[1]), np.arange(low[2], high[2]), indexing="ij"), -1)
    plane, found = plane.reshape(-1, 2), [np.zeros((0, 3), int)]
    for z in range(low[0], high[0]):
        slice_positions = np.column_stack([np.full(len(plane), z), plane])
        found.append(slice_positions[np.abs(level(slice_positions)) < near])
    positions = np.concatenate(found)
    slope = np.stack([level(positions + step) - level(positions - step) for step in 0.5 * np.eye(3)])
    distance = level(positions) / np.maximum(np.linalg.norm(slope, axis=0), 1e-9) * pixel_size
    labelled = np.abs(distance) <= bilayer.thickness / 2
    claimed = np.abs(distance) <= bilayer.thickness / 2 + pixel_size

    def density() -> tuple[np.ndarray, np.ndarray]:
        middle = np.abs(distance) <= pixel_size / 2
        more, values = _proteins(positions[middle], slope[:, middle].T, pixel_size, bilayer, rng)
        return np.concatenate([positions, more]), np.concatenate([profile(distance, pixel_size, bilayer), values])

    return Part(positions[claimed], positions[labelled], density)


def profile(distance: np.ndarray, pixel_size: float, bilayer: Bilayer = Bilayer()) -> np.ndarray:
    """Density of a bilayer at a distance in Å from its middle, blurred by the voxels."""
    sigma = np.hypot(bilayer.head_sigma, BLUR_PX * pixel_size)
    core_sigma = np.hypot(0.6 * bilayer.head_sigma, BLUR_PX * pixel_size)
    bell = lambda position, width: np.exp(-((distance - position) ** 2) / (2 * width**2))
    half = bilayer.leaflets / 2
    heads = bilayer.head_sigma / sigma * (bell(-half, sigma) + bell(half, sigma))
    result = bilayer.heads * heads + bilayer.core * 0.6 * bilayer.head_sigma / core_sigma * bell(0, core_sigma)
    if bilayer.coat:
        position, width, value = bilayer.coat
        blurred = np.hypot(width, BLUR_PX * pixel_size)
        result = result + value * width / blurred * bell(position, blurred)
    return result


def _proteins(
    middles: np.ndarray, normals: np.ndarray, pixel_size: float, bilayer: Bilayer, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) and densities (n,) of the proteins of a membrane. middles: (m, 3) voxels in its middle, about
    one for each voxel's face. normals: (m, 3) of any length, outwards."""
    number = rng.poisson(bilayer.proteins * len(middles) * pixel_size**2) if bilayer.proteins else 0
    if not number or not len(middles):
        return np.zeros((0, 3), int), np.zeros(0)
    chosen = rng.integers(len(middles), size=number)
    normal = normals[chosen] / np.maximum(np.linalg.norm(normals[chosen], axis=1, keepdims=True), 1e-9)
    side, reach = rng.choice([-1.0, 1.0]), rng.uniform(*bilayer.reach, number)
    centres = [
        (middles[chosen] + side * normal * height / pixel_size)[reach >= height]
        for height in np.arange(0, bilayer.reach[1] + 1, ANCHOR)
    ]
    sigma = bilayer.protein_sigma
    mass = (2 * np.pi) ** 1.5 * sigma**3 * 0.8 / pixel_size**3  # 0.8 in the middle of a blob
    return blobs(np.concatenate(centres), float(np.hypot(sigma / pixel_size, BLUR_PX)), mass)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A filament. Lengths in Å, rotations in degrees.

    radius: of what is labelled, all that lies within. rise, rotation (right-handed): from one ring of subunits to the
    next. strands: subunits in a ring, helical_rise: axial distance of neighbours in it, left-handed. at: radius of the
    subunits' middles; sigma, volume: of each. bend: largest change of direction from end to end, radians. length:
    (least, largest), parts of the tomogram's width."""

    radius: float
    rise: float
    rotation: float
    strands: int
    helical_rise: float
    at: float
    sigma: float
    volume: float
    bend: float
    length: tuple[float, float]


# 13 protofilaments, left-handed three-start helix of monomers of 50 kDa
MICROTUBULE = Kind(125, 40, 0, 13, 3 * 40 / 13, 103, 14, 60500, 0.4, (0.4, 2.0))
# as actin: 27.3 Å and -166.4 degrees from one monomer of 42 kDa to the next
FILAMENT = Kind(35, 27.3, -166.4, 1, 0, 16, 13, 51000, 0.8, (0.25, 1.0))


def filament(cell: Cell, kind: Kind, pixel_size: float, rng: np.random.Generator) -> Part | None:
    """A Part: the longest free piece of a curve through the cell, or None if that is too short."""
    line, radius = _line(cell.shape, kind.bend, rng), kind.radius / pixel_size
    # far from borders and other things: the ball around each position must be free
    step = max(1, int(radius / 4))
    some = line[::step]
    claimed = np.rint(some).astype(int)[:, None] + ball_offsets(radius)
    start, stop = _longest(~cell.labelled(claimed).any(1) & cell.inside(np.rint(some).astype(int)))
    minimum, largest = (part * max(cell.shape[1:]) / step for part in kind.length)
    wanted = int(rng.uniform(minimum, largest))
    if stop - start < minimum:
        return None
    if stop - start > wanted:
        start += int(rng.integers(stop - start - wanted + 1))
        stop = start + wanted
    fragment = line[start * step : (stop - 1) * step + 1]
    labelled, sigma = balls(fragment, radius), float(np.hypot(kind.sigma / pixel_size, BLUR_PX))
    return Part(
        labelled,
        labelled,
        lambda: blobs(_subunits(fragment * pixel_size, kind, rng) / pixel_size, sigma, kind.volume / pixel_size**3),
    )


def _line(shape: tuple[int, ...], bend: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) zyx positions 1 px apart along a smooth curve through the cell, long enough to cross it."""
    number = 2 * int(np.linalg.norm(shape))
    along = np.linspace(-0.5, 0.5, number)
    azimuth = rng.uniform(0, 2 * np.pi) + bend * (
        rng.uniform(-1, 1) * along * 2 + 0.2 * np.sin(2 * np.pi * along * 2 + rng.uniform(0, 2 * np.pi))
    )
    rises = np.arctan2(shape[0], max(shape[1:])) * rng.uniform(-0.5, 0.5) + 0.1 * np.sin(4 * along + rng.uniform(0, 6))
    line = np.cumsum(np.stack([np.sin(rises), np.cos(rises) * np.sin(azimuth), np.cos(rises) * np.cos(azimuth)], 1), 0)
    return line - line[number // 2] + rng.uniform(0.15, 0.85, 3) * np.array(shape)


def _longest(free: np.ndarray) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(int), [0]])))
    if not len(edges):
        return 0, 0
    runs = edges.reshape(-1, 2)
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(start), int(stop)


def _subunits(line: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) zyx middles of the subunits along a line (m, 3) of positions in Å."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    rings, number = np.arange(0, lengths[-1], kind.rise), np.arange(kind.strands)
    along = (rings[:, None] + kind.helical_rise * number).ravel()
    angle = (np.radians(kind.rotation) * np.arange(len(rings))[:, None] - 2 * np.pi * number / kind.strands).ravel()
    angle, along = angle[along <= lengths[-1]] + rng.uniform(0, 2 * np.pi), along[along <= lengths[-1]]
    position, tangent = (
        np.stack([np.interp(along, lengths, values) for values in table.T], 1)
        for table in (line, np.gradient(line, axis=0))
    )
    tangent /= np.linalg.norm(tangent, axis=1)[:, None]
    side = np.cross(tangent, [1.0, 0, 0])  # curves lie in the plane more than along z
    side /= np.linalg.norm(side, axis=1)[:, None]
    # in the order zyx a cross product has the other sign: so rotations are right-handed
    return position + kind.at * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(side, tangent))
