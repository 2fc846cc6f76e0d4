# SPDX-License-Identifier: GPL-3.0-or-later
"""Alignment and embedding of subtomograms that are to be clustered. An embedding by a small 3-D autoencoder that is
asked only for what was measured. Principal components of subtomograms of which parts were not measured (probabilistic
PCA: Tipping & Bishop 1999). Correlations of all pairs of subtomograms over the coefficients that both measured (Förster
et al. 2008)."""

import os
import typing
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...core.half_transforms import HalfBall
from ...core.projections import euler_angles
from ...core.volumes import side_by_side
from ...io.plots import new_figure, save_figure
from ...io.subtomograms import SubtomogramSet
from ...learning.processes import accelerator_for
from ...learning.task import Task
from ...learning.training import Schedule, fit
from .em import MAX_SHIFT, Grids, learn_average
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
        box = 8 * int(np.ceil((2 * observed.ball.radius + 4) / 8))
        self.ball = HalfBall(box, observed.ball.radius, observed.ball.device)
        weights = observed.weights
        values = (observed.values - ((observed.values * weights).sum(0) / weights.sum(0).clamp(min=1.0))) * weights
        self.values, self.weights = (values / values.abs().square().mean().sqrt().clamp(min=1e-12)).cpu(), weights.cpu()
        order = np.random.default_rng((seed, 5)).permutation(len(values))
        held = max(1, round(VALIDATION * len(values)))
        self.validation, self.training = order[:held], order[held:]
        self.validates_poorly = held < 20
        torch.manual_seed(seed)
        self.autoencoder = Autoencoder(box, components)
        self.networks = nn.ModuleDict({"autoencoder": self.autoencoder})
        self.optimizers = {"autoencoder": torch.optim.AdamW(self.networks.parameters(), lr=RATE, weight_decay=1e-2)}

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        return (torch.from_numpy(rng.choice(self.training, BATCH)),)

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Weighted mean square of what the network leaves, over that of the weights, of some rows."""
        network = self.autoencoder
        device = next(network.parameters()).device
        values, weights = (one[rows.cpu()].to(device) for one in (self.values, self.weights))
        found = self.ball.coefficients(network.decode(self.encoded(values))[:, 0])
        return ((found - values).abs().square() * weights).sum() / weights.sum()

    def encoded(self, values: torch.Tensor) -> torch.Tensor:
        """(n, components) of coefficients (n, d)."""
        return self.autoencoder.encoder(self.ball.back(values)[:, None])

    def train_step(self, batch: tuple[torch.Tensor, ...], accelerator: typing.Any) -> dict[str, torch.Tensor]:
        loss, optimizer = self.loss(batch[0]), self.optimizers["autoencoder"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    def validate(self) -> dict[str, float]:
        loss = float(self.loss(torch.from_numpy(self.validation)))
        return {"metric": 1 - loss, "loss": loss}

    @torch.no_grad()
    def positions(self) -> torch.Tensor:
        """(n, components) of all subtomograms."""
        device = next(self.autoencoder.eval().parameters()).device
        return torch.cat([self.encoded(part.to(device)).cpu() for part in self.values.split(BATCH)])


ROUNDS, SETTLED = 60, 1e-4


def principal_components(observed: ObservedSubtomograms, components: int, seed: int = 0) -> torch.Tensor:
    """(n, components) places of aligned, ObservedSubtomograms along the main differences from their mean. A subtomogram
    is the mean, plus components times its position, plus noise, wherever it was measured; components and positions are
    found in turn. Deterministic for a seed."""
    values = side_by_side(observed.values)
    weights = side_by_side(torch.complex(observed.weights, observed.weights))
    count = max(1, min(components, len(values) - 1))
    values = weights * (values - ((weights * values).sum(0) / weights.sum(0).clamp(min=1.0)))
    generator, noise = torch.Generator().manual_seed(seed), values.square().sum() / weights.sum()
    axes = torch.randn(count, values.shape[1], generator=generator).to(values.device) * (noise / 100).sqrt()
    for _ in range(ROUNDS):
        positions, spread = _positions(values, weights, axes, noise)
        axes, before = _axes(values, weights, positions, spread), axes
        noise = _noise(values, weights, positions, axes, spread)
        if (axes - before).norm() < SETTLED * axes.norm():
            break
    _, s, v = torch.linalg.svd(axes.T, full_matrices=False)
    rotated = _positions(values, weights, axes, noise)[0] @ (s[:, None] * v).T
    rotated = rotated - rotated.mean(0)
    return rotated @ torch.linalg.svd(rotated, full_matrices=False)[2].T


def _positions(
    values: torch.Tensor, weights: torch.Tensor, axes: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, c) most probable positions, and their (n, c, c) covariances."""
    count, products = len(axes), (axes[:, None] * axes[None]).flatten(0, 1)
    precision = (weights @ products.T).reshape(-1, count, count) / noise + torch.eye(count, device=axes.device)
    spread = torch.linalg.inv(precision)
    return (spread @ ((values @ axes.T) / noise)[:, :, None])[:, :, 0], spread


