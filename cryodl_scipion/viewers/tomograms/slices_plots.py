# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of what lies over a slice of a tomogram: labels, scores, positions."""

from typing import Any, Dict, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Patch

from ..plots import PICK_COLOUR
from .slices_data import NOT_ANNOTATED

# Paul Tol's bright colours, for the colour-blind; as in the engine's scripts for ChimeraX, so that both look alike.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
_UNSURE = "#888888"
CROWD, _DOT = 200, 1.5  # circles in a slice; px of the tomogram
_OVERLAY = "overlay"
_HEAT = "inferno"
_LEGEND: Dict[str, Any] = dict(loc="upper right", facecolor="black", labelcolor="white", framealpha=0.7)


def labelColour(label: int) -> str:
    """label: 1, 2, ...; 255 is what nobody annotated."""
    return _UNSURE if label == NOT_ANNOTATED else COLOURS[(label - 1) % len(COLOURS)]


def labelName(label: int, names: Sequence[str]) -> str:
    """What a label is called. names: of labels 1, 2, ..."""
    if label == NOT_ANNOTATED:
        return "not annotated"
    return f"{label} {names[label - 1]}" if label <= len(names) else f"label {label}"


def clearOverlay(axes: Any) -> None:
    """Take away what the functions below drew earlier, and the legend."""
    for artist in [a for a in list(axes.images) + list(axes.collections) if a.get_gid() == _OVERLAY]:
        artist.remove()
    if axes.get_legend() is not None:
        axes.get_legend().remove()


def drawLabels(
    axes: Any, labels: np.ndarray, names: Any, extent: Tuple[float, float, float, float], opacity: float
) -> None:
    """A slice of labels, each in its colour, 0 clear; and a legend of those that are named or seen.

    labels: (h, w) int. extent: of matplotlib, the tomogram's. opacity: 0 to 1.
    """
    seen = [label for label in np.unique(labels) if label > 0]
    rgba = np.zeros(labels.shape + (4,))
    for label in seen:
        rgba[labels == label] = to_rgb(labelColour(label)) + (opacity,)
    axes.imshow(rgba, extent=extent, interpolation="nearest").set_gid(_OVERLAY)
    listed = sorted(set(range(1, len(names) + 1)) | set(seen))
    if listed:
        axes.legend(
            handles=[Patch(color=labelColour(label), label=labelName(label, names)) for label in listed], **_LEGEND
        )


def drawScores(
    axes: Any,
    scores: np.ndarray,
    name: str,
    extent: Tuple[float, float, float, float],
    opacity: float,
    threshold: float,
) -> None:
    """A slice of scores as a heat map of those that reach the threshold. scores: (h, w) 0 to 1."""
    shown = np.ma.masked_less(np.nan_to_num(scores), max(threshold, 1e-6))
    axes.imshow(shown, cmap=_HEAT, vmin=0, vmax=1, alpha=opacity, extent=extent, interpolation="nearest").set_gid(
        _OVERLAY
    )
    axes.legend(
        handles=[
            Patch(color=matplotlib.colormaps[_HEAT](value), label=f"{name} {value:.2f}")
            for value in np.unique(np.round([threshold, (1 + threshold) / 2, 1.0], 2))
        ],
        **_LEGEND,
    )


def drawPoints(axes: Axes, circles: Any, species: Sequence[int] = (), names: Sequence[str] = ()) -> None:
    """Positions near a slice, in a colour for each species, with a legend where there are several.

    circles: (n, 3) x, y, radius in px; dots are drawn if there are more than CROWD of them, which would hide the slice.
    species: (n,) positions in names. names: of all species of the tomograms.
    """
    several, crowd = len(names) > 1, len(circles) > CROWD
    colours = [labelColour(number + 1) for number in species] if several else PICK_COLOUR
    collection = PatchCollection(
        [Circle((x, y), min(radius, _DOT) if crowd else radius) for x, y, radius in circles],
        facecolors=colours if crowd else "none",
        edgecolors=colours,
        linewidths=0.4 if crowd else 1.2,
    )
    collection.set_gid(_OVERLAY)
    axes.add_collection(collection, autolim=False)
    if several and axes.get_legend() is None:
        axes.legend(handles=[Patch(color=labelColour(n), label=name) for n, name in enumerate(names, 1)], **_LEGEND)
