# SPDX-License-Identifier: GPL-3.0-or-later
"""The CTF of one micrograph."""

from __future__ import annotations

import dataclasses

import numpy as np

from .cells import spectrum_cells
from .model import Microscope
from .quality import Profile, fit_resolution, phase_averaged
from .rings import Rings
from .search import FoundRings, SearchRange, find_rings
from .spectrum import mean_spectrum

FINEST = 3.0  # Å: beyond this rings are not looked for
NYQUIST = 0.95  # part of the highest frequency that is used
# Below them the defocus is wrong in many micrographs (docs/bench_picking.md has the table).
MIN_STRENGTH = 10.0
MIN_LEAD = 12.0  # natural logarithm of how much likelier the best rings are than any other
MIN_CORRELATION = 0.45
_MIN_RINGS = 2.0  # that must lie in the spectrum


@dataclasses.dataclass(frozen=True)
class CtfFit:
    """A fitted CTF.

    Parameters
    ----------
    defocus_u, defocus_v : float
        Largest and smallest defocus, Å; underfocus is positive.
    defocus_angle : float
        Direction of defocus_u, degrees from the x axis (columns) towards the y axis (rows), from 0 to 180.
    phase_shift : float
        Degrees.
    resolution : float
        Å: to where the rings agree with the fit.
    correlation : float
        Of the spectrum, averaged over equal phases, with the fit.
    strength : float
        How far the rings stand out, in standard deviations of the noise.
    second_best : float
        The same of the best rings at another defocus.
    power : (side, side // 2 + 1) array
        Mean power spectrum.
    """

    defocus_u: float
    defocus_v: float
    defocus_angle: float
    phase_shift: float
    resolution: float
    correlation: float
    strength: float
    second_best: float
    power: np.ndarray
    profile: Profile


def estimate_ctf(
    image: np.ndarray,
    pixel_size: float,
    microscope: Microscope,
    limits: SearchRange,
    lowest_resolution: float = 30.0,
    highest_resolution: float = 5.0,
) -> CtfFit:
    """The CTF of a micrograph.

    Parameters
    ----------
    image : (h, w) float32 array
        As read.
    pixel_size : float
        Å/px.
    lowest_resolution, highest_resolution : float
        Å: the rings between them are fitted. The second is not finer than the pixels allow.

    Raises
    ------
    ValueError
        For an image without a spectrum, or without rings that stand out of the noise.
    """
    power, tiles = mean_spectrum(image, pixel_size)
    highest = min(1 / highest_resolution, NYQUIST * 0.5 / pixel_size)
    cells = spectrum_cells(power, tiles, pixel_size, 1 / lowest_resolution, highest)
    found = find_rings(Rings(cells, microscope), limits)
    wide = spectrum_cells(power, tiles, pixel_size, 1 / lowest_resolution, min(1 / FINEST, NYQUIST * 0.5 / pixel_size))
    profile = phase_averaged(wide, microscope, found)
    resolution, correlation = fit_resolution(profile)
    return _fit(found, resolution, correlation, power, profile)


def checked(fit: CtfFit) -> CtfFit:
    """A fit that can be trusted.

    Returns
    -------
    CtfFit
        The same.

    Raises
    ------
    ValueError
        If the rings cannot be told from noise, or another defocus explains them about as well.
    """
    if not fit.strength >= MIN_STRENGTH:  # also where it is not a number
        raise ValueError(
            f"its power spectrum has no significant Thon rings: the best fit is {fit.strength:.1f} standard "
            f"deviations above the noise, and {MIN_STRENGTH:g} are needed. The signal is too weak, or pixel size, "
            "voltage or defocus range are wrong."
        )
    if fit.correlation < MIN_CORRELATION:
        mean = 0.5 * (fit.defocus_u + fit.defocus_v)
        raise ValueError(
            f"its power spectrum does not agree with the best defocus, {mean:.0f} Å: the correlation is "
            f"{fit.correlation:.2f}, and {MIN_CORRELATION:g} is needed. The signal is too weak, or pixel size, "
            "voltage or defocus range are wrong."
        )
    lead = 0.5 * (fit.strength**2 - fit.second_best**2)
    if lead < MIN_LEAD:
        raise ValueError(
            "its defocus is ambiguous: another value fits the power spectrum about as well as the best, "
            f"{0.5 * (fit.defocus_u + fit.defocus_v):.0f} Å (strengths {fit.second_best:.1f} and {fit.strength:.1f}). "
            "Narrow the defocus range, or leave the micrograph out."
        )
    return fit


def lowest_defocus(microscope: Microscope, pixel_size: float, highest_resolution: float) -> float:
    """The smallest defocus that has enough rings in the spectrum to be found.

    Parameters
    ----------
    pixel_size : float
        Å/px.
    highest_resolution : float
        Å.

    Returns
    -------
    float
        Å.
    """
    highest = min(1 / highest_resolution, NYQUIST * 0.5 / pixel_size)
    return _MIN_RINGS / (microscope.wavelength * highest**2)


def _fit(found: FoundRings, resolution: float, correlation: float, power: np.ndarray, profile: Profile) -> CtfFit:
    half = float(np.hypot(*found.astigmatism))
    angle = float(np.degrees(0.5 * np.arctan2(found.astigmatism[1], found.astigmatism[0])) % 180)
    return CtfFit(
        found.defocus + half,
        found.defocus - half,
        angle,
        float(np.degrees(found.phase_shift)),
        resolution,
        correlation,
        found.strength,
        found.second_best,
        power,
        profile,
    )
