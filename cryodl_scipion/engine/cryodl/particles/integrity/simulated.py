# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles simulated from the compositions with the user's CTFs and noise, to calibrate the probabilities."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import on_grid
from ...core.projections import random_angles
from ...likelihood.observed import sample_rows
from ...likelihood.reference import HalfDisc
from ...simulate.particle_images import noise_images
from ..orientations.simulated_set import SimulatedSet
from .weights import fitted_weights, weighted

if typing.TYPE_CHECKING:
    from ...core.projections import Projector
    from ...io.particle_sets import ParticleSet
    from ...likelihood.observed import Observed, Source
    from .candidates import Given, Searched
    from .evidence import Evidence

SIGNAL_DETAIL = 20.0  # Å: coarser detail holds nearly all of the signal
SAME_SIGNAL = 1.05  # ratio of signals up to which made-up particles are as good as the real ones
BEYOND = 3.0  # standard errors by which the ratio must exceed that: particles made too strong are too easy
LARGEST = 2.0  # ratio that is believed
SURE = 3.0  # standard errors


def simulated(
    candidates: Searched | Given, projectors: typing.Sequence[Projector], amplitude: float, count: int, seed: int
) -> tuple[SimulatedSet, torch.Tensor]:
    """Simulated particles, and which composition each has, (count,) int64.

    candidates: see candidates.py. projectors: of the compositions. amplitude: common factor of their
    projections. They have the angles and shifts of the particles where these are given, else random ones.
    """
    rng = np.random.default_rng(seed)
    source = candidates.source
    rows = rng.integers(len(source.particles), size=count)
    base = source.particles.subset(rows)
    kinds = np.arange(count) % len(projectors)
    if candidates.spread:
        shifts = rng.normal(scale=candidates.spread, size=(count, 2))
        base = dataclasses.replace(base, angles=random_angles(count, rng), shifts_yx=shifts)
    views = torch.empty((count, base.box, base.box))
    for kind, projector in enumerate(projectors):
        mine = np.nonzero(kinds == kind)[0]
        views[mine] = projector.project(*base.poses(mine), base.box).cpu()
    transfer = base.ctf(slice(None))
    transfer = transfer.abs() if source.ctf_state == "flipped" else transfer
    gain = amplitude * on_grid(candidates.gain(base.box // 2 + 1).cpu(), base.box)
    images = torch.fft.irfft2(torch.fft.rfft2(views) * transfer * gain, s=views.shape[-2:])
    images = images + noise_images(count, base.box, rng, source.power.cpu())
    return SimulatedSet.of(base, images if source.contrast == "bright" else -images), torch.from_numpy(kinds)


def signal_ratio(source: Source, particles: ParticleSet) -> float:
    """How much stronger the signal of a Source's images is than that of made-up particles like them, from 1 to
    LARGEST; by what their power exceeds the noise's, which depends on no orientation and no strength. 1 where the
    difference may be chance."""
    disc = HalfDisc(particles.box, particles.box * particles.pixel_size / SIGNAL_DETAIL)
    made = dataclasses.replace(source, particles=particles)
    excess, error = zip(*(_excess(one.observed(sample_rows(len(one.particles)), disc)) for one in (source, made)))
    if min(excess) < SURE * max(error):  # too little to compare
        return 1.0
    ratio = np.sqrt(excess[0] / excess[1])
    unsure = ratio / 2 * np.hypot(error[0] / excess[0], error[1] / excess[1])
    return float(min(ratio, LARGEST)) if ratio - BEYOND * unsure > SAME_SIGNAL else 1.0


def _excess(observed: Observed) -> tuple[float, float]:
    """Mean over images of what their power exceeds the noise's by, weighted by the CTF, and its standard error."""
    each = (observed.match.abs().square() / 4 - observed.weight).double().sum(1)
    return float(each.mean()), float(each.std() / len(each) ** 0.5) if len(each) > 1 else float("inf")


def learnt_weights(
    evidence_of: typing.Callable[..., tuple[Evidence, torch.Tensor | None]],
    candidates: Searched | Given,
    projectors: typing.Sequence[Projector],
    amplitude: float,
    count: int,
    seed: int = 0,
) -> tuple[tuple[float, float], float]:
    """What fine and coarse log-likelihoods are to be multiplied with (see fitted_weights), and the part of right
    answers, both from `simulated` particles.

    evidence_of: called with candidates and rows (array of int), gives an Evidence and the coarse log-likelihoods. For
    the others see `simulated`.
    """
    particles, kinds = simulated(candidates, projectors, amplitude, count, seed)
    factor = signal_ratio(candidates.source, particles)
    if factor > 1:
        particles, kinds = simulated(candidates, projectors, amplitude * factor, count, seed)
    found, coarse = evidence_of(candidates.like(particles), np.arange(count))
    fine, coarse = found.logs.cpu(), None if coarse is None else coarse.cpu()
    weights = fitted_weights(fine, coarse, kinds)
    return weights, float((weighted(fine, coarse, weights).argmax(1) == kinds).float().mean())
