# SPDX-License-Identifier: GPL-3.0-or-later
"""Test for heterogeneity: components of one half of the particles, tested on the other half; what it would have found.

A curve through the volumes, for motions too large for a linear space."""

import copy
import dataclasses
import functools
import math
import typing
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from .components import (
    CHANGE,
    COARSE,
    ComponentFit,
    Setting,
    learned,
    orthonormal,
    shell_power,
    solve_components,
    start,
)
from .cube import Cube
from .expectation import CurvedCoordinate, Linear, batches, expect, without_errors

DEGREE = 3  # of the curve's polynomials
CURVE_ROUNDS = 4  # passes at first, and again to the finest detail


def scaled_position(position: np.ndarray, coordinate: np.ndarray) -> np.ndarray:
    """A position along a curve, (n,), with the sign and the standard deviation of a coordinate, (n,)."""
    sign = np.sign(np.corrcoef(position, coordinate)[0, 1]) or 1.0
    return (position - position.mean()) * sign * coordinate.std() / max(position.std(), 1e-12)


def place_on_curve(setting: Setting, fit: ComponentFit, radius: float) -> np.ndarray:
    """(n,) place of each observation on a curve of volumes that begins along the first axis, -1 to 1. radius: finest
    frequency, waves per box."""
    curve, sigmas = CurvedCoordinate(DEGREE), fit.sigmas
    volumes = np.zeros((DEGREE + 1, *fit.mean.shape), np.float32)
    volumes[0] = fit.mean
    volumes[1] = fit.axes[0] * fit.deviations[0] * 3**0.5  # a uniform coordinate has the variance 1 / 3
    for limit, rounds in ((min(COARSE, radius), CURVE_ROUNDS), (radius, CURVE_ROUNDS)):
        cube, count = setting.cube(limit), setting.coefficients.count(limit)
        power = expected_power(setting, fit.mean, cube, DEGREE)
        for step in range(rounds):
            sums = expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, sigmas, curve)
            volumes = solve_components(sums, cube, power) * setting.mask
            volumes[1:] *= setting.focus
            sigmas = learned(sums, setting.views)
            setting.say(f"curve to {limit:g} waves per box, pass {step + 1}")
    last = expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, sigmas, curve, False)
    return last.latent[:, 0]


def expected_power(setting: Setting, mean: np.ndarray, cube: Cube, number: int) -> np.ndarray:
    """Prior of solve_components.

    Outside the region that may change the components are set to 0 after they were solved, and with it goes all but that
    part of their noise. A component's expected power is raised in the same proportion: it is weighed against the noise
    that stays. Only the curve takes it: several principal components at once are damped more, since their coordinates
    would be noisier.

    mean: (box, box, box). number: of components. Returns (number + 1, rings), of the mean, and of the components."""
    part = max(float(setting.changing.mean()), 1 / mean.size)
    return shell_power(mean[None], cube) * np.array([1.0] + [CHANGE / part] * number)[:, None]


ROUNDS = 8  # passes of the components of a half
COMPONENTS = 3
FREE = 10.0  # times their spread: errors so large that they are taken out of each image entirely
SIGNIFICANT = 0.05
NEAR = 3.0  # times the tolerance, or one over that: there it decides
SURE, TURN = 3.0, 0.05  # standard errors; radians


@dataclasses.dataclass(frozen=True)
class Motion:
    """variability : power of the changes over that of the mean volume, in the images, to the coarse limit. error : its
    standard error. p_value : of a rigid molecule. halves : components (q, box, box, box) of either half,
    in units of their deviations. tolerance : variability that a rigid molecule may have."""

    variability: float
    error: float
    p_value: float
    halves: tuple
    tolerance: float

    @property
    def near(self) -> bool:
        """Whether the tolerance decides, not the statistics."""
        highest, lowest = NEAR * self.tolerance, max(self.tolerance / NEAR, SURE * self.error)
        return self.variability < highest if self.verdict == "motion" else self.variability > lowest

    @property
    def verdict(self) -> str:
        """'motion' if the p-value is significant, else 'no motion'."""
        return "motion" if self.p_value < SIGNIFICANT else "no motion"


class Recorder(Linear):
    """Keeps what each image says of components that it had no part in, after all that errors of its orientation,
    contrast and CTF could explain is taken out. tested : of the `count` components; the others are errors, too. free :
    (count - tested + e,) how large errors may be. excess, freedom, size : one number for each image."""

    def __init__(self, count: int, free: np.ndarray, tested: int) -> None:
        super().__init__(count)
        self.free, self.tested = free, tested
        self.excess, self.freedom, self.size = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()

    def __call__(self, gram: np.ndarray, match: np.ndarray, moved: np.ndarray, sigmas: np.ndarray) -> typing.Any:
        own, fit, _ = without_errors(gram, match, self.tested, 1 / self.free**2)
        trace = np.trace(own, axis1=1, axis2=2)
        self.excess.append((fit**2).sum(1) - trace)
        self.freedom.append((own**2).sum((1, 2)))
        self.size.append(trace)
        return super().__call__(gram, match, moved, sigmas)


