# SPDX-License-Identifier: GPL-3.0-or-later
"""Check on a sample that particles are explained by a structure, for commands that do not orient them."""

import dataclasses
import typing

import numpy as np

from ...likelihood.observed import Source, sample_rows
from ...likelihood.search import evidence, log_likelihoods
from .assign import Search
from .explained import Explained, explained
from .settings import SearchSettings

SAMPLE = 128  # particles that are looked at
STEP = 10.0  # degrees between directions
FINEST = 15.0  # Å
WIDEST_SHIFT = 0.1  # of the box


def explained_by(
    source: Source, projector: typing.Any, pixel_size: float, diameter: float, device: typing.Any
) -> Explained:
    """Explained of a sample of a source's particles.

    Parameters
    ----------
    source : Source
        Raw images, read as is known by now; its noise is measured here.
    projector : Projector
        Of the structure, at `pixel_size` Å/px.
    diameter : float
        Of the structure, Å.
    """
    particles = source.particles.subset(sample_rows(len(source.particles), SAMPLE))
    source = dataclasses.replace(source, particles=particles, denoise=None).measured()
    settings = SearchSettings(STEP, WIDEST_SHIFT * particles.box * particles.pixel_size, FINEST, diameter, refine=False)
    search = Search(source, projector, pixel_size, settings, device)
    search.learn()
    observed = source.observed(np.arange(len(particles)), search.disc)
    values = evidence(log_likelihoods(observed, search.strong_bank(search.fit), search.shifts(search.fit.sigma)))
    return explained(search, values.cpu().numpy())
