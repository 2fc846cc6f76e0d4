# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on tomograms, tilt series and subtomograms share."""

import typing
from functools import partial

from ..command import Outputs, found, output, param
from ..fields import CONTRASTS


def tomograms(help: str, **more: typing.Any) -> typing.Any:
    """The parameter `tomograms`. help: its first sentence."""
    text = (
        f"{help} MRC (.mrc, .rec, .st; int8, int16, float32 ...), read by memory map: a quoted glob, files, or one "
        "list file (.txt with a path per line)."
    )
    return param(text, label="Tomograms", path="file", **more)


labels = partial(
    param,
    "Label volumes, one for each tomogram and of the same shape, paired by name (tomo_1_labels with tomo_1). "
    "Voxels with value 255 are not annotated.",
    label="Label volumes",
    path="file",
)
tomogram_pixel_size = partial(
    param,
    "Pixel size of the tomogram files.",
    default=None,
    label="Pixel size",
    unit="Å/px",
    limits=(0.1, 500),
    none_means="that of each file's header",
)
tomogram_names = partial(
    param,
    "Names to use instead of the file names, one per tomogram, in the same order.",
    default=(),
    label="Tomogram names",
    expert=True,
)
tile = partial(param, default=64, label="Tile", unit="px", limits=(16, 512))
label = partial(param, help="Value of the feature in the label volumes.", default=None, label="Label", limits=(1, 254))


def label_volume_problems(config: typing.Any) -> typing.List[str]:
    """Problem if label volumes are given without tomograms, or without the value of the feature."""
    needs = "Label volumes (--labels) need their tomograms (--tomograms) and the value of the feature (--label)."
    return found((config.labels and (not config.tomograms or config.label is None), needs))


working_pixel_size = partial(
    param,
    "Pixel size that tomograms are resampled to for the network. A larger pixel size is faster.",
    default=None,
    label="Working pixel size",
    unit="Å/px",
    limits=(0.5, 200),
)
volume_border = partial(param, default=0.0, label="Border", unit="Å", limits=(0, 100000), expert=True)
minimum_score = partial(
    param, "Minimum score of a voxel, for score volumes.", default=0.5, label="Threshold", limits=(0, 1)
)
minimum_size = partial(
    param,
    help="Smaller connected components are left out.",
    default=0.0,
    label="Minimum component size",
    unit="nm³",
    limits=(0, 1e12),
)


series_tilt_min = partial(
    param,
    "Minimum tilt angle, about the y axis.",
    default=-60.0,
    unit="°",
    limits=(-90, 90),
    label="Minimum tilt",
    expert=True,
)
series_tilt_max = partial(
    param,
    "Maximum tilt angle, about the y axis.",
    default=60.0,
    unit="°",
    limits=(-90, 90),
    label="Maximum tilt",
    expert=True,
)
series_tilt_step = partial(
    param, "Angle between neighbouring tilts.", default=3.0, unit="°", limits=(0.1, 30), expert=True
)
series_defocus = partial(
    param,
    "Mean defocus; positive values are underfocus. 0: no CTF.",
    default=40000.0,
    unit="Å",
    limits=(0, 200000),
    expert=True,
)


def tilt_problems(config: typing.Any) -> typing.List[str]:
    """Problem if the maximum tilt (tilt_max) is not above the minimum (tilt_min)."""
    return found(
        (
            config.tilt_max <= config.tilt_min,
            f"Maximum tilt (--tilt-max) is {config.tilt_max:g}°, not above the minimum tilt (--tilt-min) of "
            f"{config.tilt_min:g}°.",
        )
    )


def subtomograms(help: str) -> typing.Any:
    """The parameter `subtomograms`. help: its first sentence."""
    return param(
        help
        + " STAR file of RELION or Warp with a volume or a stack of tilt images for each subtomogram (rlnImageName) "
        "and, if available, its 3-D CTF or weights (rlnCtfImage).",
        label="Subtomograms",
        path="file",
    )


def tilt(which: str, default: float) -> typing.Any:
    """The parameter `tilt_min` or `tilt_max` of subtomograms. which: 'Lowest' or 'Highest'. default: degrees."""
    return param(
        f"{which} tilt angle of the series, about the y axis; it defines the missing wedge. Used if the STAR file "
        "has neither volumes of weights (rlnCtfImage) nor tilt ranges (cryodlTiltMin, cryodlTiltMax).",
        default,
        "°",
        label=f"{which} tilt",
        limits=(-90, 90),
    )


subtomogram_contrast = partial(
    param,
    "Whether protein is brighter or darker than its surroundings in the subtomograms. auto: determined from the "
    "subtomograms; the log and the result state it.",
    default="auto",
    label="Contrast",
    choices=CONTRASTS,
    expert=True,
)
diameter = partial(
    param,
    "Diameter of a sphere that contains every particle.",
    default=None,
    label="Particle diameter",
    unit="Å",
    limits=(10, 10000),
    none_means="0.8 of the box size",
)


class OfTomograms(Outputs):
    pixel_size: typing.Optional[float] = output("Pixel size of the tomograms; null if it differs between them.", "Å/px")
