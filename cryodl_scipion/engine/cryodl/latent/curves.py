# SPDX-License-Identifier: GPL-3.0-or-later
"""A curve through the volumes, for motions too large for a linear space."""

from __future__ import annotations

import typing

import numpy as np

from .components import CHANGE, COARSE, ComponentFit, Setting, learned
from .expectation import expect
from .posterior import CurvedCoordinate
from .solving import shell_power, solve_components

if typing.TYPE_CHECKING:
    from .cube import Cube

DEGREE = 3  # of the curve's polynomials
ROUNDS = 4  # passes at first, and again to the finest detail


def along_curve(setting: Setting, fit: ComponentFit, radius: float) -> np.ndarray:
    """Place of each observation on a curve of volumes that begins along the first axis.

    Parameters
    ----------
    radius : float, no unit
        Finest frequency, waves per box.

    Returns
    -------
    ndarray, (n,)
        With the sign and the standard deviation of the coordinate along the first axis.
    """
    position, _ = fit_curve(setting, fit, DEGREE, radius)
    return scaled_position(position, fit.latent[:, 0])


def scaled_position(position: np.ndarray, coordinate: np.ndarray) -> np.ndarray:
    """A position along a curve with the sign and the standard deviation of a coordinate.

    Parameters
    ----------
    position, coordinate : ndarray, (n,)

    Returns
    -------
    ndarray, (n,)
    """
    sign = np.sign(np.corrcoef(position, coordinate)[0, 1]) or 1.0
    return (position - position.mean()) * sign * coordinate.std() / max(position.std(), 1e-12)


def fit_curve(setting: Setting, fit: ComponentFit, degree: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A curve through the volumes that begins along the first axis.

    Returns
    -------
    coordinate : ndarray, (n,)
        Place of each image on the curve, -1 to 1.
    volumes : ndarray, (degree + 1, box, box, box)
        The mean and the components of posterior.CurvedCoordinate.
    """
    curve, sigmas = CurvedCoordinate(degree), fit.sigmas
    volumes = np.zeros((degree + 1, *fit.mean.shape), np.float32)
    volumes[0] = fit.mean
    volumes[1] = fit.axes[0] * fit.deviations[0] * 3**0.5  # a uniform coordinate has the variance 1 / 3
    for limit, rounds in ((min(COARSE, radius), ROUNDS), (radius, ROUNDS)):
        cube, count = setting.cube(limit), setting.coefficients.count(limit)
        power = expected_power(setting, fit.mean, cube, degree)
        for step in range(rounds):
            sums = expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, sigmas, curve)
            volumes = solve_components(sums, cube, power) * setting.mask
            volumes[1:] *= setting.focus
            sigmas = learned(sums, setting.views)
            setting.say(f"curve to {limit:g} waves per box, pass {step + 1}")
    sums = expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, sigmas, curve, False)
    return sums.latent[:, 0], volumes


def expected_power(setting: Setting, mean: np.ndarray, cube: Cube, number: int) -> np.ndarray:
    """Prior of solve_components.

    Outside the region that may change the components are set to 0 after they were solved, and with it goes all but
    that part of their noise. A component's expected power is raised in the same proportion: it is weighed against the
    noise that stays. Only the curve takes it: several principal components at once are damped more, since their
    coordinates would be noisier.

    Parameters
    ----------
    mean : ndarray, (box, box, box)
    number : int
        Of components.

    Returns
    -------
    ndarray, (number + 1, rings)
        Of the mean, and of the components.
    """
    part = max(float((setting.mask * setting.focus).mean()), 1 / mean.size)
    return shell_power(mean[None], cube) * np.array([1.0] + [CHANGE / part] * number)[:, None]
