# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement of a power spectrum's Thon rings with a fit, and the resolution to which they agree."""

from __future__ import annotations

import dataclasses

import numpy as np

from .cells import SpectrumCells
from .model import Microscope, defocus_at, window_loss
from .search import FoundRings

_RINGS = 3  # judged together
_MINIMUM = 3.0  # standard deviations of the noise that they must stand out


@dataclasses.dataclass(frozen=True)
class Profile:
    """A spectrum averaged over places of equal phase of the CTF.

    Parameters
    ----------
    frequency : (n,) array
        1/Å, at the mean defocus.
    data : (n,) array
        Power over its smooth background, less 1.
    model : (n,) array
        The CTF's power, less its mean, from -0.5 to 0.5.
    weights : (n,) array
        Samples.
    ring : (n,) int array
        Number of the ring: how often the CTF passed zero.
    noise : float
        Standard deviation of one sample of data.
    """

    frequency: np.ndarray
    data: np.ndarray
    model: np.ndarray
    weights: np.ndarray
    ring: np.ndarray
    noise: float


def phase_averaged(cells: SpectrumCells, microscope: Microscope, found: FoundRings) -> Profile:
    """The spectrum averaged over places of equal phase, which astigmatism does not blur."""
    defocus = defocus_at(cells.azimuth, found.defocus, found.astigmatism)
    equal = np.sqrt(cells.squared * np.maximum(defocus[:, None] / found.defocus, 0))
    width = cells.frequency[1] - cells.frequency[0]
    position = np.rint((equal - cells.frequency[0]) / width).astype(int)
    inside = (position >= 0) & (position < len(cells.frequency)) & (cells.weights > 0)
    weights, sums = (
        np.bincount(position[inside], w[inside], len(cells.frequency))
        for w in (cells.weights, cells.weights * cells.values)
    )
    data = sums / np.maximum(weights, 1)
    squared = cells.frequency**2
    phase = found.defocus * microscope.defocus_factor(squared) + microscope.fixed_phase(squared) + found.phase_shift
    loss = window_loss(2 * microscope.wavelength * found.defocus * cells.frequency / cells.tile)
    rest = ((cells.values - np.interp(equal, cells.frequency, data)) * np.sqrt(cells.weights))[inside]
    return Profile(
        cells.frequency,
        data,
        -0.5 * np.cos(2 * phase) * loss,
        weights,
        np.floor(phase / np.pi).astype(int),
        float(1.4826 * np.median(np.abs(rest))),
    )


def fit_resolution(profile: Profile) -> tuple[float, float]:
    """To where rings agree with the fit, and their correlation up to there.

    Returns
    -------
    float
        Å. The lowest frequency's, if they agree nowhere.
    float
        Correlation from -1 to 1.
    """
    numbers = np.arange(profile.ring.min(), profile.ring.max() + 1)
    scores = np.array(
        [_strength(profile, (profile.ring >= n - _RINGS // 2) & (profile.ring <= n + _RINGS // 2)) for n in numbers]
    )
    best = int(scores.argmax())
    last = best
    while last + 1 < len(numbers) and scores[last + 1] >= _MINIMUM:
        last += 1
    inside = profile.ring <= numbers[last]
    if not scores[best] >= _MINIMUM:
        return float(1 / profile.frequency[0]), 0.0
    return float(1 / profile.frequency[inside][-1]), _correlation(profile, inside)


def _strength(profile: Profile, where: np.ndarray) -> float:
    """How far the rings at some positions stand out, in standard deviations of the noise."""
    if where.sum() < 3:
        return 0.0
    weights, model, data = profile.weights[where], profile.model[where], profile.data[where]
    terms = np.stack([np.ones(len(model)), np.linspace(-1, 1, len(model))], 1) * np.sqrt(weights)[:, None]
    base = np.linalg.qr(terms)[0]
    model, data = (v * np.sqrt(weights) - base @ (base.T @ (v * np.sqrt(weights))) for v in (model, data))
    return float(model @ data / max(np.linalg.norm(model), 1e-12) / profile.noise)


def _correlation(profile: Profile, where: np.ndarray) -> float:
    weights, model, data = profile.weights[where], profile.model[where], profile.data[where]
    model, data = (v - np.average(v, weights=weights) for v in (model, data))
    spread = np.sqrt((weights * model**2).sum() * (weights * data**2).sum())
    return float((weights * model * data).sum() / max(spread, 1e-12))
