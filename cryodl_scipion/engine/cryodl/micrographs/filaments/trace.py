# SPDX-License-Identifier: GPL-3.0-or-later
"""Centre lines of filaments from maps of their score and direction. Pictures of traced filaments on their micrographs.
Segments along traced filaments, with the columns of RELION's helical processing."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from ...core.geometry import inside
from ...io.micrographs import read_micrograph
from ...io.plots import save_figure, scale_bar
from ...io.star import read_tables, write_tables
from ..pickers.pictures import PICTURES, micrograph_figure


def draw_filaments(named: list, folder: Path, pixel_size: float) -> dict[str, str]:
    """Draw the filaments of micrographs; {name: file of the picture}. named: [(name, file)]. folder: of the segments,
    <name>.star each; the pictures come into its folder `pictures`. pixel_size: Å."""
    (folder / PICTURES).mkdir(exist_ok=True)
    drawn = {}
    for name, path in named:
        table = next((t for t in read_tables(folder / f"{name}.star").values() if "rlnHelicalTubeID" in t), {})
        x, y, tube = (
            np.array(table.get(c, ()), float) for c in ("rlnCoordinateX", "rlnCoordinateY", "rlnHelicalTubeID")
        )
        drawn[name] = str(folder / PICTURES / f"{name}.png")
        title = f"{name}: {len(np.unique(tube))} filaments, {len(tube)} segments"
        figure, axes = micrograph_figure(read_micrograph(path), title)
        for index, number in enumerate(np.unique(tube)):
            mine = tube == number
            axes.plot(x[mine], y[mine], ".", color=f"C{index % 10}", markersize=3)
        scale_bar(axes, pixel_size)
        save_figure(figure, drawn[name])
    return drawn


LOW = 0.4  # of the threshold: ridges are followed down to this
REACH = 2.7  # cells from one ridge position to the next
ROTATION = np.radians(35)  # largest angle between a step and the direction that the network tells
SMOOTHED = 6.0  # cells along which a line is smoothed
JOIN_ANGLE = np.radians(20)
ENDS = 0.7  # of its median score: a filament ends where it falls to this; the network goes on one or two diameters


@dataclasses.dataclass(frozen=True)
class Trace:
    """A filament. positions: (n, 2) yx, one cell apart. score: mean of its scores. fragments: list of (first, last) of
    `positions` along which it is seen: what lies between, as a crossing, is not."""

    positions: np.ndarray
    score: float
    fragments: list

    @property
    def length(self) -> float:
        """Of what is seen of it, in the unit of the positions."""
        seen = (np.diff(self.positions[first : last + 1], axis=0) for first, last in self.fragments)
        return float(sum(np.linalg.norm(steps, axis=1).sum() for steps in seen))


def trace_lines(
    score: np.ndarray, direction: np.ndarray, threshold: float, shortest: float, gap: float, cells: np.ndarray
) -> list:
    """Filaments of one micrograph, longest first. score: (h, w), 0 to 1. direction: (h, w), radians from the x axis
    towards y; without a sign. threshold: score that a filament's mean reaches. shortest: filaments shorter than this
    (cells) are left out. gap: two pieces that continue each other are one filament if their ends are this near (cells).
    cells: (h, w) bool; nothing is traced elsewhere. The Traces are in cells."""
    positions, scores, angles = _ridges(np.where(cells, score, 0), direction, LOW * threshold)
    paths = [_smooth(path) for path in _paths(positions, scores, angles, threshold)]
    lines = []
    for chain in _joined([path for path in paths if len(path) >= 3], gap):
        position = np.vstack(chain)
        stops = np.cumsum([len(fragment) for fragment in chain])
        seen = [(int(stop) - len(fragment), int(stop) - 1) for fragment, stop in zip(chain, stops)]
        scores = map_coordinates(score, position.T, order=1, mode="nearest")
        first, *_, last = np.flatnonzero(scores >= ENDS * np.median(scores)).tolist()
        seen = [(max(a, first) - first, min(b, last) - first) for a, b in seen if a < last and b > first]
        trace = Trace(position[first : last + 1], float(scores.mean()), seen)
        if trace.length >= shortest and trace.score >= threshold:
            lines.append(trace)
    return sorted(lines, key=lambda line: -len(line.positions))


def _ridges(score: np.ndarray, direction: np.ndarray, lowest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (n, 2) where the score is largest across the direction, to a fraction of a cell; scores and angles."""
    at = np.argwhere(score > lowest)
    if not len(at):
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    angle = direction[tuple(at.T)]
    normal = np.stack([np.cos(angle), -np.sin(angle)], 1)  # yx of the direction rotated by 90 degrees
    sides = [map_coordinates(score, (at + s * normal).T, order=1, mode="nearest") for s in (-1, 1)]
    middle = score[tuple(at.T)]
    ridge = (middle >= sides[0]) & (middle >= sides[1])
    low, high, middle = sides[0][ridge], sides[1][ridge], middle[ridge]
    bend = low - 2 * middle + high
    offset = np.where(bend < -1e-9, 0.5 * (low - high) / np.minimum(bend, -1e-9), 0.0)
    return at[ridge] + np.clip(offset, -0.5, 0.5)[:, None] * normal[ridge], middle, angle[ridge]


