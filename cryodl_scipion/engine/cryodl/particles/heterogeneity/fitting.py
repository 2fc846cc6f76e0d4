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
from ...io.messages import doing
from ...latent import masks
from ...latent.components import COARSE, Setting, fit_components, mean_of, refine_views
from ...latent.motion import Motion, along_curve, find_motion, voxel_components
from ...latent.record import Outcome
from ...likelihood.observed import WIDEST
from ...reconstruction.halves import same_images, split_halves
from .coefficients import FIRST_SPREAD, ParticleViews, load_coefficients
from .gaussian_fit import GaussianModel, fit_gaussian_latent, gaussian_model, motion_of_gaussians
from .inputs import AGREE, SHELLS, compare_maps

if typing.TYPE_CHECKING:
    from .inputs import Inputs

TOLERANCE = 0.001  # of the molecule's power: errors of CTF and orientations cause some variability, too


@dataclasses.dataclass
class Start:
    """setting : components.Setting, its mask and views as the mean volume says. mean : (box, box, box). curve : FSC of
    its halves. sigmas : (9,) of the errors, see views.ERRORS. rng : of the linear method."""

    setting: Setting
    mean: np.ndarray
    curve: np.ndarray
    sigmas: np.ndarray
    rng: np.random.Generator


def fit_particles(
    config: FitHeterogeneityConfig, inputs: Inputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Outcome:
    """Fit a latent space.

    Parameters
    ----------
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
        split_halves(particles, inputs.seed),
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
    started = Start(setting, mean, curve, sigmas, np.random.default_rng(inputs.seed))
    if config.method == "auto" and config.classes is None:
        return _either(config, inputs, started, notes, folder.parent)
    if config.method == "gaussian":
        model, motion = _test_gaussians(config, inputs, started)
        return _fit_gaussians(config, inputs, started, model, motion, notes, folder.parent)
    return _fit_linear(config, inputs, started, _test_linear(config, inputs, started), notes)


def _either(config: FitHeterogeneityConfig, inputs: Inputs, start: Start, notes: list, folder: Path) -> Outcome:
    """The linear Outcome; if the linear test finds no motion and that of the Gaussians does, theirs.

    The second test is made only where the first finds nothing. Both p-values are doubled, since either may find motion
    by chance (Bonferroni).
    """
    linear = _test_linear(config, inputs, start)
    tests = dict(linear=linear)
    motion = dataclasses.replace(linear, p_value=min(1.0, 2 * linear.p_value))
    if motion.verdict == "motion":
        return _with_tests(_fit_linear(config, inputs, start, motion, notes), tests)
    try:
        model, found = _test_gaussians(config, inputs, start)
    except ValueError as error:  # a small mask, say: nothing that the linear method needs
        notes.append(f"Only the method linear was tested for motion. {error}")
        return _with_tests(_fit_linear(config, inputs, start, linear, notes), tests)
    tests["gaussian"] = found
    either = min(1.0, 2 * min(linear.p_value, found.p_value))
    if found.p_value < linear.p_value:
        motion = dataclasses.replace(found, p_value=either)
        if motion.verdict == "motion":
            return _with_tests(_fit_gaussians(config, inputs, start, model, motion, notes, folder), tests)
    smaller = min(linear, found, key=lambda test: test.p_value)
    motion = dataclasses.replace(smaller, p_value=either, halves=linear.halves)
    return _with_tests(_fit_linear(config, inputs, start, motion, notes), tests)


def _with_tests(outcome: Outcome, tests: dict[str, Motion]) -> Outcome:
    """The Outcome with the result of each test in its record."""
    outcome.record["tests"] = {
        method: dict(p_value=test.p_value, variability=test.variability) for method, test in tests.items()
    }
    return outcome


def _test_linear(config: FitHeterogeneityConfig, inputs: Inputs, start: Start) -> Motion:
    """The Motion by principal components of the volumes."""
    setting, mean = start.setting, start.mean
    components = functools.partial(voxel_components, setting, mean, inputs.radius, start.rng)
    doing("the motion test")
    return _told(find_motion(setting, mean, inputs.radius, components, TOLERANCE), setting.say)


def _fit_linear(config: FitHeterogeneityConfig, inputs: Inputs, start: Start, motion: Motion, notes: list) -> Outcome:
    """The Outcome by principal components of the volumes."""
    setting = start.setting
    if motion.verdict == "motion":
        first, second = motion.halves
        setting.focus = masks.changing(first, second, setting.mask)
    known = motion.halves[0]
    doing("the principal components")
    fit = fit_components(setting, start.mean, known, config.latent, inputs.radius, start.sigmas, start.curve, start.rng)
    if motion.verdict == "motion" and config.classes is None:  # discrete classes lie on no curve
        fit.latent[:, 0] = along_curve(setting, fit, inputs.radius)
    return Outcome(fit, motion, setting, inputs.contrast, notes, "linear", dict(tolerance=TOLERANCE))


def _test_gaussians(config: FitHeterogeneityConfig, inputs: Inputs, start: Start) -> tuple[GaussianModel, Motion]:
    """The Gaussians of the mean volume, and the Motion by their principal motions."""
    doing("placing the Gaussians")
    device = choose_device()
    model = gaussian_model(start.setting, start.mean, inputs, config, start.sigmas, device)
    doing("the motion test")
    return model, _told(motion_of_gaussians(model, TOLERANCE), start.setting.say)


def _fit_gaussians(
    config: FitHeterogeneityConfig,
    inputs: Inputs,
    start: Start,
    model: GaussianModel,
    motion: Motion,
    notes: list,
    folder: Path,
) -> Outcome:
    """The Outcome by Gaussians; its first coordinate is a nonlinear one if there is motion."""
    doing("the latent coordinates")
    mean, curve = mean_of(start.setting, inputs.radius, start.sigmas)
    fit, record = fit_gaussian_latent(model, mean, curve, config, motion.verdict == "motion", folder)
    return Outcome(fit, motion, start.setting, inputs.contrast, notes, "gaussian", dict(record, tolerance=TOLERANCE))


def _told(motion: Motion, say: typing.Callable[[str], typing.Any]) -> Motion:
    say(f"{motion.verdict}: p = {motion.p_value:.3g}, variability {motion.variability:.2%}")
    return motion
