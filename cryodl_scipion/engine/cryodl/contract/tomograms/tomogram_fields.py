# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on tomograms share."""

import typing

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


def tilt_series_pixel_size_field() -> typing.Any:
    """The parameter `tilt_series_pixel_size` of commands that write coordinates for RELION 5."""
    return param(
        "Pixel size of the tilt series (not binned), to write an optics table into the STAR files. RELION itself needs "
        "none: without it, it takes the optics from its tomograms.star.",
        default=None,
        label="Tilt series pixel size",
        unit="Å/px",
        minimum=0.1,
        maximum=500,
        none_means="no optics table",
        expert=True,
    )


def tomogram_names_field() -> typing.Any:
    """The parameter `names` of tomograms."""
    return param(
        "Names to use instead of the file names, one per tomogram, in the same order.",
        default=(),
        label="Tomogram names",
        expert=True,
    )


def memory_field() -> typing.Any:
    """Memory limit, in addition to the libraries."""
    return param(
        "Maximum memory, in addition to that of the libraries.",
        default=1.5,
        label="Memory",
        unit="GB",
        minimum=0.2,
        maximum=1000,
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
