# SPDX-License-Identifier: GPL-3.0-or-later
"""Positive-unlabelled learning: losses for positions without labels.

Both criteria take the labelled part of a loss and add to it; both need the prior, the part of unlabelled places that is
particle.
"""

import torch
import torch.nn.functional as F

SLACK = 1.0  # weight of the count's penalty; the value of Topaz's authors


class GEBinomial:
    """Generalised expectation with a binomial prior (Bepler et al. 2019).

    The number of particles among the N unlabelled places of a batch is, by the network's scores p, nearly normal with
    mean sum(p) and variance sum(p (1 - p)). The penalty is the cross-entropy of that distribution against the binomial
    one of N positions and the prior.
    """

    def __init__(self, prior: float, slack: float = SLACK) -> None:
        self.prior, self.slack = prior, slack

    def __call__(
        self,
        labelled: torch.Tensor,
        logits: torch.Tensor,
        target: torch.Tensor,
        known: torch.Tensor,
        unlabelled: torch.Tensor,
    ) -> torch.Tensor:
        """labelled: scalar loss. logits, target: same shape. known, unlabelled: weights of that shape, in [0, 1]."""
        p = torch.sigmoid(logits[unlabelled > 0.5])
        return labelled + self.slack * self.penalty(p) if len(p) else labelled

    def penalty(self, p: torch.Tensor) -> torch.Tensor:
        """Scalar, of the scores (n,) of unlabelled positions."""
        counts = torch.arange(len(p) + 1, dtype=torch.float32, device=p.device)
        variance = (p * (1 - p)).sum()
        found = F.softmax(-0.5 * (p.sum() - counts) ** 2 / (variance + 1e-6), dim=0)
        expected = torch.distributions.Binomial(len(p), torch.tensor(self.prior, device=p.device)).log_prob(counts)
        return -(found * expected).sum()


class NonNegative:
    """Non-negative risk (Kiryo et al. 2017), with the cross-entropy as loss.

    prior R+(positives) + max(0, R-(unlabelled) - prior R-(positives)). Where the difference is negative the network has
    begun to learn single positions by heart, and the step goes the other way (their gamma is 1, beta 0).
    """

    def __init__(self, prior: float) -> None:
        self.prior = prior

    def __call__(
        self,
        labelled: torch.Tensor,
        logits: torch.Tensor,
        target: torch.Tensor,
        known: torch.Tensor,
        unlabelled: torch.Tensor,
    ) -> torch.Tensor:
        """As GEBinomial's; labelled is the mean loss of a positive."""
        as_negative, positive = F.softplus(logits), target * known
        negative = (as_negative * unlabelled).sum() / unlabelled.sum().clamp(min=1.0) - self.prior * (
            as_negative * positive
        ).sum() / positive.sum().clamp(min=1.0)
        return self.prior * labelled + negative if negative >= 0 else -negative


CRITERIA = {"ge-binomial": GEBinomial, "nnpu": NonNegative}