def _paths(positions: np.ndarray, scores: np.ndarray, angles: np.ndarray, threshold: float) -> list:
    """Ordered ridge places of each piece: the longest way through each group of neighbours."""
    if len(positions) < 3:
        return []
    pairs = cKDTree(positions).query_pairs(REACH, output_type="ndarray")
    step = positions[pairs[:, 1]] - positions[pairs[:, 0]]
    length, heading = np.linalg.norm(step, axis=1), np.arctan2(step[:, 0], step[:, 1])
    bend = np.maximum(_between(heading, angles[pairs[:, 0]]), _between(heading, angles[pairs[:, 1]]))
    # positions that lie side by side on one ridge are neighbours whatever the angle between them
    keep = (bend < ROTATION) | (length < 1.3)
    pairs, length = pairs[keep], length[keep]
    graph = coo_matrix((length + 1e-3, tuple(pairs.T)), shape=(len(positions),) * 2).tocsr()
    graph = graph + graph.T
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return [
        positions[group[_longest_way(graph[group][:, group])]]
        for group in np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
        if len(group) >= 3 and scores[group].max() >= threshold
    ]


def _longest_way(graph: typing.Any) -> np.ndarray:
    """Indices along the longest of the shortest ways through a connected graph."""
    far = lambda start: dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    distance, before = far(int(np.argmax(far(0)[0])))
    way = [int(np.argmax(distance))]
    while before[way[-1]] >= 0:
        way.append(int(before[way[-1]]))
    return np.array(way)


def _between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between two directions without a sign, 0 to pi / 2."""
    return np.abs((first - second + np.pi / 2) % np.pi - np.pi / 2)


def _smooth(path: np.ndarray) -> np.ndarray:
    """The path without the jitter of its positions, one cell from position to position."""
    even = evenly(path)
    if len(even) < 3:
        return even
    sigma = min(SMOOTHED / 2, len(even) / 6)
    ends = even[[0]] * 2 - even[1 : int(4 * sigma) + 2][::-1], even[[-1]] * 2 - even[-int(4 * sigma) - 2 : -1][::-1]
    whole = gaussian_filter1d(np.vstack([ends[0], even, ends[1]]), sigma, axis=0)
    return evenly(whole[len(ends[0]) : len(ends[0]) + len(even)])


def evenly(path: np.ndarray) -> np.ndarray:
    """Positions one cell (or px) apart along a path."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0, along[-1], max(2, round(along[-1]) + 1))
    return np.stack([np.interp(wanted, along, path[:, axis]) for axis in (0, 1)], 1)


def _joined(fragments: list, gap: float) -> list:
    """Lists of pieces that continue each other, nearest ends first, each piece in the direction of the whole."""
    ends = [(index, end) for index in range(len(fragments)) for end in (0, 1)]
    position = np.array([fragments[i][-end] for i, end in ends]).reshape(-1, 2)
    outward = np.array([_outward(fragments[i], end) for i, end in ends]).reshape(-1, 2)
    partner = {}
    pairs = (
        sorted(cKDTree(position).query_pairs(gap), key=lambda p: np.linalg.norm(position[p[0]] - position[p[1]]))
        if len(position)
        else []
    )
    for one, two in pairs:
        if (
            ends[one][0] != ends[two][0]
            and one not in partner
            and two not in partner
            and _continue_each_other(position[one], outward[one], position[two], outward[two])
        ):
            partner[one], partner[two] = two, one
    return _chains(fragments, partner)


def _outward(fragment: np.ndarray, end: int) -> np.ndarray:
    """Unit vector out of an end of a piece, over its last cells."""
    reach = min(len(fragment) - 1, int(SMOOTHED))
    step = fragment[-1] - fragment[-1 - reach] if end else fragment[0] - fragment[reach]
    return step / max(np.linalg.norm(step), 1e-9)


