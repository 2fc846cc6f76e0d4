# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fit: from particles and a reference to latent coordinates, volumes and a verdict."""

from __future__ import annotations

import dataclasses
import os
import typing

import numpy as np

from ...contract import FitHeterogeneityConfig
from ...likelihood.prepare import WIDEST, check_not_empty, sample_rows
from ...likelihood.signal import find_contrast
from ...reconstruction.halves import split_halves
from . import masks
from .coefficients import load_coefficients
from .components import COARSE, Fit, Setting, fit_components, mean_of, refine
from .curves import along_curve
from .inputs import AGREE, SHELLS, compare_maps
from .motion import Motion, find_motion
from .views import FIRST_SPREAD, Views

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet
    from .inputs import Inputs


@dataclasses.dataclass
class Outcome:
    """fit : components.Fit. motion : motion.Motion. setting : components.Setting. contrast : 'bright' or 'dark'.
    notes : sentences."""

    fit: Fit
    motion: Motion
    setting: Setting
    contrast: str
    notes: list


def fit_heterogeneity(
    config: FitHeterogeneityConfig,
    inputs: Inputs,
    folder: str | os.PathLike[str],
    say: typing.Callable[[str], typing.Any],
) -> Outcome:
    """Fit a latent space.

    Parameters
    ----------
    config : FitHeterogeneityConfig
    inputs : inputs.Inputs
    folder : Path
        For the coefficients of the images, which are removed by the caller.
    say : callable
        Called with sentences on the way.

    Raises
    ------
    ValueError
        Images that are empty or not finite; particles that are not aligned to the reference.
    """
    particles, rng = inputs.particles, np.random.default_rng(config.seed)
    check_not_empty(particles.images(sample_rows(len(particles))), config.particles)
    diameter_px = min(1.1 * inputs.diameter / particles.pixel_size, WIDEST * particles.box)
    contrast, notes = _contrast(config, particles, diameter_px)
    setting = Setting(
        load_coefficients(particles, inputs.radius, diameter_px, contrast, folder),
        Views.of(particles),
        split_halves(particles, config.seed),
        masks.sphere(inputs.box),
        inputs.box,
        say,
    )
    coarse = min(COARSE, inputs.radius)
    mean, curve = mean_of(setting, coarse, FIRST_SPREAD)
    notes += compare_maps(mean, curve, inputs.reference, config)
    spread = FIRST_SPREAD
    if float(np.mean(curve[SHELLS])) >= AGREE:  # noise has no orientations to be refined
        mean, spread = refine(setting, mean, coarse, spread)
        voxel = particles.box * particles.pixel_size / inputs.box
        setting.mask = setting.mask * (masks.molecule(mean, voxel) if inputs.mask is None else inputs.mask)
    elif inputs.mask is not None:
        setting.mask = setting.mask * inputs.mask
    motion = find_motion(setting, mean, inputs.radius, rng, config.tolerance / 100)
    say(f"{motion.verdict}: p = {motion.p_value:.3g}, variability {motion.variability:.2%}")
    if motion.verdict == "motion":
        setting.focus = masks.changing(*motion.halves, setting.mask)
    fit = fit_components(setting, mean, motion.halves[0], config.latent, inputs.radius, spread, curve, rng)
    if motion.verdict == "motion":
        fit.latent[:, 0] = along_curve(setting, fit, inputs.radius)
    return Outcome(fit, motion, setting, contrast, notes)


def _contrast(config: FitHeterogeneityConfig, particles: ParticleSet, diameter_px: float) -> tuple[str, list[str]]:
    """'bright' or 'dark', and sentences."""
    if config.contrast != "auto":
        return config.contrast, []
    contrast, sure, sentence = find_contrast(particles, None, diameter_px)
    return contrast, [] if sure else [sentence]