def find_motion(
    setting: Setting,
    mean: np.ndarray,
    radius: float,
    components: typing.Callable[[np.ndarray], np.ndarray],
    tolerance: float,
) -> Motion:
    """The Motion that the particles show beyond their noise.

    Components are fitted to each half of the particles and tested on the other: white noise of unit variance has an
    expected square along any direction that is known before, whatever the direction. Derivatives of the mean volume's
    projection by orientation, shift, contrast, defocus and astigmatism are taken out of each image first, so that their
    errors do not count; and turns of the detail that wrong orientations have taken from the mean volume.

    mean: (box, box, box), at the orientations of setting.views.
    radius: finest frequency of the fit, waves per box; the test stops at COARSE.
    components: gives the mean and components (q + 1, box, box, box), in units of their deviations, of some rows alone.
    tolerance: variability that a rigid molecule may have by errors of second order; the p-value is that of more."""
    radius = min(radius, COARSE)
    cube, count = setting.cube(radius), setting.coefficients.count(radius)
    free, turns = FREE * setting.views.spread, turns_of_detail(mean, setting.uncertain)
    rows = [np.nonzero(setting.halves == half)[0] for half in (1, 2)]
    found = [components(own) for own in rows]
    recorder = Recorder(len(found[0]) + 2, np.concatenate([free[:3], free]), len(found[0]) - 1)
    for volumes, other in zip(found, rows[::-1]):
        volumes = np.concatenate([volumes, turns])
        expect(setting.coefficients, setting.views, other, cube, volumes, count, free, recorder, False)
    # that the observations show of the mean volume, in units of the noise
    table, parts = cube.table(mean), batches(setting.rows(), count)
    shown = (setting.coefficients.shown(setting.views, part, cube, table, count) for part in parts)
    power = max(sum(float((np.abs(values) ** 2).sum()) for values in shown), 1e-30)
    scale = np.concatenate(recorder.size).sum() / max(np.concatenate(recorder.freedom).sum(), 1e-30) / power
    # copies of an image share their noise
    each = np.bincount(setting.image[np.concatenate(rows[::-1])], np.concatenate(recorder.excess))
    variability, error = each.sum() * scale, max(each.std() * len(each) ** 0.5 * scale, 1e-12)
    p_value, halves = 0.5 * math.erfc((variability - tolerance) / error / math.sqrt(2)), tuple(v[1:] for v in found)
    return Motion(max(0.0, float(variability)), float(error), float(p_value), halves, tolerance)


def turns_of_detail(mean: np.ndarray, width: float) -> np.ndarray:
    """(3, box, box, box) changes, per radian, of the finest detail of a mean volume by turns about x, y and z.

    Where orientations are wrong the mean volume is smeared, and an image shows more detail than its derivatives do. The
    detail is what the mean loses where it is smeared once more. width: learnt error about each axis, radians."""
    detail = mean - np.mean([_turned(mean, side * 3**0.5 * width * axis) for axis in np.eye(3) for side in (1, -1)], 0)
    return np.stack([_turned(detail, axis) - _turned(detail, -axis) for axis in TURN * np.eye(3)]) / (2 * TURN)


