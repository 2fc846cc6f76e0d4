# SPDX-License-Identifier: GPL-3.0-or-later
"""Model card of a segmenter, with warnings about the training."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import TrainSegmenterConfig
from ...io.model import find_model, read_model
from ...learning.recipe import TrainingRun
from ...learning.training import FitReport
from . import calibrate, examples, working_scale
from .train import FEW_POSITIVE, SegmenterTask, middle_slice

THRESHOLD = 0.5  # the boundary is put there, see calibrate.py
POOR_DICE = 0.3
SIMULATION = "simulation"  # the annotator of models that learnt from simulated cells
BETTER = 0.005  # by which the metric of the trained weights must be higher: so much is chance
ENOUGH = 12  # validation tiles with the feature from which on they are calibrated anew


@dataclasses.dataclass
class Begun:
    """The model that a training begins with. name: its name or folder. metrics: its columns, as Task.validate gives
    them. calibration: its own, of raw scores as the network gives them.
    kept: its weights were better than those that were trained."""

    name: str
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float]
    calibration: calibrate.Calibration
    kept: bool = False

    @classmethod
    def of(cls, start: str, task: SegmenterTask) -> typing.Self:
        """Of --start-from, before the first step; the task's network holds its weights."""
        card, weights = read_model(find_model(start, "segmenter"), "segmenter")
        task.networks.eval()
        with torch.no_grad():
            metrics = task.validate()
        slope, offset = card["calibration"][0] / card["raw_scale"], card["calibration"][1]
        boundary = card["boundary_probability"]
        own = calibrate.Calibration(slope, offset - calibrate.Calibration(slope, 0.0, boundary).score_offset, boundary)
        return cls(str(start), dict(weights), metrics, own)

    def keep_the_better(self, task: SegmenterTask, report: FitReport) -> str | None:
        """Put the weights of the start back where those that were trained are not better on the validation tiles.
        Returns a sentence for the user if they were."""
        if report.best["metric"] > self.metrics["metric"] + BETTER:
            return None
        task.networks["segmenter"].load_state_dict(self.weights)
        self.kept = True
        words = lambda metrics: f"best Dice {metrics['dice']:.3f}, average precision {metrics['average_precision']:.3f}"
        return (
            f"On the validation tiles the trained network ({words(report.best)}) is not clearly better than "
            f"{self.name}, which it started from ({words(self.metrics)}): the model is {self.name}, unchanged. Draw "
            f"tiles where it fails, or use {self.name} directly."
        )


def model_card(
    config: TrainSegmenterConfig,
    gathered: examples.Gathered,
    split: tuple[list[examples.Example], list[examples.Example], str],
    task: SegmenterTask,
    run: TrainingRun,
    begun: Begun | None = None,
) -> dict[str, typing.Any]:
    """The model card: all that segmenting and a reader need to know. split: training and validation examples, and how
    they were divided. task and run: after training. begun: the model that the training began with."""
    training, validation, split_in_words = split
    # its calibration holds for its own weights, and where there are too few tiles for another
    old = begun if begun and (begun.kept or sum(e.positive for e in task.validation) < ENOUGH) else None
    outputs = [output.numpy() for output in task.answers(task.validation)]
    targets, labelled = ([part.numpy() for part in parts] for parts in zip(*[middle_slice(e) for e in task.validation]))
    join = lambda parts: np.concatenate([p[k] for p, k in zip(parts, labelled)])
    calibration = old.calibration if old else calibrate.fit_voxels(join([t >= 0.5 for t in targets]), join(outputs))
    count = lambda part, positive: sum(e.positive is positive for e in part)
    names = lambda part: sorted({e.tomogram for e in part})
    return dict(
        kind="segmenter",
        name=Path(config.output).name,
        network=config.network,
        feature=gathered.feature,
        annotator=gathered.annotator,
        pixel_size=gathered.pixel_size,
        trained_pixel_size=gathered.trained_pixel_size,
        threshold=THRESHOLD,
        context=task.method.context,
        calibration=[calibration.slope, calibration.score_offset],
        raw_scale=1.0,
        skew=round(float(np.mean([working_scale.skewness(example.image) for example in training])), 4),
        boundary_probability=calibration.boundary,
        tiles=dict(
            positive=count(training, True),
            negative=count(training, False),
            validation=len(task.validation),
            validation_positive=count(task.validation, True),
        ),
        validation=_rounded(calibrate.validation_metrics(calibration, outputs, targets, labelled, gathered.pixel_size)),
        training_tomograms=names(training),
        validation_tomograms=names(validation),
        split=split_in_words,
        training=run.record(),
        **(dict(start=dict(name=begun.name, kept=begun.kept, validation=_rounded(begun.metrics))) if begun else {}),
    )


def _rounded(metrics: typing.Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 4) for name, value in metrics.items()}


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    tiles, metrics = card["tiles"], card["validation"]
    if metrics["dice"] is None:
        yield (
            "No voxel of the validation tiles has the feature, so it is not known how well it was learnt, and the "
            "calibration is not validated. Annotate more tiles with the feature, and train again."
        )
    elif tiles["validation_positive"] < FEW_POSITIVE:
        yield (
            f"Only {tiles['validation_positive']} tiles with the feature were held out for validation, so metrics "
            "and calibration are uncertain. Check the scores before you trust the threshold; more tiles help."
        )
    if metrics["dice"] is not None and metrics["dice"] < POOR_DICE:
        yield (
            f"The Dice coefficient on the validation tiles is only {metrics['dice']:.2f}: the feature was not "
            "learnt. Check that the drawings belong to these tomograms, and look at samples/validation.png."
        )
    if "only" in card["split"]:
        yield f"Validation used {card['split']}; its metrics are too high."
