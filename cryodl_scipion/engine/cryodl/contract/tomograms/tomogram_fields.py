# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on tomograms, tilt series and subtomograms share."""

import typing

from ..fields import CONTRASTS
from ..params import param


def tomograms_field(help: str, optional: bool = False) -> typing.Any:
    """The parameter `tomograms`. help: its first sentence."""
    text = help + (
        " MRC (.mrc, .rec, .st; int8, int16, float32 ...), read by memory map: a quoted glob, files, or one "
        "list file (.txt with a path per line)."
    )
    if optional:
        return param(text, default=(), label="Tomograms", path="file")
    return param(text, label="Tomograms", path="file")


def labels_field(optional: bool = False) -> typing.Any:
    """The parameter `labels`."""
    text = (
        "Label volumes, one for each tomogram and of the same shape, paired by name (tomo_1_labels with tomo_1). "
        "Voxels with value 255 are not annotated."
    )
    if optional:
        return param(text, default=(), label="Label volumes", path="file")
    return param(text, label="Label volumes", path="file")


def tomogram_pixel_size_field(none_means: str = "that of each file's header") -> typing.Any:
    """The parameter `pixel_size` of tomograms."""
    return param(
        "Pixel size of the tomogram files.",
        default=None,
        label="Pixel size",
        unit="Å/px",
        minimum=0.1,
        maximum=500,
        none_means=none_means,
    )


def tomogram_names_field() -> typing.Any:
    """The parameter `names` of tomograms."""
    return param(
        "Names to use instead of the file names, one per tomogram, in the same order.",
        default=(),
        label="Tomogram names",
        expert=True,
    )


def annotations_field() -> typing.Any:
    """Folder of annotations that is written."""
    return param("Folder of the annotations. An existing folder is extended.", label="Annotations", path="folder")


def tile_field(help: str) -> typing.Any:
    """Width and height of annotated tiles."""
    return param(help, default=64, label="Tile", unit="px", minimum=16, maximum=512)


def label_field(none_means: str, help: str = "Value of the feature in the label volumes.") -> typing.Any:
    """Value of the feature. none_means: what is assumed without one."""
    return param(help, default=None, label="Label", minimum=1, maximum=254, none_means=none_means)


def label_volume_problems(config: typing.Any) -> typing.List[str]:
    """Problem if label volumes are given without tomograms, or without the value of the feature."""
    if config.labels and (not config.tomograms or config.label is None):
        return ["Label volumes (--labels) need their tomograms (--tomograms) and the value of the feature (--label)."]
    return []


def working_pixel_size_field(none_means: str) -> typing.Any:
    """Pixel size at which a network works. none_means: the pixel size without one."""
    return param(
        "Pixel size that tomograms are resampled to for the network. A larger pixel size is faster.",
        default=None,
        label="Working pixel size",
        unit="Å/px",
        minimum=0.5,
        maximum=200,
        none_means=none_means,
    )


def volume_border_field(what: str) -> typing.Any:
    """Border without coordinates. what: the things that are left out there, capitalised."""
    return param(
        f"{what} closer than this to the volume's border are left out.",
        default=0.0,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=100000,
        expert=True,
    )


def minimum_score_field() -> typing.Any:
    """Score threshold, for score volumes."""
    return param("Minimum score of a voxel, for score volumes.", default=0.5, label="Threshold", minimum=0, maximum=1)


def minimum_size_field(default: float = 0.0, why: str = "") -> typing.Any:
    """Minimum size of connected components. default: in nm³. why: the reason, appended to the help."""
    return param(
        f"Smaller connected components are left out{why}.",
        default=default,
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
    if config.tilt_max > config.tilt_min:
        return []
    return [
        f"Maximum tilt (--tilt-max) is {config.tilt_max:g}°, not above the minimum tilt (--tilt-min) of "
        f"{config.tilt_min:g}°."
    ]


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


def subtomogram_contrast_field() -> typing.Any:
    """The parameter `contrast` of subtomograms."""
    return param(
        "Whether protein is brighter or darker than its surroundings in the subtomograms. auto: determined from the "
        "subtomograms; the log and the result state it.",
        default="auto",
        label="Contrast",
        choices=CONTRASTS,
        expert=True,
    )


def diameter_field() -> typing.Any:
    """The parameter `diameter`."""
    return param(
        "Diameter of a sphere that contains every particle.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=10000,
        none_means="0.8 of the box size",
    )
