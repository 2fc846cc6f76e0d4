# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes that are most alike become one, rotated and shifted onto each other.

Two averages of one view say together nearly as much as apart, those of different views blur each other: what is lost
is evidence, the logarithmic likelihood of the sums of classes over that of noise alone."""

import typing

import torch

from .averages import ClassBank
from .matching import BestPoses, Detail, References, match, onto_averages
from .polar import PolarGrid


def join_alike(
    bank: ClassBank, wanted: int, detail: Detail
) -> typing.Iterator[tuple[int, int, torch.Tensor, torch.Tensor]]:
    """Join the two classes of a bank that lose least evidence, pair after pair, until as many are left as are wanted.
    Yields the class that is lost, the one that has the sums of both, and where the lost one lies on it: (1, 2) px and
    (1,) radians, see matching.BestPoses."""
    ratio, left = bank.signal_to_noise(), list(range(bank.classes))
    losses = torch.full((bank.classes, bank.classes), torch.inf)  # of a row's class, if it joins a column's
    poses: dict[int, BestPoses] = {}

    def compare(kept: int) -> None:
        others = [each for each in left if each != kept]
        lost, poses[kept] = _joined_with(kept, bank, ratio, detail)
        losses[others, kept] = lost[others]

    for number in left:
        compare(number)
    while len(left) > wanted:
        lost, kept = divmod(int(losses.argmin()), bank.classes)
        shift, phi = poses[kept].shifts_yx[lost, None], poses[kept].phi[lost, None]
        bank.sums[:, kept] += onto_averages(bank.grid, bank.grid.samples_of(bank.sums[:, lost]), shift, phi)
        bank.weights[:, kept] += bank.weights[:, lost]
        bank.counts[:, kept] += bank.counts[:, lost]
        yield lost, kept, shift.cpu(), phi.cpu()
        left.remove(lost)
        losses[[lost, kept]], losses[:, lost] = torch.inf, torch.inf
        compare(kept)


def _joined_with(kept: int, bank: ClassBank, ratio: torch.Tensor, detail: Detail) -> tuple[torch.Tensor, BestPoses]:
    """(k,) evidence that is lost if each class joins a kept one, and where each lies on that. ratio: (rings, orders)
    power of the averages over that of the noise."""
    grid, sums, weights = bank.grid, bank.sums.sum(0), bank.weights.sum(0)
    samples, middle = grid.samples_of(sums), torch.zeros(len(sums), 2, device=sums.device)
    average = sums[kept] * (ratio / (1 + ratio * weights[kept, :, None]))
    poses = match(samples, weights, middle, References(grid, average[None], detail))
    both = onto_averages(grid, samples, poses.shifts_yx, poses.phi) + sums[kept]
    apart = _evidence(grid, sums, weights, ratio)
    return (apart + apart[kept] - _evidence(grid, both, weights + weights[kept], ratio)).cpu(), poses


def _evidence(grid: PolarGrid, sums: torch.Tensor, weights: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """(k,) logarithmic likelihood of (k, rings, orders) sums of signal and noise over that of noise alone. weights:
    (k, rings)."""
    gain = ratio * weights[..., None]
    each = sums.abs().square() * ratio / (1 + gain) - grid.noise_share.to(sums.device) * gain.log1p()
    return (2 * each.sum(-1) - each[..., 0]) @ grid.weights.to(sums.device) / 2