def _axes(values: torch.Tensor, weights: torch.Tensor, positions: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    count = positions.shape[1]
    normal = (weights.T @ (positions[:, :, None] * positions[:, None] + spread).flatten(1)).reshape(-1, count, count)
    normal = normal + 1e-3 * torch.eye(count, device=positions.device)
    return torch.linalg.solve(normal, (values.T @ positions)[:, :, None])[:, :, 0].T


def _noise(
    values: torch.Tensor, weights: torch.Tensor, positions: torch.Tensor, axes: torch.Tensor, spread: torch.Tensor
) -> torch.Tensor:
    left = (weights * (values - positions @ axes)).square().sum()
    return (left + (weights @ (axes[:, None] * axes[None]).flatten(0, 1).T * spread.flatten(1)).sum()) / weights.sum()


def pairwise_similarities(observed: ObservedSubtomograms) -> torch.Tensor:
    """(n, n) correlations in [-1, 1] of aligned, ObservedSubtomograms. Only what both of a pair measured counts. Three
    matrix products of (n, 2 d); memory 16 n² bytes."""
    parts = side_by_side(observed.values * (observed.weights > 0))
    # power of one where the other has measured
    power = parts.square() @ side_by_side(torch.complex(observed.weights, observed.weights)).T
    return (parts @ parts.T) / (power * power.T).sqrt().clamp(min=1e-12)


def embedded(similarity: torch.Tensor, components: int) -> torch.Tensor:
    """(n, components) positions whose scalar products come closest to the centred similarities (classical scaling)."""
    centred = similarity - similarity.mean(0) - similarity.mean(1, keepdim=True) + similarity.mean()
    values, vectors = torch.linalg.eigh((centred + centred.T).double() / 2)
    kept = min(components, len(values))
    return (vectors[:, -kept:] * values[-kept:].clamp(min=0).sqrt()).flip(1).float()


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
    return euler_angles(matrices), shifts * frame.pixel_size / found.pixel_size


def embedding_of(
    observed: ObservedSubtomograms, kind: str, count: int, folder: Path, seed: int, device: torch.device
) -> np.ndarray:
    """(n, count) positions of aligned subtomograms. kind: 'pca', 'similarity' or 'autoencoder', which keeps its
    training in the folder."""
    if kind == "similarity":
        return embedded(pairwise_similarities(observed), count).cpu().numpy()
    if kind == "pca":
        return principal_components(observed, count, seed).cpu().numpy()
    task = EmbeddingTask(observed, count, seed)
    # all subtomograms are to be placed, none is new: later weights are not much worse for those held out
    fit(task, Schedule(STEPS, EVERY, STEPS // EVERY, RATE, seed), folder, accelerator_for(device))
    return task.positions().numpy()


def plot_embedding(positions: np.ndarray, classes: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Positions (n, c) along the first components as a PNG, coloured by class (n,) int."""
    positions = np.asarray(positions)
    if positions.shape[1] < 2:
        positions = np.concatenate([positions, np.zeros((len(positions), 2 - positions.shape[1]))], axis=1)
    pairs = [(0, 1), (0, 2), (1, 2)] if positions.shape[1] > 2 else [(0, 1)]
    figure, axes = new_figure(1, len(pairs), (3.6 * len(pairs) + 0.9, 3.4))
    for panel, (one, other) in zip(axes.flat, pairs):
        for number in np.unique(classes):
            mine = classes == number
            panel.scatter(
                positions[mine, one],
                positions[mine, other],
                s=9,
                color=f"C{(number - 1) % 10}",
                label=f"class {number} ({mine.sum()})",
                linewidths=0,
            )
        panel.set(xlabel=f"component {one + 1}", ylabel=f"component {other + 1}")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles[:20], labels[:20], loc="outside right upper", fontsize=8)
    save_figure(figure, path)


def plot_averages(
    volumes: typing.Sequence[typing.Any], titles: typing.Sequence[str], pixel_size: float, path: str | os.PathLike[str]
) -> None:
    """Middle slices of averages (d, d, d) along z, y and x as a PNG: one row for each."""
    figure, axes = new_figure(len(volumes), 3, (5.4, 1.8 * len(volumes) + 0.3))
    for number, (row, volume, title) in enumerate(zip(axes, volumes, titles)):
        volume = np.asarray(volume)
        middle, (low, high) = volume.shape[0] // 2, np.percentile(volume, (1, 99.5))
        slices = (volume[middle], volume[:, middle], volume[:, :, middle])
        for panel, image, name in zip(row, slices, ("xy", "xz", "yz")):
            panel.imshow(
                image,
                cmap="gray",
                vmin=low,
                vmax=high,
                origin="lower",
                extent=(0, len(image) * pixel_size / 10, 0, len(image) * pixel_size / 10),
            )
            panel.set(xticks=[], yticks=[], title="" if number else name)
        row[0].set_ylabel(title, fontsize=8)
    save_figure(figure, path)


CLOUDS = 59  # single clouds that groups are compared with: the lowest p-value is 1 / 60
STARTS = 5  # of k-means, alike for the positions and the clouds


def groups(positions: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(n,) int: the group of each position, 1 ... count, the largest first. positions: (n, c) array. The k-means of 20
    starts begin a mixture of Gaussians of one shape, which has the last word: the differences within a class (noise,
    wedge) are alike in all."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    positions = np.asarray(positions, float)
    first = KMeans(count, n_init=20, random_state=seed).fit(positions)
    found = first.labels_
    if len(positions) > 5 * (count + positions.shape[1]) and len(np.unique(found)) == count:
        scale = max(positions.var(axis=0).max(), 1e-12)
        mixture = GaussianMixture(
            count, covariance_type="tied", means_init=first.cluster_centers_, random_state=seed, reg_covar=1e-4 * scale
        ).fit(positions)
        new = mixture.predict(positions)
        found = new if len(np.unique(new)) == count else found
    return 1 + np.argsort(np.argsort(-np.bincount(found, minlength=count), kind="stable"))[found]


def group_p_value(positions: np.ndarray, count: int, seed: int = 0) -> float:
    """p-value of groups: how often one cloud of points without groups is divided as tightly as these positions. The
    positions are compared with Gaussian clouds of their number, mean and covariance, by what k-means leaves of the
    variance within its groups (a parametric bootstrap, as of the gap statistic). positions: (n, c), an embedding.
    count: Number of groups. Returns float: fraction of the clouds that are divided as tightly; 1 for one group.
    Tibshirani, Walther and Hastie, J. R. Statist. Soc. B 63, 411 (2001)."""
    if count < 2:
        return 1.0
    rng, positions = np.random.default_rng(seed), np.asarray(positions, float) - positions.mean(axis=0)
    covariance = np.cov(positions.T).reshape(positions.shape[1], -1)
    own = _tightness(positions, count, seed)
    clouds = (rng.multivariate_normal(np.zeros(len(covariance)), covariance, len(positions)) for _ in range(CLOUDS))
    return float((1 + sum(_tightness(cloud, count, seed) <= own for cloud in clouds)) / (1 + CLOUDS))


def _tightness(positions: np.ndarray, count: int, seed: int) -> float:
    from sklearn.cluster import KMeans

    total = float(positions.var(axis=0).sum()) * len(positions)
    return KMeans(count, n_init=STARTS, random_state=seed).fit(positions).inertia_ / max(total, 1e-12)
