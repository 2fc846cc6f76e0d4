# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface of a picker method, and the parts that most pickers share."""

import abc
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...core.augment import vary_contrast
from ...core.peaks import find_peaks
from ..normalize import Measured
from .crops import LabelledImage


class PickerMethod(abc.ABC):
    """A picker's network, labels and loss. A subclass gives at least name, build, example, loss and scores. name: word
    on the command line. weak: a sentence about a published choice that is known to be weak, or "". working_diameter: px
    that a particle's diameter has in the network's input. learning_rate: peak. decay: factor of the rate after each
    validation, or None for a cosine. ema: as learning.schedule.Schedule's. bytes_per_pixel: of memory per working px
    while the network picks in bfloat16 (measured, with a margin). needs_contamination: True if it cannot do without
    contamination boxes; they are proposed where none is given. spot_area: working px^2 that count as one particle, for
    the prior of sparse labels. scales: of the working size, at which a network that few boxes taught looks."""

    name: str
    working_diameter: float
    weak = ""
    learning_rate = 0.003
    decay: float | None = None
    ema = 0.97
    bytes_per_pixel = 160
    needs_contamination = False
    scales: tuple[float, ...] = (1.0,)
    unlabelled_loss: typing.Any = None  # a criterion below, where labels are sparse

    @property
    @abc.abstractmethod
    def spot_area(self) -> float:
        """Working px² of one particle."""

    @abc.abstractmethod
    def build(self) -> typing.Any:
        """The network that learns: (b, 1, s, s) normalised crops -> whatever loss() takes."""

    def build_general(self) -> typing.Any:
        """The network of a general model."""
        return self.build()

    def build_like(self, weights: typing.Mapping[str, torch.Tensor]) -> typing.Any:
        """The network of a model's weights, {name: tensor}, where build's is not the only one."""
        return self.build()

    def dense(self, network: typing.Any) -> typing.Any:
        """The network that picks, with the same weights: (b, 1, h, w) -> (b, c, h/stride, w/stride). It has the
        attributes stride, multiple (h and w must be multiples of it) and receptive_radius (px)."""
        return network

    def optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate."""
        return torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=1e-2)

    @abc.abstractmethod
    def default_steps(self, particles: int, labels: str) -> int:
        """Training steps that this many labelled particles are worth. labels: as LabelledImage's."""

    @abc.abstractmethod
    def crop_side(self, labels: str) -> int:
        """Working px of a training crop."""

    def batch_factor(self, labels: str) -> int:
        """Crops per step, in units of the batch size."""
        return 1

    @abc.abstractmethod
    def example(self, item: LabelledImage, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One random training view of a LabelledImage: image (s, s), target and weight tensors. Nothing is learnt where
        the weight is 0."""

    def augment(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """What else may differ between micrographs of a session, besides position and orientation."""
        return vary_contrast(image, rng)

    def gain(self, item: Measured) -> float:
        """Factor by which a Prepared micrograph or LabelledImage is multiplied before its crops or tiles reach the
        network."""
        return 1.0

    @abc.abstractmethod
    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """A scalar. output: float32 of a batch; target, weight: examples' tensors, stacked."""

    @abc.abstractmethod
    def scores(self, output: torch.Tensor) -> torch.Tensor:
        """Raw scores (b, 1, h, w) in [0, 1] of what the dense network answers, (b, c, h, w)."""

    def peaks(
        self, output: torch.Tensor, distance: float, threshold: float, cells: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Candidates in the dense network's answer, best first: yx (n, 2) in cells, and raw scores (n,). output: (c, h,
        w). distance: of two candidates nearer than this (cells) the better stays. cells: (h, w) bool; there are no
        candidates elsewhere."""
        return find_peaks(self.scores(output[None])[0, 0], max(1.0, distance), threshold, cells)

    def whole_loss(self, labelled: torch.Tensor, *of: torch.Tensor) -> torch.Tensor:
        """Scalar loss of labelled places; where labels are sparse, with that of unlabelled ones. of: see
        generalised_expectation."""
        return labelled if self.unlabelled_loss is None else self.unlabelled_loss(labelled, *of)

    def prior(self, items: typing.Sequence[LabelledImage]) -> float:
        """Part of the unlabelled area that is particle, between 1e-4 and 0.5."""
        unknown = sum(
            max(0.0, (len(im.positives) if im.expected is None else im.expected) - len(im.positives)) for im in items
        )
        return min(0.5, max(1e-4, unknown * self.spot_area / max(1.0, sum(float(im.usable.sum()) for im in items))))


# ----- Criteria where labels are sparse. Each has the loss of labelled places and adds to it; both need the prior, the
# part of unlabelled places that is particle.
SLACK = 1.0  # weight of the count's penalty; the value of Topaz's authors


def generalised_expectation(
    prior: float,
    labelled: torch.Tensor,
    logits: torch.Tensor,
    target: torch.Tensor,
    known: torch.Tensor,
    unlabelled: torch.Tensor,
) -> torch.Tensor:
    """Scalar loss with generalised expectation and a binomial prior (Bepler et al. 2019): that of labelled places, a
    scalar, and count_penalty. logits, target: same shape. known, unlabelled: weights of that shape, in [0, 1]."""
    p = torch.sigmoid(logits[unlabelled > 0.5])
    return labelled + SLACK * count_penalty(p, prior) if len(p) else labelled


def count_penalty(p: torch.Tensor, prior: float) -> torch.Tensor:
    """Scalar, of the scores (n,) of unlabelled places. The number of particles among them is, by the scores, nearly
    normal with mean sum(p) and variance sum(p (1 - p)). The penalty is the cross-entropy of that distribution against
    the binomial one of n positions and the prior."""
    counts = torch.arange(len(p) + 1, dtype=torch.float32, device=p.device)
    found = F.softmax(-0.5 * (p.sum() - counts) ** 2 / ((p * (1 - p)).sum() + 1e-6), dim=0)
    return -(found * torch.distributions.Binomial(len(p), torch.tensor(prior, device=p.device)).log_prob(counts)).sum()


def non_negative_risk(
    prior: float,
    labelled: torch.Tensor,
    logits: torch.Tensor,
    target: torch.Tensor,
    known: torch.Tensor,
    unlabelled: torch.Tensor,
) -> torch.Tensor:
    """Non-negative risk (Kiryo et al. 2017), with the cross-entropy as loss. prior R+(positives) + max(0,
    R-(unlabelled) - prior R-(positives)). Where the difference is negative the network has begun to learn single
    positions by heart, and the step goes the other way (their gamma is 1, beta 0). labelled: mean loss of a positive;
    the rest as for generalised_expectation."""
    as_negative, positive = F.softplus(logits), target * known
    negative = (as_negative * unlabelled).sum() / unlabelled.sum().clamp(min=1.0) - prior * (
        as_negative * positive
    ).sum() / positive.sum().clamp(min=1.0)
    return prior * labelled + negative if negative >= 0 else -negative


CRITERIA = {"ge-binomial": generalised_expectation, "nnpu": non_negative_risk}
