# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-detector`: tomograms and the places of their particles in, a model folder out. Train and write the
model. A killed training continues from <output>.partial."""

import typing

import numpy as np

from ...contract import TrainDetectorConfig, TrainDetectorOutputs, counted, network_words, score_text
from ...io.files import expand_paths
from ...learning.recipe import HELD_OUT, TrainingRun, start_weights
from ...learning.task import method_of, with_weights
from ...running.runner import PROGRAM, Run, command
from ..detectors import labels
from ..detectors.train import DetectorTask, card_warnings, model_card


@command
def train_detector(config: TrainDetectorConfig, run: Run) -> TrainDetectorOutputs:
    training, gathered = TrainingRun(run), labels.gather_labels(config, run)
    training.take_folder(*expand_paths(config.tomograms))
    training.take_device()
    training.start()
    task, how = _task(config, gathered)
    run.warn(*gathered.notes)
    count = lambda part: ", ".join(
        f"{sum(len(one.points[n]) for one in part)} {name}" for n, name in enumerate(gathered.species)
    )
    print(
        f"Training the detector {config.network} on {training.device_name}, at {gathered.pixel_size:.4g} Å/px: "
        f"{count(task.training)} in {counted(len(task.training), 'volume')}; "
        f"held out {count(task.validation)} ({how})."
    )
    training.fit(task)
    card = model_card(config, gathered, task, how, training)
    training.finish(card, task.networks["detector"].state_dict())
    run.warn(*card_warnings(card))
    thresholds = dict(zip(card["species"], card["thresholds"]))
    run.summary(
        f"Model: {config.output}, network {config.network}, at {card['pixel_size']:.4g} Å/px.",
        *(_told(name, card["validation"][name], threshold, config.beta) for name, threshold in thresholds.items()),
    )
    run.methods(
        f"The model {card['name']}, {network_words('detector', config.network)}, was trained with {PROGRAM} "
        f"on {counted(sum(card['particles'].values()), 'particle')} to find {', '.join(card['species'])} in tomograms "
        f"at {card['pixel_size']:.4g} Å/px; thresholds were chosen for the largest F{config.beta:g} on held-out data."
    )
    return TrainDetectorOutputs(
        model=str(config.output),
        species=list(card["species"]),
        thresholds=thresholds,
        validation=card["validation"],
        stop_reason=training.stop_reason,
        pixel_size=card["pixel_size"],
    )


def _told(name: str, metrics: typing.Mapping[str, typing.Any], threshold: float, beta: float) -> str:
    if not metrics.get("particles") or metrics["f_beta"] is None:
        return f"{name}: no particles were held out, so the threshold {score_text(threshold)} is not validated."
    return (
        f"{name}: {metrics['found']} of {metrics['particles']} held-out particles found, {metrics['false']} false, at "
        f"threshold {score_text(threshold)} (F{beta:g} {metrics['f_beta']:.2f})."
    )


def _task(config: TrainDetectorConfig, gathered: labels.GatheredLabels) -> tuple[DetectorTask, str]:
    method = method_of("detector", config.network)
    training, validation, how = labels.split_tomograms(
        gathered.tomograms, HELD_OUT, np.random.default_rng(config.seed), max(gathered.diameters) / gathered.pixel_size
    )
    without = [s for n, s in enumerate(gathered.species) if not sum(len(one.points[n]) for one in training)]
    if without:
        raise ValueError(
            f"No particle of {', '.join(without)} is left for training after data were held out. Label more."
        )
    if not any(len(points) for one in validation for points in one.points):
        raise ValueError(
            f"No particle lies in the part that is held out for validation ({how}); weights and thresholds are chosen "
            "by it. Label particles at other positions along y or in a further tomogram."
        )
    network = method.build(len(gathered.species))
    if config.start_from:
        _, weights = start_weights(config, "detector", network=config.network, species=list(gathered.species))
        network = with_weights(network, weights, str(config.start_from), method.name)
    return DetectorTask(method, network, gathered, training, validation, config.batch_size), how
