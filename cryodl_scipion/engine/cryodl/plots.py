# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that the engine leaves beside its results."""
import csv

from .io.files import whole_file


def plot_learning_curve(metrics, path):
    """Losses and validation figures of a metrics.csv as a PNG. Columns named validation_* are drawn as they come."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
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
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=100)
    pyplot.close(figure)
