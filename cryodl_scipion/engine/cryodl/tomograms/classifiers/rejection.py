# SPDX-License-Identifier: GPL-3.0-or-later
"""Temperature scaling of class probabilities, and the threshold below which a subtomogram is 'unknown'.

Out-of-distribution score of a network: distance of a subtomogram's last hidden features from those of the training
classes.
The features of a class are taken to scatter about their mean as a Gaussian that all classes share (Lee et al. 2018, A
Simple Unified Framework for Detecting Out-of-Distribution Samples, section 2.1): the squared Mahalanobis distance to
the nearest mean tells noise and unseen structures apart, where the probabilities of classes do not. There are more
features than subtomograms: the covariance is that of a few principal axes, and the same along all others (Tipping and
Bishop 1999, Probabilistic Principal Component Analysis, section 3.2)."""

import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar

AXES = 64
MINIMUM = 1e-3  # variance along the other axes over the mean variance, at least
MEANS, DIRECTIONS, VARIANCES, REST = (f"known.{name}" for name in ("means", "directions", "variances", "rest"))


def fit_feature_statistics(features: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """{name: tensor}: means (k, d) of the classes, principal directions (a, d), their variances (a,), and the variance
    along all others. features: (n, d) tensor. labels: (n,) int tensor, each class at least once."""
    features = features.double()
    means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    axes = min(AXES, max(1, len(features) // 4), features.shape[1] - 1)
    _, singular, directions = torch.linalg.svd(features - means[labels], full_matrices=False)
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


# part of the known ones that may be called unknown: usually; with few to compare with
USUAL, MAX_DEFAULT_FRACTION = 0.02, 0.05
MAXIMUM = 2000  # confidences of validation subtomograms that a card keeps


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The number by which logits are divided so that their softmax gives the labels the highest likelihood (Guo et al.
    2017, On Calibration of Modern Neural Networks, section 4.2). logits: (n, k) tensor. labels: (n,) int array. Between
    0.01 and 1000."""
    logits, labels = logits.double(), torch.as_tensor(labels)
    loss = lambda log: float(F.cross_entropy(logits / np.exp(log), labels))
    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.01), np.log(1000)), method="bounded").x))


def kept_confidences(confidence: torch.Tensor) -> list[float]:
    """Sorted list of the validation subtomograms' confidences, evenly thinned out to what a card keeps."""
    values = np.sort(np.asarray(confidence, float))
    if len(values) > MAXIMUM:
        values = np.quantile(values, np.linspace(0, 1, MAXIMUM), method="nearest")
    return [float(v) for v in values]


def threshold(confidences: typing.Sequence[float], fraction: float) -> float:
    """The confidence at or below which a subtomogram is unknown, so that at most a fraction of the known ones is.
    confidences: of n subtomograms of known classes, sorted. It is that of rank fraction x (n + 1) (conformal
    prediction: Vovk et al. 2005, chapter 2: a new one is as likely to take any rank among them). -inf if n is too small
    for the fraction, or the fraction 0."""
    rank = int(np.floor(fraction * (len(confidences) + 1) + 1e-9))
    return confidences[min(rank, len(confidences)) - 1] if rank else float("-inf")


def default_fraction(number: int) -> float:
    """The part of the known subtomograms that may be called unknown if nothing is said: USUAL, or the least part that
    so many validation subtomograms can tell, if that is no more than MAX_DEFAULT_FRACTION; else 0."""
    fraction = max(USUAL, 1 / (number + 1))
    return fraction if fraction <= MAX_DEFAULT_FRACTION + 1e-9 else 0.0
