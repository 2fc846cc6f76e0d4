# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-detector`: tomograms and the places of their particles in, a model folder out.

Result.outputs are the contract's TrainDetectorOutputs.
"""

from __future__ import annotations

import time
import typing

from ...contract import Result, TrainDetectorConfig, counted
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ..detectors.labels import GatheredLabels
    from ..detectors.train import DetectorTask
    from ..detectors.unet3d import HeatMapUNet


def run(config: TrainDetectorConfig) -> Result:
    """Train and write the model. A killed training continues from <output>.partial."""
    from ...learning.run_training import check_output, finish, fit_task, working_folder
    from ..detectors.labels import gather

    check_output(config.output)
    gathered = gather(config)
    folder = working_folder(config)
    import torch

    from ...core.devices import choose_device, device_name, set_threads
    from ...io.model import write_model
    from ..detectors.card import card_warnings, model_card

    device = choose_device(config.device)
    set_threads(config.threads)
    start = time.monotonic()
    torch.manual_seed(config.seed)
    task, parted = _task(config, gathered)
    _say_start(config, gathered, task, parted, device_name(device))
    report = fit_task(task, config, folder, device)
    card = model_card(config, gathered, task, parted, report, device_name(device), time.monotonic() - start)
    write_model(folder, card, task.networks["detector"].state_dict())
    finish(folder, config.output)
    found = ", ".join(_told(name, card["validation"][name], config.beta) for name in card["species"])
    print(f"Model: {config.output} (held out: {found})")
    warnings = [*gathered.notes, *card_warnings(card)]
    for sentence in card_warnings(card):
        warn(sentence)
    outputs = dict(
        model=str(config.output),
        species=list(card["species"]),
        thresholds=dict(zip(card["species"], card["thresholds"])),
        validation=card["validation"],
        stop_reason=report.stop_reason,
        pixel_size=card["pixel_size"],
    )
    return Result("train-detector", outputs, device=device_name(device), warnings=tuple(warnings))


def _told(name: str, figures: typing.Mapping[str, typing.Any], beta: float) -> str:
    return name + (" none" if figures["f_beta"] is None else f" F{beta:g} {figures['f_beta']:.2f}")


def _task(config: TrainDetectorConfig, gathered: GatheredLabels) -> tuple[DetectorTask, str]:
    """DetectorTask with a new network or that of --start-from, and how the tomograms were parted."""
    import numpy as np

    from ...learning.registry import method_of
    from ..detectors.splits import split_tomograms
    from ..detectors.train import DetectorTask

    method = method_of("detector", config.network)
    training, validation, parted = split_tomograms(
        gathered.tomograms, config.validation_fraction, np.random.default_rng(config.seed)
    )
    without = [s for n, s in enumerate(gathered.species) if not sum(len(one.points[n]) for one in training)]
    if without:
        raise ValueError(
            f"No particle of {', '.join(without)} is left to learn from after holding out data. Label more, or lower "
            "--validation-fraction."
        )
    network = _started(config, method, gathered) if config.start_from else method.build(len(gathered.species))
    return DetectorTask(method, network, gathered, training, validation, config.batch_size), parted


def _started(config: TrainDetectorConfig, method: HeatMapUNet, gathered: GatheredLabels) -> torch.nn.Module:
    """The network of --start-from. Raises ValueError if it finds other species or is of another kind."""
    from ...io.model import find_model, read_model
    from ..detectors.predict import load_detector

    source = typing.cast(str, config.start_from)
    card, weights = read_model(find_model(source, "detector"), "detector")
    for what, theirs, ours in (
        ("network", card["network"], config.network),
        ("species", ", ".join(card["species"]), ", ".join(gathered.species)),
    ):
        if theirs != ours:
            raise ValueError(
                f"Start from model (--start-from) {source} has the {what} {theirs}, but this training has "
                f"{ours}. Both must be the same."
            )
    return load_detector(method, len(gathered.species), weights, source)


def _say_start(
    config: TrainDetectorConfig, gathered: GatheredLabels, task: DetectorTask, parted: str, device: str
) -> None:
    for sentence in gathered.notes:
        warn(sentence)
    count = lambda part: ", ".join(
        f"{sum(len(one.points[n]) for one in part)} {name}" for n, name in enumerate(gathered.species)
    )
    print(
        f"Training the detector {config.network} on {device}, at {gathered.pixel_size:.4g} Å/px: "
        f"{count(task.training)} in {counted(len(task.training), 'volume')}; "
        f"held out {count(task.validation)} ({parted})."
    )