def _turned(volume: np.ndarray, vector: np.ndarray, pivot: np.ndarray | None = None) -> np.ndarray:
    """A volume after a rotation by a vector, radians, zyx, about a place; the middle if None."""
    back = Rotation.from_rotvec(-vector).as_matrix()
    pivot = np.full(3, len(volume) // 2) if pivot is None else pivot
    return affine_transform(volume, back, pivot - back @ pivot)


def voxel_components(
    setting: Setting, mean: np.ndarray, radius: float, rng: np.random.Generator, rows: np.ndarray
) -> np.ndarray:
    """Mean, and principal components of some rows alone. mean: (box, box, box). radius: finest frequency, waves per
    box. rows: (m,). Returns (q + 1, box, box, box), the components in units of their deviations."""
    cube, count = setting.cube(min(radius, COARSE)), setting.coefficients.count(min(radius, COARSE))
    volumes = np.concatenate([mean[None], start(mean, COMPONENTS, setting.changing, rng)])
    power = shell_power(mean[None], cube) * np.array([1.0] + [CHANGE] * COMPONENTS)[:, None]
    for _ in range(ROUNDS):
        sums = expect(setting.coefficients, setting.views, rows, cube, volumes, count, FREE * setting.views.spread)
        found = solve_components(sums, cube, power)[1:] * setting.changing
        root = np.linalg.cholesky(sums.second + 1e-6 * np.eye(COMPONENTS))
        axes, deviations, _ = orthonormal(np.tensordot(root.T, found, axes=1).astype(np.float32))
        volumes = np.concatenate([mean[None], axes * deviations[:, None, None, None].astype(np.float32)])
    return volumes


# ----- How large a motion would have been found: swings of a part of the mean volume, added to the observations.
PART = 9  # the mass over that of the part that swings
FIRST = 20.0  # degrees from end to end that are tried first, then twice or half of them
CLEAR = 3e-4  # p-value of the linear test: nine of ten such sets reach 0.025, where *auto* says motion


def seen_swing(setting: Setting, mean: np.ndarray, radius: float, tolerance: float) -> dict[str, typing.Any]:
    """Which swings of a part of the molecule the linear test finds when they are added to observations that show none.

    Each observation gets the difference that its view shows between the mean volume and a state of the swing, with its
    own CTF or wedge; its noise and its faults stay. mean: (box, box, box). radius: as in find_motion. Returns seen and
    missed: degrees, None where no such swing was tried; sentence: what they say."""
    swing, found = _swing(mean * setting.changing), dict[bool, float]()
    for number in range(2):
        degrees = FIRST if number == 0 else FIRST / 2 if True in found else 2 * FIRST
        changes = np.stack([swing(angle) for angle in np.linspace(-degrees / 2, degrees / 2, 7)])
        planted, moved = _with_changes(setting, changes, min(radius, COARSE)), mean + changes.mean(0)
        components = functools.partial(voxel_components, planted, moved, radius, np.random.default_rng(0))
        p_value = find_motion(planted, moved, radius, components, tolerance).p_value
        found[p_value < CLEAR] = degrees
        setting.say(f"planted, a swing of {degrees:g}°: p = {p_value:.3g}")
    inside = " within the mask" * (np.ndim(setting.focus) > 0)
    seen, missed, part = found.get(True), found.get(False), f"of a ninth of the mass{inside}"
    words = f"A swing of {seen:g}° {part} would have been seen" if seen else f"No swing {part} would surely be seen"
    if missed:
        words += f"; one of {missed:g}° could have been missed" if seen else f", not even one of {missed:g}°"
    return dict(
        seen=seen, missed=missed, sentence=f"{words}{'.' if seen else ': this set cannot tell whether it moves.'}"
    )


def _swing(mean: np.ndarray) -> typing.Callable[[float], np.ndarray]:
    """Gives the change of a mean volume when the part at one end of its longest axis swings by so many degrees, about
    an axis across that end."""
    places, weights = np.indices(mean.shape).reshape(3, -1).T, np.clip(mean, 0, None).ravel()
    off = places - np.average(places, axis=0, weights=weights)
    axes = np.linalg.eigh((off.T * weights) @ off)[1]
    along = off @ axes[:, 2]
    order = np.argsort(-along)
    cut = along[order[np.searchsorted(np.cumsum(weights[order]), weights.sum() / PART)]]
    pivot = np.average(places, axis=0, weights=weights * np.exp(-((along - cut) ** 2)))
    part = mean * np.clip(0.5 + (along - cut) / 3, 0, 1).reshape(mean.shape)

    return lambda degrees: (_turned(part, np.radians(degrees) * axes[:, 1], pivot) - part).astype(np.float32)


def _with_changes(setting: Setting, changes: np.ndarray, radius: float) -> Setting:
    """The Setting with one of some changes of the volume in each observation, all equally often."""
    kept, views, planted = setting.coefficients, setting.views, copy.copy(setting.coefficients)
    count, cube = kept.count(radius), setting.cube(radius)
    path = Path(kept.files[0].filename).with_name("planted.npy")
    data = np.lib.format.open_memmap(path, "w+", np.complex64, (len(kept), count))
    # copies of an image show one molecule
    state = np.random.default_rng(0).permutation(setting.image.max() + 1)[setting.image] % len(changes)
    for number, change in enumerate(changes):
        table = cube.table(change)
        for part in batches(np.nonzero(state == number)[0], count):
            phase = np.exp(-2j * np.pi / kept.box * (views.shifts[part] @ kept.frequencies[:, :count]))
            shown = kept.shown(views, part, cube, table, count) * views.contrast[part, None]
            data[part] = kept.files[0][part, :count] + shown * phase * kept.scale[kept.ring[:count]]
    planted.files = (data, *kept.files[1:])
    return dataclasses.replace(setting, coefficients=planted)
