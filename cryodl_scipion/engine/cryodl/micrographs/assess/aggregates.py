# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of aggregates: dark spots that crowd much more than elsewhere on the micrograph.

Where particles lie upon each other only some spots are stronger than single particles. What tells all of an aggregate
is how much dark matter there is around a spot, compared with the other spots of the same micrograph: on a dense
micrograph every particle has neighbours, and none stands out.
"""

import numpy as np
from scipy import ndimage

SPOT = 3.0  # of the smoothed image's noise: spots lower than this are noise
_REACH = 0.75  # diameters, standard deviation of the weights around a position
# Times the median spot, and robust standard deviations above it: simulated aggregates have 3 to 15 times the median
# inside, single particles up to 2.5; particles of EMPIAR-10017 and 10028 up to 2.
_CROWDED = (2.3, 5.0)
_RIM = (1.5, 1.5)
_FEWEST = 3  # spots
_ENOUGH = 8  # spots of a micrograph, to say what is usual


def find_aggregates(
    strength: np.ndarray, good: np.ndarray, inner: np.ndarray, diameter_px: float, limit: float
) -> np.ndarray:
    """(h, w) bool: where aggregates are.

    strength: (h, w), smoothed image over its noise, particles negative; beyond `limit` it counts as the limit. good,
    inner: (h, w) bool, where to look, and what of it is not at its rim. diameter_px: of a particle.
    """
    dark = np.clip(-strength, 0, limit) * good
    density, weight = (
        ndimage.gaussian_filter(part.astype(float), _REACH * diameter_px, truncate=3) for part in (dark, good)
    )
    density = np.where(good, density / np.maximum(weight, 0.5), 0)
    lowest = strength == ndimage.minimum_filter(strength, max(3, int(diameter_px / 2) | 1))
    spots = inner & good & lowest & (strength < -SPOT)
    if spots.sum() < _ENOUGH:
        return np.zeros(strength.shape, bool)
    usual = np.median(density[spots])
    spread = 1.4826 * np.median(np.abs(density[spots] - usual))
    rim, crowded = (max(factor * usual, usual + sigmas * spread) for factor, sigmas in (_RIM, _CROWDED))
    label, count = ndimage.label(density > rim)
    index = np.arange(count + 1)
    keep = (ndimage.maximum(density, label, index) > crowded) & (ndimage.sum(spots, label, index) >= _FEWEST)
    keep[0] = False
    return keep[label]
