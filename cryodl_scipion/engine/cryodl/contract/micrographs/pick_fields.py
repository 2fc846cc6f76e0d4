# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on picks share."""

import functools
import typing

from ..fields import AVOIDABLE, CONTRASTS
from ..params import found, param

PROTEIN = ("dark", "bright")
particle_diameter_field = functools.partial(
    param,
    help="Diameter of the smallest circle around the particle.",
    label="Particle diameter",
    unit="Å",
    minimum=10,
    maximum=5000,
)
picks_field = functools.partial(
    param,
    "Folder (or file) with the picks: .star, .box, .cbox, Topaz .txt, EMAN2's _info.json; as one file also "
    "RELION's autopick.star, .csv or cryoSPARC's .cs.",
    label="Picks",
    path="folder",
)
flip_y_field = functools.partial(
    param,
    "Count the rows of positions in cryoSPARC's .cs files from the other end of the micrograph. Look at a few: "
    "particles that lie upside down need it.",
    default=False,
    label="Turn y of .cs files",
    expert=True,
)
pick_sets_field = functools.partial(
    param,
    "Two or more sets of picks: folders (or files), each as a path or as name=path.",
    label="Sets of picks",
    path="folder",
)
tolerance_field = functools.partial(param, default=0.5, label="Tolerance", unit="radii", minimum=0.01, maximum=10)
scored_micrographs_field = functools.partial(param, default=(), label="Micrographs", path="file")
border_px_field = functools.partial(
    param,
    "Picks and reference coordinates closer than this to the edge are left out. It needs the micrographs.",
    default=0.0,
    label="Border",
    unit="px",
    minimum=0,
    maximum=100000,
)


def border_problems(config: typing.Any) -> typing.List[str]:
    """Problem if a border is set but no micrographs are given."""
    needs = (
        "Border (--border) is set, but Micrographs (--micrographs) is not. Give the micrographs, whose sizes tell "
        "where the edge is."
    )
    return found((config.border > 0 and not config.micrographs, needs))


def too_few_sets(config: typing.Any) -> typing.List[str]:
    """Problem if a single set of picks has nothing to be compared with."""
    alone = len(config.picks) < (1 if config.reference else 2)
    return found(
        (
            alone,
            "Sets of picks (--picks) has one set, and no Reference (--reference) is given. Give at least two sets, or "
            "a reference.",
        )
    )


pick_threshold_field = functools.partial(
    param,
    "Picks with a lower score are left out. 0 keeps every candidate.",
    default=None,
    label="Score threshold",
    minimum=0,
    maximum=1,
)
micrograph_contrast_field = functools.partial(param, default="auto", label="Contrast", choices=CONTRASTS, expert=True)
minimum_distance_field = functools.partial(
    param,
    "Minimum distance between picks; of two closer picks the one with the higher score is kept.",
    default=None,
    label="Minimum distance",
    unit="Å",
    minimum=0,
    maximum=5000,
    expert=True,
)
border_field = functools.partial(
    param,
    help="Picks whose centre is closer than this to the micrograph's edge are left out.",
    default=0.0,
    label="Border",
    unit="Å",
    minimum=0,
    maximum=10000,
    expert=True,
)
avoid_field = functools.partial(
    param,
    "Areas in which nothing is picked. contamination: ice crystals, dirt and aggregates that look different "
    "from the particles. carbon: carbon film, found by its edge; particles on it may be good. The log says how "
    "many candidates are left out.",
    default="contamination and carbon",
    label="Areas to avoid",
    choices=AVOIDABLE,
    expert=True,
)
overwrite_field = functools.partial(
    param,
    "Pick finished micrographs again. Also allows parameters different from those of the files in the output folder.",
    default=False,
    label="Pick again",
    expert=True,
)
pictures_field = functools.partial(param, default=3, label="Pictures", minimum=0, maximum=100000)
box_field = functools.partial(param, default=0, label="Box size", unit="px", minimum=0, maximum=8192)
stated_contrast_field = functools.partial(param, default="dark", label="Contrast", choices=PROTEIN)
