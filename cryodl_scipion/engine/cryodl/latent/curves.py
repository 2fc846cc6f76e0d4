# SPDX-License-Identifier: GPL-3.0-or-later
"""A curve through the volumes, for motions too large for a linear space."""

import numpy as np

from .components import COARSE, ComponentFit, Setting, expected_power, learned
from .expectation import expect
from .posterior import CurvedCoordinate
from .solving import solve_components

DEGREE = 3  # of the curve's polynomials
ROUNDS = 4  # passes at first, and again to the finest detail


def along_curve(setting: Setting, fit: ComponentFit, radius: float) -> np.ndarray:
    """Place of each observation on a curve of volumes that begins along the first axis.

    Parameters
    ----------
    setting : components.Setting
    fit : components.ComponentFit
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
