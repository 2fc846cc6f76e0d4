# SPDX-License-Identifier: GPL-3.0-or-later
"""Temperature scaling of class probabilities, and the threshold below which a subtomogram is 'unknown'."""

import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar

USUAL, MAX_DEFAULT_FRACTION = (
    0.02,
    0.05,
)  # part of the known ones that may be called unknown: usually; with few to compare with
MAXIMUM = 2000  # confidences of validation subtomograms that a card keeps


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The number by which logits are divided so that their softmax gives the labels the highest likelihood (Guo et al.
    2017, On Calibration of Modern Neural Networks, section 4.2).

    logits: (n, k) tensor. labels: (n,) int array. Between 0.01 and 1000.
    """
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
    for the fraction, or the fraction 0.
    """
    rank = int(np.floor(fraction * (len(confidences) + 1) + 1e-9))
    return confidences[min(rank, len(confidences)) - 1] if rank else float("-inf")


def default_fraction(number: int) -> float:
    """The part of the known subtomograms that may be called unknown if nothing is said: USUAL, or the least part that
    so many validation subtomograms can tell, if that is no more than MAX_DEFAULT_FRACTION; else 0."""
    fraction = max(USUAL, 1 / (number + 1))
    return fraction if fraction <= MAX_DEFAULT_FRACTION + 1e-9 else 0.0
