# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-detector`: tomograms and the places of their particles in, a model folder out.

Result.outputs are the contract's TrainDetectorOutputs.
"""

from __future__ import annotations

import typing

from ...contract import Result, TrainDetectorConfig, counted
from ...contract.tomograms.training_detectors import TrainDetectorOutputs
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ..detectors.labels import GatheredLabels
    from ..detectors.train import DetectorTask
    from ..detectors.unet3d import HeatMapUNet


def run(config: TrainDetectorConfig) -> Result:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...learning.recipe import TrainingRun, said
    from ..detectors.card import card_warnings, model_card
    from ..detectors.labels import gather_labels

    training = TrainingRun(config)
    gathered = gather_labels(config)
    training.take_folder()
    training.take_device()
    training.start()
    task, how = _task(config, gathered)
    _say_start(config, gathered, task, how, training.device_name)
    training.fit(task)
    card = model_card(config, gathered, task, how, training)
    training.finish(card, task.networks["detector"].state_dict())
    found = ", ".join(_told(name, card["validation"][name], config.beta) for name in card["species"])
    print(f"Model: {config.output} (held out: {found})")
    outputs = TrainDetectorOutputs(
        model=str(config.output),
        species=list(card["species"]),
        thresholds=dict(zip(card["species"], card["thresholds"])),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        pixel_size=card["pixel_size"],
    )
    return training.result(outputs, [*gathered.notes, *said(card_warnings(card))])


def _told(name: str, metrics: typing.Mapping[str, typing.Any], beta: float) -> str:
    return name + (" none" if metrics["f_beta"] is None else f" F{beta:g} {metrics['f_beta']:.2f}")


def _task(config: TrainDetectorConfig, gathered: GatheredLabels) -> tuple[DetectorTask, str]:
    """DetectorTask with a new network or that of --start-from, and how the tomograms were divided."""
    import numpy as np

    from ...learning.registry import method_of
    from ..detectors.splits import split_tomograms
    from ..detectors.train import DetectorTask

    method = method_of("detector", config.network)
    training, validation, how = split_tomograms(
        gathered.tomograms,
        config.validation_fraction,
        np.random.default_rng(config.seed),
        max(gathered.diameters) / gathered.pixel_size,
    )
    without = [s for n, s in enumerate(gathered.species) if not sum(len(one.points[n]) for one in training)]
    if without:
        raise ValueError(
            f"No particle of {', '.join(without)} is left for training after data were held out. Label more, or "
            "lower --validation-fraction."
        )
    if not any(len(points) for one in validation for points in one.points):
        raise ValueError(
            f"No particle lies in the part that is held out for validation ({how}); weights and thresholds are chosen "
            "by it. Label particles at other positions along y or in a further tomogram, or raise "
            f"--validation-fraction (now {config.validation_fraction:g})."
        )
    network = _started(config, method, gathered) if config.start_from else method.build(len(gathered.species))
    return DetectorTask(method, network, gathered, training, validation, config.batch_size), how


def _started(config: TrainDetectorConfig, method: HeatMapUNet, gathered: GatheredLabels) -> torch.nn.Module:
    """The network of --start-from. Raises ValueError if it finds other species or is of another kind."""
    from ...learning.recipe import start_weights
    from ..detectors.predict import load_detector

    _, weights = start_weights(config, "detector", network=config.network, species=list(gathered.species))
    return load_detector(method, len(gathered.species), weights, str(config.start_from))


def _say_start(
    config: TrainDetectorConfig, gathered: GatheredLabels, task: DetectorTask, how: str, device: str
) -> None:
    for sentence in gathered.notes:
        warn(sentence)
    count = lambda part: ", ".join(
        f"{sum(len(one.points[n]) for one in part)} {name}" for n, name in enumerate(gathered.species)
    )
    print(
        f"Training the detector {config.network} on {device}, at {gathered.pixel_size:.4g} Å/px: "
        f"{count(task.training)} in {counted(len(task.training), 'volume')}; "
        f"held out {count(task.validation)} ({how})."
    )
