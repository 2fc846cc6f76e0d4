# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of filament pickers on simulated micrographs, validated by tracing others."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
from scipy.spatial import cKDTree

from ...learning.task import NetworkTask
from .predict import FilamentPicker

SHORTEST = 3.0  # diameters
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
PRECISION = 0.98


class FilamentTask(NetworkTask):
    """One filament picker.

    method: of the registry. network: its module. training, validation: lists of FilamentItem. batch_size: crops per
    step. device: torch.device.
    """

    example_name = "crops"
    default_steps = 4000

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
        self.learn("picker", network, method.optimizer, torch.channels_last)

    def batch(self, rng: np.random.Generator) -> list:
        """Images, targets and weights of random crops."""
        chosen = rng.integers(len(self.training), size=self.batch_size)
        return [torch.stack(x) for x in zip(*(self.method.example(self.training[i], rng) for i in chosen))]

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """The method's loss on crops."""
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

    def agreement(self, items: list, threshold: float) -> TraceAgreement:
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

        Recall would be higher below it, but a false filament costs a user more than a missed one.
        """
        for threshold in THRESHOLDS:
            if self.agreement(items, threshold).metrics()["precision"] >= PRECISION:
                return threshold
        return THRESHOLDS[-1]


# ----- Agreement of traced filaments with the true ones.
MATCH = 0.25  # diameters between a traced position and the true centre line


@dataclasses.dataclass(frozen=True)
class TraceAgreement:
    """Lengths in px, by positions one px apart, summed over micrographs.

    traced, right: of the traced lines, and of what lies within a quarter of the diameter of a true one. true, found: of
    the true lines where they are to be found, and of what was. angles: (n,) degrees between traced and true direction.
    """

    traced: int = 0
    right: int = 0
    true: int = 0
    found: int = 0
    angles: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def __add__(self, other: TraceAgreement) -> TraceAgreement:
        return TraceAgreement(
            self.traced + other.traced,
            self.right + other.right,
            self.true + other.true,
            self.found + other.found,
            np.concatenate([self.angles, other.angles]),
        )

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
    """Agreement of the traces of one micrograph.

    Parameters
    ----------
    traces
        List of (n, 2) yx px, what was traced.
    lines
        List of (n, 2) yx px, true centre lines.
    clear
        List of (n,) bool for each line: where it is to be found. Elsewhere (crossings, carbon, margins) a trace is
        neither right nor wrong.
    width
        Diameter of the filament in px.
    """
    mine = [_every_px(trace) for trace in traces]
    true = [_every_px(line) for line in lines]
    known = [_sampled(line, flags, positions) for line, flags, positions in zip(lines, clear, true)]
    positions, other = _stack(mine), _stack(true)
    wanted = np.concatenate(known) if known else np.zeros(0, bool)
    if not len(other):
        return TraceAgreement(traced=len(positions))
    if not len(positions):
        return TraceAgreement(true=int(wanted.sum()))
    distance, nearest = cKDTree(other).query(positions)
    near = distance <= MATCH * width
    judged = ~(~wanted[nearest] & (distance <= width))
    back, _ = cKDTree(positions).query(other)
    rotation = np.degrees(np.abs(_axes(mine) - _axes(true)[nearest]))
    rotation = np.minimum(rotation, 180 - rotation)[near & judged]
    return TraceAgreement(
        int(judged.sum()),
        int((near & judged).sum()),
        int(wanted.sum()),
        int((wanted & (back <= MATCH * width)).sum()),
        rotation,
    )


def _every_px(line: np.ndarray) -> np.ndarray:
    """Positions one px apart along a line."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.arange(0, along[-1] + 1e-6, 1.0)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], 1)


def _sampled(line: np.ndarray, flags: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(m,) bool: the flags of a line's positions at the nearest of other positions on it."""
    return flags[cKDTree(line).query(positions)[1]]


def _stack(lines: list) -> np.ndarray:
    return np.vstack(lines) if lines else np.zeros((0, 2))


def _axes(lines: list) -> np.ndarray:
    """(n,) directions modulo 180 degrees, in radians, of the places of lines."""
    angles = [np.arctan2(*np.gradient(line, axis=0).T) % np.pi if len(line) > 1 else np.zeros(1) for line in lines]
    return np.concatenate(angles) if angles else np.zeros(0)
