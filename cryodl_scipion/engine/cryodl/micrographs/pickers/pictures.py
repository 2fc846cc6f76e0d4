# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of picks on their micrographs. Candidates of earlier runs on a folder of picks: whether they were made of
the same file with the same parameters."""

import dataclasses
import hashlib
import json
import re
import typing
from pathlib import Path

import numpy as np

from ...core.thumbnails import block_means, grey_limits
from ...io.coordinates import read_coordinates
from ...io.micrographs import read_micrograph
from ...io.plots import new_figure, save_figure, scale_bar
from ...io.stamps import stamp, stamp_of
from .pick_record import AVOIDED, BEFORE, BINDING, CANDIDATES, PickSettings

PICTURES, FEATURE_MAPS = "pictures", "feature_maps"  # folders beside the candidates
# Older versions wrote the file alone, and before that nothing.
_HEAD = re.compile(r"; made of (\w+)(?: with (\w+), (\w+) protein)?$")


def head_words(path: str, settings: PickSettings) -> str:
    """Words for the head of a file of candidates that tell which micrograph and parameters it was made with."""
    return f"made of {stamp(path)} with {_parameters(settings)}, {settings.contrast} protein"


def has_changed(folder: Path, name: str, path: str) -> bool:
    """Whether a folder has candidates of a micrograph whose file is another one now. Those of old versions do not tell.
    folder: Path. path: of the micrograph."""
    found = _head(folder, name)
    # of a file that is gone, what was found in it is there
    return found is not None and stamp_of(path) not in (None, found.group(1))


def made_otherwise(folder: Path, name: str, settings: PickSettings, contrast: str | None) -> bool:
    """Whether a folder has candidates of a micrograph that were made with other parameters, as --overwrite of some
    micrographs leaves them. Those of old versions do not tell. folder: Path. settings: that hold. contrast: the stated
    one, or None: an estimated one is not compared."""
    found = _head(folder, name)
    return (
        found is not None
        and found.group(2) is not None
        and (found.group(2) != _parameters(settings) or contrast not in (None, found.group(3)))
    )


def forget_picks(folder: Path, name: str) -> None:
    """Remove all that an earlier run left of one micrograph. folder: Path."""
    endings = {CANDIDATES: "star", AVOIDED: "json", PICTURES: "png", FEATURE_MAPS: "png", "": "star"}
    for below, ending in endings.items():
        (folder / below / f"{name}.{ending}").unlink(missing_ok=True)


def _head(folder: Path, name: str) -> re.Match[str] | None:
    candidates = folder / CANDIDATES / f"{name}.star"
    lines = candidates.read_text("utf-8", "replace").splitlines() if candidates.exists() else []
    return _HEAD.search(lines[0].rstrip()) if lines else None


def _parameters(settings: PickSettings) -> str:
    """One word for the parameters; the same where a later version has one more that was not used."""
    values = {key: value for key, value in dataclasses.asdict(settings).items() if key in BINDING}
    values = {k: float(v) if isinstance(v, int) else v for k, v in values.items() if v != BEFORE.get(k)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


SIDE = 1000  # px of the micrograph in the picture, at most


def draw_first(
    named: typing.Sequence[tuple[str, str]], folder: Path, number: int, pixel_size: float, diameter: float
) -> dict[str, str]:
    """Draw the picks of the first micrographs that are there and have any list of picks; {name: file of the picture}.
    named: [(name, file)]. folder: of the picks, <name>.star each; the pictures come into its folder `pictures`. number:
    of pictures at most; those of earlier picks on the others are removed. pixel_size, diameter: Å."""
    there = lambda name, path: (folder / f"{name}.star").exists() and Path(path).exists()  # or is gone since
    if picked := [(name, path) for name, path in named if there(name, path)][:number]:
        (folder / PICTURES).mkdir(exist_ok=True)
    drawn = {}
    for name, path in picked:
        ((yx, scores),) = read_coordinates(folder / f"{name}.star").values()
        drawn[name] = str(folder / PICTURES / f"{name}.png")
        draw_picks(read_micrograph(path), yx, scores, pixel_size, diameter, drawn[name], name)
    for name in {name for name, _ in named} - set(drawn):
        (folder / PICTURES / f"{name}.png").unlink(missing_ok=True)
    return drawn


def micrograph_figure(image: np.ndarray, title: str, beside: float = 0.2) -> tuple[typing.Any, typing.Any]:
    """A figure of an image (h, w), its first row above, and its axes in px of the image. beside: inches for what stands
    beside the picture."""
    small, binning = block_means(image, SIDE)
    low, high = grey_limits(small)
    height, width = (length * binning for length in small.shape)
    inches = 9 * width / max(width, height) + beside, 9 * height / max(width, height) + 0.4
    figure, ((axes,),) = new_figure(1, 1, inches)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(np.nan_to_num(small, nan=low), cmap="gray", vmin=low, vmax=high, extent=extent)
    axes.autoscale(False)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure, axes


def draw_picks(
    image: np.ndarray,
    yx: np.ndarray,
    scores: np.ndarray,
    pixel_size: float,
    diameter: float,
    path: str,
    title: str = "",
) -> None:
    """Write a picture of a micrograph with a circle around each pick, coloured by its score. image: (h, w), its first
    row above. yx: (n, 2) px of the image. scores: (n,). pixel_size, diameter: Å."""
    from matplotlib.collections import EllipseCollection

    figure, axes = micrograph_figure(image, f"{title}: {len(yx)} picks", 1.2)
    across = np.full(len(yx), diameter / pixel_size)
    circles = EllipseCollection(
        across, across, 0 * across, units="xy", offsets=yx[:, ::-1], offset_transform=axes.transData
    )
    circles.set(facecolor="none", linewidth=1.3, cmap="plasma", array=np.asarray(scores, float))
    circles.set_clim(min([0.5, *scores]), max([1.0, *scores]))
    axes.add_collection(circles)
    scale_bar(axes, pixel_size)
    figure.colorbar(circles, label="score", shrink=0.6)
    save_figure(figure, path)
