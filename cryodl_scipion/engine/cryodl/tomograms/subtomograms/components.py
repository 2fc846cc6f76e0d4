# SPDX-License-Identifier: GPL-3.0-or-later
"""Principal components of subtomograms of which parts were not measured (probabilistic PCA: Tipping & Bishop 1999)."""

from __future__ import annotations

import typing

import torch

from ...core.volumes import side_by_side

if typing.TYPE_CHECKING:
    from .observed import ObservedSubtomograms

ROUNDS, SETTLED = 60, 1e-4


def principal_components(
    observed: ObservedSubtomograms, components: int, seed: int = 0, compensate: bool = True
) -> torch.Tensor:
    """(n, components) places of aligned, ObservedSubtomograms along the main differences from their mean.

    A subtomogram is the mean, plus components times its position, plus noise, wherever it was measured; components and
    positions are found in turn. compensate: False takes what is missing for zero. Deterministic for a seed.
    """
    values = side_by_side(observed.values)
    weights = side_by_side(torch.complex(observed.weights, observed.weights))
    if not compensate:
        weights = torch.ones_like(weights)
    count = max(1, min(components, len(values) - 1))
    mean = (weights * values).sum(0) / weights.sum(0).clamp(min=1.0)
    values = weights * (values - mean)
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
    """(c, d) components that fit best."""
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
    """Positions rotated to the main axes of what the components make of them, in order of their size."""
    u, s, v = torch.linalg.svd(axes.T, full_matrices=False)
    rotated = positions @ (s[:, None] * v).T
    rotated = rotated - rotated.mean(0)
    _, _, main = torch.linalg.svd(rotated, full_matrices=False)
    return rotated @ main.T
