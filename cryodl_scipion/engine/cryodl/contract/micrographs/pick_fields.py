# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on picks share."""

import typing

from ..fields import AVOIDABLE, CONTRASTS
from ..params import REQUIRED, param

PROTEIN = ("dark", "bright")


def particle_diameter_field(
    help: str = "Diameter of the smallest circle around the particle.",
    default: typing.Any = REQUIRED,
    none_means: str = "",
) -> typing.Any:
    """Diameter of the particle. none_means: what is done without one."""
    return param(
        help, default=default, label="Particle diameter", unit="Å", minimum=10, maximum=5000, none_means=none_means
    )


def picks_field() -> typing.Any:
    """Coordinates written by a picker or another program."""
    return param(
        "Folder (or file) with the picks: .star, .box, .cbox, Topaz .txt, EMAN2's _info.json; as one file also "
        "RELION's autopick.star, .csv or cryoSPARC's .cs.",
        label="Picks",
        path="folder",
    )


def flip_y_field() -> typing.Any:
    """Whether rows of cryoSPARC's positions count from the other end."""
    return param(
        "Count the rows of positions in cryoSPARC's .cs files from the other end of the micrograph. Look at a few: "
        "particles that lie upside down need it.",
        default=False,
        label="Turn y of .cs files",
        expert=True,
    )


def pick_sets_field() -> typing.Any:
    """Several sets of coordinates."""
    return param(
        "Two or more sets of picks: folders (or files), each as a path or as name=path.",
        label="Sets of picks",
        path="folder",
    )


def tolerance_field(help: str) -> typing.Any:
    """Maximum distance between picks that are regarded as the same."""
    return param(help, default=0.5, label="Tolerance", unit="radii", minimum=0.01, maximum=10)


def scored_micrographs_field(help: str) -> typing.Any:
    """Micrographs on which picks are compared; all if none are given."""
    return param(help, default=(), label="Micrographs", path="file")


def border_px_field() -> typing.Any:
    """Border in pixels, in comparisons of picks."""
    return param(
        "Picks and reference coordinates closer than this to the edge are left out. It needs the micrographs.",
        default=0.0,
        label="Border",
        unit="px",
        minimum=0,
        maximum=100000,
    )


def border_problems(config: typing.Any) -> typing.List[str]:
    """Problem if a border is set but no micrographs are given."""
    if config.border > 0 and not config.micrographs:
        return [
            "Border (--border) is set, but Micrographs (--micrographs) is not. Give the micrographs, whose sizes "
            "tell where the edge is."
        ]
    return []


def pick_threshold_field(none_means: str) -> typing.Any:
    """Score threshold of picks. none_means: the threshold without one."""
    return param(
        "Picks with a lower score are left out. 0 keeps every candidate.",
        default=None,
        label="Score threshold",
        minimum=0,
        maximum=1,
        none_means=none_means,
    )


def micrograph_contrast_field(help: str) -> typing.Any:
    """Contrast of protein in micrographs. help: the full text, with what auto does."""
    return param(help, default="auto", label="Contrast", choices=CONTRASTS, expert=True)


def minimum_distance_field(none_means: str) -> typing.Any:
    """Minimum distance between two picks. none_means: the distance without one."""
    return param(
        "Minimum distance between picks; of two closer picks the one with the higher score is kept.",
        default=None,
        label="Minimum distance",
        unit="Å",
        minimum=0,
        maximum=5000,
        none_means=none_means,
        expert=True,
    )


def border_field(what: str = "Picks", default: typing.Optional[float] = 0.0, none_means: str = "") -> typing.Any:
    """Border of the micrograph without picks. what: what is left out there, capitalised."""
    return param(
        f"{what} whose centre is closer than this to the micrograph's edge are left out.",
        default=default,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=10000,
        none_means=none_means,
        expert=True,
    )


def avoid_field() -> typing.Any:
    """Areas in which nothing is picked."""
    return param(
        "Areas in which nothing is picked. contamination: ice crystals, dirt and aggregates that look different "
        "from the particles. carbon: carbon film, found by its edge; particles on it may be good. The log says how "
        "many candidates are left out.",
        default="contamination and carbon",
        label="Areas to avoid",
        choices=AVOIDABLE,
        expert=True,
    )


def overwrite_field() -> typing.Any:
    """Whether finished micrographs are picked again."""
    return param(
        "Pick finished micrographs again. Also allows parameters different from those of the files in the output "
        "folder.",
        default=False,
        label="Pick again",
        expert=True,
    )


def pictures_field(help: str) -> typing.Any:
    """Number of pictures to draw. help: the full text."""
    return param(help, default=3, label="Pictures", minimum=0, maximum=100000)


def box_field(help: str) -> typing.Any:
    """Box size of particle images; 0 chooses it from the particle diameter."""
    return param(help, default=0, label="Box size", unit="px", minimum=0, maximum=8192)


def stated_contrast_field(help: str) -> typing.Any:
    """Contrast of protein in the micrographs. help: the full text."""
    return param(help, default="dark", label="Contrast", choices=PROTEIN)
