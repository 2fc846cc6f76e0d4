# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the demo: picks over micrographs, and class averages."""

import os
from typing import Any, Sequence

import matplotlib
from pwem.objects import EMSet

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of backend)
import mrcfile  # noqa: E402
import numpy as np  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

MADE, MARKED = "#00c878", "#ff9f1c"


def drawPicks(path: str, picks: Sequence[Any], data: Any, pixelSize: float, diameter: float) -> None:
    """One panel per micrograph: our picks as circles, the marked particles as dots.

    picks: {micrograph name: [(x, y, score)]}, px. data: folder with micrographs/ and coordinates/.
    """
    figure, axes = plt.subplots(1, len(picks), figsize=(4.2 * len(picks), 4.8), squeeze=False)
    for axis, (name, found) in zip(axes[0], sorted(picks.items())):
        image = mrcfile.read(os.path.join(data, "micrographs", name + ".mrc")).astype(np.float32)
        # Smoothed for the eye only: the network sees the file as it is.
        image = gaussian_filter(image, 1.5)
        low, high = np.percentile(image, (0.5, 99.5))
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="upper")
        for x, y, _ in found:
            axis.add_patch(plt.Circle((x, y), diameter / pixelSize / 2, fill=False, color=MADE, lw=1.3))
        marked = readCoordinates(os.path.join(data, "coordinates", name + ".star"))
        axis.plot(marked[:, 0], marked[:, 1], ".", color=MARKED, ms=5)
        axis.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
        axis.set_title(f"{name}: {len(found)} picks", fontsize=11)
        axis.axis("off")
    figure.text(
        0.5, 0.015, "circles: picked by the network      dots: marked by CryoPPP (incomplete)", ha="center", fontsize=11
    )
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.06, top=0.94, wspace=0.02)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def readCoordinates(path: str) -> Any:
    """(n, 2) x and y of a STAR file whose first two columns they are."""
    with open(path) as star:
        rows = [line.split()[:2] for line in star if line.strip() and line.strip()[0].isdigit()]
    return np.array(rows, dtype=float).reshape(-1, 2)


def drawClasses(path: str, classes: EMSet) -> None:
    """Class averages, the largest class first. classes: SetOfClasses2D."""
    averages = []
    for item in classes.iterItems():
        index, fileName = item.getRepresentative().getLocation()
        averages.append((item.getSize(), mrcfile.read(fileName.split(":")[0])[max(index, 1) - 1]))
    averages.sort(key=lambda pair: -pair[0])
    figure, axes = plt.subplots(1, len(averages), figsize=(2.2 * len(averages), 2.5), squeeze=False)
    for axis, (size, image) in zip(axes[0], averages):
        axis.imshow(image, cmap="gray", origin="upper", interpolation="bicubic")
        axis.set_title(f"{size} particles", fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
