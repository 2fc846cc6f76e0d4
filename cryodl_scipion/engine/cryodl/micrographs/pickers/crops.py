# SPDX-License-Identifier: GPL-3.0-or-later
"""Training crops of micrographs: chosen positions, rotated, mirrored, a little scaled."""

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree

from ...core.augment import random_rotation
from ..normalize import Measured


@dataclasses.dataclass(frozen=True)
class LabelledImage(Measured):
    """A prepared micrograph with its labels, in working px.

    image: (h, w) float tensor. valid: (h, w) bool tensor. positives, negatives: (n, 2) float64 arrays, yx; negatives
    are boxes on background. labels: "complete" (what is not a particle is background), "boxes" (only labelled positions
    are known) or "sparse" (some particles are labelled, the rest is unknown and may hold more). allowed: (h, w) bool
    tensor or None; where it is False nothing is learnt or judged (the part of a single micrograph that is kept for
    validation, uncertain positions). contamination: (n, 2) yx of boxes on ice, aggregates, carbon. expected: number of
    particles, labelled or not, that a sparsely labelled image is thought to hold, or None. size: widest extent of its
    particles over the stated diameter, None where nobody knows it. teaches_size: whether it is known well enough to be
    learnt. machine: (n, 2) yx of picks that the user saw and neither confirmed nor removed; some of them are among the
    positives."""

    name: str
    image: torch.Tensor
    valid: torch.Tensor
    positives: np.ndarray
    negatives: np.ndarray
    labels: str = "complete"
    allowed: torch.Tensor | None = None
    contamination: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2)))
    expected: float | None = None
    size: float | None = None
    teaches_size: bool = True
    machine: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def is_certain(self) -> np.ndarray:
        """(n,) bool: which of the positives are no picks of the machine."""
        return cKDTree(self.machine).query(self.positives)[0] > 0

    @property
    def certain(self) -> np.ndarray:
        """(n, 2) yx of these."""
        return self.positives[self.is_certain]

    @property
    def usable(self) -> torch.Tensor:
        """(h, w) bool: where the image may be learnt from."""
        return self.valid if self.allowed is None else self.valid & self.allowed

    @property
    def dense(self) -> bool:
        """Whether what is not a particle is background."""
        return self.labels == "complete"


class View(typing.NamedTuple):
    """A crop: image (side, side), usable (side, side) in [0, 1], and labelled points (n, 2), tensors in px of the crop.
    scale: its px per px of the image."""

    image: torch.Tensor
    usable: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor
    contamination: torch.Tensor
    scale: float = 1.0


def sample_crop(item: LabelledImage, side: int, rng: np.random.Generator) -> View:
    """One random View of a labelled image. side: px of the square crop. rng: numpy Generator."""
    return cut_view(item, _choose_centre(item, rng), random_rotation(rng), side)


def cut_view(item: LabelledImage, centre: np.ndarray, matrix: np.ndarray, side: int) -> View:
    """The View around a position (yx) of a labelled image; matrix: 2x2, from crop yx to image yx."""
    image, usable = cut_image(item, centre, matrix, side)
    to_crop, middle = np.linalg.inv(matrix), (side - 1) / 2
    points = [
        torch.from_numpy((p - centre) @ to_crop.T + middle).float()
        for p in (item.positives, item.negatives, item.contamination)
    ]
    near = [p[((p > -side * 0.3) & (p < side * 1.3)).all(1)] if len(p) else p.reshape(0, 2) for p in points]
    positives, negatives, contamination = near
    return View(image, usable, positives, negatives, contamination, float(abs(np.linalg.det(matrix)) ** -0.5))


def _choose_centre(item: LabelledImage, rng: np.random.Generator) -> np.ndarray:
    """A position to look at: near a label mostly, anywhere sometimes (only labels when the rest tells nothing)."""
    labels = [p for p in (item.positives, item.negatives, item.contamination) if len(p)]
    if labels and (item.labels == "boxes" or rng.random() < 0.5):
        group = labels[rng.integers(len(labels))]
        return group[rng.integers(len(group))] + rng.uniform(-12, 12, 2)
    return rng.uniform(0, 1, 2) * (np.array(item.image.shape) - 1)


def cut_image(
    item: LabelledImage, centre: np.ndarray, matrix: np.ndarray, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and usable part under a crop; outside of the image both are 0."""
    h, w = item.image.shape
    step = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    yy, xx = torch.meshgrid(step, step, indexing="ij")
    (a, b), (c, d) = matrix.tolist()
    y, x = a * yy + b * xx + float(centre[0]), c * yy + d * xx + float(centre[1])
    grid = torch.stack([(x + 0.5) * 2 / w - 1, (y + 0.5) * 2 / h - 1], -1)[None]
    image = F.grid_sample(item.image[None, None].float(), grid, mode="bicubic", align_corners=False)
    return image[0, 0], F.grid_sample(item.usable[None, None].float(), grid, mode="nearest", align_corners=False)[0, 0]
