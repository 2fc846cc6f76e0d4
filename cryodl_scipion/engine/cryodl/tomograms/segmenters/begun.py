# SPDX-License-Identifier: GPL-3.0-or-later
"""Training that continues from a model: which of the two is better, and which calibration holds."""

from __future__ import annotations

import dataclasses
import typing

import torch

from .calibrate import Calibration

if typing.TYPE_CHECKING:
    from ...learning.training import FitReport
    from .train import SegmenterTask

BETTER = 0.005  # by which the metric of the trained weights must be higher: so much is chance
ENOUGH = 12  # validation tiles with the feature from which on they are calibrated anew


@dataclasses.dataclass
class Begun:
    """The model that a training begins with.

    Attributes
    ----------
    name : str
        Name or folder of it.
    weights : dict
        {name: Tensor} of its network.
    metrics : dict
        Its validation columns, as Task.validate gives them.
    calibration : Calibration
        Its own, of raw scores as the network gives them.
    raw_scale : float
        What its raw scores are divided by before calibration.
    kept : bool
        Its weights were better than those that were trained.
    """

    name: str
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float]
    calibration: Calibration
    raw_scale: float = 1.0
    kept: bool = False

    @classmethod
    def of(cls, start: str, task: SegmenterTask) -> Begun:
        """Of --start-from, before the first step; the task's network holds its weights."""
        from ...io.model import find_model, read_model

        card, weights = read_model(find_model(start, "segmenter"), "segmenter")
        task.networks.eval()
        with torch.no_grad():
            metrics = task.validate()
        slope, offset = card["calibration"]
        boundary = card["boundary_probability"]
        own = Calibration(slope, offset - Calibration(slope, 0.0, boundary).score_offset, boundary)
        return cls(str(start), dict(weights), metrics, own, card["raw_scale"])

    def keep_the_better(self, task: SegmenterTask, report: FitReport) -> str | None:
        """Put the weights of the start back where those that were trained are not better on the validation tiles.

        Parameters
        ----------
        task : SegmenterTask
            After its training.
        report : FitReport
            Of the training.

        Returns
        -------
        str or None
            A sentence for the user if they were put back.
        """
        if report.best["metric"] > self.metrics["metric"] + BETTER:
            return None
        task.networks["segmenter"].load_state_dict(self.weights)
        self.kept = True
        words = lambda metrics: f"Dice {metrics['dice']:.3f}, average precision {metrics['average_precision']:.3f}"
        return (
            f"On the validation tiles the trained network ({words(report.best)}) is no better than {self.name}, "
            f"which it started from ({words(self.metrics)}): the weights of {self.name} are kept. Draw tiles where "
            f"it fails, or use {self.name} directly."
        )

    def calibrates(self, task: SegmenterTask) -> bool:
        """Whether its calibration holds: for its own weights, and where there are too few tiles for another."""
        return self.kept or sum(e.positive for e in task.validation) < ENOUGH


def keep_statistics(network: torch.nn.Module) -> None:
    """Have batch norms use and keep the means and variances that they have: half of the tiles in a batch hold the
    feature, which is far more than tomograms do."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
