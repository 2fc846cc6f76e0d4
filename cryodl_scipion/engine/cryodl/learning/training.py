# SPDX-License-Identifier: GPL-3.0-or-later
"""The one training loop of the project. A method brings a Task; devices and processes come from processes.py.

Checkpoint of a training: one file, renewed at each validation and every minute.
Schedule of a training, and the report of how it ended."""

import csv
import dataclasses
import json
import math
import time
import typing
from pathlib import Path

import numpy as np
import torch

from ..io import files, memory, model, plots, stopping
from ..io.messages import doing
from .ahead import in_order
from .processes import OneProcess
from .task import Task

CHECKPOINT = "checkpoint.safetensors"


@dataclasses.dataclass
class TrainingState:
    """How far a training is: steps, seconds, the best weights and metrics, why it stops, if it does, and the losses
    since the last validation."""

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    since_best: int = 0
    highest: float = 0.0
    stop_reason: str = ""
    losses: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_weights: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)


def save_checkpoint(
    folder: Path,
    networks: torch.nn.ModuleDict,
    average: torch.optim.swa_utils.AveragedModel,
    task: typing.Any,
    state: TrainingState,
) -> None:
    """Write everything needed to continue, as tensors and JSON: nothing has to be unpickled. folder: Path. networks:
    ModuleDict. average: AveragedModel of them. task: task.Task. state: TrainingState."""
    tensors = {f"network.{k}": v for k, v in networks.state_dict().items()}
    tensors.update({f"average.{k}": v for k, v in average.state_dict().items()})
    tensors.update({f"best.{k}": v for k, v in state.best_weights.items()})
    for name, optimizer in task.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{name}.{index}.{k}": torch.as_tensor(v) for k, v in values.items()})
    numbers = {f.name: getattr(state, f.name) for f in dataclasses.fields(state) if f.name != "best_weights"}
    # one file, so that tensors and numbers are of the same step
    model.save_tensors(folder / CHECKPOINT, tensors, {"state": json.dumps(numbers), "memory": json.dumps(task.state())})


def load_checkpoint(
    folder: Path, networks: torch.nn.ModuleDict, average: torch.optim.swa_utils.AveragedModel, task: typing.Any
) -> TrainingState:
    """Put a checkpoint into networks, their running mean, and the task. Returns its TrainingState."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / CHECKPOINT, "pt") as file:
            state = TrainingState(**json.loads(file.metadata()["state"]))
            task.restore(json.loads(file.metadata()["memory"]))
            tensors = {k: file.get_tensor(k) for k in file.keys()}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / CHECKPOINT} is damaged ({error}). Remove it to start the training again."
        ) from None

    def part(head: str) -> dict[str, torch.Tensor]:
        return {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}

    networks.load_state_dict(part("network."))
    average.load_state_dict(part("average."))
    state.best_weights = part("best.")
    for name, optimizer in task.optimizers.items():
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        values: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in part(f"optimizer.{name}.").items():
            index, _, field = key.partition(".")
            weight = weights[int(index)]
            if tensor.shape == weight.shape:  # in the memory layout of its weight, as fused optimizers need it
                tensor = torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)
            values.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


@dataclasses.dataclass(frozen=True)
class Schedule:
    """steps: most steps. every: steps between validations. patience: validations without gain before stopping.
    learning_rate: peak; rises for 5 % of the steps, then falls as a cosine, or by the factor `decay` after each
    validation. seed: of every random choice. ema: decay of the running mean of the weights that is validated and kept.
    tolerance: later weights count as the best while their metric is within this of the highest: small validation parts
    are noisy, and longer training with a falling rate is better than they can tell."""

    steps: int
    every: int
    patience: int
    learning_rate: float
    seed: int
    ema: float = 0.97
    tolerance: float = 0.01
    decay: float | None = None

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.decay:
            return self.learning_rate * self.decay ** (step // self.every)
        rotation = math.pi * (step - warm) / max(1, self.steps - warm)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(rotation)))


@dataclasses.dataclass(frozen=True)
class FitReport:
    """How a training ended. best: the validation columns of the best weights, which the networks now hold."""

    steps: int
    best_step: int
    best: dict[str, float]
    stop_reason: str
    seconds: float


METRICS = "metrics.csv"
# Further memory that a training takes, times its weights: gradients, two moments, running mean, best, copies to write.
COPIES = 8
HOST_COPIES = 3  # of it beside the memory of a GPU
KEPT_EVERY = 60.0  # seconds after which a checkpoint is written though no validation is due


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; the message says where and what to try."""


