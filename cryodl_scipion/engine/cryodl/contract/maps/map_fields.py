# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields and checks that several commands on maps share."""

import typing

from ..params import param


def map_field(help: str, optional: bool = False, label: str = "Map") -> typing.Any:
    """A parameter that is a map. help: its first sentence."""
    text = help + " MRC, protein positive; the header's pixel size, origin and axes are used."
    if optional:
        return param(text, default=None, label=label, path="file", none_means="none")
    return param(text, label=label, path="file")


def half_maps_field() -> typing.Any:
    """The parameter `half_maps`."""
    return param("The two half-maps, unmasked and unsharpened.", default=(), label="Half-maps", path="file")


def half_map_problems(config: typing.Any) -> typing.List[str]:
    """Problems of a config's half-maps, which must be two or none."""
    if len(config.half_maps) in (0, 2):
        return []
    return [f"Half-maps (--half-maps) names {len(config.half_maps)} file(s); give both half-maps, or none."]


def mask_field() -> typing.Any:
    """The parameter `mask`."""
    return param(
        "Mask on the grid of the map: 1 inside, 0 outside.",
        default=None,
        label="Mask",
        path="file",
        none_means="no mask is applied",
    )


def map_pixel_size_field() -> typing.Any:
    """The parameter `pixel_size` of maps."""
    return param(
        "Pixel size of the map, if its header has none or a wrong one.",
        default=None,
        label="Pixel size",
        unit="Å/px",
        minimum=0.1,
        maximum=20,
        none_means="that of the header",
    )


def resolution_problems(config: typing.Any) -> typing.List[str]:
    """Problems of a config's range of resolutions."""
    if config.resolution_max >= config.resolution_min:
        return []
    return [
        f"Coarsest resolution (--resolution-max) is {config.resolution_max:g} Å, finer than the finest "
        f"(--resolution-min) of {config.resolution_min:g} Å."
    ]


def mask_radius_field() -> typing.Any:
    """Radius of a mask around the atoms of a structure."""
    return param(
        "Distance from the atoms up to which the mask made from the structure extends.",
        default=4.0,
        label="Mask radius",
        unit="Å",
        minimum=0.5,
        maximum=50,
        expert=True,
    )
