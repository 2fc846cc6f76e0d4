# SPDX-License-Identifier: GPL-3.0-or-later
"""Correlations of all pairs of subtomograms over the coefficients that both measured (Förster et al. 2008)."""

from __future__ import annotations

import typing

import torch

from ...core.volumes import side_by_side

if typing.TYPE_CHECKING:
    from .observed import ObservedSubtomograms


def pairwise_similarities(observed: ObservedSubtomograms, compensate: bool = True) -> torch.Tensor:
    """(n, n) correlations in [-1, 1] of aligned, ObservedSubtomograms.

    compensate: only what both of a pair measured counts; else all does, and what is missing counts as zero. Three
    matrix products of (n, 2 d); memory 16 n² bytes.
    """
    seen = observed.weights if compensate else torch.ones_like(observed.weights)
    parts = side_by_side(observed.values * (observed.weights > 0))
    both = side_by_side(torch.complex(seen, seen))
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
