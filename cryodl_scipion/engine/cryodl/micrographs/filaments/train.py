# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of filament pickers on simulated micrographs, validated by tracing others."""

import typing

import numpy as np
import torch

from ...learning.task import NetworkTask
from .measure import TraceAgreement, trace_agreement
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
