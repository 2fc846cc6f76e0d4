# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of clusters of subtomograms: their positions in the embedding, and their averages."""

from __future__ import annotations

import os
import typing

import numpy as np

from ...io.plots import new_figure, save_figure

if typing.TYPE_CHECKING:
    pass


def plot_embedding(positions: np.ndarray, classes: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Positions (n, c) along the first components as a PNG, coloured by class (n,) int."""
    positions = np.asarray(positions)
    if positions.shape[1] < 2:
        positions = np.concatenate([positions, np.zeros((len(positions), 2 - positions.shape[1]))], axis=1)
    pairs = [(0, 1), (0, 2), (1, 2)] if positions.shape[1] > 2 else [(0, 1)]
    figure, axes = new_figure(1, len(pairs), (3.6 * len(pairs) + 0.9, 3.4))
    for panel, (one, other) in zip(axes.flat, pairs):
        for number in np.unique(classes):
            mine = classes == number
            panel.scatter(
                positions[mine, one],
                positions[mine, other],
                s=9,
                color=f"C{(number - 1) % 10}",
                label=f"class {number} ({mine.sum()})",
                linewidths=0,
            )
        panel.set(xlabel=f"component {one + 1}", ylabel=f"component {other + 1}")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles[:20], labels[:20], loc="outside right upper", fontsize=8)
    save_figure(figure, path)


def plot_averages(
    volumes: typing.Sequence[typing.Any], titles: typing.Sequence[str], pixel_size: float, path: str | os.PathLike[str]
) -> None:
    """Middle slices of averages (d, d, d) along z, y and x as a PNG: one row for each."""
    figure, axes = new_figure(len(volumes), 3, (5.4, 1.8 * len(volumes) + 0.3))
    for number, (row, volume, title) in enumerate(zip(axes, volumes, titles)):
        volume = np.asarray(volume)
        middle, (low, high) = volume.shape[0] // 2, np.percentile(volume, (1, 99.5))
        slices = (volume[middle], volume[:, middle], volume[:, :, middle])
        for panel, image, name in zip(row, slices, ("xy", "xz", "yz")):
            panel.imshow(
                image,
                cmap="gray",
                vmin=low,
                vmax=high,
                origin="lower",
                extent=(0, len(image) * pixel_size / 10, 0, len(image) * pixel_size / 10),
            )
            panel.set(xticks=[], yticks=[], title="" if number else name)
        row[0].set_ylabel(title, fontsize=8)
    save_figure(figure, path)
