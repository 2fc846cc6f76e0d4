# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of two kinds of evidence: the neighbourhoods of the best orientations in fine detail, and the whole search in
coarse detail.

Only a few neighbourhoods are compared finely. Where the right one is not among them, that evidence is too sure. The
search goes over all orientations, so that its evidence is nearly what it says, but it holds less detail. Both are
multiplied by what they were worth on made-up particles, and added.
"""

from __future__ import annotations

import numpy as np
import torch

STEPS = [round(0.05 * 1.15**step, 4) for step in range(22)]  # 0.05 to about 1


def fitted_weights(fine: torch.Tensor, coarse: torch.Tensor | None, kinds: torch.Tensor) -> tuple[float, float]:
    """Numbers to multiply fine and coarse log-likelihoods with, so that probabilities are what they say.

    They maximise the likelihood of the kinds; one number alone is a temperature.

    Parameters
    ----------
    fine : Tensor, (n, c)
        Log-likelihoods of the compositions in the neighbourhoods of likely orientations.
    coarse : Tensor, (n, c), or None
        Those of the whole search; None where orientations are given. Its weight is 0 then.
    kinds : Tensor, (n,) int64
        The true compositions.

    Returns
    -------
    fine, coarse : float, no unit

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks (temperature).
    """
    rows = torch.arange(len(kinds))
    pairs = [(first, second) for first in STEPS for second in ([0.0, *STEPS] if coarse is not None else [0.0])]
    chance = [
        float(torch.log_softmax(weighted(fine, coarse, (first, second)), 1)[rows, kinds].mean())
        for first, second in pairs
    ]
    return pairs[int(np.argmax(chance))]


def weighted(fine: torch.Tensor, coarse: torch.Tensor | None, weights: tuple[float, float]) -> torch.Tensor:
    """(n, c) sum of both log-likelihoods, each times its weight.

    Parameters
    ----------
    fine : Tensor, (n, c)
    coarse : Tensor, (n, c), or None
    weights : float, float

    Returns
    -------
    Tensor, (n, c)
    """
    return weights[0] * fine if coarse is None else weights[0] * fine + weights[1] * coarse
