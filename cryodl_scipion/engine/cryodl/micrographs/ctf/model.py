# SPDX-License-Identifier: GPL-3.0-or-later
"""The phase of the contrast transfer function, and what it does to the power spectrum of a tile."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Microscope:
    """What is known of the microscope.

    Parameters
    ----------
    voltage : float
        Acceleration voltage, kV.
    spherical_aberration : float
        mm.
    amplitude_contrast : float
        Fraction from 0 to 1.
    """

    voltage: float
    spherical_aberration: float
    amplitude_contrast: float

    @property
    def wavelength(self) -> float:
        """Wavelength of the electrons, Å, with the relativistic correction."""
        volts = 1e3 * self.voltage
        return 12.2642598 / np.sqrt(volts * (1 + 0.978475598e-6 * volts))

    def defocus_factor(self, squared: ArrayLike) -> np.ndarray:
        """Radians of phase for each Å of defocus.

        Parameters
        ----------
        squared : array
            Squared spatial frequency, 1/Å^2.
        """
        return np.pi * self.wavelength * np.asarray(squared)

    def fixed_phase(self, squared: ArrayLike) -> np.ndarray:
        """Radians of phase without defocus: spherical aberration and amplitude contrast.

        Parameters
        ----------
        squared : array
            Squared spatial frequency, 1/Å^2.
        """
        aberration = 1e7 * self.spherical_aberration  # mm to Å
        return (
            np.arcsin(self.amplitude_contrast)
            - 0.5 * np.pi * aberration * self.wavelength**3 * np.asarray(squared) ** 2
        )


def defocus_at(azimuth: ArrayLike, defocus: float, astigmatism: ArrayLike) -> np.ndarray:
    """Defocus in some directions.

    Parameters
    ----------
    azimuth : array
        Directions from the x axis towards the y axis, radians.
    defocus : float
        Mean of the largest and the smallest defocus, Å.
    astigmatism : (2,) array
        Half the difference of the largest and the smallest defocus, Å, times cosine and sine of twice the angle of
        the largest one.

    Returns
    -------
    array of the shape of azimuth, Å
    """
    double = 2 * np.asarray(azimuth)
    cosine, sine = np.asarray(astigmatism)
    return defocus + cosine * np.cos(double) + sine * np.sin(double)


def window_loss(lag: ArrayLike) -> np.ndarray:
    """How much a Hann window weakens a wave in the power spectrum.

    A tile's power spectrum is the true one, smoothed. Rings narrower than a tile can resolve become weaker.

    Parameters
    ----------
    lag : array
        Waves for each unit of frequency over the side of the tile: how far the rings' wave is from the tile's centre.

    Returns
    -------
    array of the same shape
        From 1 (not weakened) to 0: the autocorrelation of the window.
    """
    lag = np.minimum(np.abs(lag), 1.0)
    return ((1 - lag) * (2 + np.cos(2 * np.pi * lag)) + 1.5 / np.pi * np.sin(2 * np.pi * lag)) / 3
