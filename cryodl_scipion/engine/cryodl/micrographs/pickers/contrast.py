# SPDX-License-Identifier: GPL-3.0-or-later
"""Contrast of protein in micrographs: a picker finds far fewer particles with the wrong sign."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ...io.files import spread_first
from ...io.micrographs import read_micrograph
from .thresholds import Expectation, expected_counts

# Micrographs looked at: one may be empty or carbon, and each costs as much as picking it twice.
MAX_MICROGRAPHS = 5
# Noise and the gaps between crowded particles look a little like particles of the other sign, to middling scores. So
# sure particles are counted (Expectation.sure): on three real sets the right sign has at least 1.7 times as many, while
# the plain expected number of the general model on EMPIAR-10028 is 227 to 180. The winner must be this much better ...
CLEAR_RATIO = 1.4
# ... and by more than chance: standard deviations of the difference, and particles in all.
CLEAR_DEVIATIONS, MINIMUM = 3.0, 5.0


@dataclasses.dataclass(frozen=True)
class ContrastFound:
    """What the comparison found. contrast: 'dark' or 'bright'. clear: False if it only is the usual one, for want of a
    clear difference. dark, bright: Expectation with either sign. micrographs: how many were looked at."""

    contrast: str
    clear: bool
    dark: Expectation
    bright: Expectation
    micrographs: int

    def sentence(self) -> str:
        """For the log and the result's warnings."""
        found = (
            f"with dark protein {self.dark.particles:.0f} particles are expected, {self.dark.confident:.0f} of them "
            f"with confidence; with bright protein {self.bright.particles:.0f} and {self.bright.confident:.0f} "
            f"({self.micrographs} micrographs compared)"
        )
        if self.clear:
            return f"Protein is {self.contrast}: {found}."
        return (
            f"Contrast is not clear: {found}. Protein is assumed to be {self.contrast}, as in the model's training. "
            "Check the picks, and give the contrast (--contrast) if this is wrong."
        )


def scores_of_some(
    candidates: typing.Callable[..., typing.Any], paths: typing.Sequence[str], contrasts: tuple[str]
) -> dict[str, list[np.ndarray]]:
    """{contrast: [(n,) scores]} of a few readable micrographs.

    candidates: function of (image (h, w), contrast) that returns positions and scores. paths: micrographs, of which
    those evenly spread over the list come first; those that cannot be read or picked are passed over here: picking
    reports them.
    """
    scores: dict[str, list[typing.Any]] = {contrast: [] for contrast in contrasts}
    for path in spread_first(paths, MAX_MICROGRAPHS):
        if len(scores[contrasts[0]]) == MAX_MICROGRAPHS:
            break
        try:
            image = read_micrograph(path)
            found = {contrast: candidates(image, contrast)[1] for contrast in contrasts}
        except (ValueError, FileNotFoundError):
            continue
        for contrast, values in found.items():
            scores[contrast].append(values)
    return scores


def compare_contrasts(scores: typing.Mapping[str, list[np.ndarray]], typical: str = "dark") -> ContrastFound:
    """ContrastFound from {'dark', 'bright': [(n,) calibrated scores of each micrograph]}.

    typical: the contrast that is taken if there is no clear difference.
    """
    dark, bright = (sum((expected_counts(s, 1.0) for s in scores[c]), Expectation()) for c in ("dark", "bright"))
    return decide(dark, bright, len(scores["dark"]), typical)


def decide(dark: Expectation, bright: Expectation, micrographs: int, typical: str = "dark") -> ContrastFound:
    """ContrastFound from the Expectation with either sign."""
    more, less = (dark, bright) if dark.confident >= bright.confident else (bright, dark)
    difference, deviation = more.confident - less.confident, float(np.hypot(more.deviation, less.deviation))
    clear = (
        more.confident >= MINIMUM
        and more.confident >= CLEAR_RATIO * less.confident
        and difference >= CLEAR_DEVIATIONS * deviation
    )
    winner = "dark" if more is dark else "bright"
    return ContrastFound(winner if clear else typical, clear, dark, bright, micrographs)
