# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles made up from the compositions, as like the user's own as is known, to learn how sure the answers may be."""

import dataclasses

import numpy as np
import torch

from ...core.fourier import on_grid
from ...core.projections import random_angles
from ...simulate.particle_images import noise_images
from ..orientations.made_up import MadeUp
from .evidence import fitted_temperature


def simulated(candidates, projectors, strength, count, seed):
    """MadeUp particles, and which composition each has, (count,) int64.

    candidates: see integrity_candidates. projectors: of the compositions. strength: common factor of their
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
        views[mine] = projector.project(base.angles[mine], base.shifts_yx[mine], base.box).cpu()
    transfer = base.ctf(slice(None))
    transfer = transfer.abs() if source.ctf_state == "flipped" else transfer
    gain = strength * on_grid(candidates.gain(base.box // 2 + 1).cpu(), base.box)
    images = torch.fft.irfft2(torch.fft.rfft2(views) * transfer * gain, s=views.shape[-2:])
    images = images + noise_images(count, base.box, rng, source.noise.cpu())
    return MadeUp.of(base, images if source.contrast == "bright" else -images), torch.from_numpy(kinds)


def learnt_temperature(evidence_of, candidates, projectors, strength, count, seed=0):
    """By what log-likelihoods are to be multiplied (see fitted_temperature), and the part of right answers, both from
    `simulated` particles.

    evidence_of: called with candidates and rows (array of int), gives an Evidence. For the others see `simulated`.
    """
    particles, kinds = simulated(candidates, projectors, strength, count, seed)
    logs = evidence_of(candidates.like(particles), np.arange(count)).logs.cpu()
    return fitted_temperature(logs, kinds), float((logs.argmax(1) == kinds).float().mean())
