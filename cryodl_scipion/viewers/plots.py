# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings on matplotlib figures, without windows, so that tests can look at them."""

import csv
import os
import re
from typing import Any, Dict, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from ..convert.micrographs.picks import bestRound
from ..engine.cryodl.contract import score_text

PICK_COLOUR = "#19e57b"
_TRAINING, _VALIDATION, _METRIC = "#4477aa", "#cc6677", "#228833"
# Of curves that have none; a panel's own are left out, so that no two look alike.
_COLOURS = (_TRAINING, _METRIC, "#ccbb44", "#aa3377", "#66ccee", _VALIDATION, "#bbbbbb")
_FEW_CURVES = 3  # more have a small legend


def readMetrics(path: str) -> Dict[str, Any]:
    """{column: (n,) array} of metrics.csv; {} if it has no metrics yet. A last line that is being written is left
    out."""
    if not os.path.exists(path):
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file)]
    columns = list(rows[0]) if rows else []
    values = [[_number(row[c]) for c in columns] for row in rows if None not in row and None not in row.values()]
    return {name: np.array(column, float) for name, column in zip(columns, zip(*values))}


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return np.nan  # an empty cell: nothing was measured at this step


# Columns of metrics.csv in words, and colours; validation metrics of later methods get their own name.
_METRICS = {
    "validation_f1": ("F1", _METRIC),
    "validation_average_precision": ("average precision", _VALIDATION),
    "validation_frc": ("mean FRC with the ground truth", _METRIC),
    "validation_frc_raw": ("of the raw images", _VALIDATION),
    "validation_correlation": ("correlation with the targets", _METRIC),
    "validation_wiener_correlation": ("of the Wiener filter", None),
    "validation_correlation_before": ("of the original maps", _VALIDATION),
    "validation_q_score": ("Q-score", None),
    "validation_q_score_before": ("Q-score of the original maps", None),
}
_LOSSES = {
    "train_loss": ("training", _TRAINING),
    "validation_loss": ("validation", _VALIDATION),
    "train_atoms": ("training: 1 - Q-score", None),
    "train_presence": ("training: presence", None),
}
# A method with a discriminator has losses of several kinds.
_LOSS_COLUMNS = re.compile("train_|validation_loss$")


def drawCurves(figure: Figure, metrics: Dict[str, np.ndarray]) -> None:
    """Losses on the left, validation metrics on the right. figure: matplotlib figure, or a part of one."""
    figure.clear()
    left, right = figure.subplots(1, 2)
    losses = {name: _LOSSES.get(name, (name.replace("_", " "), None)) for name in metrics if _LOSS_COLUMNS.match(name)}
    validations = {
        name: _METRICS.get(name, (name[len("validation_") :].replace("_", " "), None))
        for name in metrics
        if name.startswith("validation_") and name not in losses
    }
    for axes, title, curves in ((left, "Loss", losses), (right, "On the validation data", validations)):
        taken = {colour for _, colour in curves.values()}
        axes.set_prop_cycle(color=[colour for colour in _COLOURS if colour not in taken])
        for column, (label, colour) in curves.items():
            known = np.isfinite(metrics[column])
            axes.plot(metrics["step"][known], metrics[column][known], ".-", label=label, color=colour)
        axes.set_xlabel("Training step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        # measured once: a denoiser without training steps, or the first validation
        if len(metrics.get("step", ())) == 1:
            axes.set_xticks(metrics["step"])
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small" if len(curves) > _FEW_CURVES else None)
    right.set_ylim(0, 1.02)
    if not metrics:
        left.text(0.5, 0.5, "No metrics yet", ha="center", transform=left.transAxes)


def drawTraining(figure: Any, metrics: Dict[str, np.ndarray], sample: Any = None) -> None:
    """The curves, and below them a picture, of what was kept for validation. sample: its path, None for none."""
    figure.clear()
    if sample is None:
        drawCurves(figure, metrics)
        figure.tight_layout()
        return
    if not metrics:  # nothing was learnt by steps
        drawPicture(figure, sample)
        return
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.2))
    drawCurves(above, metrics)
    above.subplots_adjust(left=0.08, right=0.98, bottom=0.18, top=0.9)
    drawPicture(below, sample)


def drawPicture(figure: Figure, path: str) -> None:
    """A picture file over the whole figure, in its own proportions."""
    figure.clear()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(imread(path), interpolation="antialiased")
    axes.set_axis_off()


