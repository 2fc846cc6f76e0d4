# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of particles with class averages: every class, shift and rotation, first coarsely, then finely for the
best classes.

The score of an average G for a particle with samples Y (times CTF, over the noise) is the normalised correlation
<Y, R G> / sqrt(sum CTF^2 |G|^2), in standard deviations of the noise. The brightness of a particle does not change the
order of its scores, so that thick ice does not make classes. Half its square is a logarithmic likelihood: the distance
of a particle from the middle of its box, which a normal distribution makes less likely, is taken off there.
One class becomes two: its aligned members are split along their largest principal component. Two become one where
they lose least evidence, the logarithmic likelihood of their sums over that of noise: those of one view."""

import dataclasses
import math
import typing

import numpy as np
import torch

from .averages import ClassBank
from .polar import PolarGrid, polar_ring_power, rotated_yx

MEMBERS = 96  # of a class that are looked at
RINGS, ORDERS = 10, 12  # detail that decides


def onto_averages(grid: PolarGrid, samples: torch.Tensor, shifts_yx: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """(n, rings, orders) coefficients of particles brought onto their averages. samples: (n, rings, half). shifts_yx:
    (n, 2) px and phi: (n,) radians, poses as matching.BestPoses has them."""
    return grid.harmonics(samples * grid.shift_phases(-shifts_yx)) * grid.rotation(-phi)


def halves(grid: PolarGrid, members: torch.Tensor, squared: torch.Tensor) -> torch.Tensor:
    """(n,) bool: which side of the largest principal component each aligned member is on. members: (n, rings, orders)
    aligned coefficients. squared: (n, rings) squared CTF."""
    low, weights = members[:, :RINGS, :ORDERS], squared[:, :RINGS, None]
    average = low.sum(0) / (weights.sum(0) + weights.mean())
    flat = torch.view_as_real((low - weights * average) * grid.weights[:RINGS, None].sqrt().to(low.device)).flatten(1)
    gram = flat @ flat.T
    gram = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    side = torch.linalg.eigh(gram).eigenvectors[:, -1]
    return side > side.median()


def members_of(labels: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of at most MEMBERS members of a class, in order."""
    positions = np.nonzero(labels == number)[0]
    return positions if len(positions) <= MEMBERS else np.sort(rng.choice(positions, MEMBERS, replace=False))


def seed_children(
    bank: ClassBank, classes: tuple, folds: torch.Tensor, members: torch.Tensor, squared: torch.Tensor
) -> None:
    """Put the members of one class into two classes of a bank. classes: the two, from 0. folds: (n,) the parts that the
    members belong to. members, squared: see `halves`."""
    side = halves(bank.grid, members, squared)
    labels = torch.where(side, *(torch.tensor(c, device=members.device) for c in classes))
    for fold in folds.unique().tolist():
        mine = folds == fold
        bank.add(fold, labels[mine], members[mine], squared[mine])


FINE_ANGLES = 7  # tried around the coarse one
BYTES = 48e6  # of correlations at a time: more leaves the processor's cache


@dataclasses.dataclass(frozen=True)
class Detail:
    """How finely particles are compared with all classes. rings, orders : of the grid's. angles: on half a turn. reach,
    step: of the shifts, px. candidates: classes that are compared finely. spread: standard deviation of the particles'
    distances from the middle along y and x, px. near: whether they are looked for around where they are, not around
    the middle: then the distance counts in the fine comparison alone."""

    rings: int
    orders: int
    angles: int
    reach: float
    step: float
    candidates: int
    spread: float = math.inf
    near: bool = False

    def unlikely(self, shifts_yx: torch.Tensor) -> torch.Tensor:
        """(...) what distances from the middle take off a squared score. shifts_yx: (..., 2) px."""
        return shifts_yx.square().sum(-1) / self.spread**2

    def shifts_yx(self, device: torch.device) -> torch.Tensor:
        """(s, 2) shifts on a square grid within the reach, 0 first."""
        maximum = int(self.reach / self.step)
        axis = torch.arange(-maximum, maximum + 1) * self.step
        yx = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        length = yx.square().sum(-1)
        inside = length <= self.reach**2 + 1e-6
        return yx[inside][length[inside].argsort(stable=True)].to(device)


