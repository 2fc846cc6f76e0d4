# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of filament pickers on simulated micrographs, validated by tracing others. Picking the filaments of one
micrograph with a trained network."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from ...contract import particle_size_problem
from ...core.geometry import map_positions
from ...learning.task import NetworkTask
from ..assess.carbon import GRID, find_carbon
from ..normalize import Prepared, prepare_rescaled, rescale_micrograph
from ..tiled import TiledNetwork
from .trace import Trace, evenly, trace_lines

# Times the stated diameter that filaments are traced at: both walls of a hollow tube must be one line for the network.
# The stated one stays unless another traces more than a tenth more.
WIDER, MORE = (1.0, 1.33, 1.77), 1.1
GAP = 3.0  # diameters: as wide as a crossing that is left out, and a little more


@dataclasses.dataclass
class FilamentPicker(TiledNetwork):
    """A network ready to pick filaments."""

    def __post_init__(self) -> None:
        self.prepare_network(self.network)

    def lines(
        self,
        image: np.ndarray,
        pixel_size: float,
        diameter: float,
        threshold: float,
        shortest: float,
        keep_edges: bool = False,
    ) -> tuple[list, int]:
        """Filaments of a micrograph, longest first, and how many were left out because they run along an edge; at that
        one of the diameters by which most is traced. image: (h, w) float32 as read. pixel_size: Å. diameter: of the
        filament, Å. threshold: mean score of a filament at least, 0 to 1. shortest: length of a filament at least, Å.
        keep_edges: keep those along an edge of film, of a filled margin, of the field. Returns list of Trace in
        px of the micrograph; the number left out. Raises ValueError: the image cannot be picked."""
        if problem := particle_size_problem(diameter, pixel_size, min(image.shape)):
            raise ValueError(problem)
        wide = [d for d in (f * diameter for f in WIDER) if not particle_size_problem(d, pixel_size, min(image.shape))]
        tried = [self._lines(image, pixel_size, d, threshold, shortest, keep_edges) for d in wide]
        lengths = [sum(trace.length for trace in traces) for traces, _ in tried]
        most = int(np.argmax(lengths))
        return tried[most if lengths[most] > MORE * lengths[0] else 0]

    def _lines(
        self, image: np.ndarray, pixel_size: float, diameter: float, threshold: float, shortest: float, keep_edges: bool
    ) -> tuple[list, int]:
        factor = self.method.working_diameter * pixel_size / diameter
        small, valid = rescale_micrograph(image, factor)
        prepared = prepare_rescaled(small, valid, image.shape, self.method.working_diameter, self.contrast == "dark")
        traces = found = self.lines_prepared(prepared, threshold, shortest / pixel_size * factor)
        if found and not keep_edges:
            edges = at_edges(found, small.double().numpy(), valid.numpy(), self.method.working_diameter)
            traces = [trace for trace, edge in zip(found, edges) if not edge]
        back = lambda positions: map_positions(positions, prepared.image.shape, prepared.shape)
        lines = [dataclasses.replace(trace, positions=back(trace.positions)) for trace in traces]
        return lines, len(found) - len(lines)

    def lines_prepared(self, prepared: Prepared, threshold: float, shortest: float) -> list:
        """The same for a Prepared micrograph; shortest and the places of the Traces in working px."""
        output, stride = self.output(prepared), self.network.stride
        score = torch.sigmoid(output[0]).numpy()
        direction = 0.5 * np.arctan2(output[2].numpy(), output[1].numpy())
        cells = _valid_cells(prepared.valid, score.shape, stride)
        diameter = self.method.working_diameter / stride
        traces = trace_lines(score, direction, threshold, shortest / stride, GAP * diameter, cells)
        return [Trace(trace.positions * stride + (stride - 1) / 2, trace.score, trace.fragments) for trace in traces]


