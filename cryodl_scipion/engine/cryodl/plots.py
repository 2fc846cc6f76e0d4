# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that the engine leaves beside its results."""
import csv

from .io.files import whole_file


def plot_learning_curve(metrics, path):
    """Losses and validation figures of a metrics.csv as a PNG. Columns named validation_* are drawn as they come."""
    pyplot = _pyplot()
    with open(metrics, newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(r["step"]) for r in rows]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for column in ("train_loss", "validation_loss"):
        left.plot(steps, [float(r[column]) for r in rows], marker=".", label=column.replace("_", " "))
    others = [c for c in rows[0] if c.startswith("validation_") and c != "validation_loss"]
    for column in others:
        right.plot(steps, [float(r[column]) for r in rows], marker=".",
                   label=column[len("validation_"):].replace("_", " "))
    for axes, title in ((left, "loss"), (right, "validation")):
        axes.set(xlabel="training step", title=title)
        axes.legend()
    right.set_ylim(0, 1.02)
    _save(figure, path)


def plot_precision_recall(curves, path):
    """Precision against recall of several sets as a PNG.

    curves: {set: (precision (n,), recall (n,), (recall, precision) of the picks as they were given)}; the last is a dot.
    """
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5.6, 4.6), layout="constrained")
    for level in (0.2, 0.4, 0.6, 0.8):
        recall = [level / (2 - level) + i * (1 - level / (2 - level)) / 100 for i in range(101)]
        axes.plot(recall, [level * r / (2 * r - level) for r in recall], color="0.85", linewidth=0.8, zorder=0)
        axes.annotate(f"F1 {level}", (1.0, recall[0]), color="0.6", fontsize=7, ha="right", va="center",
                      backgroundcolor="white")
    for name, (precision, recall, point) in curves.items():
        line, = axes.plot(recall, precision, linewidth=1.5, label=name)
        axes.plot(*point, marker="o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02), title="Picks against the reference")
    axes.legend(loc="lower left", fontsize=8)
    _save(figure, path)


def plot_agreement(names, matrix, path):
    """F1 of each pair of sets as a PNG of coloured squares. names: of the sets. matrix: rows of numbers in [0, 1]."""
    pyplot = _pyplot()
    side = 2.4 + 0.7 * len(names)
    figure, axes = pyplot.subplots(figsize=(side + 0.8, side), layout="constrained")
    image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=1)
    for row, values in enumerate(matrix):
        for column, value in enumerate(values):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.6 else "white")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("Agreement of the sets")
    figure.colorbar(image, label="F1", shrink=0.8)
    _save(figure, path)


def _pyplot():
    """matplotlib's pyplot, drawing to files only."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    return pyplot


def _save(figure, path):
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=100)
    _pyplot().close(figure)
