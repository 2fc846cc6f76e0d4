# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fit: from aligned subtomograms to latent coordinates, volumes and a verdict."""

from __future__ import annotations

import functools
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import FitHeterogeneityConfig
from ...io.messages import doing
from ...latent import masks
from ...latent.components import COARSE, Setting, fit_components, mean_of, refine_views
from ...latent.masks import symmetry_notes
from ...latent.motion import along_curve, find_motion, voxel_components
from ...latent.record import Outcome
from ...reconstruction.halves import same_images, soft_sphere, split_halves
from .coefficients import load_subtomogram_coefficients
from .views import FIRST_SPREAD, SubtomogramViews

if typing.TYPE_CHECKING:
    from .inputs import SubtomogramInputs

SHELLS = slice(2, 7)  # in which halves of the same molecule agree, whatever their resolution
AGREE = 0.3  # mean FSC below which the subtomograms show nothing in common
BODY = 0.1  # of the mean volume's highest density that is the molecule
TOLERANCE = 0.0002  # of the molecule's power: errors of wedge, CTF and alignment cause some variability, too


def fit_subtomograms(
    config: FitHeterogeneityConfig, inputs: SubtomogramInputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Outcome:
    """Fit a latent space. folder: for the coefficients, which are removed by the caller. say: called with sentences.

    Raises ValueError for subtomograms that are constant or not finite, and a mask outside of the molecule.
    """
    found, views = inputs.subtomograms, SubtomogramViews.of(inputs.subtomograms, inputs.voxel)
    doing("reading the subtomograms")
    coefficients = load_subtomogram_coefficients(
        found, inputs.radius, inputs.box, inputs.diameter, inputs.contrast, folder
    )
    halves, image = split_halves(found, inputs.seed), same_images(found)
    width = min(1.1 * inputs.diameter / inputs.voxel, masks.WIDEST * inputs.box)
    sphere = soft_sphere(inputs.box, width).numpy()
    setting = Setting(coefficients, views, halves, sphere, inputs.box, say, image)
    coarse = min(COARSE, inputs.radius)
    doing("the mean volume")
    mean, curve = mean_of(setting, coarse, FIRST_SPREAD)
    together, notes, sigmas = float(np.mean(curve[SHELLS])), list[str](), FIRST_SPREAD
    if together < AGREE:
        notes.append(
            f"{config.particles}: at their orientations the two halves of the subtomograms have nothing in common "
            f"(FSC {together:.2f} at low resolution). They are noise, or their orientations are wrong."
        )
    else:
        doing("refining the orientations")
        mean, sigmas = refine_views(setting, mean, coarse, sigmas)
        if len(np.unique(image)) == len(image):  # not expanded
            notes += symmetry_notes(torch.from_numpy(mean), f"The mean of {config.particles}", "subtomograms")
    if config.mask is not None:
        density = np.maximum(mean - BODY * mean.max(), 0)
        setting.mask = setting.mask * masks.checked_mask(config.mask, inputs.voxel, density, config.particles)
    elif together >= AGREE:
        setting.mask = setting.mask * masks.molecule_mask(mean, inputs.voxel)
    rng = np.random.default_rng(inputs.seed)
    doing("the motion test")
    components = functools.partial(voxel_components, setting, mean, inputs.radius, rng)
    motion = find_motion(setting, mean, inputs.radius, components, TOLERANCE)
    say(f"{motion.verdict}: p = {motion.p_value:.3g}, variability {motion.variability:.2%}")
    if motion.verdict == "motion":
        first, second = motion.halves
        setting.focus = masks.changing(first, second, setting.mask)
    doing("the principal components")
    fit = fit_components(setting, mean, motion.halves[0], config.latent, inputs.radius, sigmas, curve, rng)
    if motion.verdict == "motion":
        fit.latent[:, 0] = along_curve(setting, fit, inputs.radius)
    return Outcome(fit, motion, setting, inputs.contrast, notes, "linear", dict(tolerance=TOLERANCE))
