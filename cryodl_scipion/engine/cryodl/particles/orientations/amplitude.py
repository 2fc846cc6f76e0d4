# SPDX-License-Identifier: GPL-3.0-or-later
"""Signal of a structure in the images, learnt from the images: contrast, CTF treatment, amplitude by frequency, spread
of shifts.

Of wrong strength, likelihoods are over- or underconfident and fine detail counts too much or too little. Expectation
maximisation: orientations of a sample of particles by the search, then what fits them best, and again."""

import dataclasses

import numpy as np
import torch

from ...core import projections, volumes
from ...likelihood.observed import Observed, Source
from ...likelihood.reference import Reference
from ...likelihood.search import FAR, Bank, Shifts, evidence, log_likelihoods

TOP = 64  # orientations of each particle that take part
ROUNDS = 3
SIGMAS = 24  # spreads of shifts that are tried
# difference of logarithmic evidence of the whole sample from which one convention is surely the better
SURE = 10.0
# Å², B-factors tried where detail of SHARPEST Å is compared; coarser detail is raised as far, by 4.6 at most: maps may
# be blurred more than the images
B_FACTORS = np.concatenate([np.arange(-300, 0, 50), np.arange(0, 1000, 50), np.arange(1000, 4001, 250)])
SHARPEST = 7.0


@dataclasses.dataclass(frozen=True)
class AmplitudeFit:
    """amplitude, b_factor: the images show the projections times amplitude x exp(-b_factor q² / 4), q in 1/Å. sigma:
    px, standard deviation of the shifts in x and in y. residual: (rings,) mean power of what the fit leaves over that
    of the assumed noise."""

    amplitude: float
    b_factor: float
    sigma: float
    residual: torch.Tensor

    def gain(self, rings: int, width: float) -> torch.Tensor:
        """(rings,) factors of the rings' amplitudes; a rise ends where it was learnt. width: of the images, Å."""
        waves = torch.arange(rings).clamp(max=len(self.residual) - 1 if self.b_factor < 0 else rings)
        return self.amplitude * torch.exp(-self.b_factor / 4 * (waves / width) ** 2).float()


@dataclasses.dataclass(frozen=True)
class RingPower:
    """(rings,) sums over coefficients. seen: the images' power above the noise's. shown: that of the structure with
    strength 1. variance: of the former."""

    seen: np.ndarray
    shown: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, observed: Observed, reference: Reference, known: torch.Tensor | float = 0.0) -> "RingPower":
        """reference: Reference without gain. known: (rings,) sums of power that is not the structure's."""
        rings, weight = observed.disc.ring_sum, observed.weight.double()
        views = reference.at_angles(projections.random_angles(64, np.random.default_rng(0))).abs().square().mean(0)
        seen = rings(observed.match.abs().square() / 4 - weight) - known
        variance = rings(weight.square()) * (1 + seen / rings(weight).clamp(min=1e-30)).clamp(min=1).square()
        return cls(*(v.cpu().numpy() for v in (seen, rings(weight.square() * views), variance.clamp(min=1e-30))))

    def fit(self, width: float) -> AmplitudeFit:
        """Strength and fall that suit all rings best, each with its error; it needs no orientations, and does not
        depend on the contrast. One strength for a fall that is assumed would be that of the rings where the CTF is
        largest: for a map that is blurred more than the images, seven times the power that these show in the rings that
        tell most. width: of the images, Å."""
        tried, shape = _falls(len(self.seen), width)
        shown = shape**2 * self.shown
        sure = np.maximum((shown**2 / self.variance).sum(1), 1e-30)
        strength = np.maximum((shown * self.seen / self.variance).sum(1) / sure, sure**-0.5)  # not below its error
        best = int(((self.seen - strength[:, None] * shown) ** 2 / self.variance).sum(1).argmin())
        return AmplitudeFit(float(np.sqrt(strength[best])), float(tried[best]), 1.0, torch.ones(len(self.seen)))

    def gain(self, width: float) -> torch.Tensor:
        """(rings,) factors of the amplitudes with which the structure has the power of each ring: that of the fit where
        the ring's own is not known to a factor of 2."""
        fitted = self.fit(width).gain(len(self.seen), width).numpy()
        shown = np.maximum(fitted**2 * self.shown, 1e-30)
        unsure = self.variance / shown**2
        return torch.from_numpy(fitted * np.sqrt(np.maximum(self.seen / shown + unsure, 0) / (1 + unsure))).float()


