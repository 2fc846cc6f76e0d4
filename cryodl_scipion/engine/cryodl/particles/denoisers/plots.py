# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of what a denoiser gains and invents, and of which composition particles have."""

import os
import typing
from pathlib import Path

import numpy as np

from ...core.fourier import THRESHOLDS
from ...io.plots import new_figure, save_figure
from . import evaluate

COLOURS = {"raw": "0.5", "wiener": "tab:blue", "denoised": "tab:orange"}
LABELS = {"raw": "raw", "wiener": "Wiener filter", "denoised": "denoised"}


def plot_curves(
    frequency: np.ndarray, curves: typing.Mapping[str, np.ndarray], path: str | os.PathLike[str], title: str
) -> None:
    """Ring or shell correlations as a PNG. frequency: (r,) 1/Å. curves: {'raw' | 'wiener' | 'denoised': (r,) curve}."""
    figure, ((axes,),) = new_figure(1, 1, (6, 4))
    for name, curve in curves.items():
        axes.plot(frequency[1:], curve[1:], color=COLOURS.get(name), label=LABELS.get(name, name))
    for limit in THRESHOLDS:
        axes.axhline(limit, color="0.8", linewidth=0.8, zorder=0)
        axes.annotate(f"{limit:g}", (frequency[-1], limit), color="0.6", fontsize=8, ha="right", va="bottom")
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(
        xlabel="frequency (1/Å)",
        ylabel="correlation with the ground truth",
        title=title,
        xlim=(0, frequency[-1]),
        ylim=(min(-0.1, min(np.min(c[1:]) for c in curves.values()) - 0.02), 1.02),
    )
    highest = frequency[-1]
    periods = [p for p in (100, 50, 30, 20, 15, 12, 10, 8, 6, 5, 4, 3, 2.5, 2) if 0.08 * highest < 1 / p <= highest]
    axes.secondary_xaxis("top").set_xticks([1 / p for p in periods], [f"{p:g} Å" for p in periods], fontsize=8)
    axes.legend(fontsize=9)
    save_figure(figure, path)


def plot_control(
    bars: typing.Mapping[str, float], similarities: typing.Mapping[str, np.ndarray], path: str | os.PathLike[str]
) -> None:
    """The controls beside the real result as a PNG. bars: {what: mean FRC with the ground truth}. similarities: {what:
    (n,) largest correlations of images with the training targets}."""
    figure, ((left, right),) = new_figure(1, 2, (9.5, 0.7 + 0.42 * max(len(bars), 6)))
    positions = np.arange(len(bars))
    left.barh(positions, list(bars.values()), color=[_colour(name) for name in bars])
    for position, value in zip(positions, bars.values()):
        left.annotate(f" {value:.3f}", (max(value, 0), position), va="center", fontsize=8)
    left.set_yticks(positions, list(bars), fontsize=8)
    left.invert_yaxis()
    left.set(
        xlabel="mean FRC with the ground truth", xlim=(min(0, *bars.values()) - 0.01, max(0.02, *bars.values()) * 1.25)
    )
    edges = np.linspace(min(map(np.min, similarities.values())), max(map(np.max, similarities.values())) + 1e-6, 25)
    for name, values in similarities.items():
        right.hist(
            values,
            edges,
            weights=np.full(len(values), 1 / len(values)),
            histtype="step",
            linewidth=1.6,
            color=_colour(name, True),
            label=f"{name} ({np.mean(values):.2f})",
        )
    right.set(xlabel="largest correlation with a training target", ylabel="fraction of the images")
    right.legend(fontsize=8)
    save_figure(figure, path)


def _colour(name: str, line: bool = False) -> str:
    """The same for the same kind of image; lines also differ by what the images hold."""
    if line and not name.startswith("particles"):
        return "tab:green" if name.startswith("other") else "black" if "denoised" in name else COLOURS["wiener"]
    return next((COLOURS[kind] for kind in COLOURS if LABELS[kind] in name), "0.8")


def draw_rows(
    rows: typing.Sequence[typing.Sequence[np.ndarray]],
    titles: typing.Sequence[str],
    path: str | os.PathLike[str],
    labels: typing.Sequence[str] | None = None,
) -> None:
    """Images in rows as a PNG, each between its 0.5 and 99.5 percentile. rows: lists of (h, w); titles: of columns."""
    figure, axes = new_figure(len(rows), len(titles), (1.5 * len(titles) + 0.4, 1.5 * len(rows) + 0.5))
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            _show(axes[row][column], image)
            if row == 0:
                axes[row][column].set_title(titles[column], fontsize=9)
        if labels:
            axes[row][0].set_ylabel(labels[row], fontsize=8)
    save_figure(figure, path)


