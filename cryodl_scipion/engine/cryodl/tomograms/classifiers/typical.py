# SPDX-License-Identifier: GPL-3.0-or-later
"""Out-of-distribution score of the likelihood classifier: what a class average explains of a subtomogram, and what
remains, compared with subtomograms of that class."""

from __future__ import annotations

import torch

MANY = 5  # subtomograms of a class from which on its deviations are its own


def class_statistics(explained: torch.Tensor, left: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Mean and standard deviation of the two measures, for each class.

    Parameters
    ----------
    explained, left : Tensor (n,)
        Evidence of subtomograms under the average of their class, and remainder.
    labels : Tensor (n,) int
        Their classes.

    Returns
    -------
    Tensor (classes, 4)
        Mean and deviation of the evidence, then of the remainder. Of classes with fewer than MANY, deviations are
        those of all subtomograms.
    """
    return torch.stack([_of_class(explained, left, labels == label) for label in range(classes)])


def _of_class(explained: torch.Tensor, left: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """(4,) the metrics of a class. members: (n,) bool."""
    metrics = []
    for every in (explained, left):
        one = every[members]
        spread = one if len(one) >= MANY else every
        metrics += [one.mean(), spread.std(correction=0)]
    return torch.stack(metrics)


def held_out_statistics(explained: torch.Tensor, left: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What `class_statistics` gives for the class of each subtomogram if that subtomogram is left out, so that it is
    judged as a new one is; for the only one of its class it is left in.

    Parameters
    ----------
    explained, left : Tensor (n,)
    labels : Tensor (n,) int

    Returns
    -------
    Tensor (n, 4)
    """
    rows, kept = [], torch.ones(len(labels), dtype=torch.bool)
    for number, label in enumerate(labels.tolist()):
        kept[number] = int((labels == label).sum()) < 2
        rows.append(_of_class(explained[kept], left[kept], labels[kept] == label))
        kept[number] = True
    return torch.stack(rows)


def confidences(explained: torch.Tensor, left: torch.Tensor, typical: torch.Tensor) -> torch.Tensor:
    """The lesser of two numbers of standard deviations: by which the evidence is above its mean, and by which the
    remainder is below its mean.

    Parameters
    ----------
    explained, left : Tensor (n,)
    typical : Tensor (n, 4)
        Of the class of each.

    Returns
    -------
    Tensor (n,)
    """
    mean, deviation, mean_left, spread = typical.unbind(1)
    above = (explained - mean) / deviation.clamp(min=1e-6)
    below = (mean_left - left) / spread.clamp(min=1e-6)
    return torch.minimum(above, below).float()