def improved(fit: AmplitudeFit, observed: Observed, bank: Bank, shifts: Shifts, width: float) -> AmplitudeFit:
    """The AmplitudeFit that suits the posterior probabilities under a former one best (one round of expectation
    maximisation). bank: of the Reference without gain."""
    device, reference, grid = observed.match.device, bank.reference, bank.grid
    bank = bank.with_gain(fit.gain(reference.disc.rings, width).to(device))
    values = log_likelihoods(observed, bank, shifts, FAR)
    top = values.topk(min(TOP, values.shape[1]), 1).indices
    angles, parts = grid.angles(top.cpu().numpy()), [slice(start, start + 16) for start in range(0, len(top), 16)]
    sums = list(zip(*(_sums(observed[part], bank.reference, angles[part], shifts) for part in parts)))
    others = torch.cat([rest.logsumexp(1, keepdim=True) for rest in values.scatter_(1, top, -torch.inf).split(16)])
    match, power, energy = (torch.stack(of_parts).sum(0) for of_parts in sums[:3])
    amplitude, b_factor = smooth_amplitude(match.cpu().numpy(), power.cpu().numpy(), width)
    if not amplitude > 0:  # nothing of the structure is seen: keep what the power said
        amplitude, b_factor = fit.amplitude, fit.b_factor
    new = AmplitudeFit(
        amplitude, b_factor, likeliest_sigma(torch.logaddexp(torch.cat(sums[3]), others), shifts.yx), fit.residual
    )
    gain = new.gain(len(match), width).double().to(device)
    number = reference.disc.ring_sum(torch.ones(len(reference.disc), device=device)).clamp(min=1) * len(observed)
    residual = (energy - 2 * gain * match + gain.square() * power) / number
    return dataclasses.replace(new, residual=residual.clamp(min=1e-3).float().cpu())


def _sums(
    observed: Observed, strong: Reference, angles: np.ndarray, shifts: Shifts
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sums over particles, by ring: products of images and expected projections, their power, the images' power over
    the noise's; and (n, s) logarithmic likelihood of each shift. angles: (n, k, 3) likely orientations."""
    rotated = torch.stack([strong.at_angles(a) for a in angles])
    shifted = observed.match[:, None] * observed.disc.ramp(-shifts.yx)  # n, s, d
    fit = volumes.side_by_side(rotated) @ volumes.side_by_side(shifted).transpose(1, 2) + shifts.log_prior
    value = fit - (rotated.abs().square() @ observed.weight[..., None])
    weight = torch.softmax(value.flatten(1), 1).reshape(value.shape)  # n, k, s
    plain = rotated / strong.gain[observed.disc.ring]
    match = observed.disc.ring_sum((plain.conj() * (weight.to(shifted.dtype) @ shifted)).real) / 2  # n, k, d
    power = observed.disc.ring_sum((weight.sum(2, keepdim=True) * plain.abs().square()).sum(1) * observed.weight)
    energy = observed.disc.ring_sum(observed.match.abs().square() / (4 * observed.weight.clamp(min=1e-12)))
    return match, power, energy, torch.logsumexp(value - shifts.log_prior, 1)


def likeliest_sigma(positions: torch.Tensor, yx: torch.Tensor) -> float:
    """Standard deviation of shifts, px, under which particles are likeliest.

    Where many particles tell little of their shift, expectation maximisation takes dozens of rounds to come down from a
    wide prior (1.7 px after three, of 0.85, at SNR 0.02), and a wide prior costs right answers.

    positions: (n, s), logarithmic likelihood of each particle at each shift, summed over orientations; a shift that
    tells nothing has what the orientations that were not looked at give it. yx: (s, 2), shifts, px."""
    square = yx.square().sum(1)
    apart = float(square[square > 0].min().sqrt()) if bool((square > 0).any()) else 1.0
    tried = np.geomspace(apart / 2, max(float(square.max().sqrt()), apart), SIGMAS)
    priors = torch.stack([torch.log_softmax(-square / (2 * sigma**2), 0) for sigma in tried])
    return float(tried[int(torch.logsumexp(positions[:, None] + priors, 2).double().sum(0).argmax())])


def _falls(rings: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The B-factors that are tried, and (b, rings) the factors of the rings' amplitudes with each."""
    tried = np.where(B_FACTORS < 0, B_FACTORS * max(width / max(rings - 1, 1) / SHARPEST, 1.0) ** 2, B_FACTORS)
    return tried, np.exp(-tried[:, None] / 4 * (np.arange(rings) / width) ** 2)


def smooth_amplitude(match: np.ndarray, power: np.ndarray, width: float) -> tuple[float, float]:
    """Strength and fall (see AmplitudeFit) whose square distance from the images is the smallest.

    match, power: (rings,) sums over coefficients of the products of images and what they should show, and of its power.
    width: of the images, Å."""
    tried, shape = _falls(len(match), width)
    along, across = shape @ match, shape**2 @ power
    amplitude = along / np.maximum(across, 1e-30)
    best = int(np.argmax(np.where(along > 0, along * amplitude, -1)))
    return float(amplitude[best]), float(tried[best])


def evidences(sources: list[Source], rows: np.ndarray, bank: Bank, shifts: Shifts, width: float) -> list[float]:
    """Logarithmic evidence of each of several Sources, readings of the same images, for the particles of some rows.
    bank: of the Reference without gain."""
    found, disc = [], bank.reference.disc
    for source in sources:
        observed = source.observed(rows, disc)
        strong = bank.with_gain(RingPower.of(observed, bank.reference).fit(width).gain(disc.rings, width))
        found.append(float(evidence(log_likelihoods(observed, strong, shifts, FAR)).double().sum()))
    return found
