# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fit: from particles and a reference to latent coordinates, volumes and a verdict."""

import dataclasses
import functools

import numpy as np

from ...core.devices import choose_device
from ...likelihood.prepare import WIDEST, check_not_empty, sample_rows
from ...likelihood.signal import find_contrast
from ...reconstruction.halves import split_halves
from . import masks
from .coefficients import load_coefficients
from .components import COARSE, Fit, Setting, fit_components, mean_of, refine
from .curves import along_curve
from .gaussian_fit import fit_gaussian_latent, gaussian_model, motion_of_gaussians
from .inputs import AGREE, SHELLS, compare_maps
from .motion import Motion, find_motion, voxel_components
from .views import FIRST_SPREAD, Views


@dataclasses.dataclass
class Outcome:
    """fit : components.Fit. motion : motion.Motion. setting : components.Setting. contrast : 'bright' or 'dark'.
    notes : sentences. record : what else heterogeneity.json says of the method."""

    fit: Fit
    motion: Motion
    setting: Setting
    contrast: str
    notes: list
    record: dict


def fit_heterogeneity(config, inputs, folder, say) -> Outcome:
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
    particles = inputs.particles
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
    work = dict(linear=_linear, gaussian=_gaussian)[config.method]
    motion, fit, record = work(config, inputs, setting, mean, curve, spread, folder.parent, say)
    return Outcome(fit, motion, setting, contrast, notes, record)


def _linear(config, inputs, setting, mean, curve, spread, folder, say):
    """Motion, Fit and nothing for the record: principal components of the volumes."""
    rng = np.random.default_rng(config.seed)
    components = functools.partial(voxel_components, setting, mean, inputs.radius, rng)
    motion = _told(find_motion(setting, mean, inputs.radius, components, config.tolerance / 100), say)
    if motion.verdict == "motion":
        setting.focus = masks.changing(*motion.halves, setting.mask)
    fit = fit_components(setting, mean, motion.halves[0], config.latent, inputs.radius, spread, curve, rng)
    if motion.verdict == "motion":
        fit.latent[:, 0] = along_curve(setting, fit, inputs.radius)
    return motion, fit, {}


def _gaussian(config, inputs, setting, mean, curve, spread, folder, say):
    """Motion, Fit and what the record says: Gaussians, and a deep coordinate if there is motion."""
    device = choose_device(config.device)
    model = gaussian_model(setting, mean, inputs, config, spread, device)
    motion = _told(motion_of_gaussians(model, config.tolerance / 100), say)
    fine, curve = mean_of(setting, inputs.radius, spread)
    moves = motion.verdict == "motion"
    fit, record = fit_gaussian_latent(model, fine, curve, config, spread, moves, folder, device, say)
    return motion, fit, record


def _told(motion, say):
    say(f"{motion.verdict}: p = {motion.p_value:.3g}, variability {motion.variability:.2%}")
    return motion


def _contrast(config, particles, diameter_px):
    """'bright' or 'dark', and sentences."""
    if config.contrast != "auto":
        return config.contrast, []
    contrast, sure, sentence = find_contrast(particles, None, diameter_px)
    return contrast, [] if sure else [sentence]
