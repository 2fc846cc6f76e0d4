# SPDX-License-Identifier: GPL-3.0-or-later
"""Out-of-distribution score of a network: distance of a subtomogram's last hidden features from those of the training
classes.

The features of a class are taken to scatter about their mean as a Gaussian that all classes share (Lee et al. 2018, A
Simple Unified Framework for Detecting Out-of-Distribution Samples, section 2.1): the squared Mahalanobis distance to
the nearest mean tells noise and unseen structures apart, where the probabilities of classes do not. There are more
features than subtomograms: the covariance is that of a few principal axes, and the same along all others (Tipping and
Bishop 1999, Probabilistic Principal Component Analysis, section 3.2).
"""

import typing

import torch

AXES = 64
MINIMUM = 1e-3  # variance along the other axes over the mean variance, at least
MEANS, DIRECTIONS, VARIANCES, REST = (f"known.{name}" for name in ("means", "directions", "variances", "rest"))


def fit_feature_statistics(features: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """{name: tensor}: means (k, d) of the classes, principal directions (a, d), their variances (a,), and the variance
    along all others.

    features: (n, d) tensor. labels: (n,) int tensor, each class at least once.
    """
    features = features.double()
    means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    spread = features - means[labels]
    axes = min(AXES, max(1, len(features) // 4), features.shape[1] - 1)
    _, singular, directions = torch.linalg.svd(spread, full_matrices=False)
    variances = singular.square() / len(features)
    rest = variances[axes:].sum() / (features.shape[1] - axes)
    rest = rest.clamp(min=max(MINIMUM * float(variances.sum()) / features.shape[1], 1e-12))
    return {
        MEANS: means.float(),
        DIRECTIONS: directions[:axes].float().contiguous(),
        VARIANCES: variances[:axes].clamp(min=float(rest)).float(),
        REST: rest.float().reshape(1),
    }


def typicality(features: torch.Tensor, statistics: typing.Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(n,) minus the squared distance of features (n, d) to the nearest class, in standard deviations."""
    directions, variances, rest = (statistics[name].double() for name in (DIRECTIONS, VARIANCES, REST))
    distances = []
    for mean in statistics[MEANS].double():
        away = features.double() - mean
        along = away @ directions.T
        others = away.square().sum(1) - along.square().sum(1)
        distances.append((along.square() / variances).sum(1) + others.clamp(min=0) / rest)
    return -torch.stack(distances, 1).amin(1).float()
