# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-segmenter`: tomograms and what is drawn on them in, a model folder out. Train and write the model. A
killed training continues from <output>.partial."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ...contract import (
    AS_STARTED,
    TrainSegmenterConfig,
    TrainSegmenterOutputs,
    counted,
    network_words,
    read_card,
    score_text,
)
from ...io import files, model
from ...learning.recipe import HELD_OUT, TrainingRun, say_weakness, start_weights
from ...running.runner import PROGRAM, Run, command
from ..annotations.store import read_annotations
from ..segmenters import calibrate, segmenter_method, sources, train, working_scale
from ..segmenters.card import Begun, card_warnings, model_card
from ..segmenters.examples import Example, Gathered, split_examples
from ..segmenters.method import SegmenterMethod, load_network

UNSTARTED = "unet"  # network of a training that starts from random weights


@command
def train_segmenter(config: TrainSegmenterConfig, run: Run) -> TrainSegmenterOutputs:
    config = _as_the_start(config)
    training, method = TrainingRun(run, config), segmenter_method(config.network)
    gathered = sources.gather(config, method, run)
    folder = training.take_folder(*files.expand_paths((*config.tomograms, *config.labels)), *gathered.files)
    training.take_device()
    training.start()
    split = split_examples(gathered.examples, HELD_OUT, np.random.default_rng(config.seed))
    network = _started(config, method, gathered) if config.start_from else method.build()
    task = train.SegmenterTask(method, network, split[0], split[1], config.batch_size, bool(config.start_from))
    run.warn(*gathered.warnings)
    _say_start(config, method, gathered, split, training.device_name)
    begun, report = Begun.of(config.start_from, task) if config.start_from else None, training.fit(task)
    kept = begun.keep_the_better(task, report) if begun else None
    card = model_card(config, gathered, split, task, training, begun)
    slope, offset = card["calibration"]
    score = lambda raw: calibrate.Calibration(slope, offset, 0.5).score(raw / card["raw_scale"])
    (folder / "samples").mkdir(exist_ok=True)
    for name, examples in (("training", task.training), ("validation", task.validation)):
        train.draw_tiles(task, examples, score, folder / "samples" / f"{name}.png")
    training.finish(card, task.networks["segmenter"].state_dict())
    run.warn(*card_warnings(card), kept)
    tiles, metrics = card["tiles"], card["validation"]
    by = "" if card["annotator"] == "unknown" else f" as annotated by {card['annotator']}"
    boundary = metrics.get("boundary_error_angstrom")
    run.summary(
        f"Model: {config.output}, of {card['feature']}{by}, network {config.network}, at "
        f"{card['pixel_size']:.4g} Å/px.",
        f"The model is {config.start_from}, unchanged."
        if kept
        else f"Trained on {counted(tiles['positive'], 'tile')} with and {tiles['negative']} without the feature; "
        f"{tiles['validation']} more for validation. Stopped: {training.stop_reason}.",
        "No voxel of the validation tiles has the feature."
        if metrics["dice"] is None
        else f"On the validation tiles: Dice {metrics['dice']:.3f}, area under the curve {metrics['auc']:.3f}"
        f"{'' if boundary is None else f', boundary error {boundary:.3g} Å'}, at threshold "
        f"{score_text(card['threshold'])}.",
    )
    run.methods(
        f"The model {card['name']}, {network_words('segmenter', config.network)}, was trained with "
        f"{PROGRAM} to find the feature {card['feature']}, on {counted(tiles['positive'], 'tile')} with and "
        f"{tiles['negative']} without it"
        + ("." if metrics["dice"] is None else f"; the Dice coefficient on validation tiles was {metrics['dice']:.3f}.")
    )
    return TrainSegmenterOutputs(
        model=str(config.output),
        feature=gathered.feature,
        annotator=gathered.annotator,
        validation=card["validation"],
        stop_reason=training.stop_reason,
        pixel_size=gathered.pixel_size,
    )


def _as_the_start(config: TrainSegmenterConfig) -> TrainSegmenterConfig:
    """The config with network and working pixel size of the model to start from where it gives none; that model is the
    shipped one of the feature where the config names none and allows it."""
    free = config.network == AS_STARTED
    start = config.start_from or (_shipped(config) if free and not config.working_pixel_size else None)
    if not start:
        return dataclasses.replace(config, network=UNSTARTED if free else config.network)
    if not config.start_from:
        print(f"The training starts from the shipped model {start}. Give --network {UNSTARTED} for random weights.")
    card = read_card(str(model.find_model(start, "segmenter")), "segmenter")
    return dataclasses.replace(
        config,
        start_from=start,
        network=card["network"] if free else config.network,
        working_pixel_size=config.working_pixel_size or card["pixel_size"],
    )


def _shipped(config: TrainSegmenterConfig) -> str | None:
    """Name of the shipped model of the feature that is to be learnt."""
    features = read_annotations(config.annotations).features if config.annotations else [Path(config.output).name]
    feature = config.feature or (features[0] if len(features) == 1 else None)
    return feature if feature in model.shipped_models("segmenter") else None


def _started(config: TrainSegmenterConfig, method: SegmenterMethod, gathered: Gathered) -> torch.nn.Module:
    card, weights = start_weights(config, "segmenter", network=config.network)
    if abs(card["pixel_size"] / gathered.pixel_size - 1) > working_scale.SAME:
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
    for sentence in gathered.notes:
        print(sentence)
    training, validation, split_in_words = split
    count = lambda part, positive: sum(e.positive is positive for e in part)
    by = "" if gathered.annotator == "unknown" else f" by {gathered.annotator}"
    print(
        f"Training the {config.network} segmenter of {gathered.feature}{by} on {device}: "
        f"{counted(count(training, True), 'tile')} with and {count(training, False)} without it at "
        f"{gathered.pixel_size:.4g} Å/px; for validation {count(validation, True)} and {count(validation, False)} "
        f"({split_in_words})."
    )
    if not config.start_from:
        say_weakness(config.network, method)
