# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments along traced filaments, with the columns of RELION's helical processing."""

import dataclasses

import numpy as np

from ...core.geometry import inside
from ...io.star import write_tables
from .trace import Trace

COLUMNS = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnHelicalTubeID",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    "rlnHelicalTrackLengthAngst",
    "rlnAnglePsiFlipRatio",
    "rlnAutopickFigureOfMerit",
)


@dataclasses.dataclass(frozen=True)
class Segments:
    """Segments of one micrograph, along each filament in order.

    yx: (n, 2) px. tube: (n,) number of the filament, from 1. psi: (n,) degrees, RELION's in-plane angle of the
    filament's axis. track: (n,) Å along the filament. score: (n,) of the filament. lengths: (filaments,) Å that are
    seen.
    """

    yx: np.ndarray
    tube: np.ndarray
    psi: np.ndarray
    track: np.ndarray
    score: np.ndarray
    lengths: np.ndarray


def place_segments(traces: list, pixel_size: float, distance: float, shape: tuple[int, int], border: float) -> Segments:
    """Segments a distance apart along filaments. None lies where a filament is not seen, as on a crossing.

    Parameters
    ----------
    traces
        List of Trace, in px of the micrograph.
    pixel_size
        In Å.
    distance
        Between neighbouring segments, in Å.
    shape
        (h, w) px of the micrograph.
    border
        Segments nearer to the edge (Å) are left out.
    """
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
    """Write the STAR file of a micrograph, whole or not at all.

    The tilt is 90 degrees and the flip ratio 0.5: the polarity of a filament is not known.
    """
    count = len(segments.tube)
    values = (
        segments.yx[:, 1].astype(float),
        segments.yx[:, 0].astype(float),
        segments.tube,
        np.full(count, 90.0),
        segments.psi.astype(float),
        segments.track.astype(float),
        np.full(count, 0.5),
        segments.score.astype(float),
    )
    write_tables(path, {"": dict(zip(COLUMNS, values))})


def _along(trace: Trace, pixel_size: float, distance: float) -> tuple[np.ndarray, float]:
    """(n, 4) y, x, psi, track of the segments of one filament, and the length (Å) of what is seen of it."""
    step = np.linalg.norm(np.diff(trace.positions, axis=0), axis=1) * pixel_size
    along = np.concatenate([[0], np.cumsum(step)])
    track = np.arange(min(distance, along[-1]) / 2, along[-1], distance)
    seen = [(along[first], along[last]) for first, last in trace.fragments]
    track = track[np.any([(track >= low) & (track <= high) for low, high in seen], axis=0)]
    position = [np.interp(track, along, trace.positions[:, axis]) for axis in (0, 1)]
    slope = np.gradient(trace.positions, axis=0)
    dy, dx = (np.interp(track, along, slope[:, axis]) for axis in (0, 1))
    psi = -np.degrees(np.arctan2(dy, dx))  # RELION turns against the y axis of the image
    return np.stack([*position, psi, track], 1), float(sum(high - low for low, high in seen))
