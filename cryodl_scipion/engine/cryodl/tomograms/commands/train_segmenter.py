# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-segmenter`: tomograms and what is drawn on them in, a model folder out.

Result.outputs are the contract's TrainSegmenterOutputs.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import Result, TrainSegmenterConfig, counted
from ...contract.tomograms.segmenting import TrainSegmenterOutputs
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ..segmenters.examples import Example, Gathered
    from ..segmenters.method import SegmenterMethod
    from ..segmenters.train import SegmenterTask

FURTHER = 0.1  # of a network's own learning rate, where it begins with the weights of a model


def run(config: TrainSegmenterConfig) -> Result:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...learning.recipe import TrainingRun
    from ..segmenters import segmenter_method
    from ..segmenters.begun import Begun
    from ..segmenters.card import card_warnings, model_card
    from ..segmenters.sources import gather

    config = _as_the_start(config)
    training, method = TrainingRun(config), segmenter_method(config.network)
    gathered = gather(config, method)
    folder = training.take_folder()
    training.take_device()
    training.start()
    task, split = _task(config, method, gathered)
    _say_start(config, method, gathered, split, training.device_name)
    begun = Begun.of(config.start_from, task) if config.start_from else None
    report = training.fit(task)
    kept = begun.keep_the_better(task, report) if begun else None
    card = model_card(config, gathered, split, task, training, begun)
    _draw(folder, task, card)
    training.finish(card, task.networks["segmenter"].state_dict())
    metrics = card["validation"]
    told = (
        "no voxel of the validation tiles has the feature"
        if metrics["dice"] is None
        else f"Dice {metrics['dice']:.3f}, area under the curve {metrics['auc']:.3f} on the validation tiles"
    )
    print(f"Model: {config.output} ({told})")
    outputs = TrainSegmenterOutputs(
        model=str(config.output),
        feature=gathered.feature,
        annotator=gathered.annotator,
        validation=metrics,
        stop_reason=training.stop_reason,
        pixel_size=gathered.pixel_size,
    )
    return training.result(outputs, [*gathered.warnings, *card_warnings(card), *([kept] if kept else [])])


def _task(
    config: TrainSegmenterConfig, method: SegmenterMethod, gathered: Gathered
) -> tuple[SegmenterTask, tuple[list[Example], list[Example], str]]:
    """SegmenterTask with a new network or that of --start-from, and the split: training, validation, how."""
    import numpy as np

    from ..segmenters.splits import split_examples
    from ..segmenters.train import SegmenterTask

    split = split_examples(gathered.examples, config.validation_fraction, np.random.default_rng(config.seed))
    network = _started(config, method, gathered) if config.start_from else method.build()
    further = bool(config.start_from)
    return SegmenterTask(method, network, split[0], split[1], config.batch_size, further), split


def _as_the_start(config: TrainSegmenterConfig) -> TrainSegmenterConfig:
    """The config with the working pixel size of the model to start from where it gives none, and a rate at which what
    that model knows is not forgotten."""
    import dataclasses

    from ...contract import read_card
    from ...io.model import find_model
    from ..segmenters import segmenter_method

    if not config.start_from:
        return config
    card = read_card(str(find_model(config.start_from, "segmenter")), "segmenter")
    return dataclasses.replace(
        config,
        working_pixel_size=config.working_pixel_size or card["pixel_size"],
        learning_rate=config.learning_rate or FURTHER * segmenter_method(config.network).learning_rate,
    )


def _started(config: TrainSegmenterConfig, method: SegmenterMethod, gathered: Gathered) -> torch.nn.Module:
    """The network of --start-from. Raises ValueError if it is another one, or works at another pixel size."""
    from ...learning.recipe import start_weights
    from ..segmenters.method import load_network
    from ..segmenters.working_scale import SAME

    card, weights = start_weights(config, "segmenter", network=config.network)
    if abs(card["pixel_size"] / gathered.pixel_size - 1) > SAME:
        raise ValueError(
            f"Start from model (--start-from) {config.start_from} works at {card['pixel_size']:g} Å/px, "
            f"but this training at {gathered.pixel_size:g} Å/px. Give --working-pixel-size "
            f"{card['pixel_size']:g}."
        )
    return load_network(method, weights, str(config.start_from))


def _say_start(
    config: TrainSegmenterConfig,
    method: SegmenterMethod,
    gathered: Gathered,
    split: tuple[list[Example], list[Example], str],
    device: str,
) -> None:
    from ...learning.recipe import say_weakness

    for sentence in gathered.notes:
        print(sentence)
    for sentence in gathered.warnings:
        warn(sentence)
    training, validation, split_in_words = split
    count = lambda part, positive: sum(e.positive is positive for e in part)
    by = "" if gathered.annotator == "unknown" else f" by {gathered.annotator}"
    print(
        f"Training the {config.network} segmenter of {gathered.feature}{by} on {device}: "
        f"{counted(count(training, True), 'tile')} with and {count(training, False)} without it at "
        f"{gathered.pixel_size:.4g} Å/px; for validation {count(validation, True)} and {count(validation, False)} "
        f"({split_in_words})."
    )
    say_weakness(config.network, method)


def _draw(folder: Path, task: SegmenterTask, card: typing.Mapping[str, typing.Any]) -> None:
    """Pictures of tiles that were learnt, and of those that were not."""
    from ..segmenters.calibrate import Calibration
    from ..segmenters.pictures import draw_tiles

    slope, offset = card["calibration"]
    score = lambda raw: Calibration(slope, offset, 0.5).score(raw / card["raw_scale"])
    (folder / "samples").mkdir(exist_ok=True)
    for name, examples in (("training", task.training), ("validation", task.validation)):
        draw_tiles(task, examples, score, folder / "samples" / f"{name}.png")
