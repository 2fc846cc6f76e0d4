# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps around every training: folder, device, seed, clock, model and result."""

import contextlib
import dataclasses
import os
import time
import typing
from pathlib import Path

import torch

from .. import contract
from ..core.devices import device_name
from ..io import memory, messages, model, plots
from ..io.unfinished import check_output, finish_folder, working_folder
from ..running import distributed, runner
from .processes import accelerator_for
from .task import Task
from .training import CHECKPOINT, METRICS, FitReport, Schedule, fit, measured

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
HELD_OUT = 0.2  # of what is learned from, for validation


class TrainingRun:
    """One training of a command: take_folder and take_device in the order that suits it, start, fit, finish, result.

    config: other than the run's: of a training that is a part of the command. Raises FileExistsError: there is already
    something under the name of the model folder."""

    folder: Path
    device: torch.device

    def __init__(self, run: runner.Run[TrainingConfig], config: TrainingConfig | None = None) -> None:
        self.run, self.config = run, config or run.config
        check_output(str(self.config.output), "Model folder")
        self.report: FitReport | None = None
        self.began = time.monotonic()
        self._processes = accelerator_for(self.run.take_device()) if distributed.launched() else None
        if self._processes and not self._processes.is_main_process:
            self._processes.wait_for_everyone()  # until the first one is at `together`: what it has made is found

    def take_folder(self, *files: str) -> Path:
        """<output>.partial: new, or that of a training with the same parameters that was killed. *files: that its
        inputs name, as a STAR file its stacks; the training is another one if they have changed."""
        self.folder = working_folder(self.config, files, precious=CHECKPOINT, settings=self.run.settings)
        return self.folder

    def take_device(self, threads: int | None = None) -> torch.device:
        """The device of the config. threads: other than the config's."""
        self.device = self.run.take_device(threads=threads)
        return self.device

    def start(self) -> None:
        """Seed torch, and start the clock: before the network is built."""
        self.began = time.monotonic()
        torch.manual_seed(self.run.seed)

    @contextlib.contextmanager
    def together(self) -> typing.Iterator[None]:
        """What the block trains several processes train, if torchrun has started them. The first one alone goes on
        after it, with the model: for the others the command ends there (Helped)."""
        if self._processes and self._processes.is_main_process:
            self._processes.wait_for_everyone()
        yield
        if self._processes and not self._processes.is_main_process:
            raise distributed.Helped

    def fit(self, task: Task, schedule: Schedule | None = None) -> FitReport:
        """Train a task, by the schedule that its method and the config give or by another."""
        with self.together():
            self.report = fit_task(task, self.config, self.folder, self.device, schedule, self.run.seed)
        return self.report

    def alone(self) -> None:
        """What comes now the first process does by itself, without help."""
        with self.together():
            pass

    def measure(self, task: Task) -> FitReport:
        """Measure a task that has nothing to learn by gradients."""
        self.alone()
        self.report = measured(task, self.folder, self.device)
        return self.report

    @property
    def device_name(self) -> str:
        """In words."""
        return device_name(self.device)

    @property
    def stop_reason(self) -> str:
        """Why the training ended; one that is not by steps ends with its examples."""
        return self.report.stop_reason if self.report else "nothing is learnt by steps: all examples were used at once"

    def record(self) -> dict[str, typing.Any]:
        """What the card says of how the training ended: steps and best_step of one by steps, and the rest of any."""
        steps = {} if self.report is None else dict(steps=self.report.steps, best_step=self.report.best_step)
        return dict(
            steps,
            stop_reason=self.stop_reason,
            seconds=round(time.monotonic() - self.began, 1),
            device=self.device_name,
            seed=self.run.seed,
        )

    def metrics(self) -> dict[str, float]:
        """Validation metrics of the weights that were kept, without the metric that chose them."""
        best = self.report.best if self.report else {}
        return {name: round(value, 5) for name, value in best.items() if name != "metric"}

    def finish(self, card: dict[str, typing.Any], weights: dict[str, torch.Tensor], *leftovers: str) -> None:
        """Write the model into its folder, and give that its name. leftovers: what else was only for the training."""
        model.write_model(self.folder, card, weights)
        self.rename(*leftovers)

    def rename(self, *leftovers: str) -> None:
        """Give the folder its name, when all that belongs to the model lies in it; leftovers are removed."""
        if self.report is None:
            finish_folder(self.folder, self.config.output, *leftovers)
        else:
            finish(self.folder, self.config.output, *leftovers)


def start_weights(
    config: contract.TrainDenoiserConfig
    | contract.TrainDetectorConfig
    | contract.TrainMapImproverConfig
    | contract.TrainPickerConfig
    | contract.TrainSegmenterConfig,
    kind: str,
    **needed: typing.Any,
) -> tuple[dict[str, typing.Any], dict[str, torch.Tensor]]:
    """Card and weights of the model that a training continues from.

    config: of the command; its start_from names the model. kind: kind of the model. absent: what holds where the card
    does not say it. **needed: what this training has, by the names that the card has for it. Returns weights: {name:
    Tensor}, each of any shape. Raises ValueError: the model differs in one of them."""
    source = str(config.start_from)
    card, weights = model.read_model(model.find_model(source, kind), kind)
    for name, mine in needed.items():
        option = f" (--{name.replace('_', '-')})" if hasattr(config, name) else ""
        if card.get(name) != mine:
            raise ValueError(
                f"Start from model (--start-from) {source} has the {name.replace('_', ' ')} {card.get(name)}, but "
                f"this training has {mine}{option}. They must be equal."
            )
    return card, weights


def refuse_steps(config: contract.TrainClassifierConfig | contract.TrainDenoiserConfig, *names: str) -> None:
    """Refuse options of a training by steps where there is none: they would have no effect. config: of the command.
    *names: of the options. Raises ValueError: one of them is given."""
    if given := [f"--{name.replace('_', '-')}" for name in names if getattr(config, name) is not None]:
        raise ValueError(
            f"{', '.join(given)} {'has' if len(given) == 1 else 'have'} no effect with the network {config.network}, "
            "which is not trained in steps. Leave the option out, or choose another --network."
        )


def say_weakness(network: str, method: typing.Any) -> None:
    """Print what a method is known to do badly, if there is something. network: its name. method: of the registry."""
    if method.weak:
        print(f"Known weakness of {network}: {method.weak}")


def said(sentences: typing.Iterable[str]) -> list[str]:
    """Sentences as a list, each of them warned of."""
    told = list(sentences)
    for sentence in told:
        messages.warn(sentence)
    return told


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
    finish_folder(folder, output, CHECKPOINT, *leftovers)
