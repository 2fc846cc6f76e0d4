# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface between a method and the training loop: networks, a training step and a validation.

The method object of a network's row in contract/networks.py."""

import abc
import importlib
import typing
from pathlib import Path

import numpy as np
import torch

from ..contract.networks import network_row
from ..core.devices import Network, in_memory_format


def method_of(kind: str, name: str) -> typing.Any:
    """The method of a network: how it is built, trained and used.

    kind: kind of the model: 'picker', 'denoiser', 'segmenter', 'classifier' or 'map_improver'. name: name of the
    network, as in the model's card. Returns a new object of the class that the row names. Raises ValueError if no
    network of this kind has the name; the message lists the names."""
    row = network_row(kind, name)
    # Imported here: torch, and one network instead of all.
    return getattr(importlib.import_module(f"cryodl.{row.module}"), row.method)()


def with_weights(network: Network, weights: typing.Mapping[str, torch.Tensor], model: typing.Any, name: str) -> Network:
    """The network with the weights {name: tensor} of a model, whose folder or name and whose network's name are for the
    message. Raises ValueError if they are of another network."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(
            f"The weights of {model} do not fit the network {name} in this version of cryodl. Train the model again, "
            "or use the version that its card.json names."
        ) from None
    return network


# Memory layout of a batch of images, or of volumes.
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Task(abc.ABC):
    """What a method gives to `fit`: networks, a step and a validation metric.

    networks: torch.nn.ModuleDict of everything that learns. optimizers: dict of optimizers over them. example_name:
    what a batch is made of, in the plural. validates_poorly: True if the validation part is too small to choose by.
    minimum_steps: steps before which patience does not end the training. patience: validations without gain before it
    ends, None for all steps. rate: part of the method's learning rate. progress: set before each batch, part of the
    steps that are done. ahead: whether batch() depends on its generator alone, and may be drawn in advance.

    Several processes may train it: batch() gives tensors that can be shared out by their first axis, and train_step
    calls its networks by `network(name)`."""

    networks: torch.nn.ModuleDict
    optimizers: dict[str, torch.optim.Optimizer]
    progress, ahead = 0.0, False
    wrapped: dict[str, torch.nn.Module] | None = None
    example_name, validates_poorly, minimum_steps = "examples", False, 0
    patience: int | None = None
    rate = 1.0

    def network(self, name: str) -> torch.nn.Module:
        """The network to call in train_step: one of `networks`, or what shares its gradients with other processes."""
        return (self.wrapped or self.networks)[name]

    @abc.abstractmethod
    def batch(self, rng: np.random.Generator) -> typing.Any:
        """One batch of training data (CPU tensors), drawn with the numpy Generator rng."""

    @abc.abstractmethod
    def train_step(self, batch: typing.Any, accelerator: typing.Any) -> dict[str, torch.Tensor]:
        """Update the networks once. Returns {name: loss as a float tensor}; 'loss' must be among them."""

    @abc.abstractmethod
    def validate(self) -> dict[str, float]:
        """{column: float}; 'metric' is the one to maximise."""

    def show(self, step: int, folder: Path) -> None:
        """Called after each validation, with the weights that were validated: a picture of them may go into the Path
        folder."""

    def state(self) -> typing.Any:
        """What batch() remembers from one call to the next, as JSON can hold it: continued, it ends the same."""
        return None

    def restore(self, values: typing.Any) -> None:
        """Take up what state() gave."""


class NetworkTask(Task):
    """A task of one network, whose weights follow the gradient of one loss. A subclass calls `learn` and writes `loss`.
    gradient_limit: largest norm of the gradients, which are scaled down to it; None leaves them."""

    gradient_limit: float | None = 5.0

    def learn(self, name: str, network: torch.nn.Module, optimizer: typing.Any, layout: torch.memory_format) -> None:
        """Take the network that is trained. name: its name in the checkpoint. optimizer: gives the optimiser of a
        network; a number is AdamW's peak learning rate. layout: of the weights, from the first step on: sums round by
        it, and a continued training must end the same."""
        self.name = name
        network = in_memory_format(network, layout)
        self.networks = torch.nn.ModuleDict({name: network})
        adamw = lambda net: torch.optim.AdamW(net.parameters(), lr=optimizer, weight_decay=1e-2)
        self.optimizers = {name: (optimizer if callable(optimizer) else adamw)(network)}

    @abc.abstractmethod
    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Loss of the network's float32 output. batch: the parts of batch(), of which the network saw the first."""

    def prepare(self, network: torch.nn.Module) -> None:
        """Called before each step, with the network set to train: for layers that must not."""

    def penalty(self) -> torch.Tensor | float:
        """What is added to the loss for the gradient, but not reported with it."""
        return 0.0

    def train_step(self, batch: typing.Sequence[torch.Tensor], accelerator: typing.Any) -> dict[str, torch.Tensor]:
        """One step of the optimiser."""
        parts = [part.to(accelerator.device) for part in batch]
        network, optimizer = self.networks[self.name].train(), self.optimizers[self.name]
        shared = self.network(self.name)
        optimizer.zero_grad(set_to_none=True)
        parts[0] = parts[0].contiguous(memory_format=LAYOUTS[parts[0].dim()])
        self.prepare(network)
        with accelerator.autocast():
            output = shared(parts[0])
        loss = self.loss(output.float(), *parts)
        (loss + self.penalty()).backward()
        if self.gradient_limit is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.gradient_limit)
        optimizer.step()
        return {"loss": loss.detach()}


def keep_statistics(network: torch.nn.Module) -> None:
    """Have batch norms use and keep the means and variances that they have."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
