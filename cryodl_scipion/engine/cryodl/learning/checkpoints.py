# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoint of a training: one file, renewed at each validation and every minute."""

from __future__ import annotations

import dataclasses
import json
import typing

import torch

from ..io.model import save_tensors

if typing.TYPE_CHECKING:
    from pathlib import Path

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
    """Write everything needed to continue, as tensors and JSON: nothing has to be unpickled.

    folder: Path. networks: ModuleDict. average: AveragedModel of them. task: task.Task. state: TrainingState.
    """
    tensors = {f"network.{k}": v for k, v in networks.state_dict().items()}
    tensors.update({f"average.{k}": v for k, v in average.state_dict().items()})
    tensors.update({f"best.{k}": v for k, v in state.best_weights.items()})
    for name, optimizer in task.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{name}.{index}.{k}": torch.as_tensor(v) for k, v in values.items()})
    numbers = {f.name: getattr(state, f.name) for f in dataclasses.fields(state) if f.name != "best_weights"}
    # one file, so that tensors and numbers are of the same step
    save_tensors(folder / CHECKPOINT, tensors, {"state": json.dumps(numbers), "memory": json.dumps(task.state())})


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
