# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of assessed micrographs."""

from typing import Any, Dict, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pwem.objects import SetOfMicrographs

from ...convert.micrographs.ctfs import METRICS

GOOD_COLOUR, BAD_COLOUR = "#228833", "#cc6677"
AREA_COLOURS = {1: "#ee3333", 2: "#3366ee"}  # contaminated, carbon
_BINS = 24


def drawMetrics(figure: Figure, assessed: SetOfMicrographs, limits: Dict[str, Any]) -> None:
    """A histogram of each measured metric, with its limit, and a scatter of two of them.

    assessed: [({attribute: number or None}, good)]. limits: {attribute: number or None}.
    """
    figure.clear()
    measured = [a for a in METRICS if any(values[a] is not None for values, _ in assessed)]
    columns = 3
    rows = -(-(len(measured) + 1) // columns)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, attribute in zip(panels, measured):
        drawOne(axes, attribute, assessed, limits.get(attribute))
    if len(measured) > 1:
        drawScatter(panels[len(measured)], measured, assessed, limits)
    for axes in panels[len(measured) + (len(measured) > 1) :]:
        axes.set_axis_off()
    figure.tight_layout()


def drawOne(axes: Axes, attribute: str, assessed: SetOfMicrographs, limit: Optional[float]) -> None:
    """Histogram of one metric, good and bad micrographs on top of each other."""
    values = [
        [v[attribute] for v, good in assessed if good == kind and v[attribute] is not None] for kind in (True, False)
    ]
    known = np.concatenate([np.array(v, float) for v in values])
    low, high = known.min(), known.max()
    if limit is not None:  # seen beside the metrics, whose bars are then never thinner than the picture can show
        low, high = min(low, limit), max(high, limit)
    axes.hist(
        values,
        bins=[float(edge) for edge in np.linspace(low, high if high > low else low + 1, _BINS + 1)],
        stacked=True,
        color=[GOOD_COLOUR, BAD_COLOUR],
        label=["good", "bad"],
    )
    drawLimit(axes.axvline, limit)
    axes.set_xlabel(METRICS[attribute].label)
    axes.set_ylabel("Micrographs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def drawLimit(line: Any, limit: Optional[float]) -> None:
    if limit is not None:
        line(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:g}")


def drawScatter(axes: Axes, measured: Any, assessed: SetOfMicrographs, limits: Dict[str, Any]) -> None:
    """The first two of the most telling metrics that were measured, one point for each micrograph."""
    across, up = sorted(measured, key=_telling)[:2]
    for kind, colour, label in ((True, GOOD_COLOUR, "good"), (False, BAD_COLOUR, "bad")):
        points = [(v[across], v[up]) for v, good in assessed if good == kind and None not in (v[across], v[up])]
        if points:
            axes.plot(*zip(*points), ".", color=colour, label=label)
    drawLimit(axes.axvline, limits.get(across))
    drawLimit(axes.axhline, limits.get(up))
    axes.set_xlabel(METRICS[across].label)
    axes.set_ylabel(METRICS[up].label)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _telling(attribute: str) -> Any:
    order = ("_cryodlParticles", "_cryodlContaminated", "_cryodlCarbon", "_cryodlIceGradient", "_cryodlMeanScore")
    return order.index(attribute) if attribute in order else len(order)


def drawAreas(axes: Axes, areas: Any, preview: Any) -> None:
    """Contaminated and carbon areas over a micrograph. areas: as AssessedMicrographs gives them, or None."""
    for old in axes.images[1:]:
        old.remove()
    if areas is None:
        return
    colours = np.zeros((*areas.shape, 4))
    for kind, colour in AREA_COLOURS.items():
        colours[areas == kind] = to_rgba(colour, 0.35)
    extent, limits = (-0.5, preview.width - 0.5, preview.height - 0.5, -0.5), (axes.get_xlim(), axes.get_ylim())
    axes.imshow(colours, extent=extent, interpolation="nearest")
    axes.set_xlim(*limits[0])  # imshow shows all of it again
    axes.set_ylim(*limits[1])
