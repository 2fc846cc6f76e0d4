# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickers that paint a soft spot on the centre of every particle: labels, loss and scores."""
import torch
import torch.nn.functional as F

# Width of the spot, in particle diameters. Narrower separates touching particles but is harder to learn (docs/picking.md).
SPOT_SIGMA = 0.1
# Labelled circles teach this far from their centre (in diameters) when the rest of the micrograph is unlabelled.
LABELLED_RADIUS = 0.5


class HeatmapPicker:
    """What every picker of this kind shares. A subclass gives name, citations, working_diameter and build().

    working_diameter: px that a particle's diameter has in the network's input.
    build(): the network, (b, 1, h, w) -> (b, 1, h/stride, w/stride) logits, with attributes stride and multiple.
    """

    def target(self, positives, negatives, shape, stride, dense):
        """Target and weight of one crop, both `shape` (h, w), on the network's output grid.

        positives, negatives: (n, 2) yx in working px of the crop. dense: True if all that is not a particle is
        background; False if only circles around positives and negatives are known.
        """
        positives, negatives = positives / stride, negatives / stride  # the half-pixel shift is added by _grid
        rows, columns = _grid(shape, stride)
        sigma = SPOT_SIGMA * self.working_diameter / stride
        target = torch.exp(-_nearest_squared(positives, rows, columns) / (2 * sigma ** 2))
        if dense:
            return target, torch.ones(shape)
        reach = (LABELLED_RADIUS * self.working_diameter / stride) ** 2
        known = (_nearest_squared(positives, rows, columns) < reach) | (_nearest_squared(negatives, rows, columns) < reach)
        return target, known.float()

    def loss(self, logits, target, weight):
        """Weighted cross-entropy with soft targets, a scalar.

        logits, target, weight: (b, 1, h, w). Divided by the weighted sum of targets, so that crowded and empty crops
        count alike. A focal loss was tried: it insists on particles that nobody labelled, and was no better.
        """
        value = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
        return value / (target * weight).sum().clamp(min=1.0)

    def scores(self, logits):
        """Raw scores in [0, 1] of the network's output, same shape."""
        return torch.sigmoid(logits.float())


def _grid(shape, stride):
    """Row and column positions of output cells in units of cells, matched to working px divided by stride."""
    shift = 0.5 - 0.5 / stride  # cell i covers working px [i*s, (i+1)*s), so its centre lies at (i + 0.5) * s - 0.5
    return (torch.arange(shape[0]) + shift)[:, None], (torch.arange(shape[1]) + shift)[None, :]


def _nearest_squared(points, rows, columns):
    """(h, w) squared distance to the nearest of points (n, 2); large where there is none."""
    if not len(points):
        return torch.full((rows.shape[0], columns.shape[1]), 1e9)
    distance = (rows[None] - points[:, 0, None, None]) ** 2 + (columns[None] - points[:, 1, None, None]) ** 2
    return distance.min(0).values
