# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fit: from particles and a reference to latent coordinates, volumes and a verdict."""

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import FitHeterogeneityConfig
from ...io.messages import doing
from ...latent import masks
from ...latent.components import COARSE, LARGEST, SMALLER, Setting, mean_of, refine_views
from ...latent.motion import Motion
from ...latent.record import Outcome, Start, fit_linear, linear_motion
from ...likelihood.observed import WIDEST
from ...reconstruction.halves import soft_sphere, split_halves
from . import apart, coefficients
from .gaussian_fit import GaussianModel, fit_gaussian_latent, gaussian_model, motion_of_gaussians
from .inputs import AGREE, SHELLS, Inputs, compare_maps

TOLERANCE = 0.001  # of the molecule's power: errors of CTF and orientations cause some variability, too
GROUPS = 2  # that are set apart at most, one after the other


@dataclasses.dataclass
class Tested:
    """motion : Motion by which the fit goes on. tests : {method: its Motion}. model : of the Gaussians, if they are
    what is fitted. components : setting, mean and components of the halves that groups are looked for in."""

    start: Start
    motion: Motion
    tests: dict[str, Motion]
    model: GaussianModel | None
    components: tuple[Setting, np.ndarray, tuple]


def fit_particles(
    config: FitHeterogeneityConfig, inputs: Inputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Outcome:
    """Fit a latent space, without the particles that are something else. folder: for the coefficients of the images,
    which are removed by the caller. say: called with sentences on the way. Raises ValueError: images that are empty or
    not finite; particles that are not aligned to the reference."""
    kept, tested = np.arange(len(inputs.particles)), _tested(config, inputs, folder, say)
    left_out, differ = list[dict[str, typing.Any]](), dict[str, typing.Any]()
    while tested.start.alike:
        doing("particles that are something else")
        stated = apart.stated(*tested.components[:2], inputs.radius, tested.components[2])
        differ = apart.difference(*stated, tested.start.setting.image) if tested.motion.verdict == "motion" else {}
        if config.classes is not None or len(left_out) == GROUPS:
            break
        group = apart.find_group(*stated, tested.start.rng)
        if group is None or not (group.foreign or differ):
            break
        say(f"{group.rows.sum()} particles lie apart: {group.explained:.0%} explained; the test without them")
        others = dataclasses.replace(inputs, particles=inputs.particles.subset(kept[~group.rows]))
        deeper = folder / f"without_{len(left_out) + 1}"
        deeper.mkdir(exist_ok=True)
        again = _tested(config, others, deeper, say)
        if not group.foreign and again.motion.verdict == "motion":
            break  # a state among others of a molecule that moves
        told = dict(particles=int(group.rows.sum()), explained=group.explained, foreign=group.foreign)
        left_out.append(told | {name: getattr(tested.motion, name) for name in ("verdict", "p_value", "variability")})
        kept, tested, differ = kept[~group.rows], again, {}
    outcome = _fitted(config, tested, folder.parent)
    record = dict(outcome.record, differ=differ, **dict(set_apart=left_out) if left_out else {})
    return dataclasses.replace(outcome, record=record, kept=kept if left_out else None)


def _tested(
    config: FitHeterogeneityConfig, inputs: Inputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Tested:
    start = _started(config, inputs, folder, say)
    if config.method == "auto" and config.classes is None:
        return _either(config, inputs, start)
    if config.method == "gaussian":
        model, motion = _test_gaussians(config, inputs, start)
        return Tested(start, motion, {}, model, (model.setting, model.mean, motion.halves))
    motion = linear_motion(start, TOLERANCE)
    return Tested(start, motion, {}, None, (start.setting, start.mean, motion.halves))


def _started(
    config: FitHeterogeneityConfig, inputs: Inputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Start:
    """Coefficients of the images, mean volume, refined orientations."""
    particles = inputs.particles
    diameter_px = min(1.1 * inputs.diameter / particles.pixel_size, WIDEST * particles.box)
    doing("reading the images")
    setting = Setting(
        coefficients.load_coefficients(particles, inputs.radius, diameter_px, inputs.contrast, folder),
        coefficients.particle_views(particles),
        split_halves(particles, inputs.seed, SMALLER),
        soft_sphere(inputs.box, masks.WIDEST * inputs.box).numpy(),
        inputs.box,
        say,
        particles.same_images(),
    )
    coarse = min(COARSE, inputs.radius)
    doing("the mean volume")
    mean, curve = mean_of(setting, coarse, coefficients.FIRST_SPREAD)
    notes = compare_maps(mean, curve, inputs, config)
    sigmas, alike = coefficients.FIRST_SPREAD, float(np.mean(curve[SHELLS])) >= AGREE
    if alike:  # noise has no orientations to be refined
        doing("refining the orientations")
        mean, sigmas = refine_views(setting, mean, coarse, sigmas)
        if setting.uncertain > 0.99 * LARGEST * coefficients.FIRST_SPREAD[0]:
            notes.append(
                f"Orientations are about {np.degrees(setting.uncertain) * 3**0.5:.0f}° off, or more: too much to be "
                "corrected, and it can look like motion. Refine them first."
            )
    voxel = particles.box * particles.pixel_size / inputs.box
    setting.confine(masks.molecule_mask(mean, voxel) if alike else 1.0, inputs.mask)
    return Start(
        setting, mean, curve, sigmas, inputs.radius, inputs.contrast, np.random.default_rng(inputs.seed), notes, alike
    )


def _either(config: FitHeterogeneityConfig, inputs: Inputs, start: Start) -> Tested:
    """The linear test; if it finds no motion and that of the Gaussians does, theirs. The second test is made only where
    the first finds nothing. Both p-values are doubled, since either may find motion by chance (Bonferroni)."""
    linear = linear_motion(start, TOLERANCE)
    components = start.setting, start.mean, linear.halves
    tests = dict(linear=linear)
    motion = dataclasses.replace(linear, p_value=min(1.0, 2 * linear.p_value))
    if motion.verdict == "motion":
        return Tested(start, motion, tests, None, components)
    try:
        model, found = _test_gaussians(config, inputs, start)
    except ValueError as error:  # a small mask, say: nothing that the linear method needs
        start.notes.append(f"Only the method linear was tested for motion. {error}")
        return Tested(start, linear, tests, None, components)
    tests["gaussian"] = found
    smaller = min(linear, found, key=lambda test: test.p_value)
    motion = dataclasses.replace(smaller, p_value=min(1.0, 2 * smaller.p_value))
    if smaller is found and motion.verdict == "motion":
        return Tested(start, motion, tests, model, (model.setting, model.mean, found.halves))
    return Tested(start, dataclasses.replace(motion, halves=linear.halves), tests, None, components)


def _fitted(config: FitHeterogeneityConfig, tested: Tested, folder: Path) -> Outcome:
    """The Outcome of the method that was tested, with the result of each test in its record."""
    start, motion, model = tested.start, tested.motion, tested.model
    if model is None:
        # discrete classes lie on no curve
        outcome = fit_linear(start, motion, config.latent, config.classes is None)
    else:
        doing("the latent coordinates")
        mean, curve = mean_of(start.setting, start.radius, start.sigmas)
        fit, record = fit_gaussian_latent(model, mean, curve, config, motion.verdict == "motion", folder)
        record["tolerance"] = TOLERANCE
        outcome = Outcome(fit, motion, start.setting, start.contrast, start.notes, "gaussian", record)
    outcome.record["tests"] = {
        method: dict(p_value=test.p_value, variability=test.variability) for method, test in tested.tests.items()
    }
    return outcome


def _test_gaussians(config: FitHeterogeneityConfig, inputs: Inputs, start: Start) -> tuple[GaussianModel, Motion]:
    """The Gaussians of the mean volume, and the Motion by their principal motions."""
    doing("placing the Gaussians")
    model = gaussian_model(start, inputs, config)
    doing("the motion test")
    return model, start.say(motion_of_gaussians(model, TOLERANCE))