def fit(
    task: Task, schedule: Schedule, folder: Path, accelerator: OneProcess, log: typing.Callable[[str], None] = print
) -> FitReport:
    """Train a task; its networks hold the best weights afterwards.

    Deterministic for a seed on one machine: batch n is drawn from (seed, n). Several processes share each batch, so
    that they learn what one learns from all of it; the first of them writes.

    folder: of metrics.csv and the checkpoint; a training that was killed continues from there. log: called with a line
    for each validation. Raises NonFiniteLoss if the loss becomes NaN or infinite."""
    folder = Path(folder)
    _check_memory(task.networks, accelerator.device)
    networks = task.networks.to(accelerator.device)
    task.wrapped = accelerator.wrapped(networks)
    average = torch.optim.swa_utils.AveragedModel(
        networks, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.ema), use_buffers=True
    )
    state = TrainingState()
    if (folder / CHECKPOINT).exists():
        state = load_checkpoint(folder, networks, average, task)
        log(f"Continuing the training at step {state.step} of {schedule.steps}.")
    processes = torch.get_num_threads() - 1 if task.ahead and accelerator.device.type == "cuda" else 0
    batches = in_order(lambda step: _batch(task, schedule, step), range(state.step, schedule.steps), processes)
    start, kept = time.monotonic() - state.seconds, state.seconds
    with stopping.held() as asked:
        while not state.stop_reason and (state.step < schedule.steps or state.losses):
            due = bool(state.losses) and (state.step % schedule.every == 0 or state.step == schedule.steps)
            if due:
                doing(f"validation at step {state.step} of {schedule.steps}")
                _validate(task, networks, average, schedule, state, folder, accelerator, log)
                state.losses = []
            else:
                doing(f"step {state.step + 1} of {schedule.steps}")
                state.losses.append(_one_step(task, schedule, state.step, batches, accelerator))
                average.update_parameters(networks)
                state.step += 1
            state.seconds = time.monotonic() - start
            number = accelerator.largest(asked())  # whichever process was asked, all end after the same step
            if (due or number or state.seconds - kept > KEPT_EVERY) and accelerator.is_main_process:
                save_checkpoint(folder, networks, average, task, state)
                kept = state.seconds
            if number:
                accelerator.wait_for_everyone()  # the end of one process ends the others, and the first one writes
                raise stopping.Stopped(number)
    doing("")
    reason = state.stop_reason or f"all {schedule.steps} steps were done"
    task.wrapped = None
    if accelerator.is_main_process:
        log(f"Training ended: {reason}. The model is that of step {state.best_step}, the best on the validation data.")
        networks.load_state_dict({k: v.to(accelerator.device) for k, v in state.best_weights.items()})
    accelerator.spread(networks)
    return FitReport(state.step, state.best_step, state.best, reason, state.seconds)


def _check_memory(networks: torch.nn.Module, device: torch.device) -> None:
    """Raises ValueError for networks whose training does not fit into the memory of this machine."""
    size = sum(p.numel() * p.element_size() for p in networks.parameters())
    memory.require_memory(
        (COPIES if device.type == "cpu" else HOST_COPIES) * size,
        f"Training {sum(p.numel() for p in networks.parameters()) / 1e6:.0f} million weights",
        "Choose a smaller network or box, or use a machine with more memory.",
    )