def draw_gallery(
    images: typing.Sequence[np.ndarray],
    scores: np.ndarray,
    path: str | os.PathLike[str],
    columns: int = 10,
    what: str = "FRC",
) -> None:
    """Images with their scores, in the order given, as a PNG. images: (n, h, w)."""
    count = -(-len(images) // columns)
    figure, axes = new_figure(count, columns, (1.1 * columns, 1.25 * count))
    for number, axis in enumerate(axes.flat):
        if number < len(images):
            _show(axis, images[number])
            axis.set_title(f"{what + ' ' if number == 0 else ''}{scores[number]:.2f}", fontsize=7, pad=2)
        else:
            axis.axis("off")
    save_figure(figure, path)


def plot_probabilities(names: typing.Sequence[str], probability: np.ndarray, path: str | os.PathLike[str]) -> None:
    """How sure the compositions of the particles are, as a PNG. probability: (n, c)."""
    figure, ((left, right),) = new_figure(1, 2, (9, 3.4))
    for name, values in zip(names, probability.T):
        left.hist(values, np.linspace(0, 1, 21), histtype="step", linewidth=1.6, label=name)
    left.set(xlabel="probability", ylabel="particles", xlim=(0, 1))
    left.legend(fontsize=8)
    maximum = np.sort(probability.max(1))[::-1]
    right.plot(np.arange(1, len(maximum) + 1) / len(maximum), np.cumsum(maximum) / np.arange(1, len(maximum) + 1))
    right.set(
        xlabel="fraction of the particles kept, most certain first",
        ylabel="expected fraction of correct ones",
        xlim=(0, 1),
        ylim=(1 / len(names), 1.01),
    )
    save_figure(figure, path)


def _show(axes: typing.Any, image: np.ndarray) -> None:
    image = np.asarray(image, float)
    low, high = np.percentile(image, (0.5, 99.5))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12))
    axes.set(xticks=[], yticks=[])


TRIPLETS, GALLERY = 6, 40  # particles that are shown


def draw_evaluation(
    folder: Path,
    bench: evaluate.Bench,
    record: dict[str, typing.Any],
    similarities: typing.Mapping[str, np.ndarray],
    scores: np.ndarray,
) -> None:
    """All pictures of an evaluation. record: of evaluation.json. similarities: {name: (n,)} of the controls.
    scores: (n,) mean FRC of each denoised particle."""
    frequency = record["frc"]["frequency"]
    plot_curves(
        frequency,
        {k: record["frc"][k] for k in ("raw", "wiener", "denoised")},
        folder / "frc.png",
        f"FRC with the ground truth, mean of {record['count']} particles",
    )
    plot_curves(
        frequency,
        {k: record["fsc"][k] for k in ("raw", "denoised")},
        folder / "fsc.png",
        f"FSC with the structure, maps of {record['count']} particles\n(denoised images bring the structure with them)",
    )
    control, mean = record["control"], record["mean_frc"]
    bars = {
        "particles, denoised": mean["denoised"],
        "particles, Wiener filter": mean["wiener"],
        "particles, raw": mean["raw"],
        "pure noise, denoised": control["noise"],
        "unrelated projections": control["unrelated"],
    }
    if unseen := control["unseen"]["mean_frc"]:
        bars.update({"other molecule, denoised": unseen["denoised"], "other molecule, Wiener filter": unseen["wiener"]})
    plot_control(bars, similarities, folder / "control.png")
    order = np.argsort(scores)[::-1]
    rows = order[np.linspace(0, len(order) - 1, min(TRIPLETS, len(order))).round().astype(int)]
    images, ctf = bench.prepared(rows)
    columns = images, bench.filtered(images, ctf), bench.denoised(images, ctf), bench.ground_truth(rows)
    draw_rows(
        list(zip(*(c.numpy() for c in columns))),
        ["raw", "Wiener filter", "denoised", "ground truth"],
        folder / "triplets.png",
        [f"FRC {scores[row]:.2f}" for row in rows],
    )
    rows = order[np.linspace(0, len(order) - 1, min(GALLERY, len(order))).round().astype(int)]
    draw_gallery(list(bench.denoised(*bench.prepared(rows)).numpy()), scores[rows], folder / "gallery.png")
