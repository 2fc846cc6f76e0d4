# SPDX-License-Identifier: GPL-3.0-or-later
"""The latent space as a picture."""

import os

import numpy as np

from ..io.files import whole_file

SHOWN = 20000  # particles at most


def draw_latent(latent: np.ndarray, clusters: np.ndarray, title: str, path: str | os.PathLike[str]) -> None:
    """Write a PNG of the first two latent coordinates, coloured by cluster, beside their density.

    Parameters
    ----------
    latent : ndarray, (n, k)
    clusters : ndarray, (n,)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = np.arange(len(latent))[:: max(1, len(latent) // SHOWN)]
    first, second = latent[:, 0], latent[:, min(1, latent.shape[1] - 1)]
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    points, density = figure.subplots(1, 2)
    points.scatter(first[rows], second[rows], c=clusters[rows], s=3, cmap="tab10")
    density.hexbin(first, second, gridsize=40, mincnt=1)
    for axes in (points, density):
        axes.set_xlabel("latent coordinate 1")
        axes.set_ylabel("latent coordinate 2" if latent.shape[1] > 1 else "latent coordinate 1")
    figure.suptitle(title, fontsize=10)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
