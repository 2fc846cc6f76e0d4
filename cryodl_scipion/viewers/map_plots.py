# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of maps: slices, and correlations of their shells."""

import warnings
from typing import Any, Dict, List, Optional, Tuple

import mrcfile
import numpy as np
from matplotlib.axes import Axes

AXES = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))  # across which a slice is, and what runs right and up on it
MARK = "#cc6677"


def readMap(path: str, stack: bool = False) -> Any:
    """(d, h, w) map, read from the disk as it is needed. stack: (n, d, h, w), a stack of them.

    Raises FileNotFoundError, ValueError that name the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = mrcfile.mmap(path.split(":")[0], permissive=True).data
        except FileNotFoundError:
            raise FileNotFoundError(f"The map {path} does not exist.") from None
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"The map {path} cannot be read: {error}") from None
    if data is None or data.ndim != 3 + stack:
        raise ValueError(
            f"{path} is not a map: it has {'no' if data is None else data.ndim} dimensions, not {3 + stack}."
        )
    return data


def drawFsc(
    axes: Axes,
    curves: Any,
    pixelSize: float,
    box: int,
    resolution: Optional[float] = None,
    thresholds: Any = (0.143, 0.5),
) -> None:
    """Fourier shell correlation curves, whose rings begin with 0. curves: {label: values}. resolution: Å, marked."""
    longest = max([2] + [len(values) for values in curves.values()])
    drawFscAt(axes, np.arange(longest) / (box * pixelSize), curves, resolution, thresholds)


def drawFscOfMap(axes: Axes, made: Any, comment: str = "") -> None:
    """The curve of a map's halves. made: the engine's outputs. comment: what makes that it tells no resolution."""
    drawFsc(axes, {"half-maps": made.fsc}, made.pixel_size, made.box, None if comment else made.resolution)
    axes.set_title(comment or f"{made.count} particles", fontsize=10)


def drawFscAt(
    axes: Axes,
    frequencies: Any,
    curves: Dict[str, List[float]],
    resolution: Optional[float] = None,
    thresholds: Tuple[float, float] = (0.143, 0.5),
) -> None:
    """As drawFsc. frequencies: 1/Å of the curves' values, the first of which is that at 0."""
    for label, values in curves.items():
        axes.plot(frequencies[1 : len(values)], values[1:], label=label)
    for threshold in thresholds:
        axes.axhline(threshold, color="grey", linestyle=":", linewidth=1)
        axes.annotate(
            f"{threshold:g}", (1, threshold), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )
    if resolution:
        axes.axvline(1 / resolution, color=MARK, linestyle="--", label=f"{resolution:.3g} Å")
    axes.set_ylim(-0.1, 1.05)
    axes.set_xlim(0, frequencies[-1])
    axes.set_xlabel("Resolution (Å)")
    axes.set_ylabel("Fourier shell correlation")
    axes.xaxis.set_major_formatter(lambda frequency, position: f"{1 / frequency:.3g}" if frequency > 0 else "∞")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
