# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of traced filaments on their micrographs."""

from pathlib import Path

import numpy as np

from ...core.thumbnails import block_means, grey_limits
from ...io.micrographs import read_micrograph
from ...io.plots import new_figure, save_figure, scale_bar
from ...io.star import read_tables
from ..pickers.kept import PICTURES
from ..pickers.pictures import SIDE


def draw_filaments(named: list, folder: Path, pixel_size: float) -> dict[str, str]:
    """Draw the filaments of micrographs.

    Parameters
    ----------
    named
        List of (name, file) of micrographs.
    folder
        Of the segments, <name>.star each; the pictures come into its folder `pictures`.
    pixel_size
        In Å.

    Returns
    -------
    {name: file of the picture}
    """
    (folder / PICTURES).mkdir(exist_ok=True)
    drawn = {}
    for name, path in named:
        table = next((t for t in read_tables(folder / f"{name}.star").values() if "rlnHelicalTubeID" in t), {})
        x, y, tube = (
            np.array(table.get(c, ()), float) for c in ("rlnCoordinateX", "rlnCoordinateY", "rlnHelicalTubeID")
        )
        drawn[name] = str(folder / PICTURES / f"{name}.png")
        _draw(read_micrograph(path), x, y, tube, pixel_size, drawn[name], name)
    return drawn


def _draw(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, tube: np.ndarray, pixel_size: float, path: str, title: str
) -> None:
    small, binning = block_means(image, SIDE)
    low, high = grey_limits(small)
    height, width = (length * binning for length in small.shape)
    inches = 9 * width / max(width, height) + 0.2, 9 * height / max(width, height) + 0.4
    figure, ((axes,),) = new_figure(1, 1, inches)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(np.nan_to_num(small, nan=low), cmap="gray", vmin=low, vmax=high, extent=extent)
    axes.autoscale(False)
    for index, number in enumerate(np.unique(tube)):
        mine = tube == number
        axes.plot(x[mine], y[mine], ".", color=f"C{index % 10}", markersize=3)
    scale_bar(axes, pixel_size)
    axes.set_axis_off()
    axes.set_title(f"{title}: {len(np.unique(tube))} filaments, {len(tube)} segments", fontsize=10)
    save_figure(figure, path)
