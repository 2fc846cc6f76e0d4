# SPDX-License-Identifier: GPL-3.0-or-later
"""One micrograph compared with templates: candidates, and those of its negative, which tell what chance gives."""

from __future__ import annotations

import numpy as np
import torch

from ...core.geometry import inside, map_positions
from ...core.peaks import LocalCorrelation, find_peaks
from ..normalize import prepare_micrograph
from ..pickers.predict import check_particle_fits
from .views import ACROSS, Templates

LOWEST = 0.1  # correlation below which a position is no candidate
QUIET = 0.3  # of the micrograph's median variance: quieter positions are not blown up
AT_ONCE = 8  # templates that are compared together: more take more memory and no less time


def candidates(
    image: np.ndarray, pixel_size: float, templates: Templates, distance: float, dark: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of a micrograph that look like one of the templates.

    Parameters
    ----------
    image : (h, w) float32 as read
    pixel_size : Å/px

    Returns
    -------
    yx : (n, 2) px of the micrograph, best first
    scores : (n,) the highest correlation coefficient over all templates
    false : (m,) the same of the candidates of the negative, where no particle is

    Raises
    ------
    ValueError
        The image has no contrast, or the particle does not fit it.
    """
    check_particle_fits(image.shape, pixel_size, templates.diameter)
    factor = ACROSS * pixel_size / templates.diameter
    prepared = prepare_micrograph(image, factor, ACROSS, dark)
    highest, lowest = extremes(prepared.image, templates)
    apart = max(1.0, distance / pixel_size * factor)
    yx, scores = find_peaks(highest, apart, LOWEST, prepared.valid)
    _, false = find_peaks(-lowest, apart, LOWEST, prepared.valid)
    yx = map_positions(yx, prepared.image.shape, prepared.shape)
    # the nearest pixel must exist too: Scipion's coordinates are whole numbers
    keep = inside(yx, image.shape) & inside(np.rint(yx), image.shape)
    return yx[keep], scores[keep], false


def extremes(image: torch.Tensor, templates: Templates) -> tuple[torch.Tensor, torch.Tensor]:
    """(h, w) highest and lowest correlation coefficient over all templates at each position."""
    compared = LocalCorrelation(image, templates.disc, QUIET)
    highest, lowest = torch.full(image.shape, -1.0), torch.full(image.shape, 1.0)
    for part in templates.images.split(AT_ONCE):
        scores = compared.scores(part)
        highest, lowest = torch.maximum(highest, scores.amax(0)), torch.minimum(lowest, scores.amin(0))
    return highest, lowest


def threshold_by_negative(scores: np.ndarray, false: np.ndarray) -> float:
    """The correlation from which the expected F1 is largest, if chance gives as many candidates as the negative has.

    scores: (n,) of the candidates. false: (m,) of the negative's. 1 if there are no candidates.
    """
    if not len(scores):
        return 1.0
    ranked = np.sort(scores)[::-1]
    picks = np.arange(1, len(ranked) + 1)
    by_chance = len(false) - np.searchsorted(np.sort(false), ranked)
    right = np.maximum.accumulate(picks - np.minimum(by_chance, picks))
    if not right[-1]:
        return 1.0
    return float(ranked[np.argmax(2 * right / (picks + right[-1]))])
