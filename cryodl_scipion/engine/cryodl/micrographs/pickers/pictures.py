# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of picks on their micrographs."""

import typing
from pathlib import Path

import numpy as np

from ...core.thumbnails import block_means, grey_limits
from ...io.coordinates import read_coordinates
from ...io.micrographs import read_micrograph
from ...io.plots import new_figure, save_figure, scale_bar
from .kept import PICTURES

SIDE = 1000  # px of the micrograph in the picture, at most


def draw_first(
    named: typing.Sequence[tuple[str, str]], folder: Path, number: int, pixel_size: float, diameter: float
) -> dict[str, str]:
    """Draw the picks of the first micrographs that have any list of picks.

    Parameters
    ----------
    named
        List of (name, file) of micrographs.
    folder
        Of the picks, <name>.star each; the pictures come into its folder `pictures`.
    number
        Of pictures at most.
    pixel_size, diameter
        In Å.

    Returns
    -------
    {name: file of the picture}
    """
    picked = [(name, path) for name, path in named if (folder / f"{name}.star").exists()][:number]
    if picked:
        (folder / PICTURES).mkdir(exist_ok=True)
    drawn = {}
    for name, path in picked:
        ((yx, scores),) = read_coordinates(folder / f"{name}.star").values()
        drawn[name] = str(folder / PICTURES / f"{name}.png")
        draw_picks(read_micrograph(path), yx, scores, pixel_size, diameter, drawn[name], name)
    return drawn


def draw_picks(
    image: np.ndarray,
    yx: np.ndarray,
    scores: np.ndarray,
    pixel_size: float,
    diameter: float,
    path: str,
    title: str = "",
) -> None:
    """Write a picture of a micrograph with a circle around each pick, coloured by its score.

    Parameters
    ----------
    image
        (h, w), its first row above.
    yx
        (n, 2) px of the image.
    scores
        (n,)
    pixel_size, diameter
        In Å.
    path
        PNG.
    """
    from matplotlib.collections import EllipseCollection

    small, binning = block_means(image, SIDE)
    low, high = grey_limits(small)
    height, width = (length * binning for length in small.shape)
    inches = 9 * width / max(width, height) + 1.2, 9 * height / max(width, height) + 0.4
    figure, ((axes,),) = new_figure(1, 1, inches)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(np.nan_to_num(small, nan=low), cmap="gray", vmin=low, vmax=high, extent=extent)
    axes.autoscale(False)
    across = np.full(len(yx), diameter / pixel_size)
    circles = EllipseCollection(
        across, across, 0 * across, units="xy", offsets=yx[:, ::-1], offset_transform=axes.transData
    )
    circles.set(facecolor="none", linewidth=1.3, cmap="plasma", array=np.asarray(scores, float))
    circles.set_clim(min([0.5, *scores]), max([1.0, *scores]))
    axes.add_collection(circles)
    scale_bar(axes, pixel_size)
    axes.set_axis_off()
    axes.set_title(f"{title}: {len(yx)} picks", fontsize=10)
    figure.colorbar(circles, label="score", shrink=0.6)
    save_figure(figure, path)
