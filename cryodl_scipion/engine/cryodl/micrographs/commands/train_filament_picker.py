# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-filament-picker`: a model that traces filaments, learnt from simulated micrographs.

Result.outputs are the contract's TrainFilamentPickerOutputs.
"""

from __future__ import annotations

import time
import typing
from pathlib import Path

from ... import __version__
from ...contract import Result, TrainFilamentPickerConfig
from ...io.model import write_model

if typing.TYPE_CHECKING:
    from ...learning.schedule import FitReport

NETWORK = "unet"
VALIDATION_SHARE = 1 / 15


def run(config: TrainFilamentPickerConfig) -> Result:
    """Simulate, train and write the model. A killed training continues from <output>.partial."""
    from ...learning.run_training import check_output, finish, fit_task, working_folder

    check_output(config.output)
    folder = working_folder(config)
    import torch

    from ...core.devices import choose_device, device_name, set_threads
    from ...learning.registry import method_of
    from ..filaments.train import FilamentTask

    device = choose_device(config.device)
    set_threads(config.threads)
    method = method_of("filament_picker", NETWORK)
    print(f"Training a filament picker on {device_name(device)}: {config.simulated} simulated micrographs.")
    start = time.monotonic()
    torch.manual_seed(config.seed)
    training, validation, test = _material(config, method.working_diameter)
    task = FilamentTask(method, method.build(), training, validation, config.batch_size, device)
    report = fit_task(task, config, folder, device)
    threshold = task.best_threshold(validation)
    figures = task.agreement(test, threshold).figures()
    card = _card(config, threshold, figures, report, device_name(device), time.monotonic() - start)
    write_model(folder, card, task.networks["picker"].state_dict())
    finish(folder, config.output)
    print(f"Model: {config.output} (on other simulated micrographs: F1 by length {figures['f1']:.3f})")
    outputs = dict(model=str(config.output), threshold=threshold, validation=figures)
    return Result("train-filament-picker", outputs, device=device_name(device))


def _material(config: TrainFilamentPickerConfig, diameter_px: float) -> list[list]:
    """Simulated micrographs to learn from, to choose the weights and the threshold by, and for the card's figures."""
    import numpy as np
    from tqdm import tqdm

    from ..filaments.scenes import filament_item

    held_out = max(4, int(VALIDATION_SHARE * config.simulated))
    parts = []
    for tag, count in ((1, config.simulated), (2, held_out), (3, held_out)):
        numbers = tqdm(range(count), unit="micrograph", mininterval=5.0)
        parts.append([filament_item(diameter_px, np.random.default_rng((config.seed, tag, i))) for i in numbers])
    return parts


def _card(
    config: TrainFilamentPickerConfig, threshold: float, figures: dict, report: FitReport, device: str, seconds: float
) -> dict[str, typing.Any]:
    import torch

    from ...simulate.filament_scenes import STATED, WIDTHS

    return dict(
        kind="filament_picker",
        name=Path(config.output).name,
        network=NETWORK,
        threshold=threshold,
        diameters=list(WIDTHS),
        stated=list(STATED),
        validation=figures,
        training=dict(
            simulated_micrographs=config.simulated,
            steps=report.steps,
            best_step=report.best_step,
            stop_reason=report.stop_reason,
            seconds=round(seconds, 1),
            device=device,
            seed=config.seed,
        ),
        versions=dict(cryodl=__version__, torch=torch.__version__),
    )
