# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields and checks that several commands on maps share."""

import typing
from functools import partial

from ..params import found, param


def map(help: str, label: str = "Map", **more: typing.Any) -> typing.Any:
    """A parameter that is a map. help: its first sentence."""
    text = f"{help} MRC, protein positive; the header's pixel size, origin and axes are used."
    return param(text, label=label, path="file", **more)


half_maps = partial(param, "The two half-maps, unmasked and unsharpened.", default=(), label="Half-maps", path="file")


def half_map_problems(config: typing.Any) -> typing.List[str]:
    """Problems of a config's half-maps, which must be two or none."""
    number = len(config.half_maps)
    return found(
        (number not in (0, 2), f"Half-maps (--half-maps) names {number} file(s); give both half-maps, or none.")
    )


mask = partial(
    param,
    "Mask on the grid of the map: 1 inside, 0 outside.",
    default=None,
    label="Mask",
    path="file",
    none_means="no mask is applied",
)
map_pixel_size = partial(
    param,
    "Pixel size of the map, if its header has none or a wrong one.",
    default=None,
    label="Pixel size",
    unit="Å/px",
    limits=(0.1, 20),
    none_means="that of the header",
)


mask_radius = partial(
    param,
    "Distance from the atoms up to which the mask made from the structure extends.",
    default=4.0,
    label="Mask radius",
    unit="Å",
    limits=(0.5, 50),
    expert=True,
)
