# SPDX-License-Identifier: GPL-3.0-or-later
"""One segmenter for each feature of a network that was trained on all of them: weights and card."""

from __future__ import annotations

import typing

import numpy as np
import torch

from ...io.model import read_model, write_model
from ...simulate.structures import structure_names
from ...simulate.varied_cells import FEATURES, PIXEL_SIZES
from ..segmenters.calibrate import Counted, dice, fit_voxels
from ..segmenters.card import SIMULATION, THRESHOLD
from ..segmenters.method import load_network
from ..segmenters.segmenter import HEAD
from ..segmenters.unet import UNet, widened_weights

if typing.TYPE_CHECKING:
    from pathlib import Path

    from ...contract.tomograms.segmenting import TrainGeneralSegmenterConfig
    from ...learning.recipe import TrainingRun
    from ..segmenters.method import SegmenterMethod
    from .task import CellsTask


def write_models(
    folder: Path, config: TrainGeneralSegmenterConfig, task: CellsTask, run: TrainingRun
) -> dict[str, dict[str, float]]:
    """Write <folder>/<feature> of all features. Returns {feature: validation metrics}."""
    raw, labels = task.answers(task.validation)
    noisy, _ = task.answers(task.noise)
    weights = task.networks["segmenter"].state_dict()
    metrics = {}
    for number, feature in enumerate(FEATURES):
        hit = (labels == number + 1).numpy().ravel()
        answer = raw[:, number].numpy().ravel()
        calibration = fit_voxels(hit, answer)
        counted = Counted.of(hit, answer)
        metrics[feature] = dict(
            dice=dice(calibration.score(answer) >= THRESHOLD, hit),
            best_dice=counted.best_dice,
            average_precision=counted.average_precision,
            noise_fraction=float(np.mean(calibration.score(noisy[:, number].numpy().ravel()) >= THRESHOLD)),
        )
        (folder / feature).mkdir(exist_ok=True)
        card = _card(config, task, run)
        own = dict(
            name=feature,
            feature=feature,
            validation=metrics[feature],
            calibration=[calibration.slope, calibration.score_offset],
            boundary_probability=calibration.boundary,
        )
        write_model(folder / feature, dict(card, **own), weights_of(weights, number, len(FEATURES)))
    return metrics


def weights_of(weights: typing.Mapping[str, torch.Tensor], number: int, features: int) -> dict[str, torch.Tensor]:
    """The weights of a network that finds the feature `number` alone, of one with several: its part of the head."""
    result = dict(weights)
    for name in HEAD:
        result[name] = weights[name].chunk(features)[number]
    return result


def joined_network(method: SegmenterMethod, folder: Path) -> torch.nn.Module:
    """The network of all features whose parts `write_models` left in a folder (a Path); one of fewer slices and
    narrower layers is widened."""
    every = [read_model(folder / feature, "segmenter") for feature in FEATURES]
    heads = {name: torch.cat([weights[name] for _, weights in every]) for name in HEAD}
    card, weights = every[0][0], dict(every[0][1], **heads)
    if card["network"] != method.name and isinstance(method, UNet):
        slices = method.context - card["context"]
        weights = widened_weights(weights, method.build(len(FEATURES)), slices)
    return load_network(method, weights, str(folder), len(FEATURES))


def _card(config: TrainGeneralSegmenterConfig, task: CellsTask, run: TrainingRun) -> dict[str, typing.Any]:
    """What the cards of all features have in common."""
    return dict(
        kind="segmenter",
        network=config.network,
        annotator=SIMULATION,
        pixel_size=config.working_pixel_size,
        trained_pixel_size=config.working_pixel_size,
        trained_pixel_sizes=[min(PIXEL_SIZES), max(PIXEL_SIZES)],
        threshold=THRESHOLD,
        context=task.method.context,
        raw_scale=1.0,
        trained_on=f"{config.cells} simulated cells (cryodl train-general-segmenter)",
        split=f"{config.validation_cells} further simulated cells",
        training=dict(
            **run.record(), cells=config.cells, structures=structure_names([*config.ribosomes, *config.others])
        ),
    )