def _valid_cells(valid: torch.Tensor, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """(h, w) bool: cells all of whose pixels are valid; what lies beyond the image is not."""
    padded = np.zeros(tuple(n * stride for n in shape), bool)
    padded[: valid.shape[0], : valid.shape[1]] = valid.numpy()[: padded.shape[0], : padded.shape[1]]
    return np.asarray(padded.reshape(shape[0], stride, shape[1], stride).all((1, 3)))


# The rim of a film or of a filled margin looks like a filament to a network that sees a few diameters.
ALONG = 0.6  # part of a trace's length that lies at the edge: one that crosses an edge stays
RIM = 1.5  # diameters on both sides of the found rim: fringes reach that far, and the found arc is not exact
MARGIN = 1.0  # diameters from what is not really there


def at_edges(traces: typing.Sequence[Trace], image: np.ndarray, valid: np.ndarray, width: float) -> np.ndarray:
    """Which traces run along an edge of carbon (or gold) film, of a filled margin, or of the field.

    traces: sequence of Trace in px of the image. image: (h, w) as rescale_micrograph gives it: the background not
    removed. valid: (h, w) bool, what of it is really there. width: px, diameter of a filament. Returns (n,) bool."""
    film = find_carbon(image, valid, width)
    # beside film or thick ice the background is not flat at the field's own edge, which looks like a filament then
    near = distance_transform_edt(np.pad(valid, 1))[1:-1, 1:-1] <= MARGIN * width
    if film.any():
        reach = max(RIM * width, max(image.shape) / GRID)  # the rim is known to a cell of the grid
        near |= np.where(film, distance_transform_edt(film), distance_transform_edt(~film)) <= reach
    parts = [map_coordinates(near.astype(np.float32), t.positions.T, order=0, mode="nearest") for t in traces]
    return np.array([part.mean() >= ALONG for part in parts], bool)


SHORTEST = 3.0  # diameters
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
PRECISION = 0.95


class FilamentTask(NetworkTask):
    """One filament picker. method: of the registry. network: its module. training, validation: lists of FilamentItem.
    batch_size: crops per step. device: torch.device."""

    example_name, default_steps = "crops", 10000

    def __init__(
        self,
        method: typing.Any,
        network: torch.nn.Module,
        training: list,
        validation: list,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.method, self.training, self.validation = method, training, validation
        self.batch_size, self.device = batch_size, device
        self.learn("picker", network, method.learning_rate, torch.channels_last)

    def batch(self, rng: np.random.Generator) -> list:
        chosen = rng.integers(len(self.training), size=self.batch_size)
        return [torch.stack(x) for x in zip(*(self.method.example(self.training[i], rng) for i in chosen))]

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        return self.method.loss(output, *batch[1:])

    def validate(self) -> dict:
        """F1 by length at the threshold 0.5, on the validation micrographs."""
        metrics = self.agreement(self.validation, 0.5).metrics()
        return {
            "metric": metrics["f1"],
            "precision": metrics["precision"],
            "recall": metrics["recall"],
            "angle": metrics["angle_mean"] or 0.0,
        }

    def agreement(self, items: list, threshold: float) -> "TraceAgreement":
        """TraceAgreement of the network's traces with the ground truth of simulated micrographs."""
        picker = FilamentPicker(self.method, self.networks["picker"], self.device)
        total = TraceAgreement()
        for item in items:
            traces = picker.lines_prepared(item, threshold, SHORTEST * item.width)
            seen = [trace.positions[first : last + 1] for trace in traces for first, last in trace.fragments]
            total += trace_agreement(seen, item.lines, item.clear, item.width)
        return total

    def best_threshold(self, items: list) -> float:
        """The lowest threshold at which what is traced on the given micrographs is right; the highest if none is.
        Recall would be higher below it, but a false filament costs a user more than a missed one."""
        for threshold in THRESHOLDS:
            if self.agreement(items, threshold).metrics()["precision"] >= PRECISION:
                return threshold
        return THRESHOLDS[-1]


MATCH = 0.25  # diameters between a traced position and the true centre line


@dataclasses.dataclass(frozen=True)
class TraceAgreement:
    """Lengths in px, by positions one px apart, summed over micrographs. traced, right: of the traced lines, and of
    what lies within a quarter of the diameter of a true one. true, found: of the true lines where they are to be found,
    and of what was. angles: (n,) degrees between traced and true direction."""

    traced: int = 0
    right: int = 0
    true: int = 0
    found: int = 0
    angles: tuple[float, ...] = ()

    def __add__(self, other: "TraceAgreement") -> "TraceAgreement":
        return TraceAgreement(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other))))

    def metrics(self) -> dict:
        """precision, recall and f1 by length, and the median and mean error of the angle in degrees."""
        precision = self.right / self.traced if self.traced else float(not self.true)
        recall = self.found / self.true if self.true else float(not self.traced)
        return dict(
            precision=precision,
            recall=recall,
            f1=2 * precision * recall / max(precision + recall, 1e-9),
            angle_median=float(np.median(self.angles)) if len(self.angles) else None,
            angle_mean=float(np.mean(self.angles)) if len(self.angles) else None,
        )


def trace_agreement(traces: list, lines: list, clear: list, width: float) -> TraceAgreement:
    """Agreement of the traces of one micrograph. traces: list of (n, 2) yx px, what was traced. lines: list of (n, 2)
    yx px, true centre lines. clear: list of (n,) bool for each line: where it is to be found. Elsewhere (crossings,
    carbon, margins) a trace is neither right nor wrong. width: diameter of the filament px."""
    mine = [evenly(trace) for trace in traces]
    true = [evenly(line) for line in lines]
    # of each px the flag of the nearest of its line's positions
    known = [flags[cKDTree(line).query(positions)[1]] for line, flags, positions in zip(lines, clear, true)]
    positions, other = (np.vstack(lines) if lines else np.zeros((0, 2)) for lines in (mine, true))
    wanted = np.concatenate(known) if known else np.zeros(0, bool)
    if not len(other):
        return TraceAgreement(traced=len(positions))
    if not len(positions):
        return TraceAgreement(true=int(wanted.sum()))
    distance, nearest = cKDTree(other).query(positions)
    near, judged = distance <= MATCH * width, ~(~wanted[nearest] & (distance <= width))
    back, _ = cKDTree(positions).query(other)
    rotation = np.degrees(np.abs(_axes(mine) - _axes(true)[nearest]))
    rotation = np.minimum(rotation, 180 - rotation)[near & judged]
    return TraceAgreement(
        int(judged.sum()),
        int((near & judged).sum()),
        int(wanted.sum()),
        int((wanted & (back <= MATCH * width)).sum()),
        tuple(rotation.tolist()),
    )


def _axes(lines: list) -> np.ndarray:
    """(n,) directions modulo 180 degrees, in radians, of the places of lines."""
    angles = [np.arctan2(*np.gradient(line, axis=0).T) % np.pi if len(line) > 1 else np.zeros(1) for line in lines]
    return np.concatenate(angles) if angles else np.zeros(0)
