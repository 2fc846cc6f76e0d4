# SPDX-License-Identifier: GPL-3.0-or-later
"""Class averages in parts, so that no particle is compared with an average that it is in.

A particle's own noise makes it resemble every average that holds it: with a few tens of members a class would never
let one go. So the sums of each class are kept in FOLDS parts, and the particles of a part are compared with averages
of the others.
"""

import torch

from .polar import PolarGrid, polar_ring_power

FOLDS = 10
FEW_SIGNAL = 1e-6  # of the power of the signal: an average without any is 0, not a division by 0


class ClassBank:
    """Sums of aligned particles of every class.

    sums : (FOLDS, k, rings, orders) complex; of samples times CTF over the noise. weights: (FOLDS, k, rings); of
    squared CTF. counts: (FOLDS, k).
    """

    def __init__(self, grid: PolarGrid, classes: int, device: torch.device) -> None:
        self.grid = grid
        self.sums = torch.zeros((FOLDS, classes, grid.rings, grid.orders), dtype=torch.complex64, device=device)
        self.weights = torch.zeros((FOLDS, classes, grid.rings), device=device)
        self.counts = torch.zeros((FOLDS, classes), device=device)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.sums.shape[1]

    def clear(self, fold: int) -> None:
        """Forget a part's sums."""
        self.sums[fold], self.weights[fold], self.counts[fold] = 0, 0, 0

    def add(self, fold: int, labels: torch.Tensor, aligned: torch.Tensor, squared: torch.Tensor) -> None:
        """Add particles to a part.

        Parameters
        ----------
        labels : LongTensor, (n,)
            Classes, from 0.
        aligned : complex Tensor, (n, rings, orders)
        squared : Tensor, (n, rings)
            Squared CTF.
        """
        self.sums[fold].index_add_(0, labels, aligned)
        self.weights[fold].index_add_(0, labels, squared)
        self.counts[fold].index_add_(0, labels, torch.ones_like(squared[:, 0]))

    def averages(self, without: int | None = None) -> torch.Tensor:
        """(k, rings, orders) Wiener-filtered averages, whitened; without the particles of a part, if one is named."""
        sums, weights = self.sums.sum(0), self.weights.sum(0)
        if without is not None:
            sums, weights = sums - self.sums[without], weights - self.weights[without]
        return sums / (weights + 1 / self.signal_power())[..., None]

    def signal_power(self) -> torch.Tensor:
        """(rings,) power of the signal in units of the noise's, from the products of the classes' even and odd
        parts."""
        first, second = (self.sums[part::2].sum(0) for part in (0, 1))
        weights = self.weights[0::2].sum(0) * self.weights[1::2].sum(0)
        product = (first.conj() * second).real
        common = 2 * product.sum(-1) - product[..., 0]
        power = common.sum(0) / weights.sum(0).clamp(min=1e-12)
        smooth = torch.nn.functional.avg_pool1d(power[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
        return smooth.clamp(min=FEW_SIGNAL + 1e-3 * float(smooth.max().clamp(min=0)))

    def move(self, shifts_yx: torch.Tensor) -> None:
        """Shift the sums of each class by (k, 2) px."""
        phases = self.grid.shift_phases(shifts_yx)
        for part in self.sums:  # a part at a time: the samples of all would take twice the memory
            part.copy_(self.grid.harmonics(self.grid.samples_of(part) * phases))

    def ring_frc(self) -> torch.Tensor:
        """(k, rings) Fourier ring correlation of each class's even and odd parts."""
        first, second = (self.sums[part::2].sum(0) for part in (0, 1))
        product = (first.conj() * second).real
        common = 2 * product.sum(-1) - product[..., 0]
        return common / (polar_ring_power(first) * polar_ring_power(second)).sqrt().clamp(min=1e-20)


def centres_of(grid: PolarGrid, averages: torch.Tensor) -> torch.Tensor:
    """(k, 2) px, y and x: where the density of averages lies, (k, rings, orders), relative to the box's middle."""
    images = torch.cat([grid.image(grid.samples_of(part)) for part in averages.split(64)])
    high = (images - 0.25 * images.amax((1, 2), keepdim=True)).clamp(min=0)
    axis = torch.arange(grid.box, device=images.device, dtype=torch.float32) - grid.box // 2
    total = high.sum((1, 2)).clamp(min=1e-12)
    return torch.stack([(high.sum(2) @ axis) / total, (high.sum(1) @ axis) / total], -1)
