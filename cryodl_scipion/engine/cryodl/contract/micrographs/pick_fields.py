# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on picks share."""

import typing

from ..fields import AVOIDABLE, CONTRASTS
from ..params import REQUIRED, param

PROTEIN = ("dark", "bright")


def particle_diameter_field(
    help: str = "Diameter of a circle that just holds the particle.",
    default: typing.Any = REQUIRED,
    none_means: str = "",
) -> typing.Any:
    """Diameter of the particle. none_means: what is done without one."""
    return param(
        help, default=default, label="Particle diameter", unit="Å", minimum=10, maximum=5000, none_means=none_means
    )


def picks_field() -> typing.Any:
    """Coordinates that a picker, or a program, wrote."""
    return param("Folder (or file) with the picks: .star, .box or Topaz .txt.", label="Picks", path="folder")


def pick_sets_field() -> typing.Any:
    """Several sets of coordinates."""
    return param(
        "Two or more sets of picks: folders (or files), each as it is or as name=folder.",
        label="Sets of picks",
        path="folder",
    )


def tolerance_field(help: str) -> typing.Any:
    """Distance within which two picks are the same."""
    return param(help, default=0.5, label="Tolerance", unit="radii", minimum=0.01, maximum=10)


def scored_micrographs_field(help: str) -> typing.Any:
    """Micrographs on which picks are compared, or all."""
    return param(help, default=(), label="Micrographs", path="file")


def border_px_field() -> typing.Any:
    """Border in pixels, where picks are compared."""
    return param(
        "Picks and reference nearer than this to the edge are left out. Needs the micrographs.",
        default=0.0,
        label="Border",
        unit="px",
        minimum=0,
        maximum=100000,
    )


def border_problems(config: typing.Any) -> typing.List[str]:
    """Sentences about a border without micrographs to measure it in."""
    if config.border > 0 and not config.micrographs:
        return [
            "Border (--border) is set but Micrographs (--micrographs) is not; their sizes are needed to know "
            "where the edge is."
        ]
    return []


def pick_threshold_field(none_means: str) -> typing.Any:
    """Score threshold of picks. none_means: which is taken without one."""
    return param(
        "Picks with a lower score are left out. 0 keeps every candidate.",
        default=None,
        label="Score threshold",
        minimum=0,
        maximum=1,
        none_means=none_means,
    )


def micrograph_contrast_field(help: str) -> typing.Any:
    """Whether protein is darker than its surroundings. help: what auto does."""
    return param(help, default="auto", label="Contrast", choices=CONTRASTS, expert=True)


def minimum_distance_field() -> typing.Any:
    """How near two picks may be."""
    return param(
        "Minimum distance between picks; of two closer ones the one with the higher score stays.",
        default=None,
        label="Minimum distance",
        unit="Å",
        minimum=0,
        maximum=5000,
        none_means="what the training labels allow, about half a diameter",
        expert=True,
    )


def border_field(what: str = "Picks", default: typing.Optional[float] = 0.0, none_means: str = "") -> typing.Any:
    """Border of the micrograph without picks. what: what is left out there, with a capital."""
    return param(
        f"{what} whose centre is nearer than this to the micrograph's edge are left out.",
        default=default,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=10000,
        none_means=none_means,
        expert=True,
    )


def avoid_field() -> typing.Any:
    """Areas without picks."""
    return param(
        "Areas that are left out while picking. contamination: ice crystals, dirt and aggregates that differ from the "
        "particles. Carbon film is found by its edge; particles on it may be good ones.",
        default="nothing",
        label="Leave out",
        choices=AVOIDABLE,
        expert=True,
    )


def overwrite_field() -> typing.Any:
    """Whether finished micrographs are picked again."""
    return param(
        "Pick finished micrographs again, and allow other parameters than those of the files that are in the output "
        "folder already.",
        default=False,
        label="Pick again",
        expert=True,
    )


def tile_memory_field() -> typing.Any:
    """Memory for one tile of a micrograph."""
    return param(
        "Memory that the network may use for one tile.",
        default=0.4,
        label="Memory for tiles",
        unit="GB",
        minimum=0.05,
        maximum=1000,
        expert=True,
    )


def pictures_field(help: str) -> typing.Any:
    """How many pictures are drawn. help: of what."""
    return param(help, default=3, label="Pictures", minimum=0, maximum=100000)


def box_field(help: str) -> typing.Any:
    """Side of particle images, or 0 for that which suits the particle."""
    return param(help, default=0, label="Box size", unit="px", minimum=0, maximum=8192)


def protein_contrast_field(help: str) -> typing.Any:
    """Whether protein is dark in the micrographs. help: what is done then."""
    return param(help, default="dark", label="Contrast", choices=PROTEIN, former=("protein",))
