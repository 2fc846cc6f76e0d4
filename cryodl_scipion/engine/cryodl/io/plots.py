# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that the engine leaves beside its results."""

import importlib.util
import os
import typing

import numpy as np

from ..core.calibration import expected_calibration_error, reliability
from .files import whole_file, whole_rows


def can_draw() -> bool:
    """Whether matplotlib is there, as in every installed engine. Without it a training draws nothing."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_learning_curve(metrics: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Losses and validation metrics of a metrics.csv as a PNG. Columns named validation_* are drawn as they come."""
    rows = whole_rows(metrics)
    steps, columns = [int(r["step"]) for r in rows], list(rows[0]) if rows else []
    figure, ((left, right),) = new_figure(1, 2, (9, 3.2))
    for column in [c for c in columns if c.startswith("train_") or c == "validation_loss"]:
        left.plot(steps, [float(r[column]) for r in rows], marker=".", label=column.replace("_", " "))
    for column in [c for c in columns if c.startswith("validation_") and c != "validation_loss"]:
        right.plot(
            steps, [float(r[column]) for r in rows], marker=".", label=column[len("validation_") :].replace("_", " ")
        )
    for axes, title in ((left, "loss"), (right, "validation")):
        axes.set(xlabel="training step", title=title)
        axes.legend()
    right.set_ylim(0, 1.02)
    save_figure(figure, path)


def plot_precision_recall(
    curves: typing.Mapping[str, tuple[np.ndarray, np.ndarray, tuple[float, float]]], path: str | os.PathLike[str]
) -> None:
    """Precision against recall of several sets as a PNG. curves: {set: (precision (n,), recall (n,), (recall,
    precision) of the picks as they were given)}; the last is a dot."""
    figure, ((axes,),) = new_figure(1, 1, (5.6, 4.6))
    for level in (0.2, 0.4, 0.6, 0.8):
        iso = [level / (2 - level) + i * (1 - level / (2 - level)) / 100 for i in range(101)]
        axes.plot(iso, [level * r / (2 * r - level) for r in iso], color="0.85", linewidth=0.8, zorder=0)
        axes.annotate(f"F1 {level}", (1.0, iso[0]), color="0.6", fontsize=7, ha="right", va="center")
    for name, (precision, recall, point) in curves.items():
        (line,) = axes.plot(recall, precision, linewidth=1.5, label=name)
        axes.plot(*point, marker="o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02), title="Picks against the reference")
    axes.legend(loc="lower left", fontsize=8)
    save_figure(figure, path)


def plot_squares(
    parts: np.ndarray,
    written: typing.Sequence[typing.Sequence[str]],
    rows: typing.Sequence[str],
    columns: typing.Sequence[str],
    path: str | os.PathLike[str],
    colours: str,
    **labels: str,
) -> None:
    """A table as a PNG of coloured squares. parts: (r, c) in [0, 1], their colours. written: (r, c) texts on them.
    rows, columns: names. colours: what they stand for. labels: of the axes, and a title."""
    side = 0.55 * max(len(rows), len(columns)) + 2.2
    figure, ((axes,),) = new_figure(1, 1, (side + 0.6, side))
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    for (row, column), part in np.ndenumerate(parts):
        ink = "white" if part > 0.55 else "black"
        axes.text(column, row, written[row][column], ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(**labels)
    figure.colorbar(image, label=colours, shrink=0.8)
    save_figure(figure, path)


def plot_reliability(hit: np.ndarray, scores: np.ndarray, path: str | os.PathLike[str], bins: int = 10) -> None:
    """The reliability curve of scores as a PNG: share of particles over score, and how many positions have each score.
    hit: (n,) bool. scores: (n,) in [0, 1]. Raises ValueError as core.calibration.reliability."""
    curve, error = reliability(hit, scores, bins), expected_calibration_error(hit, scores, bins)
    figure, ((axes,),) = new_figure(1, 1, (4.2, 4))
    some = curve.count > 0
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfect")
    axes.plot(curve.confidence[some], curve.frequency[some], marker="o", label=f"calibration error {error:.3f}")
    share = curve.count / max(curve.count.sum(), 1)
    axes.bar(
        (np.arange(bins) + 0.5) / bins, share, width=0.9 / bins, color="0.85", zorder=0, label="fraction of positions"
    )
    axes.set(xlabel="score", ylabel="fraction that are particles", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    save_figure(figure, path)


def plot_rounds(entries: typing.Sequence[dict[str, typing.Any]], path: str | os.PathLike[str]) -> None:
    """The rounds of automatic picking as a PNG: how they were judged, and how many picks they made. entries: of
    rounds.csv."""
    figure, ((left, right),) = new_figure(1, 2, (9, 3.2))
    numbers = [e["round"] for e in entries]
    values = lambda column: [np.nan if e[column] is None else e[column] for e in entries]
    (first,) = left.plot(numbers, values("separation"), marker="o")
    left.set(xlabel="round", ylabel="separation (d')", ylim=(0, None))  # else a loss of a hundredth looks large
    other = left.twinx()
    (second,) = other.plot(numbers, values("agreement"), marker="o", color="C1", linestyle="--")
    other.set(ylim=(0, 1.02), ylabel="agreement (F1)")
    for column in ("picks", "expected_particles", "confident"):
        right.plot(numbers, values(column), marker="o", label=column.replace("_", " "))
    right.set(xlabel="round", ylabel="on the training micrographs", ylim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.set_xticks(numbers)
    figure.legend(
        [first, second], ["separation", "agreement with the previous round"], loc="outside lower left", ncols=2
    )
    save_figure(figure, path)


def new_figure(
    rows: int, columns: int, size: tuple[float, float], projection: str | None = None
) -> tuple[typing.Any, typing.Any]:
    """A figure and its (rows, columns) array of axes. size: (width, height) in inches. projection: of the axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, subplot_kw=dict(projection=projection))


def scale_bar(axes: typing.Any, voxel: float) -> None:
    """A bar of 10, 20, 50, 100 ... Å, at most a third of a picture's width. voxel: Å, along the picture's rows."""
    width = voxel * abs(np.diff(axes.get_xlim())[0])
    length = max((a * 10.0**b for a in (1, 2, 5) for b in range(4) if a * 10.0**b <= width / 3), default=1.0)
    (left, right), (low, top) = axes.get_xlim(), axes.get_ylim()
    right -= 0.03 * (right - left)  # of the part that is seen, which may be zoomed
    position = low + 0.05 * (top - low)
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=3, foreground="black")]  # seen on any grey
    axes.plot([right - length / voxel, right], [position] * 2, color="white", linewidth=2, path_effects=edge)
    axes.text(
        right,
        position + 0.02 * (top - low),
        f"{length:g} Å",
        color="white",
        fontsize=9,
        ha="right",  # the text may be wider than the bar
        va="bottom",
        path_effects=edge,
    )


def save_figure(figure: typing.Any, path: str | os.PathLike[str]) -> None:
    """Write a figure as a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=100)