class References:
    """Class averages as they are compared: with their shifted copies, and what normalises the scores. averages:
    (k, rings, orders) complex, whitened."""

    def __init__(self, grid: PolarGrid, averages: torch.Tensor, detail: Detail) -> None:
        self.grid, self.detail, device = grid, detail, averages.device
        self.averages, self.shifts = averages, detail.shifts_yx(averages.device)
        self.unlikely = 0 if detail.near else detail.unlikely(self.shifts)
        self.factor = torch.full((grid.orders,), 2.0, device=device)
        self.factor[0] = 1.0
        self.weights = grid.weights.to(device)
        self.power = polar_ring_power(averages) * self.weights
        order = torch.arange(detail.orders, device=device)
        self.order = torch.cat([order[0::2], order[1::2]])
        self._make_copies()
        phase = torch.arange(detail.angles, device=device)[:, None] * (math.pi / detail.angles) * self.order
        self.cosines, self.sines = (f * self.factor[self.order] for f in (phase.cos(), phase.sin()))
        self._buffers: dict[str, torch.Tensor] = {}

    def _make_copies(self) -> None:
        """(orders, 2 rings, k * shifts) real factors that give real and imaginary parts of the correlations."""
        rings, classes, count = self.detail.rings, len(self.averages), len(self.shifts)
        samples = self.grid.samples_of(self.averages[:, :rings])
        phases = self.grid.shift_phases(self.shifts)[:, :rings]
        shape = (self.detail.orders, 2 * rings, classes, count)
        self.real, self.imaginary = (torch.empty(shape, device=samples.device) for _ in range(2))
        for number in range(count):
            moved = self.grid.harmonics(samples * phases[number])[..., self.order].permute(2, 1, 0)
            self.real[..., number] = torch.cat([moved.real, moved.imag], 1)
            self.imaginary[..., number] = torch.cat([moved.imag, -moved.real], 1)
        self.real, self.imaginary = self.real.flatten(2), self.imaginary.flatten(2)

    def buffer(self, name: str, *shape: int) -> torch.Tensor:
        """Memory of a name and shape that is used again by the next batch: new pages cost as much as the products."""
        size = math.prod(shape)
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = torch.empty(size, device=self.real.device)
        return self._buffers[name][:size].view(shape)

    def batch(self) -> int:
        """Particles at a time."""
        each = 4 * self.real.shape[-1] * 2 * (self.detail.orders + self.detail.angles)
        return max(1, min(256, int((BYTES if self.real.device.type == "cpu" else 2e9) / each)))


@dataclasses.dataclass(frozen=True)
class BestPoses:
    """The best class and pose of particles.

    labels: (n,) int64. phi: (n,) radians, shifts_yx: (n, 2) px: the average rotated by phi, from x towards y, and then
    shifted is the particle. scores: (n,), see the head of this file. margins: (n,) to the next of the candidates."""

    labels: torch.Tensor
    phi: torch.Tensor
    shifts_yx: torch.Tensor
    scores: torch.Tensor
    margins: torch.Tensor


def match(samples: torch.Tensor, squared: torch.Tensor, centres_yx: torch.Tensor, references: References) -> BestPoses:
    """Compare particles with all classes. samples: complex Tensor, (n, rings, half). squared: (n, rings), squared CTF.
    centres_yx: (n, 2), where each particle is looked for, px."""
    parts = []
    for start in range(0, len(samples), references.batch()):
        part = slice(start, start + references.batch())
        centred = samples[part] * references.grid.shift_phases(-centres_yx[part])
        labels, phi, moved = _coarse(centred, squared[part], references)
        parts.append(_fine(centred, squared[part], labels, phi, moved, centres_yx[part], references))
    return BestPoses(*(torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(BestPoses)))


