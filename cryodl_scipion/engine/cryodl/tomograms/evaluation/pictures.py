# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of segmentations beside their labels."""

import os
import typing

import numpy as np

from ...contract import UNANNOTATED
from ...io.plots import new_figure, save_figure
from ...io.tomograms import Tomogram
from . import measure, pairs

RIGHT, WRONG, MISSED, NOBODY_KNOWS = (0.2, 0.65, 0.3), (0.85, 0.2, 0.15), (0.15, 0.35, 0.85), (0.55, 0.55, 0.75)
OPACITY = 0.55  # of the colours over a tomogram
LEGEND = (
    (RIGHT, "both"),
    (WRONG, "only in the segmentation"),
    (MISSED, "only in the labels"),
    (NOBODY_KNOWS, "not annotated"),
)
MAX_FEATURES, MAX_PIXELS = 6, 768
BARS = {
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    "component_recall": "components found",
    "component_precision": "correct components",
}


def draw_slices(
    pair: pairs.LabelledPair,
    slices: typing.Mapping[int, int],
    names: typing.Mapping[int, str],
    path: str | os.PathLike[str],
    tomogram: Tomogram | None = None,
) -> None:
    """A PNG: of each feature the slice with most of it, the labels and the segmentation over each other. slices:
    {label: z}. names: {label: name}. tomogram: Tomogram of the pair's shape, drawn in grey behind them. Beside score
    volumes their scores are drawn, too."""
    labels = list(slices)[:MAX_FEATURES]
    columns = 1 if pair.label is None else 2
    across = len(labels) if columns == 1 else 1
    height = 3.6 * pair.shape[1] / max(pair.shape[1:]) + 1.2
    figure, axes = new_figure(1, columns * across, (3.9 * columns * across, height))
    for k, label in enumerate(labels):
        z, axis = slices[label], axes[0, k]
        labelled, expected, probabilities = pair.read((z, z + 1))
        found, ground_truth = _thinned(labelled[0]), _thinned(expected[0])
        scores = None if probabilities is None else _thinned(probabilities[0])
        grey = None if tomogram is None else grey_picture(_thinned(tomogram.part((z, z + 1))[0]))
        picture = _overlay(found == label, ground_truth == label, ground_truth != UNANNOTATED, scores, grey)
        axis.imshow(picture, interpolation="nearest", origin="lower")
        axis.set_title(f"{names[label]}, slice {z}", fontsize=9)
        if scores is not None:
            image = axes[0, 1].imshow(scores, vmin=0, vmax=1, cmap="gray", interpolation="nearest", origin="lower")
            axes[0, 1].set_title("scores", fontsize=9)
            figure.colorbar(image, ax=axes[0, 1], shrink=0.8)
    for axis in axes.flat:
        axis.set_axis_off()
    handles = [axes[0, 0].plot([], [], "s", color=colour, label=words)[0] for colour, words in LEGEND]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    save_figure(figure, path)


def _thinned(image: np.ndarray) -> np.ndarray:
    step = -(-max(image.shape) // MAX_PIXELS)
    return image[::step, ::step]


def grey_picture(image: np.ndarray) -> np.ndarray:
    """(y, x, 3) in [0, 1]; black and white at the first and last hundredth of the values (y, x)."""
    low, high = np.percentile(image, (1, 99))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1)[..., None].repeat(3, -1)


def _overlay(
    found: np.ndarray,
    ground_truth: np.ndarray,
    annotated: np.ndarray,
    scores: np.ndarray | None,
    grey: np.ndarray | None = None,
) -> np.ndarray:
    """(y, x, 3) colours. found, ground_truth, annotated: (y, x) bool. grey: (y, x, 3) picture of the tomogram, seen
    through them; without it the ground is white, darker where the scores are high."""
    opacity = 1 if grey is None else OPACITY
    ground = np.ones((*found.shape, 3)) if scores is None else np.repeat(1 - 0.4 * scores[..., None], 3, axis=2)
    picture = ground if grey is None else grey.copy()
    for colour, where in (
        (NOBODY_KNOWS, ~annotated),
        (RIGHT, found & ground_truth),
        (WRONG, found & ~ground_truth & annotated),
        (MISSED, ground_truth & ~found),
    ):
        picture[where] = (1 - opacity) * picture[where] + opacity * np.array(colour)
    return picture


def draw_metrics(features: typing.Mapping[str, typing.Mapping[str, typing.Any]], path: str | os.PathLike[str]) -> None:
    """A PNG of bars. features: {name: metrics}."""
    figure, axes = new_figure(1, 2, (max(8.0, 4.0 + 2.0 * len(features)), 3.9))
    left, right = axes[0]
    positions, width = np.arange(len(features)), 0.8 / len(BARS)
    for k, (key, words) in enumerate(BARS.items()):
        left.bar(
            positions + (k - (len(BARS) - 1) / 2) * width, [f[key] or 0 for f in features.values()], width, label=words
        )
    left.set(ylim=(0, 1.02), title="Voxels and components")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower left", fontsize=8, ncols=len(BARS), frameon=False
    )
    for offset, key, words in ((-0.2, "boundary_error", "mean"), (0.2, "boundary_error_95", "95th percentile")):
        right.bar(positions + offset, [f[key] or 0 for f in features.values()], 0.4, label=words)
    right.set(ylabel="Å", title="Boundary error")
    right.margins(y=0.25)  # room for the legend
    right.legend(fontsize=8, frameon=False)
    for axis in (left, right):
        axis.set_xticks(positions, list(features), rotation=20 if len(features) > 2 else 0)
    save_figure(figure, path)


def draw_curve(curve: measure.ScoreCurve, name: str, path: str | os.PathLike[str]) -> None:
    """A PNG of precision against recall, and of the share of true voxels against the score."""
    figure, axes = new_figure(1, 2, (8.4, 3.8))
    precision, recall = curve.precision_recall()
    metrics = curve.metrics()
    axes[0, 0].plot(recall, precision)
    axes[0, 0].set(
        xlabel="recall",
        ylabel="precision",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        title=f"{name}: average precision {metrics['average_precision']:.3f}",
    )
    mean, fraction, count = curve.reliability()
    some = count > 0
    axes[0, 1].plot([0, 1], [0, 1], color="0.6", linestyle="--")
    axes[0, 1].plot(mean[some], fraction[some], marker="o")
    axes[0, 1].set(
        xlabel="score",
        ylabel="fraction of voxels with the feature",
        xlim=(0, 1),
        ylim=(0, 1),
        title=f"calibration error {metrics['calibration_error']:.3f}",
    )
    save_figure(figure, path)
