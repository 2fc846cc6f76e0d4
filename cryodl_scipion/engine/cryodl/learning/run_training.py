# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a training in its working folder, and finishing the model's folder."""

import dataclasses
import os
import typing
from pathlib import Path

import torch

from .. import contract
from ..core.devices import device_name
from ..io import memory, plots, unfinished
from .processes import accelerator_for
from .training import CHECKPOINT, METRICS, FitReport, Schedule, fit

TrainingConfig = (
    contract.AutoPickConfig
    | contract.DenoiseMicrographsConfig
    | contract.DenoiseTomogramsConfig
    | contract.TrainClassifierConfig
    | contract.TrainDenoiserConfig
    | contract.TrainDetectorConfig
    | contract.TrainFilamentPickerConfig
    | contract.TrainGeneralPickerConfig
    | contract.TrainGeneralSegmenterConfig
    | contract.TrainMapImproverConfig
    | contract.TrainMicrographDenoiserConfig
    | contract.TrainPickerConfig
    | contract.TrainSegmenterConfig
)
MAX_VALIDATIONS = 16
MIN_STEPS = 10  # between two validations


def fit_task(
    task: typing.Any,
    config: TrainingConfig,
    folder: Path,
    device: torch.device,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> FitReport:
    """Train a Task in a working folder. task: with a method (learning_rate, decay, ema) and default_steps. config: of
    the command. schedule: other than the one that follows from task and config. seed:
    of random numbers, where the config has none. Raises ValueError if memory does not suffice."""
    try:
        return fit(
            task, schedule or _schedule(task, config, getattr(config, "seed", seed)), folder, accelerator_for(device)
        )
    except (RuntimeError, MemoryError) as error:
        if not memory.is_memory_error(error):
            raise
        raise ValueError(
            f"The memory of {device_name(device)} is too small for batches of {task.batch_size} {task.example_name}. "
            "Choose a smaller --batch-size, or --device cpu."
        ) from error


def _schedule(task: typing.Any, config: TrainingConfig, seed: int) -> Schedule:
    steps = config.steps or task.default_steps
    schedule = Schedule(
        steps,
        max(MIN_STEPS, -(-steps // MAX_VALIDATIONS)),
        getattr(config, "patience", None) or task.patience or steps,
        getattr(config, "learning_rate", None) or task.rate * task.method.learning_rate,
        seed,
        ema=task.method.ema,
        decay=task.method.decay,
    )
    if task.validates_poorly:
        # so few cannot tell a better network from a worse one: all steps are done and the last weights kept
        schedule = dataclasses.replace(schedule, every=max(MIN_STEPS, steps // 5), patience=steps, tolerance=1.0)
    return schedule


def finish(folder: Path, output: str | os.PathLike[str], *leftovers: str) -> None:
    """Draw the learning curve, give the folder its name, and leave only what belongs to a model. folder: the working
    folder. output: its final name. *leftovers: names of files or folders in it removed with the checkpoint."""
    if plots.can_draw():
        plots.plot_learning_curve(folder / METRICS, folder / "learning_curve.png")
    unfinished.finish_folder(folder, output, CHECKPOINT, *leftovers)
