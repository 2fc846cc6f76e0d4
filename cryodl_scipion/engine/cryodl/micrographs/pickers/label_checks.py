# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of labels against the micrographs: contrast of protein, and labels that are upside down. Both compare a
difference of Gaussians of a particle's size at the labels with the same at other positions."""

import dataclasses
import typing

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ...contract import say_if
from .crops import LabelledImage

# Wide enough (in diameters) that a hollow shell counts as one dense thing, too.
INNER, OUTER = 0.2, 0.5
# Standard deviations between the means of labels and of other places. On three real sets labels have +0.5 to +3.2 and
# the same labels upside down 0 to +0.1.
CLEAR = 0.25
SURE = 4.0  # standard errors by which a difference must be more than chance


@dataclasses.dataclass(frozen=True)
class Signal:
    """How labelled places differ from others. difference: of the means, in standard deviations of all places (protein
    bright: positive). error: its standard error."""

    difference: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether the difference is large and sure enough to go by."""
        return abs(self.difference) > max(CLEAR, SURE * self.error)


def label_signal(images: typing.Sequence[LabelledImage], diameter: float, upside_down: bool = False) -> Signal:
    """Signal of the labelled particles of LabelledImages prepared for dark protein. Picks that the user saw and did not
    remove count as well: corrections are where a picker erred, beside dirt for instance, and alone look unlike the
    particles. diameter: working px. upside_down: of the labels mirrored in y instead."""
    at_labels, total, squares, count = [], 0.0, 0.0, 0
    for item in images:
        image = np.asarray(item.image.numpy(), float)
        band = gaussian_filter(image, INNER * diameter) - gaussian_filter(image, OUTER * diameter)  # bright: positive
        ground = band[item.valid.numpy()]
        total, squares, count = total + ground.sum(), squares + (ground**2).sum(), count + ground.size
        yx = np.unique(np.concatenate([item.positives, item.machine]), axis=0)
        if upside_down:
            yx = np.stack([item.image.shape[0] - 1 - yx[:, 0], yx[:, 1]], 1)
        at_labels.append(map_coordinates(band, yx.T, order=1, mode="nearest"))
    values, mean = np.concatenate(at_labels), total / count
    deviation = max(float(np.sqrt(max(squares / count - mean**2, 0))), 1e-12)
    return Signal(float(values.mean() - mean) / deviation, 1 / len(values) ** 0.5)


def judge_contrast(signal: Signal, wanted: str) -> tuple[str, list[str]]:
    """'dark' or 'bright' protein, and sentences for the user. signal: of label_signal. wanted: 'auto', or what the user
    says; that is obeyed, and contradicted where the labels do."""
    seen = "dark" if signal.difference > 0 else "bright"
    measured = f"labelled positions differ from the rest by {abs(signal.difference):.2f} standard deviations"
    if wanted != "auto":
        return wanted, say_if(
            signal.clear and seen != wanted,
            f"Contrast (--contrast) is {wanted}, but the labelled particles look {seen}: {measured}. Check the "
            "contrast, or set it to auto to determine it from the labels.",
        )
    if not signal.clear:
        return "dark", [
            f"The labelled particles show no clear contrast ({measured}); protein is assumed to be dark. If it is "
            "bright, set --contrast bright; if the picks are poor, check that the labels belong to these "
            "micrographs."
        ]
    return seen, say_if(
        seen == "bright",
        f"Protein is bright in these micrographs ({measured}): they are inverted for the network, in training and in "
        "picking.",
    )


def upside_down_warning(signal: Signal, flipped: Signal) -> list[str]:
    """[sentence] if labels fit much better mirrored in y (flipped: their Signal then)."""
    return say_if(
        flipped.clear and abs(flipped.difference) > 3 * abs(signal.difference),
        "The coordinates seem to be upside down: mirrored labelled positions differ from the rest by "
        f"{abs(flipped.difference):.2f} standard deviations, unmirrored ones only by {abs(signal.difference):.2f}. The "
        "model will probably be useless. Count y from the other edge (height - 1 - y), or mirror the micrographs, and "
        "train again.",
    )
