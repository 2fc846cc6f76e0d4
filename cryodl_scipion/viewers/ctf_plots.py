# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of estimated CTFs."""

from typing import List, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_DEFOCUS, _OTHER = "#4477aa", "#228833"
_BINS = 24


def drawDefocus(figure: Figure, rows: List[Tuple]) -> None:
    """Defocus of each micrograph in the order of the set, and histograms of defocus, astigmatism and resolution.

    Parameters
    ----------
    figure : matplotlib Figure
    rows : list of tuples
        Of ctfRows.
    """
    figure.clear()
    across, (defocus, astigmatism, resolution) = (
        figure.add_subplot(2, 1, 1),
        [figure.add_subplot(2, 3, position) for position in (4, 5, 6)],
    )
    numbers = range(1, len(rows) + 1)
    across.vlines(numbers, [row[2] / 1e4 for row in rows], [row[1] / 1e4 for row in rows], color=_DEFOCUS, alpha=0.5)
    across.plot(numbers, [(row[1] + row[2]) / 2e4 for row in rows], ".", color=_DEFOCUS)
    across.set_xlabel("Micrograph")
    across.set_ylabel("Defocus, V to U (µm)")
    across.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes, values, label in (
        (defocus, [(row[1] + row[2]) / 2e4 for row in rows], "Mean defocus (µm)"),
        (astigmatism, [row[4] for row in rows], "Astigmatism (Å)"),
        (resolution, [row[5] for row in rows], "Rings fitted to (Å)"),
    ):
        axes.hist(values, bins=_BINS, color=_OTHER)
        axes.set_xlabel(label)
        axes.set_ylabel("Micrographs")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.tight_layout()


def drawProfile(axes: Axes, profile: dict) -> None:
    """A power spectrum, averaged over equal phases, and the fitted CTF.

    Parameters
    ----------
    axes : matplotlib Axes
    profile : dict
        frequency (1/Å), data and model of the engine's fit.
    """
    spread = max(sorted(abs(v) for v in profile["data"])[int(0.98 * (len(profile["data"]) - 1))], 1e-6)
    axes.plot(profile["frequency"], [v / spread for v in profile["data"]], color=_DEFOCUS, label="power spectrum")
    axes.plot(profile["frequency"], [2 * v for v in profile["model"]], color="#cc6677", label="CTF")
    axes.set_ylim(-1.3, 1.3)
    axes.set_xlabel("Spatial frequency (1/Å)")
    axes.set_yticks([])
    axes.legend(loc="lower right", fontsize=8)
