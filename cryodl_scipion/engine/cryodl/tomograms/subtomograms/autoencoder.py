# SPDX-License-Identifier: GPL-3.0-or-later
"""An embedding by a small 3-D autoencoder that is asked only for what was measured."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...learning.task import Task
from ...learning.training import Schedule, fit

if typing.TYPE_CHECKING:
    from .observed import ObservedSubtomograms

STEPS, EVERY, BATCH, RATE = 300, 50, 32, 2e-3
VALIDATION = 0.1  # part of the subtomograms
WIDTHS = (12, 24, 48)


class Autoencoder(nn.Module):
    """(n, 1, b, b, b) volumes to (n, components) positions, and back. box: b, a multiple of 8."""

    def __init__(self, box: int, components: int) -> None:
        super().__init__()
        self.side, layers, before = box // 8, [], 1
        for width in WIDTHS:
            layers += [nn.Conv3d(before, width, 3, stride=2, padding=1), nn.SiLU()]
            before = width
        inner = before * self.side**3
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inner, components))
        self.begin = nn.Sequential(nn.Linear(components, inner), nn.SiLU())
        layers = []
        for width in (*WIDTHS[-2::-1], 1):
            layers += [nn.SiLU()] * bool(layers) + [nn.ConvTranspose3d(before, width, 4, stride=2, padding=1)]
            before = width
        self.decoder = nn.Sequential(*layers)

    def decode(self, positions: torch.Tensor) -> torch.Tensor:
        """(n, 1, box, box, box) volumes of positions (n, components)."""
        return self.decoder(self.begin(positions).reshape(-1, WIDTHS[-1], self.side, self.side, self.side))


class EmbeddingTask(Task):
    """Learns to give back the measured coefficients of aligned, ObservedSubtomograms, as differences from their mean.

    compensate: False asks for what was not measured, too, as if it were zero.
    """

    example_name = "subtomograms"

    def __init__(self, observed: ObservedSubtomograms, components: int, seed: int = 0, compensate: bool = True) -> None:
        self.ball, self.box = observed.ball, 8 * int(np.ceil((2 * observed.ball.radius + 4) / 8))
        weights = observed.weights if compensate else torch.ones_like(observed.weights)
        mean = (observed.values * weights).sum(0) / weights.sum(0).clamp(min=1.0)
        values = (observed.values - mean) * weights
        scale = values.abs().square().mean().sqrt().clamp(min=1e-12)
        self.values, self.weights = (values / scale).cpu(), weights.cpu()
        order = np.random.default_rng((seed, 5)).permutation(len(values))
        held = max(1, round(VALIDATION * len(values)))
        self.validation, self.training = order[:held], order[held:]
        self.validates_poorly = held < 20
        torch.manual_seed(seed)
        self.networks = nn.ModuleDict({"autoencoder": Autoencoder(self.box, components)})
        self.optimizers = {"autoencoder": torch.optim.AdamW(self.networks.parameters(), lr=RATE, weight_decay=1e-2)}

    @property
    def autoencoder(self) -> Autoencoder:
        """The network that learns."""
        return typing.cast("Autoencoder", self.networks["autoencoder"])

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        return (torch.from_numpy(rng.choice(self.training, BATCH)),)

    def volumes(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(n, 1, box, box, box) of (n, d)."""
        grid = coefficients.new_zeros(len(coefficients), self.box, self.box, self.box // 2 + 1)
        ball, middle = self.ball, self.box // 2
        phases = (ball.z + ball.y + ball.x) * (-2 * torch.pi * middle / self.box)
        values = coefficients * torch.polar(torch.ones_like(phases), phases)
        grid[:, ball.z % self.box, ball.y % self.box, ball.x] = values
        edge = ball.x == 0
        grid[:, (-ball.z[edge]) % self.box, (-ball.y[edge]) % self.box, 0] = values[:, edge].conj()
        return torch.fft.irfftn(grid, s=(self.box,) * 3, dim=(1, 2, 3), norm="ortho")[:, None]

    def coefficients(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, d) of (n, 1, box, box, box)."""
        ball, middle = self.ball, self.box // 2
        phases = (ball.z + ball.y + ball.x) * (2 * torch.pi * middle / self.box)
        found = torch.fft.rfftn(volumes[:, 0].float(), dim=(1, 2, 3), norm="ortho")
        return found[:, ball.z % self.box, ball.y % self.box, ball.x] * torch.polar(torch.ones_like(phases), phases)

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Weighted mean square of what the network leaves, over that of the weights, of some rows."""
        network = self.autoencoder
        device = next(network.parameters()).device
        values, weights = self.values[rows], self.weights[rows].to(device)
        found = self.coefficients(network.decode(network.encoder(self.volumes(values).to(device))))
        return ((found - values.to(device)).abs().square() * weights).sum() / weights.sum()

    def train_step(self, batch: tuple[torch.Tensor, ...], accelerator: typing.Any) -> dict[str, torch.Tensor]:
        loss, optimizer = self.loss(batch[0]), self.optimizers["autoencoder"]
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        optimizer.step()
        return {"loss": loss.detach()}

    def validate(self) -> dict[str, float]:
        loss = float(self.loss(torch.from_numpy(self.validation)))
        return {"metric": 1 - loss, "loss": loss}

    @torch.no_grad()
    def positions(self) -> torch.Tensor:
        """(n, components) of all subtomograms."""
        network = self.autoencoder.eval()
        device = next(network.parameters()).device
        return torch.cat([network.encoder(self.volumes(part).to(device)).cpu() for part in self.values.split(BATCH)])


def learned_coordinates(
    observed: ObservedSubtomograms,
    components: int,
    folder: Path,
    accelerator: typing.Any,
    seed: int = 0,
    compensate: bool = True,
) -> torch.Tensor:
    """(n, components) places of aligned, ObservedSubtomograms. folder: for the training's record; a stopped one
    continues."""
    task = EmbeddingTask(observed, components, seed, compensate)
    # all subtomograms are to be placed, none is new: later weights are not much worse for those held out
    fit(task, Schedule(STEPS, EVERY, STEPS // EVERY, RATE, seed), folder, accelerator)
    return task.positions()
