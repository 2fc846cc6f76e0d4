# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample triplets of a training as a picture: as they came, denoised, and as they should be."""

from __future__ import annotations

import os
import typing

import numpy as np

from ...io.plots import new_figure, save_figure

if typing.TYPE_CHECKING:
    import torch

PER_ROW = 3  # triplets
COLUMNS = ("raw", "denoised", "ground truth")


def draw_triplets(
    raw: torch.Tensor, denoised: torch.Tensor, ground_truth: torch.Tensor, path: str | os.PathLike[str]
) -> None:
    """A PNG of triplets, side by side. raw, denoised, ground_truth: (n, box, box) tensors.

    Raw images span +-3 standard deviations of their own. Denoised image and ground truth of a particle share one grey
    scale, so that what is too faint looks faint.
    """
    rows = -(-len(raw) // PER_ROW)
    figure, axes = new_figure(rows, 3 * PER_ROW, (1.5 * 3 * PER_ROW, 1.5 * rows + 0.3))
    for axis in axes.flat:
        axis.set_axis_off()
    for index, images in enumerate(zip(raw.numpy(), denoised.numpy(), ground_truth.numpy())):
        panels = axes[index // PER_ROW, 3 * (index % PER_ROW) :]
        noise = float(images[0].std())
        low, high = np.percentile(images[2], (0.5, 99.8))
        for axis, image, (bottom, top) in zip(panels, images, ((-3 * noise, 3 * noise), (low, high), (low, high))):
            axis.imshow(image, cmap="gray", vmin=bottom, vmax=max(top, bottom + 1e-6), interpolation="nearest")
    for axis, title in zip(axes[0], COLUMNS * PER_ROW):
        axis.set_title(title, fontsize=8)
    save_figure(figure, path)