def measured(
    task: Task, folder: Path, device: torch.device | None, log: typing.Callable[[str], None] = print
) -> FitReport:
    """A task without anything to learn by gradients: its metrics, taken once and written as fit writes them. log: as
    for fit."""
    start = time.monotonic()
    task.networks.to(device).eval()
    with torch.no_grad():
        metrics = task.validate()
        if plots.can_draw():
            task.show(0, folder)
    seconds = time.monotonic() - start
    row = dict(
        step=0,
        seconds=round(seconds, 2),
        train_loss=metrics["loss"],
        **{f"validation_{k}": v for k, v in metrics.items() if k != "metric"},
        learning_rate=0.0,
    )
    _append(folder / METRICS, row, log)
    return FitReport(0, 0, metrics, "nothing is learnt by steps: all is measured on the particles", seconds)


def _batch(task: Task, schedule: Schedule, step: int) -> typing.Any:
    task.progress = step / schedule.steps
    return task.batch(np.random.default_rng((schedule.seed, step)))


def _one_step(
    task: Task, schedule: Schedule, step: int, batches: typing.Iterator[typing.Any], accelerator: OneProcess
) -> dict[str, float]:
    for optimizer in task.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step) * group.get("factor", 1.0)
    task.networks.train()
    torch.manual_seed(schedule.seed * 1_000_003 + step)  # dropout: a continued training must end the same
    values = accelerator.mean(task.train_step(accelerator.part(next(batches)), accelerator))
    if not all(math.isfinite(v) for v in values.values()):
        raise NonFiniteLoss(
            f"The training loss became {values} at step {step + 1}, so the weights are useless. Check the "
            "training data for extreme values; where the command has --learning-rate, try a lower one."
        )
    return values


def _validate(
    task: Task,
    networks: torch.nn.ModuleDict,
    average: torch.optim.swa_utils.AveragedModel,
    schedule: Schedule,
    state: TrainingState,
    folder: Path,
    accelerator: OneProcess,
    log: typing.Callable[[str], None],
) -> None:
    """Metrics of the averaged weights; keeps them if they are the best so far. The first process takes them for all:
    the others must come to the same end."""
    metrics, weights = dict[str, float](), dict[str, torch.Tensor]()
    if accelerator.is_main_process:
        metrics, weights = _averaged_metrics(task, networks, average, state.step, folder)
    metrics = accelerator.of_first(metrics)
    trained = {f"train_{name}": float(np.mean([value[name] for value in state.losses])) for name in state.losses[0]}
    if not state.best or metrics["metric"] > state.highest:
        state.highest, state.since_best = metrics["metric"], 0
    else:
        state.since_best += 1
    if metrics["metric"] >= state.highest - schedule.tolerance:
        state.best, state.best_step, state.best_weights = metrics, state.step, weights
    if state.since_best >= schedule.patience and state.step >= task.minimum_steps:
        state.stop_reason = (
            f"no better validation metric for {state.since_best} validations ({state.since_best * schedule.every} "
            "steps)"
        )
    row = dict(
        step=state.step,
        seconds=round(state.seconds, 2),
        **trained,
        **{f"validation_{k}": v for k, v in metrics.items() if k != "metric"},
        learning_rate=schedule.rate(state.step - 1),
    )
    if accelerator.is_main_process:
        _append(folder / METRICS, row, log)


def _averaged_metrics(
    task: Task, networks: torch.nn.ModuleDict, average: torch.optim.swa_utils.AveragedModel, step: int, folder: Path
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    current = {k: v.detach().clone() for k, v in networks.state_dict().items()}
    networks.load_state_dict(average.module.state_dict())
    networks.eval()
    with torch.no_grad():
        metrics = task.validate()
        if plots.can_draw():
            task.show(step, folder)
    weights = {k: v.detach().cpu().clone() for k, v in networks.state_dict().items()}
    networks.load_state_dict(current)
    return metrics, weights


def _append(path: Path, row: dict[str, typing.Any], log: typing.Callable[[str], None]) -> None:
    """Add a row to the table, and log it; rows of the same or later steps are of a training that was killed, and go."""
    rows = [r for r in files.whole_rows(path) if int(r["step"]) < row["step"]]
    with files.whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        writer.writeheader()
        writer.writerows(rows + [row])
    log("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