def _coarse(
    centred: torch.Tensor, squared: torch.Tensor, references: References
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(n, c) best classes, and the phi and (n, c, 2) shift at which each fits best."""
    detail, count = references.detail, len(centred)
    harmonics = references.grid.harmonics(centred[:, : detail.rings])[..., references.order]
    weighted = (harmonics * references.weights[: detail.rings, None]).permute(2, 0, 1)
    even, odd = _correlations(torch.cat([weighted.real, weighted.imag], 2), references)
    both = even.add_(torch.abs(odd, out=references.buffer("real", *odd.shape)))
    classes, shifts = len(references.averages), len(references.shifts)
    norms = (squared[:, : detail.rings] @ references.power[:, : detail.rings].T).clamp(min=1e-12).sqrt()[..., None]
    each = (_squared(both.amax(0).view(count, classes, shifts), norms) - references.unlikely).amax(-1)
    chosen = each.topk(min(detail.candidates, classes), -1).indices
    rows = torch.arange(count, device=chosen.device)[:, None]
    view = (detail.angles, count, classes, shifts)
    values = _squared(both.view(view)[:, rows, chosen].permute(1, 2, 0, 3), norms[rows, chosen][..., None])
    best = (values - references.unlikely).flatten(2).argmax(-1)  # of (n, c, angles * shifts)
    angle, shift = best // shifts, best % shifts
    phi = angle * (math.pi / detail.angles) + (odd.view(view)[angle, rows, chosen, shift] < 0) * math.pi
    return chosen, phi, rotated_yx(references.shifts[shift].flatten(0, 1), phi.flatten()).view(count, -1, 2)


def _squared(correlations: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    """Squared scores; those below 0 are no better than 0."""
    return (correlations / norms).clamp(min=0).square()


def _correlations(left: torch.Tensor, references: References) -> tuple[torch.Tensor, torch.Tensor]:
    """(angles, n * k * shifts) parts of the correlations of even and of odd orders; half a turn more changes the sign
    of the odd ones. left: (orders, n, 2 rings). They lie in buffers of the references."""
    orders, count = left.shape[:2]
    size = count * references.real.shape[-1]
    real, imaginary = (
        torch.bmm(left, right, out=references.buffer(name, orders, count, right.shape[-1])).view(orders, size)
        for name, right in (("real", references.real), ("imaginary", references.imaginary))
    )
    middle, found = (orders + 1) // 2, []
    for name, part in (("even", slice(0, middle)), ("odd", slice(middle, None))):
        sums = references.buffer(name, references.detail.angles, size)
        torch.mm(references.cosines[:, part], real[part], out=sums)
        found.append(sums.addmm_(references.sines[:, part], imaginary[part]))
    return found[0], found[1]


def _fine(
    centred: torch.Tensor,
    squared: torch.Tensor,
    labels: torch.Tensor,
    phi: torch.Tensor,
    moved: torch.Tensor,
    centres_yx: torch.Tensor,
    references: References,
) -> BestPoses:
    """The best of the candidates with all detail: finer shifts at the coarse rotation, then finer rotations."""
    detail, grid = references.detail, references.grid
    count, candidates = labels.shape
    averages = references.averages[labels] * references.weights[:, None]
    axis = torch.tensor([-0.5, 0.0, 0.5], device=phi.device) * detail.step
    tried = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    near = centred[:, None] * grid.shift_phases(-moved.view(-1, 2)).view(count, candidates, grid.rings, grid.half)
    rotated = grid.samples_of(averages * grid.rotation(phi.flatten()).view(count, candidates, 1, -1))
    across, steps = torch.view_as_real(near * rotated.conj()).flatten(2), grid.shift_phases(-tried)
    values = across @ torch.view_as_real(steps.conj().resolve_conj()).flatten(1).T  # (n, c, 9): real part
    norms = (squared[:, None] * references.power[labels]).sum(-1).clamp(min=1e-12).sqrt()[..., None]
    placed = centres_yx[:, None, None] + moved[:, :, None] + tried
    shift = (_squared(values, norms) - detail.unlikely(placed)).argmax(-1)
    shifts = placed.take_along_dim(shift[..., None, None], 2)
    products = torch.einsum("ncrm,ncrm->ncm", grid.harmonics(near * steps[shift]).conj(), averages) * references.factor
    spread = math.pi / detail.angles * torch.linspace(-1, 1, FINE_ANGLES, device=phi.device)
    angles = phi[..., None] + spread
    rotations = angles[..., None] * torch.arange(grid.orders, device=phi.device)
    lines = (products.real[:, :, None] * rotations.cos() + products.imag[:, :, None] * rotations.sin()).sum(-1)
    lines = (_squared(lines, norms) - detail.unlikely(shifts)).clamp(min=0).sqrt()
    peak, angle = lines.max(-1)
    ordered, best = peak.sort(-1, descending=True).values, peak.argmax(-1)
    rows = torch.arange(count, device=best.device)
    angle = angle[rows, best]
    # the parabola through a maximum and its neighbours has its vertex so many steps from the maximum
    inner = angle.clamp(1, lines.shape[-1] - 2)
    left, middle, right = (lines[rows, best, inner + step] for step in (-1, 0, 1))
    vertex = ((right - left) / (2 * (2 * middle - left - right).clamp(min=1e-12))).clamp(-0.5, 0.5) * (inner == angle)
    rotated = angles[rows, best, angle] + float(spread[1] - spread[0]) * vertex
    margins = ordered[:, 0] - ordered[:, 1] if candidates > 1 else torch.zeros_like(peak[:, 0])
    return BestPoses(labels[rows, best], rotated, shifts[rows, best, 0], ordered[:, 0], margins)


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
    """(k,) logarithmic likelihood of (k, rings, orders) sums of signal and noise over noise's. weights: (k, rings)."""
    gain = ratio * weights[..., None]
    each = sums.abs().square() * ratio / (1 + gain) - grid.noise_share.to(sums.device) * gain.log1p()
    return (2 * each.sum(-1) - each[..., 0]) @ grid.weights.to(sums.device) / 2
