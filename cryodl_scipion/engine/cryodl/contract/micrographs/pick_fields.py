# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that several commands on picks share."""

import typing
from functools import partial

from .. import fields
from ..command import Config, Outputs, Paths, found, output, param

PROTEIN = ("dark", "bright")
particle_diameter = partial(
    param,
    help="Diameter of the smallest circle around the particle.",
    label="Particle diameter",
    unit="Å",
    limits=(10, 5000),
)
picks = partial(
    param,
    "Folder (or file) with the picks: .star, .box, .cbox, Topaz .txt, EMAN2's _info.json; as one file also "
    "RELION's autopick.star, .csv or cryoSPARC's .cs.",
    label="Picks",
    path="folder",
)
flip_y = partial(
    param,
    "Count the rows of positions in cryoSPARC's .cs files from the other end of the micrograph. Look at a few: "
    "particles that lie upside down need it.",
    default=False,
    label="Turn y of .cs files",
    expert=True,
)
pick_sets = partial(
    param,
    "Two or more sets of picks: folders (or files), each as a path or as name=path.",
    label="Sets of picks",
    path="folder",
)
tolerance = partial(param, default=0.5, label="Tolerance", unit="radii", limits=(0.01, 10))
scored_micrographs = partial(param, default=(), label="Micrographs", path="file")
border_px = partial(
    param,
    "Picks and reference coordinates closer than this to the edge are left out. It needs the micrographs.",
    default=0.0,
    label="Border",
    unit="px",
    limits=(0, 100000),
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
    return found(
        (
            (len(config.picks) < (1 if config.reference else 2)),
            "Sets of picks (--picks) has one set, and no Reference (--reference) is given. Give at least two sets, or "
            "a reference.",
        )
    )


pick_threshold = partial(
    param,
    "Picks with a lower score are left out. 0 keeps every candidate.",
    default=None,
    label="Score threshold",
    limits=(0, 1),
)
micrograph_contrast = partial(param, default="auto", label="Contrast", choices=fields.CONTRASTS, expert=True)
minimum_distance = partial(
    param,
    "Minimum distance between picks; of two closer picks the one with the higher score is kept.",
    default=None,
    label="Minimum distance",
    unit="Å",
    limits=(0, 5000),
    expert=True,
)
border = partial(
    param,
    help="Picks whose centre is closer than this to the micrograph's edge are left out.",
    default=0.0,
    label="Border",
    unit="Å",
    limits=(0, 10000),
    expert=True,
)
avoid = partial(
    param,
    "Areas in which nothing is picked. contamination: ice crystals, dirt and aggregates that look different from "
    "the particles. carbon: carbon film, found by its edge; particles on it may be good. The log says how many "
    "candidates are left out.",
    default="contamination and carbon",
    label="Areas to avoid",
    choices=fields.AVOIDABLE,
    expert=True,
)
overwrite = partial(
    param,
    "Pick finished micrographs again. Also allows parameters different from those of the files in the output folder.",
    default=False,
    label="Pick again",
    expert=True,
)
pictures = partial(param, default=3, label="Pictures", limits=(0, 100000))
box = partial(
    param,
    help="Box size in pixels of the micrographs. 0: 1.5 particle diameters, rounded up to an even number.",
    default=0,
    label="Box size",
    unit="px",
    limits=(0, 8192),
)
scaled_box = partial(param, default=0, unit="px", label="Resampled box size", limits=(0, 8192))
ctf = partial(
    param,
    "STAR file with the defocus of each micrograph, as `cryodl estimate-ctf` and RELION write it. Micrographs "
    "that it does not contain are left out.",
    default=None,
    label="CTF",
    path="file",
)
ctf_voltage = partial(param, default=None, unit="kV", limits=(20, 1000), none_means="the value in the CTF file")
ctf_cs = partial(param, default=None, unit="mm", label="Cs", limits=(0, 10), none_means="the value in the CTF file")
ctf_amplitude = partial(
    param, "Amplitude contrast as a fraction of the contrast.", default=None, limits=(0, 1), expert=True
)
stated_contrast = partial(param, default="dark", label="Contrast", choices=PROTEIN)


class OnMicrographs(Config):
    micrographs: Paths = fields.micrographs()
    pixel_size: float = fields.pixel_size()


class PicksOutputs(Outputs):
    folder: str = output("Folder of the coordinates.", path="folder")
    pixel_size: float = output("Pixel size of the micrographs; coordinates are in these pixels.", "Å/px")