def _continue_each_other(
    position: np.ndarray, outward: np.ndarray, other: np.ndarray, other_outward: np.ndarray
) -> bool:
    """Whether the ends face each other, and the way from one to the other is straight on."""
    step = other - position
    length, limit = np.linalg.norm(step), np.cos(JOIN_ANGLE)
    straight = -outward @ other_outward > limit
    return bool(straight and (length < 2 or min(outward @ step, -other_outward @ step) / length > limit))


def _chains(fragments: list, partner: dict[int, int]) -> list:
    """Pieces in order along each filament. partner: {end: end}; end 2 i is the first of piece i, 2 i + 1 the last."""
    chains, done = [], set()
    starts = [2 * i + end for i in range(len(fragments)) for end in (0, 1) if 2 * i + end not in partner]
    for start in starts + [2 * i for i in range(len(fragments))]:  # the latter for what closes on itself
        chain: list = []
        end: int | None = start
        while end is not None and end // 2 not in done:
            done.add(end // 2)
            fragment = fragments[end // 2]
            chain.append(fragment if end % 2 == 0 else fragment[::-1])
            end = partner.get(end ^ 1)
        if chain:
            chains.append(chain)
    return chains


@dataclasses.dataclass(frozen=True)
class Segments:
    """Segments of one micrograph, along each filament in order. yx: (n, 2) px. tube: (n,) number of the filament, from
    1. psi: (n,) degrees, RELION's in-plane angle of the filament's axis. track: (n,) Å along the filament. score: (n,)
    of the filament. lengths: (filaments,) Å that are seen."""

    yx: np.ndarray
    tube: np.ndarray
    psi: np.ndarray
    track: np.ndarray
    score: np.ndarray
    lengths: np.ndarray


def place_segments(traces: list, pixel_size: float, distance: float, shape: tuple[int, int], border: float) -> Segments:
    """Segments a distance apart along filaments. None lies where a filament is not seen, as on a crossing. traces:
    Traces in px of the micrograph. pixel_size: Å. distance: between neighbouring segments, Å. shape: (h, w) px of the
    micrograph. border: segments nearer to the edge (Å) are left out."""
    rows, lengths = [], []
    for trace in traces:
        segments, length = _along(trace, pixel_size, distance)
        yx = segments[:, :2]
        keep = inside(yx, shape, border / pixel_size) & inside(np.rint(yx), shape)
        if keep.any():
            lengths.append(length)
            number = np.full((int(keep.sum()), 1), len(lengths))
            rows.append(np.hstack([segments[keep], number, np.full_like(number, trace.score, float)]))
    table = np.vstack(rows) if rows else np.zeros((0, 6))
    return Segments(table[:, :2], table[:, 4].astype(int), table[:, 2], table[:, 3], table[:, 5], np.array(lengths))


def write_segments(path: str, segments: Segments) -> None:
    """Write the STAR file of a micrograph, whole or not at all. The tilt is 90 degrees and the flip ratio 0.5: the
    polarity of a filament is not known."""
    columns = dict(
        rlnCoordinateX=segments.yx[:, 1].astype(float),
        rlnCoordinateY=segments.yx[:, 0].astype(float),
        rlnHelicalTubeID=segments.tube,
        rlnAngleTiltPrior=np.full(len(segments.tube), 90.0),
        rlnAnglePsiPrior=segments.psi.astype(float),
        rlnHelicalTrackLengthAngst=segments.track.astype(float),
        rlnAnglePsiFlipRatio=np.full(len(segments.tube), 0.5),
        rlnAutopickFigureOfMerit=segments.score.astype(float),
    )
    write_tables(path, {"": columns})


def _along(trace: Trace, pixel_size: float, distance: float) -> tuple[np.ndarray, float]:
    """(n, 4) y, x, psi, track of the segments of one filament, and the length (Å) of what is seen of it."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(trace.positions, axis=0), axis=1) * pixel_size)])
    track = np.arange(min(distance, along[-1]) / 2, along[-1], distance)
    seen = [(along[first], along[last]) for first, last in trace.fragments]
    track = track[np.any([(track >= low) & (track <= high) for low, high in seen], axis=0)]
    position = [np.interp(track, along, trace.positions[:, axis]) for axis in (0, 1)]
    slope = np.gradient(trace.positions, axis=0)
    dy, dx = (np.interp(track, along, slope[:, axis]) for axis in (0, 1))
    psi = -np.degrees(np.arctan2(dy, dx))  # RELION turns against the y axis of the image
    return np.stack([*position, psi, track], 1), float(sum(high - low for low, high in seen))
