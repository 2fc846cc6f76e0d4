# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on tomograms, tilt series and subtomograms share."""

import functools
import typing

from ..fields import CONTRASTS
from ..params import found, param


def tomograms_field(help: str, **more: typing.Any) -> typing.Any:
    """The parameter `tomograms`. help: its first sentence."""
    text = (
        f"{help} MRC (.mrc, .rec, .st; int8, int16, float32 ...), read by memory map: a quoted glob, files, or one "
        "list file (.txt with a path per line)."
    )
    return param(text, label="Tomograms", path="file", **more)


labels_field = functools.partial(
    param,
    "Label volumes, one for each tomogram and of the same shape, paired by name (tomo_1_labels with tomo_1). "
    "Voxels with value 255 are not annotated.",
    label="Label volumes",
    path="file",
)
tomogram_pixel_size_field = functools.partial(
    param,
    "Pixel size of the tomogram files.",
    default=None,
    label="Pixel size",
    unit="Å/px",
    minimum=0.1,
    maximum=500,
    none_means="that of each file's header",
)
tomogram_names_field = functools.partial(
    param,
    "Names to use instead of the file names, one per tomogram, in the same order.",
    default=(),
    label="Tomogram names",
    expert=True,
)
annotations_field = functools.partial(
    param, "Folder of the annotations. An existing folder is extended.", label="Annotations", path="folder"
)
tile_field = functools.partial(param, default=64, label="Tile", unit="px", minimum=16, maximum=512)
label_field = functools.partial(
    param, help="Value of the feature in the label volumes.", default=None, label="Label", minimum=1, maximum=254
)


def label_volume_problems(config: typing.Any) -> typing.List[str]:
    """Problem if label volumes are given without tomograms, or without the value of the feature."""
    needs = "Label volumes (--labels) need their tomograms (--tomograms) and the value of the feature (--label)."
    return found((config.labels and (not config.tomograms or config.label is None), needs))


working_pixel_size_field = functools.partial(
    param,
    "Pixel size that tomograms are resampled to for the network. A larger pixel size is faster.",
    default=None,
    label="Working pixel size",
    unit="Å/px",
    minimum=0.5,
    maximum=200,
)
volume_border_field = functools.partial(
    param, default=0.0, label="Border", unit="Å", minimum=0, maximum=100000, expert=True
)
minimum_score_field = functools.partial(
    param, "Minimum score of a voxel, for score volumes.", default=0.5, label="Threshold", minimum=0, maximum=1
)
minimum_size_field = functools.partial(
    param,
    help="Smaller connected components are left out.",
    default=0.0,
    label="Minimum component size",
    unit="nm³",
    minimum=0,
    maximum=1e12,
)


_TILTS: typing.Dict[str, typing.Dict[str, typing.Any]] = dict(
    tilt_min=dict(
        help="Minimum tilt angle, about the y axis.",
        default=-60.0,
        label="Minimum tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    ),
    tilt_max=dict(
        help="Maximum tilt angle, about the y axis.",
        default=60.0,
        label="Maximum tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    ),
    tilt_step=dict(
        help="Angle between neighbouring tilts.", default=3.0, label="Tilt step", unit="°", minimum=0.1, maximum=30
    ),
    defocus=dict(
        help="Mean defocus; positive values are underfocus. 0: no CTF.",
        default=40000.0,
        label="Defocus",
        unit="Å",
        minimum=0,
        maximum=200000,
    ),
)


def tilt_series_field(name: str) -> typing.Any:
    """The field of a tilt series parameter, by its name."""
    return param(expert=True, **_TILTS[name])


def tilt_problems(config: typing.Any) -> typing.List[str]:
    """Problem if the maximum tilt (tilt_max) is not above the minimum (tilt_min)."""
    return found(
        (
            config.tilt_max <= config.tilt_min,
            f"Maximum tilt (--tilt-max) is {config.tilt_max:g}°, not above the minimum tilt (--tilt-min) of "
            f"{config.tilt_min:g}°.",
        )
    )


def subtomograms_field(help: str) -> typing.Any:
    """The parameter `subtomograms`. help: its first sentence."""
    return param(
        help + " STAR file of RELION 3.0 or 3.1 with a volume for each subtomogram (rlnImageName) and, if available, "
        "its 3-D CTF or weights (rlnCtfImage).",
        label="Subtomograms",
        path="file",
    )


def tilt_field(which: str, default: float) -> typing.Any:
    """The parameter `tilt_min` or `tilt_max` of subtomograms. which: 'Lowest' or 'Highest'. default: degrees."""
    return param(
        f"{which} tilt angle of the series, about the y axis; it defines the missing wedge. Used if the STAR file "
        "has neither volumes of weights (rlnCtfImage) nor tilt ranges (cryodlTiltMin, cryodlTiltMax).",
        default=default,
        label=f"{which} tilt",
        unit="°",
        minimum=-90,
        maximum=90,
    )


subtomogram_contrast_field = functools.partial(
    param,
    "Whether protein is brighter or darker than its surroundings in the subtomograms. auto: determined from the "
    "subtomograms; the log and the result state it.",
    default="auto",
    label="Contrast",
    choices=CONTRASTS,
    expert=True,
)
diameter_field = functools.partial(
    param,
    "Diameter of a sphere that contains every particle.",
    default=None,
    label="Particle diameter",
    unit="Å",
    minimum=10,
    maximum=10000,
    none_means="0.8 of the box size",
)