def drawMicrograph(axes: Any, preview: Any, upwards: bool = False) -> None:
    """The micrograph in its own pixels, row 0 on top, or upwards as tomograms are shown; without ticks."""
    axes.clear()
    axes.set_axis_off()
    height, width = preview.pixels.shape
    # a preview pixel covers `binning` pixels; the first pixel's centre is (0, 0)
    extent = (-0.5, width * preview.binning - 0.5, height * preview.binning - 0.5, -0.5)
    axes.imshow(preview.pixels, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    if upwards:
        axes.invert_yaxis()


def view(axes: Any, preview: Any, centre: Any, span: Any) -> None:
    """Show `span` px of the micrograph around centre (x, y), moved inside; the whole if it is not larger."""
    down = axes.yaxis_inverted()
    for size, middle, setLimits in (
        (preview.width, centre[0], axes.set_xlim),
        (preview.height, centre[1], lambda *limits: axes.set_ylim(limits[::-1] if down else limits)),
    ):
        half = min(span, size) / 2
        middle = min(max(middle, half), size - half)
        setLimits(middle - half - 0.5, middle + half - 0.5)


def drawPicks(axes: Axes, picks: Sequence[Any], diameter: float) -> None:
    """Circles around picks. picks: (n, 2 or more) x, y. diameter: px. Replaces the circles of an earlier call."""
    for old in [c for c in axes.collections if c.get_gid() == "picks"]:
        old.remove()
    circles = PatchCollection(
        [Circle((p[0], p[1]), diameter / 2) for p in picks], facecolors="none", edgecolors=PICK_COLOUR, linewidths=1.2
    )
    circles.set_gid("picks")
    axes.add_collection(circles, autolim=False)


def drawHistogram(axes: Any, scores: Any, threshold: Any) -> None:
    """How many picks and candidates have which score, and where the threshold stands."""
    axes.hist(scores, bins=np.linspace(0, 1, 51), color=_TRAINING)
    axes.set_title(f"Scores of {len(scores)} candidates")
    axes.axvline(threshold, color=_VALIDATION, linestyle="--", label=f"threshold {score_text(threshold)}")
    axes.set_xlabel("Score")
    axes.set_ylabel("Picks and other candidates")
    if len(scores) and np.histogram(scores, 50, (0, 1))[0].max() > 20 * max(1, np.sum(scores >= threshold)):
        axes.set_yscale("log")  # many weak candidates would hide the few picks
    axes.legend()


def drawPerMicrograph(axes: Any, counts: Any) -> None:
    """Picks of each micrograph in the set's order, and their mean."""
    axes.bar(np.arange(1, len(counts) + 1), counts, width=0.9, color=_TRAINING)
    axes.set_title(f"{counts.sum()} picks")
    if len(counts):
        axes.axhline(np.mean(counts), color=_VALIDATION, linestyle="--", label=f"mean {np.mean(counts):.1f}")
        axes.legend()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Micrograph, in the set's order")
    axes.set_ylabel("Picks")


def drawRounds(axes: Axes, rounds: Sequence[Dict[str, Any]]) -> None:
    """How well each round of automatic picking tells picks from background, and its picks. rounds: of readRounds."""
    numbers = [entry["round"] for entry in rounds]
    axes.plot(numbers, [_orNan(entry.get("separation")) for entry in rounds], "o-", color=_METRIC, label="separation")
    for entry in rounds:
        if entry.get("picks") is not None and entry.get("separation") is not None:
            axes.annotate(
                f"{entry['picks']:.0f} picks",
                (entry["round"], entry["separation"]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
            )
    axes.axvline(bestRound(rounds), color=_VALIDATION, linestyle="--", label="best round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.15, y=0.25)
    axes.set_xlabel("Round (0: the first model)")
    axes.set_ylabel("Separation of picks and background\n(standard deviations, held-out micrographs)")
    axes.grid(alpha=0.3)
    axes.legend()


def _orNan(value: Optional[float]) -> Any:
    return np.nan if value is None else value


def shortened(name: str, maximum: int = 22) -> str:
    return name if len(name) <= maximum else name[: maximum - 3] + "..."


def drawMatrix(axes: Axes, values: Any, texts: Any, rows: Any, columns: Any, cmap: str, black: Any) -> None:
    """Values from 0 to 1 as colours with texts on them. black: whether each text is black, else it is white. rows,
    columns: names. All are arrays of the same shape."""
    axes.imshow(values, cmap=cmap, vmin=0, vmax=1)
    for (row, column), text in np.ndenumerate(texts):
        colour = "black" if black[row, column] else "white"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(columns)))
    axes.set_xticklabels([shortened(name) for name in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([shortened(name) for name in rows])
