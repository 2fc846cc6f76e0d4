# SPDX-License-Identifier: GPL-3.0-or-later
"""Alignment and embedding of subtomograms that are to be clustered. An embedding by a small 3-D autoencoder that is
asked only for what was measured. Principal components of subtomograms of which parts were not measured (probabilistic
PCA: Tipping & Bishop 1999). Correlations of all pairs of subtomograms over the coefficients that both measured (Förster
et al. 2008)."""

import typing
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from ...core.volumes import side_by_side
from ...io.subtomograms import SubtomogramSet
from ...learning.run_training import accelerator_for
from ...learning.task import Task
from ...learning.training import Schedule, fit
from .em import Grids, learn_average
from .observed import Frame, ObservedSubtomograms, observe
from .search import Poses

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
    """Learns to give back the measured coefficients of aligned subtomograms, as differences from their mean."""

    example_name = "subtomograms"

    def __init__(self, observed: ObservedSubtomograms, components: int, seed: int = 0) -> None:
        self.ball, self.box = observed.ball, 8 * int(np.ceil((2 * observed.ball.radius + 4) / 8))
        weights = observed.weights
        values = (observed.values - ((observed.values * weights).sum(0) / weights.sum(0).clamp(min=1.0))) * weights
        scale = values.abs().square().mean().sqrt().clamp(min=1e-12)
        self.values, self.weights = (values / scale).cpu(), weights.cpu()
        order = np.random.default_rng((seed, 5)).permutation(len(values))
        held = max(1, round(VALIDATION * len(values)))
        self.validation, self.training = order[:held], order[held:]
        self.validates_poorly = held < 20
        torch.manual_seed(seed)
        self.autoencoder = Autoencoder(self.box, components)
        self.networks = nn.ModuleDict({"autoencoder": self.autoencoder})
        self.optimizers = {"autoencoder": torch.optim.AdamW(self.networks.parameters(), lr=RATE, weight_decay=1e-2)}

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
    observed: ObservedSubtomograms, components: int, folder: Path, accelerator: typing.Any, seed: int = 0
) -> torch.Tensor:
    """(n, components) places of aligned, ObservedSubtomograms. folder: for the training's record; a stopped one
    continues."""
    task = EmbeddingTask(observed, components, seed)
    # all subtomograms are to be placed, none is new: later weights are not much worse for those held out
    fit(task, Schedule(STEPS, EVERY, STEPS // EVERY, RATE, seed), folder, accelerator)
    return task.positions()


ROUNDS, SETTLED = 60, 1e-4


def principal_components(observed: ObservedSubtomograms, components: int, seed: int = 0) -> torch.Tensor:
    """(n, components) places of aligned, ObservedSubtomograms along the main differences from their mean. A subtomogram
    is the mean, plus components times its position, plus noise, wherever it was measured; components and positions are
    found in turn. Deterministic for a seed."""
    values = side_by_side(observed.values)
    weights = side_by_side(torch.complex(observed.weights, observed.weights))
    count = max(1, min(components, len(values) - 1))
    values = weights * (values - ((weights * values).sum(0) / weights.sum(0).clamp(min=1.0)))
    generator = torch.Generator().manual_seed(seed)
    noise = values.square().sum() / weights.sum()
    axes = torch.randn(count, values.shape[1], generator=generator).to(values.device) * (noise / 100).sqrt()
    for _ in range(ROUNDS):
        positions, spread = _positions(values, weights, axes, noise)
        axes, before = _axes(values, weights, positions, spread), axes
        noise = _noise(values, weights, positions, axes, spread)
        if (axes - before).norm() < SETTLED * axes.norm():
            break
    return _principal(_positions(values, weights, axes, noise)[0], axes)


def _positions(
    values: torch.Tensor, weights: torch.Tensor, axes: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, c) most probable positions, and their (n, c, c) covariances."""
    count = len(axes)
    products = (axes[:, None] * axes[None]).flatten(0, 1)
    precision = (weights @ products.T).reshape(-1, count, count) / noise + torch.eye(count, device=axes.device)
    spread = torch.linalg.inv(precision)
    return (spread @ ((values @ axes.T) / noise)[:, :, None])[:, :, 0], spread


def _axes(values: torch.Tensor, weights: torch.Tensor, positions: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    count = positions.shape[1]
    second = positions[:, :, None] * positions[:, None] + spread
    normal = (weights.T @ second.flatten(1)).reshape(-1, count, count)
    normal = normal + 1e-3 * torch.eye(count, device=positions.device)
    return torch.linalg.solve(normal, (values.T @ positions)[:, :, None])[:, :, 0].T


def _noise(
    values: torch.Tensor, weights: torch.Tensor, positions: torch.Tensor, axes: torch.Tensor, spread: torch.Tensor
) -> torch.Tensor:
    left = (weights * (values - positions @ axes)).square().sum()
    uncertain = (weights @ (axes[:, None] * axes[None]).flatten(0, 1).T * spread.flatten(1)).sum()
    return (left + uncertain) / weights.sum()


def _principal(positions: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    u, s, v = torch.linalg.svd(axes.T, full_matrices=False)
    rotated = positions @ (s[:, None] * v).T
    rotated = rotated - rotated.mean(0)
    _, _, main = torch.linalg.svd(rotated, full_matrices=False)
    return rotated @ main.T


def pairwise_similarities(observed: ObservedSubtomograms) -> torch.Tensor:
    """(n, n) correlations in [-1, 1] of aligned, ObservedSubtomograms. Only what both of a pair measured counts. Three
    matrix products of (n, 2 d); memory 16 n² bytes."""
    parts = side_by_side(observed.values * (observed.weights > 0))
    both = side_by_side(torch.complex(observed.weights, observed.weights))
    product = parts @ parts.T
    power = parts.square() @ both.T  # power of one where the other has measured
    return product / (power * power.T).sqrt().clamp(min=1e-12)


def embedded(similarity: torch.Tensor, components: int) -> torch.Tensor:
    """(n, components) positions whose scalar products come closest to the similarities, the mean taken away (classical
    scaling)."""
    centred = similarity - similarity.mean(0) - similarity.mean(1, keepdim=True) + similarity.mean()
    values, vectors = torch.linalg.eigh((centred + centred.T).double() / 2)
    kept = min(components, len(values))
    return (vectors[:, -kept:] * values[-kept:].clamp(min=0).sqrt()).flip(1).float()


MAX_SHIFT = 1 / 12  # of the box: farthest from its middle that a particle is looked for


def alignment_of(found: SubtomogramSet, asked: str) -> str:
    """'given', 'search' or 'none'. Raises ValueError if angles are asked for and there are none."""
    if asked == "given" and found.angles is None:
        raise ValueError(
            f"{found.path} has no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi), which --align given needs. Choose "
            "--align search, or align the subtomograms first."
        )
    if asked != "auto":
        return asked
    if found.angles is not None and not np.any(found.angles):
        print(
            f"All angles of {found.path} are zero, so an alignment is searched for. If all subtomograms really have "
            "the same orientation, choose --align given."
        )
        return "search"
    return "search" if found.angles is None else "given"


def aligned_poses(
    found: SubtomogramSet, frame: Frame, how: str, contrast: str, seed: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) angles in degrees and (n, 3) shifts in px of the files. how: of alignment_of."""
    if how == "none":
        return np.zeros((len(found), 3)), np.zeros((len(found), 3))
    if how == "given":
        return typing.cast("np.ndarray", found.angles), found.shifts_zyx  # alignment_of has looked for them
    print("Aligning all subtomograms to a common average.")
    observed = observe(found, slice(None), frame, contrast, device)
    estimate = learn_average(observed, Grids(frame, MAX_SHIFT * frame.box, device), seed)
    matrices, shifts = (one.double().cpu().numpy() for one in typing.cast("Poses", estimate.poses).best())
    angles = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
    return angles, shifts * frame.pixel_size / found.pixel_size


def embedding_of(
    observed: ObservedSubtomograms, kind: str, count: int, folder: Path, seed: int, device: torch.device
) -> np.ndarray:
    """(n, count) positions of aligned subtomograms. kind: 'pca', 'similarity' or 'autoencoder', which keeps its
    training in the folder."""
    if kind == "similarity":
        return embedded(pairwise_similarities(observed), count).cpu().numpy()
    if kind == "pca":
        return principal_components(observed, count, seed).cpu().numpy()
    return learned_coordinates(observed, count, folder, accelerator_for(device), seed).numpy()
