# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fit: from particles and a reference to latent coordinates, volumes and a verdict."""

from __future__ import annotations

import dataclasses
import functools
import typing
from pathlib import Path

import numpy as np

from ...contract import FitHeterogeneityConfig
from ...core.devices import choose_device
from ...io.silence import doing
from ...likelihood.prepare import WIDEST
from ...reconstruction.halves import same_images, split_halves
from . import masks
from .coefficients import load_coefficients
from .components import COARSE, ComponentFit, Setting, fit_components, mean_of, refine_views
from .curves import along_curve
from .gaussian_fit import fit_gaussian_latent, gaussian_model, motion_of_gaussians
from .inputs import AGREE, SHELLS, compare_maps
from .motion import Motion, find_motion, voxel_components
from .views import FIRST_SPREAD, ParticleViews

if typing.TYPE_CHECKING:
    from .inputs import Inputs


@dataclasses.dataclass
class Outcome:
    """fit : components.ComponentFit. motion : motion.Motion. setting : components.Setting. contrast : 'bright' or
    'dark'. notes : sentences. record : what else heterogeneity.json says of the method."""

    fit: ComponentFit
    motion: Motion
    setting: Setting
    contrast: str
    notes: list
    record: dict


@dataclasses.dataclass
class Start:
    """setting : components.Setting, its mask and views as the mean volume says. mean : (box, box, box). curve : FSC of
    its halves. sigmas : (9,) of the errors, see views.ERRORS."""

    setting: Setting
    mean: np.ndarray
    curve: np.ndarray
    sigmas: np.ndarray


def fit_heterogeneity(
    config: FitHeterogeneityConfig, inputs: Inputs, folder: Path, say: typing.Callable[[str], typing.Any]
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
    particles = inputs.particles
    diameter_px = min(1.1 * inputs.diameter / particles.pixel_size, WIDEST * particles.box)
    doing("reading the images")
    setting = Setting(
        load_coefficients(particles, inputs.radius, diameter_px, inputs.contrast, folder),
        ParticleViews.of(particles),
        split_halves(particles, config.seed),
        masks.sphere_mask(inputs.box),
        inputs.box,
        say,
        same_images(particles),
    )
    coarse = min(COARSE, inputs.radius)
    doing("the mean volume")
    mean, curve = mean_of(setting, coarse, FIRST_SPREAD)
    notes = compare_maps(mean, curve, inputs.reference, config)
    sigmas = FIRST_SPREAD
    if float(np.mean(curve[SHELLS])) >= AGREE:  # noise has no orientations to be refined
        doing("refining the orientations")
        mean, sigmas = refine_views(setting, mean, coarse, sigmas)
        voxel = particles.box * particles.pixel_size / inputs.box
        setting.mask = setting.mask * (masks.molecule_mask(mean, voxel) if inputs.mask is None else inputs.mask)
    elif inputs.mask is not None:
        setting.mask = setting.mask * inputs.mask
    work = dict(linear=_linear, gaussian=_gaussian)[config.method]
    motion, fit, record = work(config, inputs, Start(setting, mean, curve, sigmas), folder.parent)
    return Outcome(fit, motion, setting, inputs.contrast, notes, record)


def _linear(
    config: FitHeterogeneityConfig, inputs: Inputs, start: Start, folder: Path
) -> tuple[Motion, ComponentFit, dict]:
    """Motion, ComponentFit and nothing for the record: principal components of the volumes."""
    setting, mean, rng = start.setting, start.mean, np.random.default_rng(config.seed)
    components = functools.partial(voxel_components, setting, mean, inputs.radius, rng)
    doing("the motion test")
    motion = _told(find_motion(setting, mean, inputs.radius, components, config.tolerance / 100), setting.say)
    if motion.verdict == "motion":
        first, second = motion.halves
        setting.focus = masks.changing(first, second, setting.mask)
    known = motion.halves[0]
    doing("the principal components")
    fit = fit_components(setting, mean, known, config.latent, inputs.radius, start.sigmas, start.curve, rng)
    if motion.verdict == "motion" and config.classes is None:  # discrete classes lie on no curve
        fit.latent[:, 0] = along_curve(setting, fit, inputs.radius)
    return motion, fit, {}


def _gaussian(
    config: FitHeterogeneityConfig, inputs: Inputs, start: Start, folder: Path
) -> tuple[Motion, ComponentFit, dict]:
    """Motion, ComponentFit and what the record says: Gaussians, and a deep coordinate if there is motion."""
    device = choose_device(config.device)
    doing("placing the Gaussians")
    model = gaussian_model(start.setting, start.mean, inputs, config, start.sigmas, device)
    doing("the motion test")
    motion = _told(motion_of_gaussians(model, config.tolerance / 100), start.setting.say)
    doing("the latent coordinates")
    mean, curve = mean_of(start.setting, inputs.radius, start.sigmas)
    fit, record = fit_gaussian_latent(model, mean, curve, config, motion.verdict == "motion", folder)
    return motion, fit, record


def _told(motion: Motion, say: typing.Callable[[str], typing.Any]) -> Motion:
    say(f"{motion.verdict}: p = {motion.p_value:.3g}, variability {motion.variability:.2%}")
    return motion
